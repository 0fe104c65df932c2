"""A world that grows is the world that was written at once."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staunch_features.postgres.connection import connect
from staunch_local.simulation.background.clock import DAY, NEVER, Calendar, microseconds
from staunch_local.simulation.background.reference import ReferenceData
from staunch_local.simulation.background.tables import TABLES
from staunch_local.simulation.life.block import World, draw_block
from staunch_local.simulation.life.people import Members, members
from staunch_local.simulation.rows.rows import changed_rows, known_rows, new_rows
from staunch_local.simulation.world import DEFAULT_CUSTOMERS, DEFAULT_SEED, WorldSettings


@pytest.mark.parametrize(
    ("steps", "drift_from"),
    [
        pytest.param([timedelta(minutes=5), timedelta(days=2)], None, id="minutes, then days"),
        pytest.param([timedelta(days=9), timedelta(days=75)], None, id="over two month ends"),
        pytest.param([timedelta(days=40)], date(2026, 12, 1), id="into the drift"),
    ],
)
async def test_appending_gives_the_world_written_at_once(
    empty: Any, write: Any, fingerprint: Any, origin: datetime, steps: Any, drift_from: Any
) -> None:
    drift = WorldSettings(drift_from)
    grown = await empty()
    await write(grown, settings=drift)
    for step in steps:
        report = await write(grown, until=origin + step, settings=drift)
        assert report.action == "appended"
    in_steps = await fingerprint(grown)
    whole = await empty()
    await write(whole, until=origin + steps[-1], origin=origin, settings=drift)
    assert in_steps == await fingerprint(whole)


async def test_the_same_seed_gives_the_same_rows_and_another_one_others(
    empty: Any, write: Any, fingerprint: Any
) -> None:
    seen = []
    for seed in (3, 3, 4):
        database = await empty()
        await write(database, seed=seed)
        seen.append(await fingerprint(database))
    once, again, other = seen
    assert once == again
    assert all(once[table] != other[table] for table in once)


def _draw(
    reference: ReferenceData, seed: int, span: tuple[datetime, datetime], newcomer: int, size: int = 60
) -> Any:
    world = World.of(seed, size, Calendar.between(*span), reference, None)
    return draw_block(world, Members(0, 1, size, newcomer))


@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**63 - 1),
    origin=st.datetimes(datetime(2019, 1, 1), datetime(2028, 3, 31), timezones=st.just(UTC)),
    first=st.timedeltas(timedelta(0), timedelta(days=100)),
    then=st.timedeltas(timedelta(0), timedelta(days=100)),
    newcomer=st.sampled_from([-1, -1, 0]),
)
def test_what_was_known_stays_and_what_is_new_is_the_difference(
    reference: ReferenceData, seed: int, origin: datetime, first: timedelta, then: timedelta, newcomer: int
) -> None:
    since, until = origin + first, origin + first + then
    short, long = (_draw(reference, seed, (origin, end), newcomer) for end in (since, until))
    for name, table in TABLES.items():
        before = known_rows(table, short[name], microseconds(since))
        seen = known_rows(table, long[name], microseconds(since))
        for column in before:
            np.testing.assert_array_equal(before[column], seen[column], err_msg=f"{name}.{column}")
        after = known_rows(table, long[name], microseconds(until))
        new = new_rows(table, long[name], microseconds(since), microseconds(until))
        assert len(after["owner"]) == len(before["owner"]) + len(new["owner"])


def test_rows_that_change_are_those_of_which_more_became_known(
    reference: ReferenceData, origin: datetime
) -> None:
    until = origin + timedelta(days=30)
    drawn = _draw(reference, 5, (origin, until), -1, size=1000)["tickets"]
    since_us, until_us = microseconds(origin), microseconds(until)
    changed = changed_rows(TABLES["tickets"], drawn, since_us, until_us)
    told = drawn["resolved_recorded_at"]
    solved = (drawn["recorded_at"] <= since_us) & (told > since_us) & (told <= until_us)
    assert solved.sum() > 0
    assert set(drawn["ticket_id"][solved]) <= set(changed["ticket_id"])
    assert (changed["recorded_at"] <= since_us).all()


async def test_newcomers_get_the_next_ids_in_the_order_of_joining(
    empty: Any, write: Any, origin: datetime
) -> None:
    made = await empty()
    await write(made, until=origin + timedelta(days=200), origin=origin)
    connection = await connect(made.owner_url)
    rows = await connection.fetch("SELECT customer_id, joined_at FROM staunch.customers ORDER BY customer_id")
    await connection.close()
    assert [row["customer_id"] for row in rows] == list(range(1, len(rows) + 1))
    later = [row["joined_at"] for row in rows[120:]]
    assert later == sorted(later)
    assert later[0] > origin
    assert 7 <= len(later) <= 14  # 1.34 % a month of 120 for 6.6 months
    assert all(row["joined_at"] < origin for row in rows[:120])


@pytest.mark.parametrize("months_later", [0, 8, 19])
def test_customer_42_of_the_docs_is_there_and_stays_for_two_years(
    reference: ReferenceData, origin: datetime, months_later: int
) -> None:
    start = origin + timedelta(days=30 * months_later)
    span = Calendar.between(start, start + timedelta(days=730))
    world = World.of(DEFAULT_SEED, DEFAULT_CUSTOMERS, span, reference, None)
    drawn = draw_block(world, members(DEFAULT_CUSTOMERS, span)[0])["subscriptions"]
    lasting = (drawn["ended_at"] == NEVER) & (drawn["started_at"] < microseconds(start) - 200 * DAY)
    assert 42 in drawn["customer_id"][lasting & (drawn["superseded_at"] == NEVER)]
