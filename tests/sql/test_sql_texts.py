"""The SQL files themselves."""

import re

import pytest

import staunch_sql

_FOLDERS = [staunch_sql.MIGRATIONS_FOLDER, staunch_sql.QUERIES_FOLDER]
_TEXTS = [file for folder in _FOLDERS for file in sorted(folder.rglob("*.sql"))]


@pytest.mark.parametrize("file", _TEXTS, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_each_text_begins_with_a_line_that_says_what_it_is_for(file):
    assert re.match(r"-- [A-Z].{15,}", file.read_text())


@pytest.mark.parametrize("file", _TEXTS, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_no_text_selects_whatever_columns_there_are(file):
    text = file.read_text()
    wraps_anothers_text = "{statement}" in text  # whose columns only that one knows
    assert wraps_anothers_text or not re.search(r"select\s+(\w+\.)?\*", text, re.IGNORECASE)


def test_a_query_is_found_by_its_name():
    assert "staunch.schema_migrations" in staunch_sql.query("schema/applied_migrations")


def test_an_unknown_query_is_an_error():
    with pytest.raises(FileNotFoundError, match="no_such_query"):
        staunch_sql.query("no_such_query")


def test_migrations_come_in_the_order_of_their_numbers():
    versions = [step.version for step in staunch_sql.migrations()]
    assert versions == list(range(1, len(versions) + 1))
    assert all(re.fullmatch(r"[0-9a-f]{64}", step.sha256) for step in staunch_sql.migrations())


@pytest.mark.parametrize(
    "names", [["0001_a.sql", "0003_b.sql"], ["0001_a.sql", "0001_b.sql"], ["0002_a.sql"]]
)
def test_a_missing_or_doubled_number_is_an_error(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(ValueError, match="expected migrations numbered 1, 2, 3"):
        staunch_sql.migrations(tmp_path)
