"""`staunch view` and `staunch train` on rows that end in the past, in a big table without an index."""

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.cli.documented import documented
from tests.harness.databases import execute

from staunch_cli.main import main
from staunch_features.postgres.connection import connect

# Whole checks and trainings of a big table, some seconds each.
pytestmark = pytest.mark.walk

_TABLES = """
CREATE SCHEMA cdnow;
CREATE TABLE cdnow.purchases AS
SELECT n % 300 + 1::bigint AS customer_id, n % 50 + 1.5 AS dollars,
       date '1997-01-01' + (n * 7919 + n / 300 * n % 300) % 545 AS bought_on
FROM generate_series(1, 20000) AS n;
ANALYZE cdnow.purchases; -- else autovacuum may, between two commands that tell of about how many rows
GRANT USAGE ON SCHEMA cdnow TO staunch_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA cdnow TO staunch_reader;
"""
_VIEW = """/* staunch
description = "A customer of CDNOW."
entity = "customer"
population = "SELECT DISTINCT customer_id FROM cdnow.purchases"
[time_columns]
"cdnow.purchases" = ["bought_on"]
[features]
dollars = { description = "A.", window = "90 days", null = "nothing bought" }
*/
SELECT u.id, v.dollars FROM unnest($1::bigint[]) AS u (id)
CROSS JOIN LATERAL (
  SELECT sum(dollars)::float8 AS dollars FROM cdnow.purchases AS p
  WHERE p.customer_id = u.id AND p.bought_on <= $2::timestamptz
    AND p.bought_on > $2::timestamptz - interval '90 days'
) AS v
"""
_LABEL = """/* staunch
description = "The customer buys nothing in the outcome window."
horizon_days = 30
gap_days = 0
observation_days = 90
*/
SELECT u.id, count(p.dollars) = 0 AS quiet FROM unnest($1::bigint[]) AS u (id)
LEFT JOIN cdnow.purchases AS p
  ON p.customer_id = u.id AND p.bought_on > $3::timestamptz AND p.bought_on <= $4::timestamptz
GROUP BY u.id
"""
_READ_WHOLE = re.compile(
    r"cdnow\.purchases has about [\d,]+ rows and is read whole by each call: an index on .*"
)


@pytest.fixture(scope="module")
def cdnow(database_factory):
    made = database_factory(template="template1")
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _fill(made.owner_url)).result()
    return made


async def _fill(url: str) -> None:
    connection = await connect(url)
    await connection.execute(_TABLES)
    await connection.close()


@pytest.fixture
def staunch(cdnow, tmp_path, monkeypatch, capsys):
    """Runs the command: exit code, what it printed, what it warned of."""
    for kind, text in (("features", _VIEW), ("labels", _LABEL)):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "cdnow.sql").write_text(text)
    monkeypatch.setenv("STAUNCH_VIEWS", str(tmp_path))
    monkeypatch.setenv("STAUNCH_DATABASE_URL", cdnow.owner_url)
    monkeypatch.setenv("STAUNCH_DATABASE_READER_URL", cdnow.reader_url)
    monkeypatch.setenv("STAUNCH_STATE_FOLDER", str(tmp_path / "state"))
    monkeypatch.setenv("STAUNCH_STORE", str(tmp_path / "models"))

    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_check_names_the_table_read_whole_first_and_the_date_on_which_the_rows_end(staunch):
    code, out, err = staunch("view", "check", "cdnow")
    assert code == 0
    found = documented("view check", staunch("view", "check", "cdnow", "--json")[1])
    assert found["good"]
    assert found["advice"][0] in out
    assert re.fullmatch(f"staunch: {_READ_WHOLE.pattern}\n", err)
    assert re.search(f"^advice: {_READ_WHOLE.pattern}$", out, re.MULTILINE)
    assert re.search(r"advice: the last row is of 1998-06-\d\d .*: train with --until 1998-0", out)


def test_show_warns_of_labels_where_the_rows_have_ended_and_gives_a_date(staunch):
    _, out, err = staunch("view", "show", "cdnow")
    assert "label true for 100.0%" in out
    as_of = re.search(r"the last row is of .*: show labels with --as-of (1998-\d\d-\d\d)\n", err)
    assert as_of is not None
    assert re.search(f"^staunch: {_READ_WHOLE.pattern}$", err, re.MULTILINE)
    shown = documented("view show", staunch("view", "show", "cdnow", "--as-of", as_of[1], "--json")[1])
    assert [feature["feature"] for feature in shown["features"]] == ["dollars"]
    _, out, err = staunch("view", "show", "cdnow", "--as-of", as_of[1])
    assert "label true for 100.0%" not in out
    assert "the last row" not in err


