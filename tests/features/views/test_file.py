"""The file form of feature views and labels: what is read, and what is refused with file, line and mend."""

import hashlib

import pytest

import staunch_sql
from staunch_features.errors import ViewError
from staunch_features.views.file import load_label, load_view, parse_label, parse_view

HEADER = """/* staunch
description = "A customer."
entity = "customer"
population = "SELECT id FROM clients ORDER BY id;"

[time_columns]
orders = ["ordered_at", "recorded_at"]

[features]
age = { unit = "years", description = "Age.", source = ["clients.age"], window = "", null = "not told" }
orders = { description = "Orders.", null = "never" }
*/
"""
STATEMENT = "SELECT id, age, orders FROM clients WHERE id = ANY ($1::bigint[])"
LABEL = (
    '/* staunch\ndescription = "Left."\nhorizon_days = 90\ngap_days = 7\nobservation_days = 365\n*/\nSELECT 1'
)


def test_a_view_is_read_with_its_documentation():
    view = parse_view("clients", HEADER + STATEMENT, "clients.sql")
    assert (view.name, view.entity, view.description) == ("clients", "customer", "A customer.")
    assert view.population == "SELECT id FROM clients ORDER BY id"
    assert view.time_columns == {"orders": ("ordered_at", "recorded_at")}
    assert list(view.features) == ["age", "orders"]
    assert view.features["age"].nullable
    assert not view.features["orders"].nullable
    assert view.features["age"].source == ("clients.age",)
    assert view.sha256 == hashlib.sha256((HEADER + STATEMENT).encode()).hexdigest()


def test_all_that_a_feature_may_say_is_read():
    said = HEADER.replace('window = ""', 'window = "30 days"')
    age, orders = parse_view("clients", said + STATEMENT, "clients.sql").features.values()
    assert (age.unit, age.description, age.source) == ("years", "Age.", ("clients.age",))
    assert (age.window, age.null) == ("30 days", "not told")
    assert (orders.unit, orders.source, orders.window, orders.null) == ("", (), "", "never")


def test_a_view_may_state_rules_of_many_features():
    rules = 'rules = [\n  "A day is a UTC day.",\n  "All are eligible.",\n]\n\n[time_columns]'
    view = parse_view("clients", HEADER.replace("[time_columns]", rules) + STATEMENT, "clients.sql")
    assert view.rules == ("A day is a UTC day.", "All are eligible.")
    assert parse_view("clients", HEADER + STATEMENT, "clients.sql").rules == ()


@pytest.mark.parametrize(
    ("line", "statement", "eligible"),
    [
        ('eligible = " has a contract"', "SELECT id, true AS _eligible", "has a contract"),
        ("", "SELECT id, true AS _eligible", "is eligible"),
        ("", 'SELECT id, true AS "_eligible"', "is eligible"),
        ("", "SELECT id, '_eligible' -- _eligible", ""),
    ],
)
def test_a_view_may_say_who_is_eligible(line, statement, eligible):
    text = HEADER.replace("\n\n[time_columns]", f"\n{line}\n[time_columns]") + statement
    assert parse_view("clients", text, "clients.sql").eligible == eligible


@pytest.mark.parametrize(
    "words", ["", " ", "Has a contract", "has a contract.", "has\\na contract", "x" * 121, 7, ["has"]]
)
def test_who_is_eligible_is_told_in_words_that_fit_into_a_sentence(words):
    line = f"eligible = {words!r}".replace("'", '"').replace("\\\\", "\\")
    text = HEADER.replace("\n\n[time_columns]", f"\n{line}\n[time_columns]") + STATEMENT
    with pytest.raises(ViewError, match="header key eligible: expected ") as caught:
        parse_view("clients", text, "clients.sql")
    assert caught.value.line == 5


def test_the_statement_stands_on_the_lines_of_the_file():
    view = parse_view("clients", HEADER + STATEMENT, "clients.sql")
    assert view.statement.strip() == STATEMENT
    assert view.statement.split("\n").index(STATEMENT) == (HEADER + STATEMENT).split("\n").index(STATEMENT)


@pytest.mark.parametrize(
    "tail", ["", ";", " ;\n", "; -- that is all; really", ";/* bye; */\n", "\n-- no semicolon; here\n"]
)
def test_a_last_semicolon_and_comments_are_no_second_statement(tail):
    view = parse_view("clients", HEADER + STATEMENT + tail, "clients.sql")
    assert STATEMENT in view.statement


