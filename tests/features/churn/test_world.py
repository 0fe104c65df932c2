"""The churn view over the simulated world: realistic rows, the same agreement with the reference."""

import asyncio
from datetime import UTC, datetime

import numpy as np
import pytest
from tests.features.churn.histories import FOREVER, TABLES, History
from tests.features.churn.reference import features, label

from staunch_features.postgres.deadlines import Deadline
from staunch_features.views.source import outcome_window
from staunch_local.simulation.world import write_world

UNTIL = datetime(2026, 11, 1, tzinfo=UTC)
TIMES = [datetime(2025, 4, 1, tzinfo=UTC), datetime(2026, 7, 15, 13, 5, 7, 11, tzinfo=UTC)]
CUSTOMERS = 250
SAME_PERSON = """
    UPDATE staunch.customers AS c
    SET given_name = o.given_name, family_name = o.family_name, birth_date = o.birth_date
    FROM staunch.customers AS o
    WHERE c.customer_id = $1 AND o.customer_id = $2 AND $3::timestamptz IS NOT NULL"""
ERASE = """
    UPDATE staunch.customers SET given_name = 'erased', family_name = 'erased', erased_at = $3
    WHERE customer_id = $1 AND $2::bigint IS NOT NULL"""


@pytest.fixture(scope="module")
def world_database(database_factory):
    made = database_factory()
    asyncio.run(write_world(made.owner_url, customers=CUSTOMERS, seed=7, until=UNTIL))
    return made


async def read_histories(owner, ids: list[int]) -> list[History]:
    """Reads all rows of some customers back from the database."""
    some = {key: History(key) for key in ids}
    for table in TABLES:
        rows = await owner.fetch(f"SELECT * FROM staunch.{table} WHERE customer_id = ANY ($1::bigint[])", ids)
        for row in rows:
            # asyncpg gives infinity back without a time zone.
            values = {
                name: FOREVER if isinstance(value, datetime) and value.tzinfo is None else value
                for name, value in row.items()
            }
            some[row["customer_id"]].tables[table].append(values)
    return list(some.values())


@pytest.mark.parametrize("t", TIMES, ids=str)
async def test_every_feature_and_label_of_the_world_equals_the_reference(churn_on, world_database, t):
    async with churn_on(world_database) as churn:
        ids = [key async for chunk in churn.source.population(100) for key in chunk]
        some = await read_histories(churn.owner, ids)
        names = [column.name for column in (await churn.source.signature(Deadline.after(5))).features]
        batch = await churn.source.fetch(ids, t, deadline=Deadline.after(10))
        assert batch.problems == {}
        assert batch.eligible.sum() > CUSTOMERS / 2
        labels = await churn.source.labels(churn.label, ids, t)
        opens, closes = outcome_window(churn.label, t)
        for row, history in enumerate(some):
            expected = features(history, t, churn.rules)
            assert (expected is not None) == batch.found[row]
            if expected is not None:
                assert expected.pop("_eligible") == batch.eligible[row]
                wanted = [np.nan if expected[name] is None else expected[name] for name in names]
                assert batch.values[row].tolist() == pytest.approx(wanted, rel=1e-9, abs=1e-7, nan_ok=True)
            true = label(history, opens, closes, t)
            assert (labels.known[row], labels.values[row]) == (true is not None, bool(true))


async def test_most_features_differ_between_the_customers_of_the_world(churn_on, world_database):
    async with churn_on(world_database) as churn:
        ids = [key async for chunk in churn.source.population(1000) for key in chunk]
        batch = await churn.source.fetch(ids, TIMES[-1], deadline=Deadline.after(10))
        names = [column.name for column in (await churn.source.signature(Deadline.after(5))).features]
        values = batch.values[batch.eligible]
        constant = [name for place, name in enumerate(names) if len(np.unique(values[:, place])) == 1]
        # A subscriber is of age; few tickets are open at a time, in so small a world perhaps none.
        assert set(constant) <= {"is_of_age", "open_tickets", "oldest_open_ticket_days"}


async def test_a_person_with_an_erased_id_stays_one_group_and_few_others_join_it(
    churn_on, world_database, database_factory
):
    async with churn_on(database_factory(template=world_database.name)) as churn:
        ids = [key async for chunk in churn.source.population(1000) for key in chunk]
        labels = await churn.source.labels(churn.label, ids, TIMES[0])
        one, same = (ids[row] for row in np.flatnonzero(labels.known)[:2])
        for change in (SAME_PERSON, ERASE):
            await churn.owner.execute(change, same, one, UNTIL)
            labels = await churn.source.labels(churn.label, ids, TIMES[0])
            groups = dict(zip(ids, labels.groups, strict=True))
            assert groups[one] == groups[same] is not None
            assert len(set(groups.values()) - {None}) > 0.95 * labels.known.sum()
