"""Whom a server's summary asks about: found by the very text that answers, for ids of every kind."""

import asyncio
import time

import pytest
from tests.harness.databases import execute
from tests.server.small_models import small_files, small_manifest, small_trees

from staunch_cli.shared.example_customers import NO_EXAMPLES, ExampleCustomers, find_examples
from staunch_features.postgres.connection import opened
from staunch_model_store.store import ModelStore
from staunch_server.settings import Settings

_TABLES = """
CREATE SCHEMA inn;
CREATE TABLE inn.guests AS
SELECT n::bigint AS id, 'room ' || n AS key, md5(n::text)::uuid AS card, n % 3 = 0 AS stays
FROM generate_series(1, 9) AS n;
GRANT USAGE ON SCHEMA inn TO staunch_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA inn TO staunch_reader;
"""
_VIEW = """/* staunch
description = "A guest of an inn."
entity = "guest"
eligible = "stays for the night"
population = "SELECT {column} FROM inn.guests WHERE {where} ORDER BY id"
[features]
nights = {{ description = "Nights.", null = "never" }}
*/
SELECT g.{column}, {eligible} AS _eligible, {nights}::float8 AS nights
FROM unnest($1::{type}[]) AS u (id) JOIN inn.guests AS g ON g.{column} = u.id
"""
_TYPES = {"id": ("bigint", "int64"), "key": ("text", "text"), "card": ("uuid", "uuid")}


@pytest.fixture(scope="module")
def inn(database_factory):
    made = database_factory(template="template1")
    execute(made.owner_url, _TABLES)
    return made


@pytest.fixture
def find(inn, tmp_path):
    """Publishes a view of the inn and looks for examples."""

    async def find(column="id", where="true", eligible="g.stays", nights="1", url=inn.reader_url):
        sql_type, id_type = _TYPES[column]
        text = _VIEW.format(column=column, where=where, eligible=eligible, nights=nights, type=sql_type)
        trees = small_trees(0.0)
        ModelStore(tmp_path).publish(
            "inn",
            lambda version: (
                small_manifest(
                    "inn", version, id_type, uses_as_of=False, base_value=trees.base_value(), view="inn"
                ),
                small_files(trees, text),
            ),
        )
        return await find_examples(Settings(store=tmp_path), "inn", 1, url)

    return find


_CARDS = ("eccbc87e-4b5c-e2fe-2830-8fd9f2a7baf3", "c4ca4238-a0b9-2382-0dcc-509a6f75849b")  # md5 of 3 and 1


@pytest.mark.parametrize(
    ("column", "expected"), [("id", (3, 1)), ("key", ("room 3", "room 1")), ("card", _CARDS)]
)
async def test_the_first_who_answers_and_the_first_who_does_not_are_found(find, column, expected):
    assert await find(column) == ExampleCustomers(*expected, "guest", "stays for the night")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"where": "stays"}, (3, None)),
        ({"where": "NOT stays"}, (None, 1)),
        ({"where": "false"}, (None, None)),
        ({"nights": "CASE WHEN g.id = 3 THEN 'infinity'::float8 ELSE 1 END"}, (6, 1)),
        ({"column": "key", "where": "key <> 'room 1'"}, ("room 3", "room 2")),
    ],
)
async def test_who_is_not_there_is_not_named_and_nobody_whose_row_is_at_fault(find, changes, expected):
    found = await find(**changes)
    assert (found.answering, found.not_eligible) == expected


@pytest.mark.parametrize(
    "changes",
    [{"where": "nowhere"}, {"nights": "1 / (g.id - 1)"}, {"url": "postgresql://nobody@127.0.0.1:1/none"}],
)
async def test_what_goes_wrong_costs_the_examples_and_nothing_else(find, changes):
    assert await find(**changes) == NO_EXAMPLES


async def test_a_view_that_is_slow_keeps_nobody_waiting(find, monkeypatch):
    monkeypatch.setattr("staunch_cli.shared.example_customers.PATIENCE_S", 0.3)
    begun = time.monotonic()
    assert (
        await find(nights="(SELECT count(*) FROM generate_series(1, 1000000000) AS n WHERE n > g.id)")
        == NO_EXAMPLES
    )
    assert time.monotonic() - begun < 5


@pytest.mark.walk
async def test_a_database_that_is_busy_for_seconds_is_waited_for(inn, find):
    async with opened(inn.owner_url) as holder:
        async with holder.transaction():
            await holder.execute("LOCK TABLE inn.guests")
            search = asyncio.create_task(find())
            await asyncio.sleep(3)
        found = await search
    assert (found.answering, found.not_eligible) == (3, 1)


async def test_a_version_that_is_gone_has_no_examples(inn, tmp_path):
    assert await find_examples(Settings(store=tmp_path), "inn", 7, inn.reader_url) == NO_EXAMPLES