@pytest.mark.parametrize(
    "hidden", ["';'", '";"', "$$;$$", "$a$;$a$", "E'\\';'", "''';'", "/* ; */ 1", "1 -- ;\n"]
)
def test_a_semicolon_within_text_ends_no_statement(hidden):
    view = parse_view("clients", f"{HEADER}SELECT {hidden} AS x, 2", "clients.sql")
    assert view.statement.endswith("AS x, 2")


def test_a_label_is_read_with_its_windows():
    label = parse_label("clients", LABEL, "clients.sql")
    assert (label.horizon_days, label.gap_days, label.observation_days) == (90, 7, 365)


def test_the_first_folder_that_has_the_file_wins(tmp_path):
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for folder in (mine, theirs):
        folder.mkdir()
        (folder / "clients.sql").write_text(HEADER + STATEMENT)
    assert load_view("clients", [mine, theirs]).file == str(mine / "clients.sql")
    assert load_view("clients", [tmp_path, theirs]).file == str(theirs / "clients.sql")


def test_the_views_we_ship_can_be_read():
    view = load_view("churn", [staunch_sql.FEATURES_FOLDER])
    assert len(view.features) >= 30
    assert all(doc.description.endswith(".") for doc in view.features.values())
    label = load_label("churn", [staunch_sql.LABELS_FOLDER])
    assert label.horizon_days == 90


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (STATEMENT, 1, "begin with a comment"),
        ("/* something else */ SELECT 1", 1, "begin with a comment"),
        ("/* staunch\n", 1, "begin with a comment"),
        ("/* staunch\nentity = 1 /* x */ */ SELECT 1", 2, "comment opens inside"),
        ("/* staunch\n\nentity = = 1\n*/ SELECT 1", 3, "no valid TOML"),
        (HEADER, 12, "expected a SELECT"),
        (HEADER + "-- nothing;", 12, "expected a SELECT"),
        (HEADER + "-- said\n(\nhello world", 15, "expected a SELECT that only reads, got hello"),
        (HEADER + "DELETE FROM clients RETURNING id", 13, "only reads, got DELETE"),
        (HEADER + "EXPLAIN " + STATEMENT, 13, "only reads, got EXPLAIN"),
        (HEADER + STATEMENT + "\nFOR  no key\tUPDATE", 14, "only reads, got FOR no key UPDATE"),
        (HEADER + STATEMENT + "\nfor share of clients", 14, "only reads, got for share"),
        (HEADER.replace("id;", "id; SELECT 1") + STATEMENT, 4, "population: expected one SELECT without"),
        (HEADER.replace("SELECT id FROM", "DELETE FROM") + STATEMENT, 4, "population: expected one SELECT"),
        (HEADER.replace("ORDER BY id", "WHERE id > $1") + STATEMENT, 4, "population: expected one SELECT"),
        (HEADER + STATEMENT + ";\nSELECT 2", 13, "one statement"),
        (HEADER.replace('entity = "customer"', "entity = 1") + STATEMENT, 3, "entity: expected a text"),
        (HEADER.replace("entity", "entitty") + STATEMENT, 3, "entitty: no such key"),
        (
            HEADER.replace("population", "populations") + STATEMENT,
            None,
            "population: expected a text, got no",
        ),
        (HEADER.replace("entity", 'color = "red"\nentity') + STATEMENT, 3, "color: no such key"),
        (HEADER.replace("entity", 'rules = "one"\nentity') + STATEMENT, 3, "rules: expected a list of texts"),
        (HEADER.replace("entity", 'rules = [""]\nentity') + STATEMENT, 3, "rules: expected a text, got ''"),
        (HEADER.replace('null = "never"', "nil = 1") + STATEMENT, 11, "features.orders"),
        (HEADER.replace('["ordered_at", "recorded_at"]', '"ordered_at"') + STATEMENT, 7, "a list of texts"),
        (HEADER.replace("[time_columns]\n", "[time_columns]\na.b = []\n") + STATEMENT, 7, 'quoted, "a.b"'),
        (HEADER.replace('"ordered_at", "recorded_at"', "") + STATEMENT, 7, "expected one text or more"),
        (HEADER.partition("[features]")[0] + "*/" + STATEMENT, None, "features: expected one entry"),
        (HEADER.partition("[features]")[0] + "[features]\nage = 1\n*/" + STATEMENT, 10, "expected a table"),
    ],
)
def test_what_is_no_view_is_refused_with_file_line_and_mend(text, line, message):
    with pytest.raises(ViewError, match=message) as caught:
        parse_view("clients", text, "views/clients.sql")
    assert (caught.value.file, caught.value.line) == ("views/clients.sql", line)
    assert caught.value.hint


