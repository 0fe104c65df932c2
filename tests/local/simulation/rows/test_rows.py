"""The rows a business would have: what holds of every one of them."""

from typing import Any

import pytest

from staunch_local.simulation.background.clock import NEVER

_RECORDED = {
    "customers": ["recorded_at", "erased_at", "joined_at"],
    "customer_addresses": ["recorded_at"],
    "subscriptions": ["started_recorded_at", "ended_recorded_at"],
    "subscription_terms": ["recorded_at"],
    "transactions": ["recorded_at"],
    "support_tickets": ["recorded_at", "resolved_recorded_at", "rated_recorded_at"],
}


@pytest.mark.parametrize("table", list(_RECORDED))
async def test_nothing_is_recorded_after_until(world: Any, origin: Any, table: str) -> None:
    for column in _RECORDED[table]:
        latest = await world.fetchval(f"SELECT max({column}) FROM {table}")
        assert latest is None or latest <= origin, column
    if table != "customers":
        superseded = f"SELECT max(superseded_at) FROM {table} WHERE superseded_at < 'infinity'"
        latest = await world.fetchval(superseded)
        assert latest is None or latest <= origin


async def test_the_world_reaches_its_until(world: Any, origin: Any) -> None:
    for table, column in (("transactions", "recorded_at"), ("support_tickets", "recorded_at")):
        latest = await world.fetchval(f"SELECT max({column}) FROM {table}")
        assert (origin - latest).total_seconds() < 86_400


async def test_there_are_about_45_transactions_and_3_tickets_a_customer(world: Any) -> None:
    transactions, tickets, customers = await world.fetchrow(
        "SELECT (SELECT count(*) FROM transactions), (SELECT count(*) FROM support_tickets), "
        "(SELECT count(*) FROM customers)"
    )
    assert customers == 4000
    assert 40 <= transactions / customers <= 55
    assert 2 <= tickets / customers <= 4


# The terms as known now, each beside the ones before it. When an open-ended one began does not matter.
_NEIGHBOURS = """
    SELECT *,
      lag(plan_code) OVER before AS plan_before, lag(tier) OVER before AS tier_before,
      lag(monthly_price_cents) OVER before AS price_before,
      lag(contract_starts_on) OVER before AS starts_before, lag(contract_ends_on) OVER before AS ends_before,
      lag(what) OVER before AS what_before
    FROM (
      SELECT t.*, p.tier,
        ROW(plan_code, contract_months, CASE WHEN contract_months > 0 THEN contract_starts_on END,
            monthly_price_cents, discount_cents, promotion_ends_on, inducement_cents, inducement_kind
        )::text AS what
      FROM subscription_terms AS t JOIN plans AS p USING (plan_code)
      WHERE superseded_at = 'infinity') AS known
    WINDOW before AS (PARTITION BY customer_id, subscription_id ORDER BY valid_from)"""


