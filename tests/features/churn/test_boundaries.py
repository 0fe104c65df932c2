"""The edges of every window, one event at a time: (t - n days, t], and days that begin at midnight UTC."""

from datetime import UTC, date, datetime, timedelta

import pytest
from tests.features.churn.histories import (
    DAY,
    FOREVER,
    MICROSECOND,
    MOMENTS,
    History,
    crowd,
    months_after,
    write,
)

from staunch_features.postgres.deadlines import Deadline
from staunch_features.views.file import parse_view
from staunch_features.views.source import FeatureSource, packed_sql, read_whys

# feature -> (days of its window, the table, what an event must look like to be counted)
WINDOWS = {
    "payments_90d": (90, "transactions", {"kind": "payment"}),
    "payments_365d": (365, "transactions", {"kind": "payment"}),
    "failed_payments_90d": (90, "transactions", {"kind": "payment", "status": "failed"}),
    "failed_payments_365d": (365, "transactions", {"kind": "payment", "status": "failed"}),
    "fees_365d": (365, "transactions", {"kind": "fee"}),
    "credits_365d": (365, "transactions", {"kind": "credit"}),
    "tickets_30d": (30, "support_tickets", {}),
    "tickets_90d": (90, "support_tickets", {}),
    "tickets_365d": (365, "support_tickets", {}),
    "technical_tickets_90d": (90, "support_tickets", {"category": "technical"}),
    "billing_tickets_365d": (365, "support_tickets", {"category": "billing"}),
    "urgent_tickets_365d": (365, "support_tickets", {"priority": 1}),
    "open_tickets": (365, "support_tickets", {}),
}


def quiet(t: datetime) -> History:
    """A customer with one subscription and no events."""
    return crowd(t, 1, transactions=0, tickets=0)[0]


def event(history: History, table: str, at: datetime, **changed) -> None:
    row = {"recorded_at": at, "superseded_at": FOREVER}
    if table == "transactions":
        row |= {"transaction_id": 1, "kind": "charge", "status": "settled", "currency": "CAD"}
        row |= {"method": "bank", "amount_cents": 100, "tax_cents": 0, "occurred_at": at}
    else:
        row |= {"ticket_id": 1, "category": "other", "channel": "chat", "priority": 4, "opened_at": at}
    history.add(table, **(row | changed))


async def value(churn, history: History, t: datetime, name: str) -> float:
    batch = await churn.source.fetch([history.customer_id], t, deadline=Deadline.after(10))
    names = [column.name for column in (await churn.source.signature(Deadline.after(5))).features]
    return batch.values[0, names.index(name)]


@pytest.mark.parametrize("t", MOMENTS[:3], ids=str)
async def test_a_window_is_open_at_its_start_and_closed_at_its_end(churn, t):
    counted = {}
    for name, (days, table, what) in WINDOWS.items():
        start = t - timedelta(hours=24 * days)
        times = [edge + step * MICROSECOND for edge in (start, t) for step in (-1, 0, 1)]
        counted[name] = crowd(t, len(times), transactions=0, tickets=0)
        for history, at in zip(counted[name], times, strict=True):
            event(history, table, at, **what)
    some = [history for histories in counted.values() for history in histories]
    await write(churn.owner, *some)
    ids = [history.customer_id for history in some]
    batch = await churn.source.fetch(ids, t, deadline=Deadline.after(10))
    names = [column.name for column in (await churn.source.signature(Deadline.after(5))).features]
    row = dict(zip(ids, batch.values > 0, strict=True))
    for name, histories in counted.items():
        seen = [bool(row[history.customer_id][names.index(name)]) for history in histories]
        assert seen == [False, False, True, True, True, False], name


