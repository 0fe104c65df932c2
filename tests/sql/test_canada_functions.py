"""The functions that feature views call: months, fees, tax, age, rural; and how PostgreSQL runs them."""

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

_DEVICE = "device_subsidy"


async def _fee(reader: asyncpg.Connection, service: str, province: str, as_of: str, **terms) -> int | None:
    """The fee in cents of a contract that is in its `month`-th month at `as_of`, a day like 2026-01-01."""
    on = date.fromisoformat(as_of)
    starts_on = _months_later(on, 1 - terms["month"])
    return await reader.fetchval(
        "SELECT fee_cents FROM staunch.cancellation_fee($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        service,
        province,
        datetime(on.year, on.month, on.day, tzinfo=UTC),
        terms.get("months", 24),
        starts_on,
        terms.get("price_cents", 5000),
        terms.get("inducement_cents", 0),
        terms.get("kind", _DEVICE if terms.get("inducement_cents") else "none"),
        terms.get("discount_cents", 0),
        terms.get("promotion_ends_on"),
    )


def _months_later(day: date, months: int) -> date:
    """The same day of a later (or earlier) month, or that month's last day."""
    index = day.year * 12 + day.month - 1 + months
    year, month = index // 12, index % 12 + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


# Months -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("starts_on", "on", "elapsed"),
    [
        ("2024-03-15", "2024-03-15", 1),
        ("2024-03-15", "2024-04-14", 1),
        ("2024-03-15", "2024-04-15", 2),
        ("2024-03-15", "2026-03-14", 24),
        ("2024-03-15", "2026-03-15", 25),
        ("2024-01-31", "2024-02-28", 1),
        ("2024-01-31", "2024-02-29", 2),
        ("2024-01-31", "2024-03-30", 2),
        ("2024-01-31", "2024-03-31", 3),
        ("2023-01-31", "2023-02-28", 2),
        ("2024-02-29", "2025-02-28", 13),
        ("2024-03-15", "2024-03-14", 0),
    ],
)
async def test_the_month_under_way_counts_as_elapsed(reader, starts_on, on, elapsed):
    dates = date.fromisoformat(starts_on), date.fromisoformat(on)
    assert await reader.fetchval("SELECT staunch.months_elapsed($1, $2)", *dates) == elapsed
    assert await reader.fetchval("SELECT staunch.months_to_24_month_mark($1, $2)", *dates) == 24 - elapsed


@given(
    contracts=st.lists(
        st.tuples(st.dates(date(2010, 1, 1), date(2030, 1, 1)), st.integers(0, 2000)), min_size=1, max_size=50
    )
)
async def test_months_elapsed_is_how_many_monthly_days_have_come(reader, contracts):
    rows = await reader.fetch(
        "SELECT staunch.months_elapsed(starts_on, starts_on + days) AS elapsed"
        " FROM unnest($1::date[], $2::int[]) WITH ORDINALITY AS c (starts_on, days, n) ORDER BY n",
        [starts_on for starts_on, _ in contracts],
        [days for _, days in contracts],
    )
    for row, (starts_on, days) in zip(rows, contracts, strict=True):
        on = starts_on + timedelta(days=days)
        assert row["elapsed"] == sum(_months_later(starts_on, months) <= on for months in range(80))


# Fees ---------------------------------------------------------------------------------------------


# Office de la protection du consommateur du Québec: its own worked examples, in cents. TV, for which no
# federal code sets a lower ceiling, and wireless before the Wireless Code, show them as they are.
@pytest.mark.parametrize(("service", "as_of"), [("tv", "2026-11-01"), ("wireless", "2012-11-01")])
@pytest.mark.parametrize(
    ("terms", "fee_cents"),
    [
        ({"inducement_cents": 30_000, "months": 24, "month": 22}, 25_00),
        ({"inducement_cents": 35_000, "months": 36, "month": 22}, 136_11),
        ({"price_cents": 3_000, "months": 12, "month": 7}, 15_00),
        ({"inducement_cents": 15_000, "months": 0, "month": 22}, 81_25),
    ],
)
async def test_the_official_worked_examples_of_quebec(reader, service, as_of, terms, fee_cents):
    assert await _fee(reader, service, "QC", as_of, **terms) == fee_cents


