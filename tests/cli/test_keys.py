"""Keys through the real command, the real server and a real database: byte for byte, whatever they look like.

Beside each key stand those that careless hands make of it: without its blanks, its zeros or its accents, in
other case, as a number. Each is another customer, with other features.
"""

import asyncio
import csv
import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cli.shared.test_customers import ANY_KEY, AWKWARD
from tests.harness.databases import DatabaseFactory, TestDatabase, execute
from tests.server.conftest import publish as publish
from tests.server.conftest import serve as serve
from tests.server.conftest import store as store
from tests.server.harness.running import Publish, Serve
from tests.server.small_models import TABLE

from staunch_cli.main import main
from staunch_features.postgres.connection import opened
from staunch_features.views.rules import MAX_KEY_BYTES

DIGITS = st.text("0123456789", min_size=1, max_size=40)
KEYS = st.lists(st.one_of(ANY_KEY, DIGITS, st.sampled_from(AWKWARD)), min_size=1, max_size=20)


@pytest.fixture(scope="module")
def people(database_factory: DatabaseFactory) -> TestDatabase:
    """A database with the table of people, of whom each test makes its own."""
    made = database_factory()
    execute(made.owner_url, TABLE)
    return made


async def make_people(database: TestDatabase, keys: Sequence[str]) -> None:
    """Makes one person of each key; `a` tells which, and by turns gives a low and a high score."""
    async with opened(database.owner_url) as connection:
        await connection.execute("TRUNCATE public.people")
        await connection.executemany(
            "INSERT INTO public.people (id, key, a, b, active) VALUES ($1, $2, $3, 0, true)",
            [(place + 1, key, a_of(place)) for place, key in enumerate(keys)],
        )


def a_of(place: int) -> float:
    return float(place + 10 if place % 2 else -place)


def with_twins(keys: Sequence[str]) -> list[str]:
    """The keys that a call may have, each beside what it is taken for if it is not taken as it stands."""
    twins = [twin for key in keys for twin in _twins(key)]
    return [key for key in dict.fromkeys(twins) if key and len(key.encode()) <= MAX_KEY_BYTES]


def _twins(key: str) -> list[str]:
    number = [str(int(key)), f"{float(key):.0f}"] if key.isascii() and key.isdecimal() else []
    cases = [key.lower(), key.upper()]
    forms = [unicodedata.normalize(form, key) for form in ("NFC", "NFD", "NFKC")]
    return [key, key.strip(), f" {key}", f"{key} ", f"0{key}", f"+{key}", *cases, *forms, *number]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


async def staunch(*words: object) -> int:
    """Runs the command in a thread, so that the server goes on here."""
    return await asyncio.to_thread(main, [str(word) for word in words])


@pytest.fixture
async def target(publish: Publish, serve: Serve) -> str:
    """A server whose model's view is keyed by text."""
    publish(id_type="text", uses_as_of=False)
    return (await serve()).target


@settings(max_examples=15)
@given(keys=KEYS)
async def test_a_file_of_keys_scores_exactly_those_and_its_answer_can_be_asked_again(
    people: TestDatabase, target: str, tmp_path: Path, keys: list[str]
) -> None:
    keys = with_twins(keys)
    await make_people(people, keys)
    asked, scores, again = (tmp_path / name for name in ("asked.csv", "scores.csv", "again.csv"))
    with asked.open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([key] for key in keys)
    words = ("score", "--server", target, "--chunk-rows", 7)
    assert await staunch(*words, "--ids", asked, "--out", scores) == 0
    assert not (tmp_path / "scores.errors.csv").exists()
    rows = rows_of(scores)
    assert [row["customer"] for row in rows] == keys
    assert [float(row["probability"]) > 0.5 for row in rows] == [place % 2 == 1 for place in range(len(keys))]
    table = tmp_path / "scores.parquet"
    assert await staunch(*words, "--ids", scores, "--out", table) == 0
    assert await staunch(*words, "--ids", table, "--out", again) == 0
    assert again.read_bytes() == scores.read_bytes()


@settings(max_examples=15)
@given(keys=KEYS)
async def test_a_key_as_typed_is_the_customer_of_that_key_and_nobody_without(
    people: TestDatabase, target: str, capsys: pytest.CaptureFixture[str], keys: list[str]
) -> None:
    """With --key or without: the view's ids are text, so whatever is typed is one."""
    known = with_twins(keys)[::2]
    await make_people(people, known)
    for flags in ([], ["--key"]):
        for key in with_twins(keys)[:4]:
            capsys.readouterr()
            words = ("predict", "--server", target, "--json", "--features", *flags, "--", key)
            assert await staunch(*words) == int(key not in known)
            printed = capsys.readouterr()
            if key in known:
                answer = json.loads(printed.out)
                assert (answer["customer"], answer["features"]["a"]) == (key, a_of(known.index(key)))
            else:
                assert "CUSTOMER_NOT_FOUND" in printed.err


@pytest.mark.parametrize("command", ["predict", "explain"])
async def test_where_the_ids_are_numbers_a_key_is_none_and_what_reads_as_a_number_is_that_one(
    people: TestDatabase, publish: Publish, serve: Serve, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    publish(uses_as_of=False)
    target = (await serve()).target
    await make_people(people, [f"key-{i}" for i in range(8)])
    for typed in ("7", "007", " 7", "+7"):
        assert await staunch(command, "--server", target, "--json", "--", typed) == 0
        assert json.loads(capsys.readouterr().out)["customer"] == 7
    for flags in (["--key", "007"], ["7590-X"], ["9" * 20], ["1e3"], ["7.0"]):
        assert await staunch(command, "--server", target, *flags) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert f"since the ids of this model are numbers, got the key {flags[-1]!r}" in line


async def test_a_file_of_ids_is_read_as_numbers_where_the_ids_are_numbers(
    people: TestDatabase, publish: Publish, serve: Serve, tmp_path: Path
) -> None:
    publish(uses_as_of=False)
    target = (await serve()).target
    await make_people(people, [f"key-{i}" for i in range(8)])
    ids, out = tmp_path / "ids.txt", tmp_path / "scores.csv"
    no_numbers = ["1e3", "7.0", "x", "0", "-7", "9" * 20, "9" * 40, " "]
    ids.write_text("\n".join(["\ufeff7", "007", " 7\r", "+7 ", *no_numbers]) + "\n")
    assert await staunch("score", "--server", target, "--ids", ids, "--out", out) == 0
    assert [row["customer"] for row in rows_of(out)] == ["7"] * 4
    failed = rows_of(tmp_path / "scores.errors.csv")
    assert {row["customer"] for row in failed} == set(no_numbers)
    assert {row["reason"] for row in failed} == {"CUSTOMER_ID_INVALID"}