def test_a_feature_with_a_table_of_its_own_in_the_header_has_its_line():
    text = HEADER.partition("[features]")[0] + '[features.age]\ndescription = ""\n*/' + STATEMENT
    with pytest.raises(ViewError, match=r"features\.age\.description: expected a text") as caught:
        parse_view("clients", text, "clients.sql")
    assert caught.value.line == 10


def test_what_the_header_leaves_out_has_a_meaning():
    said = HEADER.replace('entity = "customer"\n', "").partition("orders = { d")[0] + "visits_30d = {}\n*/\n"
    view = parse_view("clients", said + STATEMENT, "clients.sql")
    visits = view.features["visits_30d"]
    assert view.entity == "customer"
    assert (visits.description, visits.unit, visits.null, visits.nullable) == (
        "Visits 30d.",
        "",
        "missing",
        True,
    )


def test_a_label_that_names_no_days_is_one_without_dates():
    label = parse_label("clients", '/* staunch\ndescription = "Left."\n*/\nSELECT 1', "clients.sql")
    assert (label.horizon_days, label.gap_days, label.observation_days) == (0, 0, 0)


@pytest.mark.parametrize("days", [0, 36_500])
def test_a_window_has_from_no_days_to_a_hundred_years(days):
    label = LABEL
    for key, value in (("horizon_days", 90), ("gap_days", 7), ("observation_days", 365)):
        label = label.replace(f"{key} = {value}", f"{key} = {days}")
    parsed = parse_label("clients", label, "clients.sql")
    assert (parsed.horizon_days, parsed.gap_days, parsed.observation_days) == (days, days, days)


def test_the_longest_name_is_taken(tmp_path):
    (tmp_path / ("a" * 63 + ".sql")).write_text(HEADER + STATEMENT)
    assert load_view("a" * 63, [tmp_path]).name == "a" * 63


@pytest.mark.parametrize("days", ["-1", '"90"', "true", "1.5", "36501", "1000000000"])
def test_a_label_with_a_wrong_window_is_refused(days):
    with pytest.raises(ViewError, match="whole number of days") as caught:
        parse_label("clients", LABEL.replace("horizon_days = 90", f"horizon_days = {days}"), "clients.sql")
    assert caught.value.line == 3


@pytest.mark.parametrize("name", ["", "Churn", "../churn", "a b", "1st", "a" * 64])
def test_a_name_that_is_no_name_is_refused(name, tmp_path):
    with pytest.raises(ViewError, match="expected a name") as caught:
        load_view(name, [tmp_path])
    assert (caught.value.file, caught.value.line) == (f"features/{name}", None)


def test_a_view_that_no_folder_has_names_the_folders(tmp_path):
    with pytest.raises(ViewError, match=str(tmp_path)) as caught:
        load_view("absent", [tmp_path])
    assert (caught.value.file, caught.value.line) == ("features/absent.sql", None)


def test_a_missing_label_is_told_from_a_missing_view(tmp_path):
    with pytest.raises(ViewError, match=r"^labels/absent\.sql: .* let STAUNCH_VIEWS name the folder"):
        load_label("absent", [tmp_path])


def test_a_name_with_its_ending_is_asked_for_without(tmp_path):
    with pytest.raises(ViewError, match=r"give the name without \.sql"):
        load_view("churn.sql", [tmp_path])


@pytest.mark.parametrize(
    "statement",
    [STATEMENT, f"({STATEMENT})", f"-- DELETE\n\t({STATEMENT})", "with a as (SELECT 1) TABLE a", "VALUES (1)"]
    + [f"SELECT '{words}', \"{words}\" -- {words}" for words in ("FOR UPDATE", "DELETE")],
)
def test_a_statement_that_only_reads_is_taken(statement):
    parse_view("clients", HEADER + statement, "clients.sql")


def test_the_mark_that_some_editors_set_before_a_text_is_no_part_of_it(tmp_path):
    (tmp_path / "clients.sql").write_text("\ufeff" + HEADER + STATEMENT, encoding="utf-8")
    assert load_view("clients", [tmp_path]).text == HEADER + STATEMENT


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "odd.sql").write_bytes(b"/* staunch \xff */")
    with pytest.raises(ViewError, match="got byte 0xff at 11") as caught:
        load_view("odd", [tmp_path])
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "odd.sql"), None)