# Service, province, first day of the rule, terms, fee on the day before and from that day on.
_FEE_CHANGES = [
    # The Quebec act: a ceiling where there was none.
    ("tv", "QC", "2010-06-30", {"month": 3, "inducement_cents": 24_000}, None, 210_00),
    ("tv", "QC", "2010-06-30", {"month": 3, "months": 0}, None, 0),
    # The Wireless Code: 24 months at most, here of a contract of 36.
    ("wireless", "ON", "2013-12-02", {"month": 13, "months": 36, "inducement_cents": 24_000}, None, 110_00),
    ("wireless", "QC", "2013-12-02", {"month": 13, "months": 36, "inducement_cents": 36_000}, 230_00, 165_00),
    # The Internet Code.
    ("internet", "BC", "2020-01-31", {"month": 5, "months": 12}, None, 35_00),
    ("internet", "QC", "2020-01-31", {"month": 13, "months": 36, "inducement_cents": 36_000}, 230_00, 165_00),
    # CRTC 2026-43: nothing without a subsidised device; with one, as before.
    ("wireless", "ON", "2026-06-12", {"month": 3, "price_cents": 6_000}, 50_00, 0),
    ("internet", "QC", "2026-06-12", {"month": 23, "price_cents": 6_000}, 6_00, 0),
    ("wireless", "ON", "2026-06-12", {"month": 3, "inducement_cents": 24_000}, 210_00, 210_00),
    ("wireless", "ON", "2026-06-12", {"month": 3, "inducement_cents": 9_000, "kind": "other"}, 50_00, 0),
    ("tv", "QC", "2026-06-12", {"month": 3, "price_cents": 6_000}, 50_00, 50_00),
]


@pytest.mark.parametrize(("service", "province", "date_", "terms", "before", "after"), _FEE_CHANGES, ids=str)
async def test_a_fee_changes_on_the_date_of_its_rule(reader, service, province, date_, terms, before, after):
    starts = date.fromisoformat(date_)
    for offset, expected in ((-1, before), (0, after), (1, after)):
        day = (starts + timedelta(days=offset)).isoformat()
        assert await _fee(reader, service, province, day, **terms) == expected, day


async def test_every_date_of_a_cancellation_rule_is_tested(reader):
    rows = await reader.fetch("SELECT DISTINCT valid_from FROM staunch.cancellation_rules")
    assert {row["valid_from"].date().isoformat() for row in rows} == {change[2] for change in _FEE_CHANGES}


@pytest.mark.parametrize(
    ("month", "fee_cents"), [(1, 230_00), (2, 220_00), (12, 120_00), (23, 10_00), (24, 0), (25, 0), (40, 0)]
)
async def test_a_subsidys_fee_falls_in_equal_parts_to_nothing_at_24_months(reader, month, fee_cents):
    terms = {"month": month, "months": 24, "inducement_cents": 24_000}
    assert await _fee(reader, "wireless", "AB", "2026-11-01", **terms) == fee_cents
    terms["months"] = 36
    assert await _fee(reader, "wireless", "AB", "2026-11-01", **terms) == fee_cents


@pytest.mark.parametrize(("month", "fee_cents"), [(1, 220_00), (6, 120_00), (11, 20_00), (12, 0)])
async def test_a_shorter_contracts_fee_falls_to_nothing_at_its_end(reader, month, fee_cents):
    terms = {"month": month, "months": 12, "inducement_cents": 24_000}
    assert await _fee(reader, "wireless", "AB", "2026-11-01", **terms) == fee_cents


@pytest.mark.parametrize(
    ("month", "fee_cents"), [(1, 50_00), (14, 50_00), (15, 45_00), (23, 5_00), (24, 0), (30, 0)]
)
async def test_without_a_device_the_fee_was_a_tenth_of_the_rest_up_to_50_dollars(reader, month, fee_cents):
    assert await _fee(reader, "wireless", "AB", "2026-06-11", month=month, months=36) == fee_cents


# Twelve months at $30 from the 15th of January 2026, left in the seventh: five months are to come, $150 of
# charges. They begin on the 15th of August, September, October, November and December.
@pytest.mark.parametrize(
    ("discount_cents", "promotion_ends_on", "fee_cents"),
    [
        (0, None, 15_00),
        (0, "2026-10-15", 15_00),
        (10_00, None, 10_00),  # for good: 10 % of 5 x $20
        (10_00, "2027-01-15", 10_00),  # to the end of the contract
        (10_00, "2026-12-16", 10_00),  # all five begin before it
        (10_00, "2026-12-15", 11_00),  # 10 % of 4 x $20 + $30
        (10_00, "2026-10-16", 12_00),  # the day before it, a third month begins: 10 % of 3 x $20 + 2 x $30
        (10_00, "2026-10-15", 13_00),  # on the day it ends, a month begins without it
        (10_00, "2026-10-14", 13_00),
        (10_00, "2026-08-16", 14_00),
        (10_00, "2026-08-15", 15_00),  # it runs on the day of leaving, and in no month to come
        (10_00, "2026-07-15", 15_00),
        (10_00, "2025-12-31", 15_00),  # over before the contract began
        (30_00, None, 0),
        (29_99, "2026-09-15", 12_00),  # 1,200.1 cents
        (29_95, "2026-09-15", 12_01),  # 1,200.5 cents: once, on the sum, half a cent up
    ],
)
async def test_the_charges_to_come_are_less_by_a_discount_while_it_lasts(
    reader, discount_cents, promotion_ends_on, fee_cents
):
    ends_on = promotion_ends_on and date.fromisoformat(promotion_ends_on)
    terms = {"month": 7, "months": 12, "price_cents": 30_00}
    terms |= {"discount_cents": discount_cents, "promotion_ends_on": ends_on}
    assert await _fee(reader, "tv", "QC", "2026-07-15", **terms) == fee_cents