def with_rise(t: datetime, at: datetime, plan: str | None = None) -> History:
    """A customer whose price rises by a dollar at a time, perhaps with another plan."""
    history = quiet(t)
    (term,) = history.tables["subscription_terms"]
    dearer = term | {"term_id": 2, "valid_from": at, "monthly_price_cents": term["monthly_price_cents"] + 100}
    history.tables["subscription_terms"].append(dearer | {"plan_code": plan or term["plan_code"]})
    term["valid_to"] = at
    return history


@pytest.mark.parametrize(("name", "days"), [("price_rises_365d", 365), ("price_rise_90d", 90)])
@pytest.mark.parametrize(("step", "counted"), [(-MICROSECOND, 0), (0 * DAY, 0), (MICROSECOND, 1)])
async def test_a_price_rise_counts_within_its_window(churn, name, days, step, counted):
    t = MOMENTS[-1]
    history = with_rise(t, t - days * DAY + step)
    await write(churn.owner, history)
    assert await value(churn, history, t, name) == counted


async def test_another_plan_is_no_price_rise(churn):
    t = MOMENTS[-1]
    history = with_rise(t, t - DAY)
    (first, second) = history.tables["subscription_terms"]
    first["plan_code"], second["plan_code"] = "internet_basic", "internet_plus"
    await write(churn.owner, history)
    assert await value(churn, history, t, "price_rises_365d") == 0


SOON = pytest.mark.parametrize(("days", "ends_soon"), [(0, 0), (1, 1), (90, 1), (91, 0)])


@SOON
async def test_a_promotion_ends_on_the_first_day_without_it(churn, days, ends_soon):
    t = datetime(2024, 2, 29, 23, 59, tzinfo=UTC)
    history = quiet(t)
    (row,) = history.tables["subscription_terms"]
    row |= {"promotion_ends_on": t.date() + days * DAY, "discount_cents": 100}
    await write(churn.owner, history)
    assert await value(churn, history, t, "promotion_ends_90d") == ends_soon
    discounted = row["monthly_price_cents"] / 100 - (days > 0)
    assert await value(churn, history, t, "monthly_price") == pytest.approx(discounted)


@SOON
async def test_a_contract_ends_on_the_first_day_without_it(churn, days, ends_soon):
    t = datetime(2025, 6, 10, 23, 59, tzinfo=UTC)
    history = quiet(t)
    (row,) = history.tables["subscription_terms"]
    ends = t.date() + days * DAY
    row |= {"contract_months": 12, "contract_starts_on": months_after(ends, -12), "contract_ends_on": ends}
    await write(churn.owner, history)
    assert await value(churn, history, t, "contract_ends_90d") == ends_soon


@pytest.mark.parametrize(("due", "overdue"), [(-1, 1.0), (0, 0.0), (1, 0.0), (None, 1.0)])
async def test_what_is_due_today_is_not_overdue(churn, due, overdue):
    t = datetime(2024, 2, 29, 0, 0, tzinfo=UTC)
    history = quiet(t)
    event(history, "transactions", t - DAY, due_on=None if due is None else t.date() + due * DAY)
    await write(churn.owner, history)
    assert await value(churn, history, t, "unpaid_365d") == 1
    assert await value(churn, history, t, "overdue_365d") == overdue


@pytest.mark.parametrize(
    ("born", "t", "of_age"),
    [
        (date(2008, 2, 29), datetime(2026, 2, 27, 23, 59, 59, tzinfo=UTC), 0),
        (date(2008, 2, 29), datetime(2026, 2, 28, tzinfo=UTC), 1),
        (date(2006, 2, 28), datetime(2024, 2, 27, 23, tzinfo=UTC), 0),
        (date(2006, 2, 28), datetime(2024, 2, 28, tzinfo=UTC), 1),
    ],
)
async def test_a_leap_day_child_is_of_age_on_28_february(churn, born, t, of_age):
    history = quiet(t)
    history.tables["customers"][0]["birth_date"] = born
    history.tables["customer_addresses"][0] |= {"province_code": "QC", "postal_code": "H2Y 1C6"}
    await write(churn.owner, history)
    assert await value(churn, history, t, "is_of_age") == of_age