# Every pair says what is broken where the query counts something.
_BROKEN = {
    "a second invoice of a line in a month": """
        SELECT count(*) FROM (
          SELECT FROM transactions WHERE kind = 'charge' AND superseded_at = 'infinity'
          GROUP BY customer_id, subscription_id, date_trunc('month', occurred_at)
          HAVING count(*) > 1) AS x""",
    "an invoice of a line that did not run": """
        SELECT count(*) FROM transactions AS t JOIN subscriptions AS s USING (customer_id, subscription_id)
        WHERE t.kind = 'charge' AND (t.occurred_at < s.started_at OR t.occurred_at > s.ended_at)""",
    "a month without an invoice while a line ran": """
        SELECT count(*) FROM (
          SELECT s.customer_id, s.subscription_id, m.month,
                 greatest(s.started_at, '2023-11-01+00') AS starts,
                 coalesce(s.ended_at, '2026-11-01+00') AS ends
          FROM subscriptions AS s
          CROSS JOIN generate_series('2023-11-01+00', '2026-09-01+00'::timestamptz, '1 month') AS m (month)
          WHERE s.superseded_at = 'infinity') AS s
        WHERE s.starts < s.month AND s.ends >= s.month + interval '1 month'
          AND NOT EXISTS (
            SELECT FROM transactions AS t
            WHERE t.customer_id = s.customer_id AND t.subscription_id = s.subscription_id
              AND t.kind = 'charge' AND t.occurred_at >= s.month
              AND t.occurred_at < s.month + interval '1 month')""",
    "an invoice below the price less the discount of its day": """
        SELECT count(*) FROM transactions AS t
        JOIN subscription_terms AS p USING (customer_id, subscription_id)
        WHERE t.kind = 'charge' AND p.superseded_at = 'infinity'
          AND p.valid_from <= t.occurred_at AND p.valid_to > t.occurred_at
          AND t.amount_cents < p.monthly_price_cents
            - CASE WHEN t.occurred_at::date < p.promotion_ends_on THEN p.discount_cents ELSE 0 END""",
    "an invoice with another tax than its province's": """
        SELECT count(*) FROM transactions AS t
        JOIN customer_addresses AS a USING (customer_id)
        CROSS JOIN LATERAL staunch.province_at(a.province_code, t.occurred_at) AS p
        WHERE t.kind IN ('charge', 'credit') AND a.superseded_at = 'infinity'
          AND a.valid_from <= t.occurred_at AND a.valid_to > t.occurred_at AND t.occurred_at < '2026-10-01+00'
          AND abs(t.tax_cents - t.amount_cents * p.tax_rate) > 0.5001""",
    "a payment of nobody's invoice": """
        SELECT count(*) FROM transactions AS t
        WHERE t.kind = 'payment' AND NOT EXISTS (
          SELECT FROM transactions AS c WHERE c.customer_id = t.customer_id AND c.kind IN ('charge', 'fee')
            AND c.occurred_at < t.occurred_at AND c.occurred_at > t.occurred_at - interval '60 days')""",
    "a failure of anything but a payment": """
        SELECT count(*) FROM transactions WHERE status = 'failed' AND kind <> 'payment'""",
    "an end for want of payment without an unpaid invoice": """
        SELECT count(*) FROM subscriptions AS s
        WHERE s.end_reason = 'non_payment' AND (
          SELECT count(*) FROM transactions AS t WHERE t.customer_id = s.customer_id AND t.kind = 'fee'
            AND t.occurred_at BETWEEN s.ended_at - interval '90 days' AND s.ended_at) = 0""",
    "a contract of a length that nobody sells": """
        SELECT count(*) FROM subscription_terms WHERE contract_months NOT IN (0, 12, 24)""",
    "a rise of the price of the same plan while the same contract binds": f"""
        SELECT count(*) FROM ({_NEIGHBOURS}) AS x
        WHERE plan_code = plan_before AND contract_starts_on = starts_before
          AND monthly_price_cents > price_before AND valid_from < ends_before""",
    "a rise of the price of the same plan without a new contract, but on the first of a month": f"""
        SELECT count(*) FROM ({_NEIGHBOURS}) AS x
        WHERE plan_code = plan_before AND contract_starts_on = starts_before
          AND monthly_price_cents > price_before AND valid_from <> date_trunc('month', valid_from)""",
    "a fall of the price of the same plan under the same contract": f"""
        SELECT count(*) FROM ({_NEIGHBOURS}) AS x
        WHERE plan_code = plan_before AND contract_starts_on = starts_before
          AND monthly_price_cents < price_before""",
    "a lower tier for more money, or a higher one for less": f"""
        SELECT count(*) FROM ({_NEIGHBOURS}) AS x
        WHERE contract_starts_on = starts_before AND tier <> tier_before
          AND (tier - tier_before) * (monthly_price_cents - price_before) <= 0""",
    "terms in which nothing that matters differs from those before": f"""
        SELECT count(*) FROM ({_NEIGHBOURS}) AS x WHERE what = what_before""",
    "a subsidised device without a two-year wireless contract": """
        SELECT count(*) FROM subscription_terms AS t JOIN plans AS p USING (plan_code)
        WHERE t.inducement_kind = 'device_subsidy'
          AND (p.service <> 'wireless' OR t.contract_months <> 24)""",
    "a plan of another service": """
        SELECT count(*) FROM subscription_terms AS t JOIN plans AS p USING (plan_code)
        JOIN subscriptions AS s USING (customer_id, subscription_id) WHERE p.service <> s.service""",
    "a subscription without terms from its start (carried over: from the world's)": """
        SELECT count(*) FROM subscriptions AS s WHERE NOT EXISTS (
          SELECT FROM subscription_terms AS t WHERE t.customer_id = s.customer_id
            AND t.subscription_id = s.subscription_id
            AND t.valid_from <= greatest(s.started_at, '2023-11-03+00'))""",
    "terms, an address, a ticket or a transaction known before its subscription or customer": """
        SELECT (SELECT count(*) FROM subscription_terms AS t JOIN subscriptions AS s
                  USING (customer_id, subscription_id) WHERE t.recorded_at < s.started_recorded_at)
             + (SELECT count(*) FROM transactions AS t JOIN subscriptions AS s
                  USING (customer_id, subscription_id) WHERE t.recorded_at < s.started_recorded_at)
             + (SELECT count(*) FROM support_tickets AS t JOIN subscriptions AS s
                  USING (customer_id, subscription_id) WHERE t.recorded_at < s.started_recorded_at)
             + (SELECT count(*) FROM customer_addresses AS a JOIN customers AS c USING (customer_id)
                  WHERE a.recorded_at < c.recorded_at)
             + (SELECT count(*) FROM subscriptions AS s JOIN customers AS c USING (customer_id)
                  WHERE s.started_recorded_at < c.recorded_at)""",
    "somebody who signed under age": """
        SELECT count(*) FROM customers AS c JOIN customer_addresses AS a USING (customer_id)
        CROSS JOIN LATERAL staunch.province_at(a.province_code, '2026-01-01+00') AS p
        WHERE a.valid_from <= c.joined_at
          AND NOT staunch.is_of_age(c.birth_date, c.joined_at::date, p.age_of_majority)""",
    "a ticket of somebody who had left": """
        SELECT count(*) FROM support_tickets AS t WHERE NOT EXISTS (
          SELECT FROM subscriptions AS s WHERE s.customer_id = t.customer_id AND s.started_at <= t.opened_at
            AND (s.ended_at IS NULL OR s.ended_at > t.opened_at))""",
    "a row that learns something after it was superseded": """
        SELECT (SELECT count(*) FROM support_tickets
                  WHERE resolved_recorded_at > superseded_at OR rated_recorded_at > superseded_at)
             + (SELECT count(*) FROM subscriptions WHERE ended_recorded_at > superseded_at)""",
    "a correction that does not follow what it corrects": """
        SELECT count(*) FROM transactions AS t
        JOIN transactions AS o
          ON o.customer_id = t.customer_id AND o.transaction_id = t.corrects_transaction_id
        WHERE o.superseded_at <> t.recorded_at OR o.occurred_at <> t.occurred_at""",
    "a superseded transaction without its correction": """
        SELECT count(*) FROM transactions AS o WHERE o.superseded_at < 'infinity' AND NOT EXISTS (
          SELECT FROM transactions AS t WHERE t.customer_id = o.customer_id
            AND t.corrects_transaction_id = o.transaction_id)""",
    "an address or terms with a gap in what is known now": """
        SELECT count(*) FROM (
          SELECT valid_from, lag(valid_to) OVER (PARTITION BY customer_id ORDER BY valid_from) AS before
          FROM customer_addresses WHERE superseded_at = 'infinity') AS x WHERE valid_from <> before""",
    "an e-mail address that somebody could have": """
        SELECT count(*) FROM customers WHERE email !~ '@example\\.(com|org|net)$' AND erased_at IS NULL""",
    "a name kept after it was erased": """
        SELECT count(*) FROM customers WHERE (erased_at IS NULL) = (given_name = 'erased')""",
    "a subscription beside another of its service": """
        SELECT count(*) FROM subscriptions AS a JOIN subscriptions AS b USING (customer_id, service)
        WHERE a.subscription_id < b.subscription_id
          AND b.superseded_at = 'infinity' AND a.superseded_at = 'infinity'
          AND coalesce(a.ended_at, 'infinity') > b.started_at""",
    "a fee for leaving above what the rules allow": """
        SELECT count(*) FROM transactions AS t
        JOIN subscriptions AS s USING (customer_id, subscription_id)
        JOIN subscription_terms AS p USING (customer_id, subscription_id)
        JOIN customer_addresses AS a USING (customer_id)
        CROSS JOIN LATERAL staunch.cancellation_fee(s.service, a.province_code, s.ended_at, p.contract_months,
          p.contract_starts_on, p.monthly_price_cents, p.inducement_cents, p.inducement_kind,
          p.discount_cents, p.promotion_ends_on) AS f
        WHERE t.kind = 'fee' AND t.occurred_at = s.ended_at + interval '5 minutes'
          AND p.superseded_at = 'infinity'
          AND p.valid_from <= s.ended_at AND p.valid_to > s.ended_at AND a.superseded_at = 'infinity'
          AND a.valid_from <= s.ended_at AND a.valid_to > s.ended_at
          AND t.amount_cents IS DISTINCT FROM f.fee_cents""",
}


