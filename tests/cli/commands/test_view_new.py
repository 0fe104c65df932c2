"""`staunch view new` as a person runs it: files that pass at once, and none when something is wrong."""

import shlex
import stat
from pathlib import Path

import pytest
from tests.cli.documented import documented
from tests.harness.databases import execute

from staunch_cli.main import main

_TABLES = """
CREATE SCHEMA shop;
CREATE TABLE shop."Odd Customers" AS
SELECT n AS "Customer ID", n % 70 AS age, (ARRAY['basic', 'pro'])[1 + n % 2] AS plan, 'Name ' || n AS name,
       (ARRAY['No', 'No', 'Yes'])[1 + n % 3] AS "Churn", now() - n * interval '1 day' AS joined_at,
       CASE WHEN n % 3 = 2 THEN now() - n * interval '12 hours' END AS left_at
FROM generate_series(1, 600) AS n;
ALTER TABLE shop."Odd Customers" ADD PRIMARY KEY ("Customer ID");
CREATE TABLE shop.bare (a int);
GRANT USAGE ON SCHEMA shop TO staunch_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO staunch_reader;
"""


@pytest.fixture(scope="module")
def shop(database_factory):
    made = database_factory(template="template1")
    execute(made.owner_url, _TABLES)
    return made


@pytest.fixture
def staunch(shop, tmp_path, monkeypatch, capsys):
    """Runs the command in an empty folder: exit code, what it printed, what it warned of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STAUNCH_VIEWS", raising=False)
    monkeypatch.setenv("STAUNCH_DATABASE_URL", shop.owner_url)
    monkeypatch.setenv("STAUNCH_DATABASE_READER_URL", shop.reader_url)
    monkeypatch.setenv("STAUNCH_STATE_FOLDER", str(tmp_path / "state"))

    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def files_in(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*"))


def follow(out: str, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Does the exports that were printed and returns the words of the other commands."""
    commands = [shlex.split(line) for line in out.partition("then\n")[2].splitlines()]
    for word, *assigned in commands:
        if word == "export":
            name, _, value = assigned[0].partition("=")
            monkeypatch.setenv(name, value)
    return [words for words in commands if words[0] == "staunch"]


@pytest.mark.parametrize("dated", [(), ("--time", "joined_at")])
def test_the_commands_that_are_printed_work_as_they_stand(staunch, tmp_path, monkeypatch, dated):
    code, out, _ = staunch("view", "new", "odd customers", *dated)
    assert code == 0
    assert files_in(tmp_path / "views") == [
        *("features", "features/odd_customers.sql", "labels", "labels/odd_customers.sql")
    ]
    check, train = follow(out, monkeypatch)
    assert train == ["staunch", "train", "--view", "odd_customers"]
    code, out, _ = staunch(*check[1:])
    assert (code, out.splitlines()[-1]) == (0, "odd_customers is good")


def test_what_was_chosen_and_left_out_is_printed(staunch):
    _, out, _ = staunch("view", "new", 'shop."Odd Customers"')
    assert '"Odd Customers", 600 rows' in out
    assert "key    Customer ID: the primary key" in out
    assert "label  Churn is Yes: 200 of 600 rows looked at, 33.3% (guessed, see --label)" in out
    assert "3 features; left out:" in out
    assert "  name: 600 different texts in 600 rows: too many to be a category" in out
    assert "  left_at: knows the answer" in out


def test_what_was_chosen_is_printed_for_programs_too(staunch):
    made = documented("view new", staunch("view", "new", "odd customers", "--json")[1])
    assert made["files"] == ["views/features/odd_customers.sql", "views/labels/odd_customers.sql"]
    assert (made["rows"], made["key"], made["true"], made["known"]) == (600, "Customer ID", 200, 600)
    assert made["features"] == 3
    assert set(made["left_out"]) == {"Customer ID", "name", "Churn", "left_at"} & set(made["left_out"])


def test_the_folder_of_views_that_is_set_needs_no_export(staunch, tmp_path, monkeypatch):
    monkeypatch.setenv("STAUNCH_VIEWS", str(tmp_path / "mine"))
    _, out, _ = staunch("view", "new", "shop.odd customers", "--name", "mine")
    assert "export" not in out
    assert (tmp_path / "mine/features/mine.sql").is_file()


def test_settings_given_as_flags_are_given_again_but_no_url(staunch, shop, tmp_path):
    flags = ("--views", "my views", "--database-reader-url", shop.reader_url)
    _, out, _ = staunch("view", "new", "odd customers", *flags)
    assert "  staunch view check odd_customers --views 'my views' --database-reader-url URL" in out
    assert shop.reader_url not in out
    assert (tmp_path / "my views/labels/odd_customers.sql").is_file()


def test_files_that_are_there_are_kept_unless_told_otherwise(staunch, tmp_path):
    staunch("view", "new", "odd customers")
    file = tmp_path / "views/features/odd_customers.sql"
    (tmp_path / "views/labels/odd_customers.sql").unlink()
    file.write_text("mine")
    code, out, err = staunch("view", "new", "odd customers")
    assert (code, out) == (1, "")
    assert err == (
        "staunch: views/features/odd_customers.sql is there already, so nothing was written: --force "
        "overwrites, --name NAME writes beside\n"
    )
    assert file.read_text() == "mine"
    assert not (tmp_path / "views/labels/odd_customers.sql").exists()
    assert staunch("view", "new", "odd customers", "--force")[0] == 0
    assert file.read_text().startswith("/* staunch\n")


@pytest.mark.parametrize(
    "words",
    [
        ("nothing",),
        ("shop.bare",),
        ("odd customers", "--key", "age"),
        ("odd customers", "--label", "plan"),
        ("odd customers", "--time", "age"),
        ("odd customers", "--name", "../x"),
        ("odd customers", "--database-reader-url", "postgresql://nobody@127.0.0.1:1/x"),
    ],
)
def test_nothing_is_written_when_something_is_wrong(staunch, tmp_path, words):
    code, out, err = staunch("view", "new", *words)
    assert (code, out) == (1, "")
    assert err.startswith("staunch: ")
    assert err.count("\n") == 1
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("blocked", ["views", "views/labels", "views/labels/odd_customers.sql"])
def test_a_place_that_cannot_be_written_is_one_line_and_leaves_no_half(staunch, tmp_path, blocked):
    place = tmp_path / blocked
    if blocked.endswith(".sql"):
        place.mkdir(parents=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    before = files_in(tmp_path)
    code, out, err = staunch("view", "new", "odd customers", "--force")
    assert (code, out) == (1, "")
    assert "to be a file that can be written, got" in err
    assert [
        name for name in files_in(tmp_path) if name.endswith((".sql", ".new")) and name not in before
    ] == []
    assert stat.S_ISREG(place.stat().st_mode) is not blocked.endswith(".sql")