# Twelve months at $30 with $20 off, from the last of January: months begin on the last of each.
@pytest.mark.parametrize(
    ("promotion_ends_on", "fee_cents"),
    [
        ("2026-02-28", 33_00),  # the second month begins on that day: 10 % of 11 x $30
        ("2026-03-01", 31_00),
        ("2026-03-31", 31_00),
        ("2026-04-01", 29_00),
        ("2026-04-30", 29_00),
        ("2026-05-01", 27_00),
    ],
)
async def test_a_discount_knows_when_months_are_short(reader, promotion_ends_on, fee_cents):
    terms = {"month": 1, "months": 12, "price_cents": 30_00, "discount_cents": 20_00}
    ends_on = date.fromisoformat(promotion_ends_on)
    assert await _fee(reader, "tv", "QC", "2026-01-31", **terms, promotion_ends_on=ends_on) == fee_cents


async def test_a_discount_is_no_inducement_and_changes_no_subsidys_fee(reader):
    terms = {"month": 22, "inducement_cents": 30_000, "discount_cents": 2_000}
    assert await _fee(reader, "tv", "QC", "2026-11-01", **terms) == 25_00
    assert await _fee(reader, "tv", "QC", "2026-11-01", **terms, months=0) == 162_50


async def test_who_names_no_discount_has_none(reader):
    call = "staunch.cancellation_fee('tv', 'QC', '2026-07-15Z', 12, '2026-01-15', 3000, 0, 'none')"
    assert await reader.fetchval(f"SELECT fee_cents FROM {call}") == 15_00


@st.composite
def _contracts(draw) -> tuple[date, int, int, int, date]:
    """A contract without a device: its first day, months, price, discount; and a day around it."""
    starts_on = draw(st.dates(date(2023, 10, 27), date(2024, 3, 31)))
    months, price_cents = draw(st.sampled_from([1, 12, 24, 36])), draw(st.integers(0, 4_000))
    today = starts_on + draw(st.integers(-40, 31 * months)) * timedelta(days=1)
    return starts_on, months, price_cents, draw(st.integers(0, price_cents)), today


@given(_contracts())
@settings(max_examples=2 * settings.default.max_examples)
async def test_the_charges_to_come_are_those_of_the_months_one_by_one(reader, contract):
    starts_on, months, price_cents, discount_cents, today = contract
    to_come = [day for month in range(months) if (day := _months_later(starts_on, month)) > today]
    ends = [None, *(starts_on + timedelta(days=days) for days in range(-40, 31 * months + 40))]
    rows = await reader.fetch(
        "SELECT f.fee_cents FROM unnest($1::date[]) WITH ORDINALITY AS p (ends_on, n), "
        "staunch.cancellation_fee('tv', 'QC', $2, $3, $4, $5, 0, 'none', $6, p.ends_on) AS f ORDER BY n",
        ends,
        datetime(today.year, today.month, today.day, 23, 59, tzinfo=UTC),
        months,
        starts_on,
        price_cents,
        discount_cents,
    )
    for ends_on, row in zip(ends, rows, strict=True):
        discounted = sum(ends_on is None or ends_on > day for day in to_come)
        cents = len(to_come) * price_cents - discounted * discount_cents
        assert row["fee_cents"] == min(50_00, (cents + 5) // 10), ends_on


async def test_an_open_ended_contract_without_a_device_costs_nothing_to_leave(reader):
    assert await _fee(reader, "wireless", "AB", "2020-01-01", month=3, months=0) == 0
    assert await _fee(reader, "wireless", "QC", "2012-01-01", month=3, months=0) == 0


async def test_the_lowest_of_several_ceilings_counts(reader):
    terms = {"month": 22, "months": 36, "inducement_cents": 35_000}
    assert await _fee(reader, "tv", "QC", "2026-11-01", **terms) == 136_11
    assert await _fee(reader, "wireless", "QC", "2026-11-01", **terms) == 29_17


async def test_where_no_rule_sets_a_ceiling_the_fee_is_unknown(reader):
    assert await _fee(reader, "tv", "ON", "2026-11-01", month=3) is None
    assert await _fee(reader, "wireless", "ON", "2013-12-01", month=3) is None


async def test_a_contract_that_has_not_begun_costs_its_whole_subsidy(reader):
    terms = {"month": -2, "inducement_cents": 24_000}
    assert await _fee(reader, "wireless", "ON", "2026-01-01", **terms) == 240_00


# The rest -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends_on", "expected"),
    [
        ("2026-10-31", False),
        ("2026-11-01", False),
        ("2026-11-02", True),
        ("2027-01-29", True),
        ("2027-01-30", True),
        ("2027-01-31", False),
        (None, False),
    ],
)
async def test_what_ends_within_90_days(reader, ends_on, expected):
    ends = ends_on and date.fromisoformat(ends_on)
    assert await reader.fetchval("SELECT staunch.ends_within($1::date, '2026-11-01', 90)", ends) is expected


