"""The true hazard: kept from views, what leaving is drawn from, and the ceiling of every model."""

from datetime import UTC, date, datetime
from typing import Any

import asyncpg
import numpy as np
import pytest

from staunch_features.postgres.connection import connect
from staunch_local.simulation.background.clock import Calendar
from staunch_local.simulation.background.reference import ReferenceData
from staunch_local.simulation.life.block import World, draw_block
from staunch_local.simulation.life.people import Members
from staunch_local.simulation.rows.rows import ColumnArrays


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


async def test_the_reader_sees_no_hazard(world_database: Any) -> None:
    connection = await connect(world_database.reader_url, read_only=True)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.fetchval("SELECT count(*) FROM simulation.hazards")
    await connection.close()


def _hazards(reference: ReferenceData, drift_from: date | None) -> ColumnArrays:
    origin = datetime(2026, 6, 15, tzinfo=UTC)
    world = World.of(1, 2000, Calendar.between(origin, origin), reference, drift_from)
    return draw_block(world, Members(0, 1, 2000, -1))["hazards"]


def test_the_drift_changes_nothing_before_its_month_and_much_after(reference: ReferenceData) -> None:
    steady, drifted = _hazards(reference, None), _hazards(reference, date(2025, 9, 10))
    change = (date(2025, 10, 1) - date(2000, 1, 1)).days
    before = [columns["month"] < change for columns in (steady, drifted)]
    for name in ("customer_id", "month", "hazard"):
        np.testing.assert_array_equal(steady[name][before[0]], drifted[name][before[1]])
    means = [columns["hazard"][columns["month"] == change].mean() for columns in (steady, drifted)]
    assert means[1] > 1.2 * means[0]