def test_what_does_not_answer_in_time_is_reported_with_its_file_and_the_table_read_whole(staunch, tmp_path):
    file = tmp_path / "features/cdnow.sql"
    sleeps = "sum(dollars + (SELECT count(*) FROM generate_series(1, 1000000000) AS n WHERE n > dollars))"
    file.write_text(file.read_text().replace("sum(dollars)", sleeps))
    for action in ("check", "show"):
        code, _, err = staunch("view", action, "cdnow", "--as-of", "1998-05-01", "--timeout", "1")
        assert code == 1
        assert f"staunch: {file}: expected an answer within 1 s, got none; cdnow.purchases has about" in err
        assert _READ_WHOLE.search(err.splitlines()[-1])


def test_train_names_the_table_read_whole_before_it_reads_and_the_rows_of_each_date(staunch):
    code, out, _ = staunch(
        "train", "--view", "cdnow", "--until", "1998-06-30", "--learner", "xgboost", "--verbose"
    )
    assert code == 0
    lines = [line.strip() for line in out.splitlines()]
    (advice,) = [line for line in lines if re.fullmatch(f"advice: {_READ_WHOLE.pattern}", line)]
    assert lines.index(advice) < lines.index("reading labels")
    assert [
        line for line in lines if re.match(r"test as of 1998-\d\d-\d\d: \d+ rows, label true for \d+, ", line)
    ]
    assert not [line for line in lines if line.startswith("warning: the last row")]


def test_train_in_few_lines_and_as_json_says_what_was_published(staunch):
    words = ("train", "--view", "cdnow", "--until", "1998-06-30", "--learner", "xgboost")
    code, out, err = staunch(*words, "--json")
    assert code == 0
    trained = documented("train", out)
    assert trained["model"] == "cdnow@1"
    assert [len(split["as_of_times"]) for split in trained["splits"]][1:] == [2, 2]
    assert {other["name"] for other in trained["compared"]} == {"logistic_regression", "prevalence"}
    dated = [line for line in err.splitlines() if re.search(r"\d{4}-\d\d-\d\d", line)]
    assert len(dated) <= 6
    assert "fitting xgboost" in err


def test_train_up_to_now_warns_before_it_fails(staunch):
    code, out, err = staunch("train", "--view", "cdnow")
    assert code == 1
    assert "warning: the last row is of 1998-06-" in out
    assert "--until" in err


@pytest.mark.parametrize("action", ["check", "show"])
def test_rows_that_row_level_security_hides_are_named_and_not_taken_for_none(staunch, cdnow, action):
    execute(cdnow.owner_url, "ALTER TABLE cdnow.purchases ENABLE ROW LEVEL SECURITY")
    try:
        code, _, err = staunch("view", action, "cdnow")
        assert code == 1
        assert "to see rows of cdnow.purchases, got none: its row-level security applies to the role" in err
        execute(cdnow.owner_url, "CREATE POLICY p ON cdnow.purchases USING (customer_id < 100)")
        _, out, err = staunch("view", action, "cdnow", "--as-of", "1998-01-01")
        assert "row-level security of cdnow.purchases applies to the role staunch_reader" in out + err
    finally:
        execute(
            cdnow.owner_url,
            "DROP POLICY IF EXISTS p ON cdnow.purchases; "
            "ALTER TABLE cdnow.purchases DISABLE ROW LEVEL SECURITY",
        )


def test_a_feature_that_the_view_lacks_is_refused_with_the_nearest_before_rows_are_read(staunch, tmp_path):
    code, out, err = staunch("view", "plot", "cdnow", "--feature", "dolars", "--out", f"{tmp_path}/a.png")
    assert (code, out) == (1, "")
    assert err == "staunch: expected a feature of cdnow with --feature, got 'dolars': did you mean dollars?\n"
    _, _, err = staunch("view", "plot", "cdnow", "--feature", "x", "--out", f"{tmp_path}/a.png")
    assert "`staunch view show cdnow` lists them" in err
    assert not (tmp_path / "a.png").exists()


def test_a_picture_is_drawn_in_the_language_asked_for_and_says_if_there_is_none(staunch, tmp_path):
    file = tmp_path / "features/cdnow.sql"
    file.write_text(file.read_text().replace('window = "90', '"title.fr" = "Dépensé", window = "90'))
    words = ("view", "plot", "cdnow", "--as-of", "1998-03-01", "--feature", "dollars", "--out")
    assert staunch(*words, f"{tmp_path}/fr.svg", "--language", "fr-CA")[0] == 0
    assert "<!-- Dépensé -->" in (tmp_path / "fr.svg").read_text()
    code, out, err = staunch(*words, f"{tmp_path}/de.svg", "--language", "de", "--json")
    assert (code, json.loads(out)) == (0, {"files": [f"{tmp_path}/de.svg"]})
    assert "staunch: cdnow has no texts in 'de': they stay in 'en'\n" in err