async def test_the_tax_changes_at_its_moment(churn):
    t = datetime(2025, 4, 1, tzinfo=UTC)
    history = quiet(t)
    history.tables["customer_addresses"][0] |= {"province_code": "NS", "postal_code": "B3H 1A1"}
    await write(churn.owner, history)
    assert await value(churn, history, t - MICROSECOND, "tax_rate") == 0.15
    assert await value(churn, history, t, "tax_rate") == 0.14


async def test_a_customer_with_nothing_is_known_and_not_eligible(churn):
    t = MOMENTS[-1]
    history = quiet(t)
    for table in ("customer_addresses", "subscriptions", "subscription_terms"):
        history.tables[table].clear()
    await write(churn.owner, history)
    batch = await churn.source.fetch([history.customer_id], t, deadline=Deadline.after(10))
    assert (batch.found[0], batch.eligible[0], batch.problems) == (True, False, {})


async def whys(churn, t: datetime, some: list[History]) -> list[str]:
    await write(churn.owner, *some)
    signature = await churn.source.signature(Deadline.after(5))
    ids = [history.customer_id for history in some]
    found = await read_whys(churn.database, churn.source.view, signature, ids, t, deadline=Deadline.after(10))
    batch = await churn.source.fetch(ids, t, deadline=Deadline.after(10))
    assert [found[key] == "" for key in ids] == batch.eligible.tolist()
    return [found[key] for key in ids]


async def test_who_is_not_eligible_is_told_why_and_since_which_day(churn):
    t = datetime(2025, 3, 9, 7, 30, tzinfo=UTC)
    some = crowd(t, 6, transactions=0, tickets=0)
    _, ended, long_ended, erased, both, never = some
    for history, at in ((ended, t - DAY), (long_ended, t - 300 * DAY), (both, t - DAY)):
        (row,) = history.tables["subscriptions"]
        row |= {"started_at": t - 400 * DAY, "started_recorded_at": t - 400 * DAY}
        row |= {"ended_at": at, "ended_recorded_at": at, "end_reason": "moved"}
    for history in (erased, both):
        (row,) = history.tables["customers"]
        row["erased_at"] = t - 2 * DAY
    never.tables["subscriptions"].clear()
    never.tables["subscription_terms"].clear()
    assert await whys(churn, t, some) == [
        "",
        "the last subscription ended on 2025-03-08",
        "the last subscription ended on 2024-05-13",
        "erased on 2025-03-07",
        "erased on 2025-03-07",
        "no subscription had started",
    ]


async def test_who_is_eligible_pays_nothing_for_the_why_of_others(churn):
    """The packed statement has the same plan with `_why` as without, expression by expression."""
    view = churn.source.view
    before, begins, rest = view.text.partition("  -- For whoever asks for somebody by id")
    text = f"{before.rstrip().removesuffix(',')}{rest[rest.index('END AS _why') + len('END AS _why') :]}"
    assert begins
    without = FeatureSource(churn.database, parse_view("churn", text, "churn.sql"))
    assert not (await without.signature(Deadline.after(5))).has_why
    assert (await churn.source.signature(Deadline.after(5))).has_why
    plans = []
    for source in (churn.source, without):
        sql = packed_sql(source.view, await source.signature(Deadline.after(5)))
        async with churn.database.connection(Deadline.after(5)) as connection:
            await connection.execute(f"PREPARE plan AS {sql}")
            run = "EXPLAIN (VERBOSE) EXECUTE plan(ARRAY[1, 2, 3]::bigint[], '2026-01-01Z'::timestamptz)"
            plans.append([row[0] for row in await connection.fetch(run)])
            await connection.execute("DEALLOCATE plan")
    assert plans[0] == plans[1]
    assert "to_char" not in "".join(plans[0])