@pytest.mark.parametrize("broken", list(_BROKEN))
async def test_there_is_no(world: Any, broken: str) -> None:
    assert await world.fetchval(_BROKEN[broken]) == 0


# Every entry says what must be there, and in what share.
_PRESENT = {
    "customers who live in the country": (
        """
        SELECT avg(staunch.postal_code_is_rural(postal_code)::int) FROM customer_addresses""",
        0.08,
        0.25,
    ),
    "customers in Ontario": (
        """
        SELECT avg((province_code = 'ON')::int) FROM customer_addresses""",
        0.33,
        0.44,
    ),
    "French speakers in Quebec": (
        """
        SELECT avg((language = 'fr')::int) FROM customers JOIN customer_addresses USING (customer_id)
        WHERE province_code = 'QC'""",
        0.75,
        0.92,
    ),
    "payments that fail": (
        """
        SELECT avg((status = 'failed')::int) FROM transactions WHERE kind = 'payment'""",
        0.02,
        0.1,
    ),
    "failures after which a payment goes through within three weeks": (
        """
        SELECT avg(EXISTS (SELECT FROM transactions AS p WHERE p.customer_id = t.customer_id AND p.kind =
        'payment' AND p.status = 'settled' AND p.occurred_at BETWEEN t.occurred_at AND t.occurred_at +
        interval '21 days')::int) FROM transactions AS t WHERE status = 'failed' AND occurred_at <
        '2026-10-01+00'""",
        0.5,
        0.95,
    ),
    "transactions recorded more than a day late": (
        """
        SELECT avg((recorded_at > occurred_at + interval '1 day')::int) FROM transactions""",
        0.003,
        0.05,
    ),
    "transactions recorded within ten minutes": (
        """
        SELECT avg((recorded_at <= occurred_at + interval '10 minutes')::int) FROM transactions""",
        0.9,
        1.0,
    ),
    "charges that are corrected": (
        """
        SELECT avg((superseded_at < 'infinity')::int) FROM transactions WHERE kind = 'charge'""",
        0.001,
        0.01,
    ),
    "tickets filed wrongly at first": (
        """
        SELECT avg((superseded_at < 'infinity')::int) FROM support_tickets""",
        0.002,
        0.015,
    ),
    "orders entered by mistake": (
        """
        SELECT avg((superseded_at < 'infinity')::int) FROM subscriptions""",
        0.001,
        0.02,
    ),
    "tickets that are rated": (
        """
        SELECT avg((satisfaction IS NOT NULL)::int) FROM support_tickets""",
        0.3,
        0.5,
    ),
    "tickets open for more than two weeks": (
        """
        SELECT avg((resolved_at > opened_at + interval '14 days')::int) FROM support_tickets""",
        0.02,
        0.2,
    ),
    "customers who moved": (
        """
        SELECT count(*) FILTER (WHERE n > 1)::float8 / count(*) FROM (SELECT count(*) AS n FROM
        customer_addresses WHERE superseded_at = 'infinity' GROUP BY customer_id) AS x""",
        0.04,
        0.25,
    ),
    "moves to another province": (
        """
        SELECT count(*) FILTER (WHERE n > 1)::float8 / count(*) FROM (SELECT count(DISTINCT province_code)
        AS n FROM customer_addresses GROUP BY customer_id) AS x""",
        0.003,
        0.05,
    ),
    "people with two accounts": (
        """
        SELECT count(*) FILTER (WHERE n > 1)::float8 / count(*) FROM (SELECT count(*) AS n FROM customers
        WHERE erased_at IS NULL GROUP BY given_name, family_name, birth_date) AS x""",
        0.004,
        0.03,
    ),
    "customers who left and came back": (
        """
        SELECT avg(EXISTS (SELECT FROM subscriptions AS b WHERE b.customer_id = a.customer_id AND
        b.started_at > a.ended_at)::int) FROM subscriptions AS a WHERE end_reason = 'voluntary'""",
        0.03,
        0.25,
    ),
    "terms known before they hold (price rises)": (
        """
        SELECT avg((recorded_at < valid_from - interval '20 days')::int) FROM subscription_terms""",
        0.1,
        0.5,
    ),
    "voluntary ends among all": (
        """
        SELECT avg((end_reason = 'voluntary')::int) FROM subscriptions WHERE ended_at IS NOT NULL""",
        0.75,
        0.95,
    ),
    "ends for want of payment": (
        """
        SELECT avg((end_reason = 'non_payment')::int) FROM subscriptions WHERE ended_at IS NOT NULL""",
        0.01,
        0.12,
    ),
    "fees for leaving early among voluntary ends": (
        """
        SELECT avg(EXISTS (SELECT FROM transactions AS t WHERE t.customer_id = s.customer_id AND t.kind =
        'fee' AND t.occurred_at = s.ended_at + interval '5 minutes')::int) FROM subscriptions AS s WHERE
        end_reason = 'voluntary'""",
        0.03,
        0.4,
    ),
    "erased customers": (
        """
        SELECT avg((erased_at IS NOT NULL)::int) FROM customers""",
        0.0005,
        0.03,
    ),
}


