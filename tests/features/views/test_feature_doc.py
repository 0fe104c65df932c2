"""What a header says of features, in one language or several: read the same however it is written."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import staunch_sql
from staunch_features.errors import ViewError
from staunch_features.views.feature_doc import ANY, MOST_TITLE_LETTERS, FeatureDoc, find_language
from staunch_features.views.file import FeatureView, load_view, parse_view

HEAD = '/* staunch\ndescription = "A."\npopulation = "SELECT 1"\n'
CHURN = load_view("churn", [staunch_sql.FEATURES_FOLDER])

# What may stand in TOML and in a comment of SQL, and is no blank.
_LETTERS = st.characters(exclude_categories=("C", "Zl", "Zp"), exclude_characters='"\\*/')
TEXTS = st.text(_LETTERS, min_size=1, max_size=MOST_TITLE_LETTERS).map(str.strip).filter(bool)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)
LANGUAGES = st.from_regex(r"[a-z]{2}(-[a-z]{2})?", fullmatch=True).filter(lambda tag: tag != "en")


def view_of(features: str, own: str = "") -> FeatureView:
    return parse_view("clients", f"{HEAD}{own}\n{features}\n*/\nSELECT 1", "clients.sql")


def doc_of(entry: str, own: str = "") -> FeatureDoc:
    return view_of(f"[features]\na = {{ {entry} }}", own).features["a"]


def toml(value: object) -> str:
    """Writes a text, or a table of texts."""
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{json.dumps(str(key))} = {toml(text)}" for key, text in value.items()) + " }"
        )
    return json.dumps(value, ensure_ascii=False)


ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "title": TEXTS,
        "unit": TEXTS,
        "description": TEXTS,
        "window": TEXTS,
        "null": TEXTS.filter(lambda text: text != "never"),
    },
)


@given(own=ENTRIES, other=ENTRIES, language=LANGUAGES)
def test_a_text_means_the_same_in_each_of_the_three_ways_to_write_it(own, other, language):
    plain = [f"{key} = {toml(text)}" for key, text in own.items()]
    quoted = [f'"{key}.{language}" = {toml(text)}' for key, text in other.items()]
    named = [f"{key}.en = {toml(text)}" for key, text in own.items()]
    named += [f"{key}.{language} = {toml(text)}" for key, text in other.items()]
    apart = ", ".join(f"{key} = {toml(text)}" for key, text in other.items())
    first = doc_of(", ".join([*plain, *quoted]))
    assert doc_of(", ".join(named)) == first
    table = f'[features]\na = {{ {", ".join(plain)} }}\n["features.{language}"]\na = {{ {apart} }}'
    assert view_of(table).features["a"] == first


@given(own=ENTRIES, other=ENTRIES, language=LANGUAGES)
def test_a_text_that_is_not_given_in_a_language_stays_in_the_view_s_own(own, other, language):
    entry = [f"{key} = {toml(text)}" for key, text in own.items()]
    entry += [f'"{key}.{language}" = {toml(text)}' for key, text in other.items()]
    doc = doc_of(", ".join(entry))
    spoken = doc.in_language(language)
    for key in ("title", "unit", "description", "window", "null"):
        assert getattr(spoken, key) == other.get(key, getattr(doc, key))
    assert (spoken.nullable, spoken.possible, spoken.source) == (doc.nullable, doc.possible, doc.source)


@given(labels=st.dictionaries(NUMBERS, TEXTS, max_size=5), title=TEXTS)
def test_labels_are_numbers_with_texts_in_their_order(labels, title):
    doc = doc_of(f"title = {toml(title)}, labels = {toml(labels)}")
    assert doc.title == title
    assert dict(doc.labels) == labels
    assert list(doc.labels) == sorted(labels)


@given(low=NUMBERS, high=NUMBERS, title=TEXTS)
def test_a_range_is_read_if_its_ends_are_in_order_and_refused_if_not(low, high, title):
    entry = f"title = {toml(title)}, range = [{low!r}, {high!r}]"
    if low <= high:
        assert doc_of(entry).possible == (low, high)
    else:
        with pytest.raises(ViewError, match=r"features\.a\.range: expected the least value first"):
            doc_of(entry)


@pytest.mark.parametrize(
    ("written", "possible"),
    [
        ("[0, inf]", (0, math.inf)),
        ("[-inf, 0.5]", (-math.inf, 0.5)),
        ("[-inf, inf]", ANY),
        ("[3, 3]", (3, 3)),
    ],
)
def test_a_range_may_be_open(written, possible):
    assert doc_of(f"range = {written}").possible == possible


def test_what_is_left_out_has_a_meaning():
    doc = view_of("[features]\nvisits_30d = {}").features["visits_30d"]
    assert (doc.title, doc.description, doc.labels, doc.possible) == ("Visits 30d", "Visits 30d.", {}, ANY)
    assert doc_of('title = "Visits"').description == "Visits."


@pytest.mark.parametrize(
    ("entry", "line", "message"),
    [
        ('title = ""', 6, "title: expected a text, got ''"),
        ('title = "a\\nb"', 6, "title: expected one line of at most 80 letters"),
        (f'title = "{"x" * 81}"', 6, "title: expected one line of at most 80 letters"),
        ("title = { en = 1 }", 6, "title: expected a text, got 1"),
        ("title = { en = 'A', 5 = 'B' }", 6, 'title: expected a language such as "fr" or "fr-CA", got \'5\''),
        ("title.fr_CA = 'A'", 6, 'title: expected a language such as "fr" or "fr-CA", got \'fr_CA\''),
        ("title = {}", 6, "title: expected a text, got {}"),
        (
            "title = 'A', title.fr = 'B'",
            6,
            'a key in quotes, "title.fr" = ..., or .*title.en = ..., title.fr',
        ),
        (
            "title.fr = 'A', title = 'B'",
            6,
            'a key in quotes, "title.fr" = ..., or .*title.en = ..., title.fr',
        ),
        ("labels = { 1 = 'A' }, labels.fr = { 1 = 'B' }", 6, 'a key in quotes, "labels.fr" = ...'),
        ("title = 'A', \"title.en\" = 'B'", 6, "title.en: the text in en is given twice"),
        ("\"title.fr\" = 'A', \"title.FR\" = 'B'", 6, "title.fr: the text in fr is given twice"),
        ("\"title.french\" = 'A'", 6, "title.french: expected a language such as .*, got 'french'"),
        ("\"titel.fr\" = 'A'", 6, r"expected title, .*, got \['titel.fr'\]"),
        ("\"source.fr\" = ['A']", 6, r"expected title, .*, got \['source.fr'\]"),
        ("labels = { ON = 8 }", 6, 'labels: expected a text for each number, { 8 = "ON" }'),
        ("labels = { 8 = 8 }", 6, "labels: expected a text, got 8"),
        ("labels = 'ON'", 6, "labels: expected a text for each number"),
        ("labels = { 0.5 = 'half' }", 6, 'a number with a point is written in quotes: "0.5"'),
        ("labels = { 0 = 'none', 0.5 = 'half' }", 6, 'a number with a point is written in quotes.* "0.5" ='),
        ("labels = { +1 = 'up' }", 6, 'and none has a plus: "1" ='),
        ("labels = { 1 = 'A', \"1.0\" = 'B' }", 6, "labels: expected finite numbers, each once, got '1.0'"),
        ("labels = { inf = 'A' }", 6, "labels: expected finite numbers, each once, got 'inf'"),
        (
            "labels = { 8 = 'ON' }, \"labels.fr\" = { 9 = 'QC' }",
            6,
            "labels.fr: expected a value that labels names",
        ),
        ("labels = { 8 = 'ON' }, range = [9, 13]", 6, "range: expected a range that holds 8, got"),
        ("range = [1]", 6, "range: expected the least and the greatest value"),
        ("range = [0, true]", 6, "range: expected the least and the greatest value"),
        ("range = [0, nan]", 6, "range: expected the least value first"),
        ("range = [inf, inf]", 6, "range: expected the least value first, and one that can be"),
        (f"range = [1{'0' * 400}, 0]", 6, "range: expected the least value first.*0…;"),
        (f'description = "{"x" * 500}\\u0000"', 6, "without the control character .*x…;"),
        ("null = 'never', \"null.fr\" = 'jamais'", 6, "null.fr: expected no text, for 'never' is a promise"),
        ("null = 'none', \"null.fr\" = 'never'", 6, "null.fr: expected no text, for 'never' is a promise"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(entry, line, message):
    with pytest.raises(ViewError, match=message) as caught:
        doc_of(entry)
    assert (caught.value.file, caught.value.line) == ("clients.sql", line)


@pytest.mark.parametrize(
    ("features", "line", "message"),
    [
        ('[features]\na = {}\n["features.fr"]\nb = { title = "B" }', 8, "expected a feature of"),
        ('[features]\na = {}\n["features.fr"]\na = { range = [0, 1] }', 8, "expected a table of title"),
        ('[features]\na = {}\n["features.fr"]\na = { title = 1 }', 8, "features.fr.a.title: expected a text"),
        ('[features]\na = { "title.fr" = "A" }\n["features.fr"]\na = { title = "B" }', 8, "given twice"),
        ('[features]\na = {}\n["features.en"]\na = { title = "B" }', 7, "and not the header's own, en"),
        ('[features]\na = {}\n["features.fr"]\na = {}\n["features.FR"]\na = {}', 10, "in fr are given twice"),
        ('[features]\n"" = {}', 5, "expected the name of a column, got ''"),
        ('[features]\na = {}\n["features.french"]\na = {}', 7, 'expected a language such as "fr"'),
        (
            '[features]\na = {}\n[features.fr]\na = { title = "B" }',
            7,
            r'quote the whole name: \["features.fr"\]',
        ),
    ],
)
def test_a_table_of_another_language_is_refused_with_its_line(features, line, message):
    with pytest.raises(ViewError, match=message) as caught:
        view_of(features)
    assert caught.value.line == line


# What ends a line, moves the cursor of a terminal, or turns the writing round.
CONTROLS = ("\\u001b[31m", "\\r", "\\u0000", "\\u009b31m", "\\u2028", "\\u202e", "\\u2066")


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("key", ["title", "unit", "description", "window", "null", "labels"])
def test_no_text_of_a_feature_is_obeyed_by_a_terminal(key, control):
    value = f'{{ 8 = "A{control}B" }}' if key == "labels" else f'"A{control}B"'
    for entry in (f"{key} = {value}", f'labels = {{ 8 = "A" }}, "{key}.fr" = {value}'):
        with pytest.raises(ViewError, match=rf"{key}(\.fr)?: expected a text without the control") as caught:
            doc_of(entry)
        assert caught.value.line == 6


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("key", ["description", "entity", "eligible", "rules"])
def test_no_text_of_a_view_is_obeyed_by_a_terminal(key, control):
    value = f'["a{control}b"]' if key == "rules" else f'"a{control}b"'
    with pytest.raises(ViewError, match=rf"{key}.fr: expected a text without the control") as caught:
        view_of("[features]\na = {}", f'"{key}.fr" = {value}')
    assert caught.value.line == 4


@pytest.mark.parametrize("key", ["title", "unit", "window", "null"])
def test_what_stands_in_tables_and_pictures_is_one_line_of_their_width(key):
    for language in ("", ".fr"):
        with pytest.raises(ViewError, match=rf"{key}{language}: expected one line"):
            doc_of(f'"{key}{language}" = "a\\nb"')
        if key != "null":
            with pytest.raises(ViewError, match=rf"{key}{language}: expected one line of at most 80 letters"):
                doc_of(f'"{key}{language}" = "{"x" * 81}"')
    assert doc_of('description = "a\\nb"').description == "a\nb"


def test_a_view_s_own_texts_are_given_in_other_languages_too():
    own = '"description.fr" = "Un client."\nrules = ["One."]\n"rules.fr" = ["Un.", "Deux."]\n'
    own += 'entity.fr = "client"'
    view = view_of("[features]\na = {}", own)
    french = view.in_language("fr-CA")
    assert view.languages == ("en", "fr")
    assert (french.language, french.description, french.rules) == ("fr", "Un client.", ("Un.", "Deux."))
    assert (french.entity, view.entity, french.statement) == ("client", "customer", view.statement)
    assert view.in_language("de") is view
    assert french.in_language("en") is french


def test_a_view_may_be_written_in_another_language_than_english():
    view = view_of('[features]\na = { title = "Âge", "title.en" = "Age" }', 'language = "fr"')
    assert view.language == "fr"
    assert view.in_language("en-CA").features["a"].title == "Age"
    with pytest.raises(ViewError, match="language: expected a language such as"):
        view_of("[features]\na = {}", 'language = "français"')


@pytest.mark.parametrize(
    ("asked", "found"),
    [("fr", "fr"), ("FR-ca", "fr-ca"), ("fr-CH", "fr"), ("fr-CA-x", "fr-ca"), ("de", None), ("", None)],
)
def test_the_nearest_language_serves(asked, found):
    assert find_language(asked, ("en", "fr", "fr-ca")) == found


def test_the_shipped_view_says_everything_in_english_and_in_french():
    french = CHURN.in_language("fr")
    assert CHURN.languages == ("en", "fr")
    assert french.description != CHURN.description
    assert len(french.rules) == len(CHURN.rules)
    for name, doc in CHURN.features.items():
        texts = doc.translations["fr"]
        given = {key for key in ("title", "description", "unit", "window", "labels") if getattr(doc, key)}
        given |= {"null"} if doc.nullable else set()
        # The provinces' codes are the same in both.
        assert texts.keys() == given - ({"labels"} if name == "province_west_to_east" else set()), name
        assert texts["description"].endswith("."), name


def test_no_title_of_the_shipped_view_is_a_name_of_sql_or_given_twice():
    for view in (CHURN, CHURN.in_language("fr")):
        titles = [doc.title for doc in view.features.values()]
        assert not [title for title in titles if "_" in title]
        assert len(set(titles)) == len(titles)


def test_the_shipped_view_names_a_range_for_all_but_what_can_be_anything():
    assert [name for name, doc in CHURN.features.items() if doc.possible == ANY] == [
        "charge_trend_365d",
        "charge_change_90d",
        "unpaid_365d",
    ]
