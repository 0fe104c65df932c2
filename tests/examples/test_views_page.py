"""docs/views.md is true: its files and commands, run on a fresh database, do what it says."""

import csv
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from tests.examples.conftest import blocks_of

from staunch_features.views.feature_doc import FeatureDoc
from staunch_features.views.file import FeatureView, LabelText

PAGE = Path(__file__).parent.parent.parent / "docs/views.md"

# The walk through the page, two trainings in it, is one fixture.
pytestmark = [pytest.mark.walk, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def walked(walk: Any) -> Any:
    return walk(PAGE)


def output(walked: Any, command: str) -> str:
    (found,) = [text for block, text in walked.outputs.items() if block.startswith(command)]
    return found


def test_every_command_of_the_page_succeeds(walked: Any) -> None:
    commands = "".join(walked.outputs)
    for name in (
        "psql",
        "view new",
        "view check",
        "view show",
        "view plot",
        "train",
        "predict",
        "explain",
        "score",
    ):
        assert name in commands


def test_what_the_page_shows_is_what_the_commands_print(walked: Any) -> None:
    assert len(walked.shown) >= 3
    # The rows end now, so that the hour decides which learner is picked; a forest explains in probability.
    learner = {"log", "odds"}
    for command, shown in walked.shown.items():
        assert walked.words_of(shown) - learner == walked.words_of(walked.outputs[command]) - learner, command


def test_the_trained_model_tells_who_leaves(walked: Any) -> None:
    measured = re.search(r"test auc ([\d.]+)", output(walked, "staunch train"))
    assert measured is not None
    assert float(measured[1]) > 0.75


def test_show_and_plot_tell_of_every_feature(walked: Any) -> None:
    shown = output(walked, "staunch view show gym\n")
    for feature in ("member_days", "is_yearly", "visits_30d", "visits_90d", "days_since_visit"):
        assert re.search(rf"^\S.* \({feature}\)", shown, re.MULTILINE)  # behind its title
    assert "label true for" in shown
    assert (walked.folder / "gym.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_rows_draw_the_same_picture(walked: Any) -> None:
    draw = "staunch view plot gym --as-of 2026-01-01 --out"
    walked.run(f"{draw} one.svg; {draw} two.svg; cmp one.svg two.svg")
    assert ".png, .svg or .pdf" in walked.run("! staunch view plot gym --out gym.txt 2>&1")


def test_everyone_eligible_gets_a_score(walked: Any) -> None:
    with (walked.folder / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 500
    assert {row["model"] for row in rows} == {"gym@1"}


def test_a_file_of_ids_may_name_its_column_as_the_view_calls_the_key(walked: Any) -> None:
    """By the manifest that training wrote: the column is not the first, and of no other known name."""
    said = walked.run(
        r"printf 'note,member_id\nnobody,9\n' > ids.csv; "
        "staunch score --model gym --ids ids.csv --out one.csv"
    )
    assert re.match(r"one\.csv: 1 customers scored by gym@\d as of", said)


def test_the_server_that_ran_before_there_was_a_model_says_how_to_get_one(walked: Any) -> None:
    log = (walked.folder / "serve.log").read_text()
    assert "no model yet: publish one with `staunch train`" in log


def test_nothing_is_written_into_a_database_of_ones_own(walked: Any) -> None:
    schemas = walked.run('staunch psql -- -qAt -c "SELECT nspname FROM pg_namespace"').split()
    assert sorted(name for name in schemas if not name.startswith("pg_")) == [
        "gym",
        "information_schema",
        "public",
    ]


def test_rows_that_end_in_the_past_are_shown_and_scored_as_of_then(walked: Any) -> None:
    said = output(walked, "export END=")
    (end,) = set(re.findall(r"scored by gym@\d as of (\S+)T00:00:00Z", said))
    assert f"as of        {end}T00:00:00Z" in said
    with (walked.folder / "then.csv").open() as file:
        assert len(list(csv.DictReader(file))) > 500
    shown = output(walked, "staunch view show gym --as-of")
    assert re.search(r"\d{3} rows as of \S+ 00:00 UTC, label true for", shown)


def test_the_database_that_we_bring_is_reached_as_the_page_says(alone: Any) -> None:
    """By psql and by our commands, while a server runs and without one."""
    blocks = blocks_of(PAGE)
    alone.take([block for block in blocks if block.file])
    alone.serve()
    (reach,) = [block.text for block in blocks if block.text == ". .venv/bin/activate\n"]
    (load,) = [block.text for block in blocks if "-f tables.sql" in block.text]
    alone.run(reach + load)
    check = 'export STAUNCH_VIEWS="$PWD/views"; staunch view check gym'
    count = 'staunch psql --reader -- -Atc "SELECT count(*) FROM gym.members"'
    assert "gym is good" in alone.run(check)
    assert alone.run(count) == "2000\n"
    alone.end()
    assert "gym is good" in alone.run(check)
    assert alone.run(count) == "2000\n"


def test_a_view_that_looks_ahead_fails_the_check_and_names_what_changed(walked: Any) -> None:
    walked.run(
        "mkdir -p ahead/features; sed '/AND visited_at <=/d' views/features/gym.sql > ahead/features/gym.sql"
    )
    said = walked.run("! STAUNCH_VIEWS=ahead staunch view check --plan gym")
    assert re.search(r"error: ahead/features/gym.sql:\d+: feature visits_30d as of .* changes", said)
    assert "gym must be mended" in said
    assert "label  none yet" in said
    assert "Execution Time" in said  # --plan


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("view show gym --as-of 9999-12-31", "after the year 9999"),
        ("train --view gym --until 0001-01-01", "a later"),
    ],
)
def test_a_moment_beyond_the_calendar_is_refused_in_one_line(walked: Any, command: str, told: str) -> None:
    said = walked.run(f"! staunch {command} 2>&1")
    assert said.startswith("staunch: ")
    assert told in said
    assert said.count("\n") == 1


def test_a_view_that_is_nowhere_says_where_to_write_it(walked: Any) -> None:
    said = walked.run("! staunch view check absent 2>&1")
    assert said.startswith("staunch: features/absent.sql: expected the file absent.sql in")
    assert said.count("\n") == 1


@pytest.mark.parametrize("described", [FeatureView, LabelText, FeatureDoc])
def test_the_page_explains_every_key_of_the_headers(described: type) -> None:
    told = PAGE.read_text().partition("## The header")[2]
    ours = {"name", "text", "file", "sha256", "statement"}  # what the file is, not what its header says
    # `possible` is the key range; `translations` are the other languages of the other keys.
    keys = {each.name.replace("possible", "range") for each in fields(described)} - ours - {"translations"}
    assert sorted(key for key in keys if f"| `{key}`" not in told and f"| `[{key}]`" not in told) == []
