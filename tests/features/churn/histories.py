"""Generated lives of customers: every row as a dict, honest about when each fact became known."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count
from random import Random
from typing import Any

import asyncpg
from hypothesis import strategies as st

FOREVER = datetime.max.replace(tzinfo=UTC)

FAILED_PAYMENT = {
    "kind": "payment",
    "status": "failed",
    "amount_cents": 123_456,
    "tax_cents": 7,
    "currency": "CAD",
    "method": "bank",
    "superseded_at": FOREVER,
}
"""A row of transactions that changes features, without its ids and times."""

"""What asyncpg reads and writes as 'infinity'."""

TABLES = (
    "customers",
    "customer_addresses",
    "subscriptions",
    "subscription_terms",
    "transactions",
    "support_tickets",
)
"""In the order in which foreign keys let them be written."""

MICROSECOND, DAY = timedelta(microseconds=1), timedelta(days=1)
PLACES = (("NS", "B3H 1A1"), ("QC", "H2Y 1C6"), ("NS", "B0J 2C0"), ("NU", "X0A 0H0"), ("BC", "V5K 0A1"))
PLANS = {
    "wireless": ("wireless_basic", "wireless_plus", "wireless_unlimited"),
    "internet": ("internet_basic", "internet_plus", "internet_gigabit"),
    "tv": ("tv_basic", "tv_plus", "tv_premium"),
}
MOMENTS = (
    datetime(2024, 2, 29, 12, tzinfo=UTC),  # leap day
    datetime(2025, 2, 28, 23, 59, 59, 999999, tzinfo=UTC),  # a year after a leap day
    datetime(2025, 3, 9, 7, 30, tzinfo=UTC),  # half past the hour that Toronto's clocks skip
    datetime(2025, 11, 2, 5, 30, tzinfo=UTC),  # within the hour that they have twice
    datetime(2025, 4, 1, tzinfo=UTC),  # Nova Scotia's tax falls
    datetime(2026, 6, 12, tzinfo=UTC) - MICROSECOND,  # the last moment of the old cancellation fees
    datetime(2026, 6, 12, tzinfo=UTC),
    datetime(2026, 7, 31, 4, 5, 6, 789, tzinfo=UTC),
)
"""As-of times that are awkward."""

_IDS = count(1)

Row = dict[str, Any]


@dataclass
class History:
    """All rows of one customer, by table."""

    customer_id: int
    tables: dict[str, list[Row]] = field(default_factory=lambda: {table: [] for table in TABLES})

    def add(self, table: str, **row: Any) -> Row:
        full = {"customer_id": self.customer_id} | row
        self.tables[table].append(full)
        return full


async def write(connection: asyncpg.Connection, *histories: History) -> None:
    """Copies histories into the database."""
    for table in TABLES:
        # The newest first, so that no answer is right only because the newest row lies last.
        rows = [row for history in histories for row in reversed(history.tables[table])]
        await copy(connection, table, rows)


async def copy(connection: asyncpg.Connection, table: str, rows: list[Row]) -> None:
    """Copies rows of one table; rows may differ in their columns."""
    columns = sorted({column for row in rows for column in row})
    if columns:
        await connection.copy_records_to_table(
            table,
            schema_name="staunch",
            columns=columns,
            records=[tuple(row.get(column) for column in columns) for row in rows],
        )


def ago(moment: datetime, *, most_days: int = 450) -> st.SearchStrategy[datetime]:
    """Times around a moment: on the edges of the windows, a microsecond beside them, anywhere, later too."""
    anywhere = st.integers(-20 * 86_400_000_000, most_days * 86_400_000_000)
    return st.one_of(
        st.sampled_from(_edges(moment)), *2 * [anywhere.map(lambda us: moment - timedelta(microseconds=us))]
    )


def after(base: datetime, moment: datetime) -> st.SearchStrategy[datetime]:
    """Times from a base on: at once, some days later, on the edges of the windows of a moment."""
    edges = [edge for edge in _edges(moment) if edge >= base]
    lags = [timedelta(0), MICROSECOND, timedelta(hours=5), 3 * DAY, 40 * DAY]
    return st.one_of(st.sampled_from([base + lag for lag in lags]), st.sampled_from(edges or [base]))


def long_before(moment: datetime) -> st.SearchStrategy[datetime]:
    """Times that are mostly before all windows of a moment."""
    return st.one_of(ago(moment), *3 * [st.integers(400, 1500).map(lambda days: moment - days * DAY)])


def _edges(moment: datetime) -> list[datetime]:
    return [moment - DAY * days + MICROSECOND * step for days in (0, 0, 30, 90, 365) for step in (-1, 0, 1)]


@st.composite
def histories(draw: st.DrawFn, moment: datetime, *, most_events: int = 20) -> History:
    """One customer's life around a moment."""
    history = History(next(_IDS))
    joined = draw(long_before(moment))
    history.add(
        "customers",
        given_name="Ann",
        family_name="Roy",
        email="ann@example.org",
        birth_date=draw(
            st.sampled_from([date(2008, 2, 29), date(2007, 3, 1), date(1970, 6, 5), moment.date()])
        ),
        gender="female",
        language=draw(st.sampled_from(["en", "fr"])),
        joined_at=joined,
        recorded_at=draw(after(joined, moment)),
    )
    _addresses(draw, history, joined, moment)
    for number in range(draw(st.sampled_from([0, 1, 2, 3, 4]))):
        _subscription(draw, history, moment, number + 1)
    sizes = [size for size in (0, 1, 4, 8, 14, 20) if size <= most_events]
    for number in range(draw(st.sampled_from(sizes))):
        transaction(draw, history, moment, number + 1)
    for number in range(draw(st.sampled_from(sizes)) // 2):
        ticket(draw, history, moment, number + 1)
    return history


def transaction(draw: st.DrawFn, history: History, moment: datetime, number: int) -> Row:
    """One transaction, perhaps corrected later by another."""
    occurred = draw(ago(moment))
    row = history.add(
        "transactions",
        transaction_id=2 * number,
        kind=draw(
            st.sampled_from(["charge", "charge", "payment", "payment", "payment", "refund", "credit", "fee"])
        ),
        status=draw(st.sampled_from(["settled", "settled", "failed"])),
        amount_cents=draw(st.integers(0, 30_000)),
        tax_cents=draw(st.integers(0, 4_000)),
        currency="CAD",
        method=draw(st.sampled_from(["pre_authorized", "credit_card", "bank", "none"])),
        due_on=draw(st.none() | st.integers(-2, 2).map(lambda d: moment.date() + d * DAY)),
        occurred_at=occurred,
        recorded_at=draw(after(occurred, moment)),
        superseded_at=FOREVER,
    )
    if draw(st.integers(0, 4)) == 0:
        amount = draw(st.integers(0, 30_000))
        correct(draw, history, moment, "transactions", row, "transaction_id", amount_cents=amount)
    return row


def ticket(draw: st.DrawFn, history: History, moment: datetime, number: int) -> Row:
    """One support ticket, perhaps resolved, rated, corrected."""
    opened = draw(ago(moment))
    recorded = draw(after(opened, moment))
    resolved = draw(st.none() | after(recorded, moment))
    rated = draw(st.none() | after(recorded, moment))
    row = history.add(
        "support_tickets",
        ticket_id=2 * number,
        category=draw(st.sampled_from(["billing", "technical", "outage", "cancellation", "moving", "other"])),
        channel="phone",
        priority=draw(st.integers(1, 4)),
        opened_at=opened,
        recorded_at=recorded,
        resolved_at=resolved,
        resolved_recorded_at=resolved and draw(after(resolved, moment)),
        satisfaction=rated and draw(st.integers(1, 5)),
        rated_at=rated,
        rated_recorded_at=rated and draw(after(rated, moment)),
        superseded_at=FOREVER,
    )
    if draw(st.integers(0, 4)) == 0:
        known = max(
            time for time in (recorded, row["resolved_recorded_at"], row["rated_recorded_at"]) if time
        )
        better = correct(
            draw,
            history,
            moment,
            "support_tickets",
            row,
            "ticket_id",
            known_at=known,
            priority=draw(st.integers(1, 4)),
        )
        better["resolved_recorded_at"] = resolved and better["recorded_at"]
    return row


def correct(
    draw: st.DrawFn,
    history: History,
    moment: datetime,
    table: str,
    row: Row,
    key: str,
    known_at: datetime | None = None,
    **changed: Any,
) -> Row:
    """Closes a row and says it better in a new one."""
    at = draw(after((known_at or row["recorded_at"]) + MICROSECOND, moment))
    row["superseded_at"] = at
    return history.add(
        table, **(row | {key: row[key] + 1, "recorded_at": at, "superseded_at": FOREVER} | changed)
    )


def _subscription(draw: st.DrawFn, history: History, moment: datetime, number: int) -> None:
    service = draw(st.sampled_from(sorted(PLANS)))
    started = draw(long_before(moment))
    recorded = draw(after(started, moment))
    ended = draw(st.one_of(st.none(), st.none(), after(recorded, moment)))
    row = history.add(
        "subscriptions",
        subscription_id=number,
        service=service,
        started_at=started,
        started_recorded_at=recorded,
        ended_at=ended,
        ended_recorded_at=ended and draw(after(ended, moment)),
        end_reason=ended and draw(st.sampled_from(["voluntary", "non_payment", "moved", "deceased"])),
        superseded_at=FOREVER,
    )
    if draw(st.integers(0, 5)) == 0:
        row["superseded_at"] = draw(after(recorded + MICROSECOND, moment))
        right = row | {"subscription_id": 100 + number, "started_recorded_at": row["superseded_at"]}
        right |= dict.fromkeys(("ended_at", "ended_recorded_at", "end_reason"))
        history.add("subscriptions", **(right | {"superseded_at": FOREVER}))
    new_id = count(1).__next__

    def terms() -> Row:
        months = draw(st.sampled_from([0, 12, 24, 36]))
        ends_today = months_after(moment.date(), -months)
        half_way = months_after(moment.date(), -(months // 2))
        some = [started.date(), half_way, ends_today, ends_today + DAY, ends_today - DAY]
        begins = draw(st.sampled_from(some))
        inducement = draw(st.sampled_from([("none", 0), ("device_subsidy", 60_000), ("other", 5_000)]))
        price = draw(st.integers(0, 3_000) | st.integers(0, 15_000))
        near = [moment.date() + days * DAY for days in (-1, 0, 1, 90, 91)]
        months_begin = [months_after(begins, months // 2 + month) for month in (-9, 0, 1, 2, 5, 9)]
        beside = [day + days * DAY for day in months_begin for days in (-1, 0, 1)]
        return {
            "subscription_id": number,
            "plan_code": draw(st.sampled_from(PLANS[service])),
            "contract_months": months,
            "contract_starts_on": begins,
            "contract_ends_on": months_after(begins, months) if months else None,
            "monthly_price_cents": price,
            "discount_cents": draw(st.integers(0, price)),
            "promotion_ends_on": draw(st.none() | st.sampled_from(near) | st.sampled_from(beside)),
            "inducement_cents": inducement[1],
            "inducement_kind": inducement[0],
        }

    def price_change(now: Row) -> Row:
        changed = terms() if draw(st.booleans()) else {}
        return {
            **now,
            **changed,
            "monthly_price_cents": max(now["discount_cents"], draw(st.integers(0, 15_000))),
        }

    first = terms()
    for row in _changing(draw, moment, started, recorded, first, price_change):
        row["discount_cents"] = min(row["discount_cents"], row["monthly_price_cents"])
        history.add("subscription_terms", term_id=new_id(), **row)


def _addresses(draw: st.DrawFn, history: History, joined: datetime, moment: datetime) -> None:
    def place(_: Row) -> Row:
        province, code = draw(st.sampled_from(PLACES))
        return {"street": "1 Main", "city": "Town", "province_code": province, "postal_code": code}

    new_id = count(1).__next__
    for row in _changing(draw, moment, joined, draw(after(joined, moment)), place({}), place):
        history.add("customer_addresses", address_id=new_id(), **row)


def _changing(
    draw: st.DrawFn,
    moment: datetime,
    begins: datetime,
    known: datetime,
    first: Row,
    change: Callable[[Row], Row],
) -> list[Row]:
    """Says what was believed to be valid when, as it changes: known late or ahead, and never overwritten."""
    open_row = {
        **first,
        "valid_from": begins,
        "valid_to": FOREVER,
        "recorded_at": known,
        "superseded_at": FOREVER,
    }
    rows = [open_row]
    for _ in range(draw(st.integers(0, 3))):
        known = draw(after(known + MICROSECOND, moment))
        before = open_row["valid_from"]
        some = st.sampled_from([*_edges(moment), known, known + 9 * DAY])
        starts = draw(st.one_of(st.just(before), some, some))
        values = {key: value for key, value in open_row.items() if key in first}
        open_row["superseded_at"] = known
        if starts > before:
            # Now and then nothing is valid for a while.
            ends = max(before + MICROSECOND, starts - draw(st.sampled_from([0, 0, 0, 5])) * DAY)
            rows.append({**open_row, "valid_to": ends, "recorded_at": known, "superseded_at": FOREVER})
        starts = max(starts, before)  # the same start: it was wrong all along
        open_row = {**change(values), "valid_from": starts, "valid_to": FOREVER}
        open_row |= {"recorded_at": known, "superseded_at": FOREVER}
        rows.append(open_row)
    return rows


def months_after(day: date, months: int) -> date:
    """The same day of the month so many months later, or that month's last day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    for last in (day.day, 30, 29, 28):
        try:
            return date(year, month + 1, min(day.day, last))
        except ValueError:
            continue
    raise AssertionError


def crowd(
    moment: datetime, customers: int, *, transactions: int = 20, tickets: int = 4, seed: int = 1
) -> list[History]:
    """Plain lives without corrections, many and cheap: for what needs a crowd and not an edge."""
    random = Random(seed)
    return [_plain(random, moment, transactions, tickets) for _ in range(customers)]


def _plain(random: Random, moment: datetime, transactions: int, tickets: int) -> History:
    history = History(next(_IDS))
    begun = moment - timedelta(days=random.uniform(400, 1200))
    since = {"recorded_at": begun, "superseded_at": FOREVER}
    person = {"given_name": "Ann", "family_name": "Roy", "email": "a@b", "gender": "other", "language": "en"}
    history.add("customers", joined_at=begun, recorded_at=begun, birth_date=date(1970, 1, 1), **person)
    province, code = random.choice(PLACES)
    where = {"street": "1 Main", "city": "Town", "province_code": province, "postal_code": code}
    history.add("customer_addresses", address_id=1, valid_from=begun, valid_to=FOREVER, **where, **since)
    started = {"started_at": begun, "started_recorded_at": begun, "superseded_at": FOREVER}
    started |= dict.fromkeys(("ended_at", "ended_recorded_at", "end_reason"))
    history.add("subscriptions", subscription_id=1, service="internet", **started)
    history.add(
        "subscription_terms",
        **{
            "subscription_id": 1,
            "term_id": 1,
            "plan_code": random.choice(PLANS["internet"]),
            "contract_months": 0,
            "contract_ends_on": None,
        },
        **{"contract_starts_on": begun.date(), "monthly_price_cents": random.randint(3_000, 9_000)},
        **{"discount_cents": 0, "promotion_ends_on": None, "inducement_cents": 0, "inducement_kind": "none"},
        **{"valid_from": begun, "valid_to": FOREVER, **since},
    )
    for number in range(transactions):
        at = moment - timedelta(seconds=random.uniform(0, 400 * 86_400))
        history.add(
            "transactions",
            **{"transaction_id": number, "kind": random.choice(["charge", "payment"]), "currency": "CAD"},
            **{
                "due_on": None,
                "status": "failed" if random.random() < 0.1 else "settled",
                "method": "pre_authorized",
            },
            **{"amount_cents": random.randint(3_000, 9_000), "tax_cents": random.randint(0, 900)},
            **{"occurred_at": at, "recorded_at": at, "superseded_at": FOREVER},
        )
    for number in range(random.randint(0, tickets)):
        at = moment - timedelta(seconds=random.uniform(0, 400 * 86_400))
        what = {"category": "billing", "channel": "chat", "priority": random.randint(1, 4)}
        known = {"opened_at": at, "recorded_at": at, "superseded_at": FOREVER}
        known |= dict.fromkeys(("resolved_at", "resolved_recorded_at", "satisfaction", "rated_recorded_at"))
        history.add("support_tickets", ticket_id=number, **what, **known)
    return history
