"""The true hazard: kept from views, what leaving is drawn from, and the ceiling of every model."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch_features.postgres.connection import connect
from staunch_local.simulation.background.clock import NEVER_DAY, Calendar, add_months
from staunch_local.simulation.background.fees import Contracts, cancellation_fee
from staunch_local.simulation.background.reference import Reference
from staunch_local.simulation.ceiling import area_under_curve, true_ceiling
from staunch_local.simulation.life.block import World, draw_block
from staunch_local.simulation.life.people import Members
from staunch_local.simulation.rows.rows import Columns

_DATES = [datetime(2024, 6, 1, tzinfo=UTC) + timedelta(days=61 * i) for i in range(13)]


async def test_as_many_leave_as_the_hazard_says(world: Any) -> None:
    expected, spread, left = await world.fetchrow("""
        SELECT sum(h.hazard), sqrt(sum(h.hazard * (1 - h.hazard))), count(*) FILTER (WHERE e.left_us)::float8
        FROM simulation.hazards AS h
        CROSS JOIN LATERAL (
          SELECT bool_or(s.started_at < h.month) AS there,
                 bool_or(s.end_reason = 'voluntary' AND s.ended_at < h.month + interval '1 month'
                   AND NOT EXISTS (SELECT FROM staunch.subscriptions AS o WHERE o.customer_id = s.customer_id
                     AND o.subscription_id <> s.subscription_id AND o.superseded_at = 'infinity'
                     AND o.started_at < s.ended_at
                     AND coalesce(o.ended_at, 'infinity') > s.ended_at)) AS left_us
          FROM staunch.subscriptions AS s
          WHERE s.customer_id = h.customer_id AND s.superseded_at = 'infinity' AND s.started_at < h.month
            AND coalesce(s.ended_at, 'infinity') >= h.month) AS e
        WHERE e.there AND h.month < '2026-10-01'""")
    assert abs(left - expected) < 4 * spread
    assert left > 1000


async def test_the_ceiling_leaves_something_to_learn_and_something_to_chance(world_database: Any) -> None:
    ceilings = [await true_ceiling(world_database.owner_url, as_of, 90) for as_of in _DATES]
    assert 0.80 <= np.mean([ceiling.auc for ceiling in ceilings]) <= 0.88
    assert 0.72 <= np.mean([ceiling.auc_known for ceiling in ceilings]) <= 0.84
    assert 0.05 <= sum(ceiling.left for ceiling in ceilings) / sum(c.customers for c in ceilings) <= 0.09
    assert all(1500 <= ceiling.customers <= 2600 for ceiling in ceilings)


async def test_a_day_when_nobody_was_there_has_no_ceiling(world_database: Any) -> None:
    with pytest.raises(ValueError, match="expected some who left and some who stayed"):
        await true_ceiling(world_database.owner_url, datetime(1990, 1, 1, tzinfo=UTC), 90)


async def test_the_reader_sees_no_hazard(world_database: Any) -> None:
    connection = await connect(world_database.reader_url, read_only=True)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.fetchval("SELECT count(*) FROM simulation.hazards")
    await connection.close()


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=30))
def test_the_area_counts_pairs_in_the_right_order(rows: list[tuple[int, bool]]) -> None:
    scores, positive = (np.array(column) for column in zip(*rows, strict=True))
    above, below = scores[positive], scores[~positive]
    if not len(above) or not len(below):
        with pytest.raises(ValueError):
            area_under_curve(scores, positive)
        return
    pairs = [(a > b) + (a == b) / 2 for a in above for b in below]
    assert area_under_curve(scores, positive) == pytest.approx(np.mean(pairs))


def _hazards(reference: Reference, drift_from: date | None) -> Columns:
    origin = datetime(2026, 6, 15, tzinfo=UTC)
    world = World.of(1, 2000, Calendar.between(origin, origin), reference, drift_from)
    return draw_block(world, Members(0, 1, 2000, -1))["hazards"]


def test_the_drift_changes_nothing_before_its_month_and_much_after(reference: Reference) -> None:
    steady, drifted = _hazards(reference, None), _hazards(reference, date(2025, 9, 10))
    change = (date(2025, 10, 1) - date(2000, 1, 1)).days
    before = [columns["month"] < change for columns in (steady, drifted)]
    for name in ("customer_id", "month", "hazard"):
        np.testing.assert_array_equal(steady[name][before[0]], drifted[name][before[1]])
    means = [columns["hazard"][columns["month"] == change].mean() for columns in (steady, drifted)]
    assert means[1] > 1.2 * means[0]


async def test_fees_are_those_of_the_sql_function(world: Any, reference: Reference) -> None:
    rng = np.random.default_rng(1)
    n = 2000
    starts = rng.integers(8000, 9800, n)
    price = rng.integers(2000, 12_000, n)
    # Promotions end on the first day of a month of the contract, or the day beside it, or never.
    ends = add_months(starts, rng.integers(-2, 40, n)) + rng.integers(-1, 2, n)
    contracts = Contracts(
        service=rng.integers(0, 3, n),
        province=rng.integers(0, 13, n),
        months=rng.choice([0, 12, 24, 36], n),
        starts_on=starts,
        price=price,
        discount=rng.choice([0, 1, 2], n) * (price // 2),
        promotion_ends_on=np.where(rng.random(n) < 0.2, NEVER_DAY, ends),
        inducement=rng.choice([0, 15_000, 35_000], n),
        kind=rng.integers(0, 3, n),
    )
    at = (starts + rng.integers(0, 900, n)) * 86_400 * 1_000_000 + rng.integers(0, 86_400, n) * 1_000_000
    ours = cancellation_fee(reference.fee_rules, contracts, at)
    theirs = await world.fetch(
        """
        SELECT coalesce(f.fee_cents, 0) AS fee
        FROM unnest($1::int[], $2::text[], $3::bigint[], $4::int[], $5::int[], $6::bigint[], $7::bigint[],
                    $8::int[], $9::bigint[], $10::int[])
          WITH ORDINALITY AS c (service, province, at, months, starts_on, price, inducement, kind, discount,
            promotion_ends_on, i)
        CROSS JOIN LATERAL staunch.cancellation_fee(
          (ARRAY['wireless', 'internet', 'tv'])[c.service + 1], c.province,
          '2000-01-01+00'::timestamptz + c.at * interval '1 microsecond', c.months,
          '2000-01-01'::date + c.starts_on, c.price, c.inducement,
          (ARRAY['none', 'device_subsidy', 'other'])[c.kind + 1], c.discount,
          '2000-01-01'::date + c.promotion_ends_on) AS f
        ORDER BY i""",
        contracts.service.tolist(),
        [reference.provinces[p] for p in contracts.province],
        at.tolist(),
        contracts.months.tolist(),
        starts.tolist(),
        contracts.price.tolist(),
        contracts.inducement.tolist(),
        contracts.kind.tolist(),
        contracts.discount.tolist(),
        [None if day == NEVER_DAY else day for day in contracts.promotion_ends_on.tolist()],
    )
    assert ours.tolist() == [row["fee"] for row in theirs]
    undiscounted = replace(contracts, discount=np.zeros(n, dtype=np.int64))
    assert np.mean(ours < cancellation_fee(reference.fee_rules, undiscounted, at)) > 0.02
    assert 0.1 < np.mean(ours > 0) < 0.9