@pytest.mark.parametrize(
    ("birth_date", "on", "age", "expected"),
    [
        ("2007-11-02", "2026-11-01", 19, False),
        ("2007-11-01", "2026-11-01", 19, True),
        ("2007-10-31", "2026-11-01", 19, True),
        ("2007-11-02", "2026-11-01", 18, True),
        ("2008-02-29", "2026-02-27", 18, False),
        ("2008-02-29", "2026-02-28", 18, True),
        ("2008-02-29", "2028-02-28", 20, False),
        ("2008-02-29", "2028-02-29", 20, True),
    ],
)
async def test_who_is_of_age(reader, birth_date, on, age, expected):
    dates = date.fromisoformat(birth_date), date.fromisoformat(on)
    assert await reader.fetchval("SELECT staunch.is_of_age($1, $2, $3)", *dates, float(age)) is expected


@pytest.mark.parametrize(("postal_code", "rural"), [("K0A 1A0", True), ("K1A 0B1", False), ("X0A 0H0", True)])
async def test_a_postal_code_with_a_0_second_is_rural(reader, postal_code, rural):
    assert await reader.fetchval("SELECT staunch.postal_code_is_rural($1)", postal_code) is rural


async def test_a_bill_with_tax(reader):
    assert await reader.fetchval("SELECT staunch.with_tax_cents(10000, 0.14975)") == pytest.approx(11497.5)


# How they run -------------------------------------------------------------------------------------


_CALLS = {
    "months_elapsed": "staunch.months_elapsed(t.contract_starts_on, t.contract_ends_on)",
    "months_to_24_month_mark": "staunch.months_to_24_month_mark(t.contract_starts_on, t.contract_ends_on)",
    "ends_within": "staunch.ends_within(t.contract_ends_on, t.contract_starts_on, 90)",
    "with_tax_cents": "staunch.with_tax_cents(t.monthly_price_cents, 0.13)",
    "postal_code_is_rural": "staunch.postal_code_is_rural(t.plan_code)",
    "is_of_age": "staunch.is_of_age(t.contract_starts_on, t.contract_ends_on, 18)",
    "province_at": "(SELECT tax_rate FROM staunch.province_at(t.plan_code, t.valid_from))",
    "cancellation_fee": "(SELECT fee_cents FROM staunch.cancellation_fee("
    "t.plan_code, t.plan_code, t.valid_from, t.contract_months, t.contract_starts_on,"
    " t.monthly_price_cents, t.inducement_cents, t.inducement_kind, t.discount_cents, t.promotion_ends_on))",
}


@pytest.mark.parametrize("name", _CALLS)
async def test_postgresql_writes_each_function_into_the_query(reader, name):
    query = f"EXPLAIN (VERBOSE, COSTS OFF) SELECT {_CALLS[name]} FROM staunch.subscription_terms AS t"
    plan = "\n".join(row[0] for row in await reader.fetch(query))
    for called in (*_CALLS, "cancellation_ceiling_cents"):
        assert f"{called}(" not in plan, "not inlined"
    assert "Function Scan" not in plan


async def test_every_function_of_the_schema_is_checked_for_it(reader):
    rows = await reader.fetch(
        "SELECT proname FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang"
        " WHERE p.pronamespace = 'staunch'::regnamespace AND l.lanname = 'sql'"
    )
    assert {row["proname"] for row in rows} == {*_CALLS, "cancellation_ceiling_cents"}
