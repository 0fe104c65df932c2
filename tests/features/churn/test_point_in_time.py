"""An as-of time sees exactly what was known then: bit for bit, whatever is written later."""

from datetime import timedelta
from functools import partial

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.features.churn.histories import (
    DAY,
    FAILED_PAYMENT,
    FOREVER,
    MICROSECOND,
    MOMENTS,
    TABLES,
    History,
    Row,
    copy,
    histories,
    ticket,
    transaction,
    write,
)

from staunch_features.postgres.deadlines import Deadline

moments = st.sampled_from(MOMENTS)
# What is kept from a moment is kept of few events as of many; the reference is held to lives of 20.
lives = partial(histories, most_events=8)
few = settings(max_examples=settings.default.max_examples // 3)

TIMES = {
    "customer_addresses": ("valid_from", "recorded_at"),
    "subscriptions": ("started_at", "started_recorded_at"),
    "subscription_terms": ("valid_from", "recorded_at"),
    "transactions": ("occurred_at", "recorded_at"),
    "support_tickets": ("opened_at", "recorded_at"),
}
KEYS = {
    "customer_addresses": "address_id",
    "subscriptions": "subscription_id",
    "subscription_terms": "term_id",
    "transactions": "transaction_id",
    "support_tickets": "ticket_id",
}


async def seen(churn, history: History, t) -> bytes:
    """The features as bytes: equal only if every bit is."""
    batch = await churn.source.fetch([history.customer_id], t, deadline=Deadline.after(10))
    return batch.values.tobytes() + batch.eligible.tobytes() + batch.found.tobytes()


def template_row(table: str, history: History, t) -> Row:
    """A row that would change features if it were seen at t."""
    customer = {"customer_id": history.customer_id}
    return (
        customer
        | {
            "customer_addresses": {
                "street": "2 Rue",
                "city": "X",
                "province_code": "MB",
                "postal_code": "R0A 0A0",
            },
            "subscriptions": {"service": "tv", "superseded_at": FOREVER},
            "subscription_terms": {
                "subscription_id": 900,
                "plan_code": "tv_premium",
                "contract_months": 0,
                "contract_starts_on": t.date(),
                "monthly_price_cents": 77_700,
                "discount_cents": 100,
                "inducement_cents": 0,
                "inducement_kind": "none",
            },
            "transactions": FAILED_PAYMENT,
            "support_tickets": {
                "category": "billing",
                "channel": "chat",
                "priority": 1,
                "superseded_at": FOREVER,
            },
        }[table]
        | {KEYS[table]: 990}
    )


def poison(table: str, history: History, t, event, recorded) -> Row:
    """A row of a table that happened and was recorded at these times."""
    happened, known = TIMES[table]
    row = template_row(table, history, t) | {happened: event, known: recorded}
    if "valid_from" in row:
        row |= {"valid_to": FOREVER, "superseded_at": FOREVER}
    return row


async def with_base(churn, history: History, t) -> None:
    """Writes a history in which a poison row contradicts nothing: one old address, a subscription 900."""
    customer = history.tables["customers"][0]
    long_ago = t - 100 * DAY
    customer |= {"joined_at": min(customer["joined_at"], long_ago), "recorded_at": long_ago}
    history.tables["customer_addresses"] = []
    history.add(
        "customer_addresses",
        address_id=1,
        **{"street": "1 Main", "city": "X", "province_code": "ON", "postal_code": "K1A 0B1"},
        **{"valid_from": long_ago, "recorded_at": long_ago, "valid_to": FOREVER, "superseded_at": FOREVER},
    )
    history.add(
        "subscriptions",
        subscription_id=900,
        service="tv",
        started_at=long_ago,
        started_recorded_at=long_ago,
        superseded_at=FOREVER,
    )
    await write(churn.owner, history)


async def add(churn, table: str, row: Row) -> None:
    """Writes a row; an address takes the place of the one known before."""
    if table == "customer_addresses":
        close = "UPDATE staunch.customer_addresses SET superseded_at = $2 WHERE customer_id = $1"
        await churn.owner.execute(close, row["customer_id"], row["recorded_at"])
    await copy(churn.owner, table, [row])


@pytest.mark.parametrize("table", TIMES)
@given(st.data(), moments)
@few
async def test_rows_that_happen_after_t_change_nothing(churn, table, data, t):
    history = data.draw(lives(t))
    await with_base(churn, history, t)
    before = await seen(churn, history, t)
    event = t + data.draw(st.sampled_from([MICROSECOND, DAY]))
    await add(churn, table, poison(table, history, t, event, event))
    assert await seen(churn, history, t) == before
    assert await seen(churn, history, event) != before


@pytest.mark.parametrize("table", TIMES)
@given(st.data(), moments)
@few
async def test_rows_recorded_after_t_change_nothing(churn, table, data, t):
    history = data.draw(lives(t))
    await with_base(churn, history, t)
    before = await seen(churn, history, t)
    recorded = t + data.draw(st.sampled_from([MICROSECOND, DAY]))
    await add(churn, table, poison(table, history, t, t - DAY, recorded))
    assert await seen(churn, history, t) == before


@pytest.mark.parametrize("table", TIMES)
@given(st.data(), moments)
@few
async def test_a_correction_leaves_what_earlier_times_see(churn, table, data, t):
    history = data.draw(lives(t))
    recorded = TIMES[table][1]
    rows = [r for r in history.tables[table] if r["superseded_at"] == FOREVER and r[recorded] <= t]
    assume(rows)
    wrong = data.draw(st.sampled_from(rows))
    await write(churn.owner, history)
    before = await seen(churn, history, t)
    at = t + data.draw(st.sampled_from([MICROSECOND, DAY, 90 * DAY]))
    await churn.owner.execute(
        f"UPDATE staunch.{table} SET superseded_at = $1 WHERE customer_id = $2 AND {KEYS[table]} = $3"
        + (" AND subscription_id = $4" if table == "subscription_terms" else ""),
        at,
        history.customer_id,
        wrong[KEYS[table]],
        *([wrong["subscription_id"]] if table == "subscription_terms" else []),
    )
    better = wrong | template_row(table, history, t)
    better |= {name: wrong[name] for name in ("subscription_id",) if table == "subscription_terms"}
    better |= {recorded: at, "superseded_at": FOREVER}
    better |= dict.fromkeys(
        ("ended_at", "ended_recorded_at", "end_reason", "resolved_at", "resolved_recorded_at")
    )
    better |= dict.fromkeys(("satisfaction", "rated_at", "rated_recorded_at", "contract_ends_on"))
    await copy(churn.owner, table, [{name: value for name, value in better.items() if value is not None}])
    assert await seen(churn, history, t) == before


CLOSINGS = {
    "a ticket resolved": (
        "support_tickets",
        "UPDATE staunch.support_tickets SET resolved_at = greatest($2, opened_at), "
        "resolved_recorded_at = greatest($3, recorded_at) WHERE customer_id = $1 AND resolved_at IS NULL",
    ),
    "a ticket rated": (
        "support_tickets",
        "UPDATE staunch.support_tickets SET satisfaction = 1, rated_at = greatest($2, opened_at), "
        "rated_recorded_at = greatest($3, opened_at) WHERE customer_id = $1 AND rated_at IS NULL",
    ),
    "a subscription ended": (
        "subscriptions",
        "UPDATE staunch.subscriptions SET ended_at = greatest($2, started_at), end_reason = 'voluntary', "
        "ended_recorded_at = greatest($3, started_recorded_at) WHERE customer_id = $1 AND ended_at IS NULL",
    ),
}


@pytest.mark.parametrize("closing", CLOSINGS)
@pytest.mark.parametrize("happened_before", [False, True], ids=["after t", "before t, recorded after"])
@given(st.data(), moments)
@few
async def test_what_is_closed_or_known_as_closed_after_t_is_open_at_t(
    churn, closing, happened_before, data, t
):
    table, update = CLOSINGS[closing]
    history = data.draw(lives(t))
    assume(history.tables[table])
    await write(churn.owner, history)
    before = await seen(churn, history, t)
    recorded = t + data.draw(st.sampled_from([MICROSECOND, DAY]))
    await churn.owner.execute(update, history.customer_id, t - DAY if happened_before else recorded, recorded)
    assert await seen(churn, history, t) == before


@given(st.data(), moments)
@few
async def test_erasing_a_customer_after_t_changes_nothing_at_t_and_ends_eligibility(churn, data, t):
    history = data.draw(lives(t))
    assume(history.tables["customers"][0]["recorded_at"] <= t)
    await write(churn.owner, history)
    before = await seen(churn, history, t)
    later = t + MICROSECOND
    await churn.owner.execute(
        "UPDATE staunch.customers SET erased_at = $2 WHERE customer_id = $1", history.customer_id, later
    )
    assert await seen(churn, history, t) == before
    assert not (await churn.source.fetch([history.customer_id], later, deadline=Deadline.after(10))).eligible[
        0
    ]


def columns_from(churn, signature, table: str) -> list[int]:
    """The positions of the features that read a table, by the view's own header."""
    docs = churn.source.view.features
    return [
        place
        for place, column in enumerate(signature.features)
        if any(source.startswith(f"{table}.") for source in docs[column.name].source)
    ]


@pytest.mark.parametrize(
    ("added", "kept"), [("support_tickets", "transactions"), ("transactions", "support_tickets")]
)
@given(st.data(), moments)
@few
async def test_a_row_of_one_table_changes_no_feature_of_the_others(churn, added, kept, data, t):
    history = data.draw(lives(t))
    await write(churn.owner, history)
    signature = await churn.source.signature(Deadline.after(5))
    mine, others = columns_from(churn, signature, added), columns_from(churn, signature, kept)
    before = await churn.source.fetch([history.customer_id], t, deadline=Deadline.after(10))
    make = {"support_tickets": ticket, "transactions": transaction}[added]
    extra = History(history.customer_id)
    for number in range(3):
        data.draw(st.composite(make)(extra, t, 200 + number))
    await write(churn.owner, extra)
    after = await churn.source.fetch([history.customer_id], t, deadline=Deadline.after(10))
    unchanged = [place for place in range(len(signature.features)) if place not in mine]
    assert set(others) <= set(unchanged)
    assert before.values[:, unchanged].tobytes() == after.values[:, unchanged].tobytes()


@given(st.data(), moments)
@few
async def test_a_ticket_about_the_cancellation_itself_changes_nothing(churn, data, t):
    history = data.draw(lives(t))
    await write(churn.owner, history)
    before = await seen(churn, history, t)
    row = poison("support_tickets", history, t, t - DAY, t - DAY) | {"category": "cancellation"}
    await copy(churn.owner, "support_tickets", [row])
    assert await seen(churn, history, t) == before


@given(st.data(), moments)
@few
async def test_the_same_moment_asked_later_gives_the_same_bits(churn, data, t):
    history = data.draw(lives(t))
    await write(churn.owner, history)
    now = await churn.source.fetch([history.customer_id], None, deadline=Deadline.after(10))
    assert now.as_of is not None
    assert (await seen(churn, history, now.as_of)).startswith(now.values.tobytes())


@given(st.data(), moments, st.sampled_from(["America/St_Johns", "America/Toronto", "Pacific/Kiritimati"]))
@few
async def test_the_time_zone_of_a_session_changes_nothing(churn, data, t, zone):
    history = data.draw(lives(t))
    await write(churn.owner, history)
    seen = set()
    for setting in ("UTC", zone, "UTC"):
        await churn.owner.execute(f"SET timezone = '{setting}'")
        rows = await churn.owner.fetch(churn.source.view.statement, [history.customer_id], t)
        seen.add(tuple(tuple(row.values()) for row in rows))
    assert len(seen) == 1


def test_every_table_of_the_view_has_its_times_declared(churn_view):
    tables = {source.partition(".")[0] for doc in churn_view.features.values() for source in doc.source}
    reference = {"plans", "province_rules", "cancellation_rules"}
    assert tables - reference == set(churn_view.time_columns) == set(TABLES)


async def test_known_the_moment_it_is_recorded(churn):
    t = MOMENTS[-1]
    history = History(10_000_000)
    history.add(
        "customers",
        given_name="A",
        family_name="B",
        email="a@b",
        birth_date=t.date(),
        gender="other",
        language="fr",
        joined_at=t - timedelta(days=1),
        recorded_at=t,
    )
    await write(churn.owner, history)
    batch = await churn.source.fetch([history.customer_id], t, deadline=Deadline.after(10))
    assert batch.found[0]
    assert not (
        await churn.source.fetch([history.customer_id], t - MICROSECOND, deadline=Deadline.after(10))
    ).found[0]
