"""What leaving early costs in the simulation is what the database's own function says."""

from dataclasses import replace
from typing import Any

import numpy as np

from staunch_local.simulation.background.clock import NEVER_DAY, add_months
from staunch_local.simulation.background.fees import Contracts, cancellation_fee
from staunch_local.simulation.background.reference import ReferenceData


async def test_fees_are_those_of_the_sql_function(world: Any, reference: ReferenceData) -> None:
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