@pytest.mark.parametrize("present", list(_PRESENT))
async def test_there_are(world: Any, present: str) -> None:
    query, low, high = _PRESENT[present]
    assert low <= float(await world.fetchval(query)) <= high


async def test_payments_and_credits_balance_the_invoices_of_those_who_pay(world: Any) -> None:
    balances = await world.fetch("""
        SELECT sum(CASE WHEN kind IN ('charge', 'fee') THEN amount_cents + tax_cents
                        ELSE -(amount_cents + tax_cents) END)::bigint AS balance,
               max(amount_cents + tax_cents) FILTER (WHERE kind = 'charge') AS highest
        FROM transactions AS t
        WHERE superseded_at = 'infinity' AND status = 'settled' AND occurred_at < '2026-11-01+00'
          AND customer_id IN (SELECT customer_id FROM subscriptions GROUP BY 1 HAVING max(ended_at) IS NULL)
          AND customer_id NOT IN (SELECT customer_id FROM transactions WHERE status = 'failed')
        GROUP BY customer_id""")
    owing = [row for row in balances if abs(row["balance"]) > 2.5 * (row["highest"] or 10_000)]
    assert len(balances) > 500
    assert len(owing) <= len(balances) / 50


async def test_bills_change_with_the_tax_of_nova_scotia(world: Any) -> None:
    rates = await world.fetch("""
        SELECT (t.occurred_at >= '2025-04-01+00') AS after,
               min(round(t.tax_cents::numeric / t.amount_cents, 2)) AS low,
               max(round(t.tax_cents::numeric / t.amount_cents, 2)) AS high
        FROM transactions AS t JOIN customer_addresses AS a USING (customer_id)
        WHERE kind = 'charge' AND a.province_code = 'NS' AND a.superseded_at = 'infinity'
          AND a.valid_from <= t.occurred_at AND a.valid_to > t.occurred_at
          AND t.occurred_at < '2026-10-01+00'
        GROUP BY 1 ORDER BY 1""")
    assert [(float(row["low"]), float(row["high"])) for row in rates] == [(0.15, 0.15), (0.14, 0.14)]


async def test_outages_come_in_regions(world: Any) -> None:
    share = await world.fetchval("""
        SELECT sum(n) FILTER (WHERE n >= 4)::float8 / sum(n) FROM (
          SELECT count(*) AS n FROM support_tickets AS t JOIN customer_addresses AS a USING (customer_id)
          WHERE category = 'outage' AND a.superseded_at = 'infinity'
            AND a.province_code IN ('ON', 'QC', 'BC', 'AB')
            AND a.valid_from <= t.opened_at AND a.valid_to > t.opened_at
          GROUP BY a.province_code, date_trunc('month', opened_at)) AS x""")
    assert share > 0.6


def test_never_is_the_infinity_of_postgresql() -> None:
    assert NEVER == 2**63 - 1
