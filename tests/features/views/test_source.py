"""One statement from ids to a matrix: order, duplicates, unknown ids, nulls, id types, time limits."""

import asyncio
import time
import uuid
from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.features.churn.histories import DAY, MOMENTS, crowd, write
from tests.features.churn.reference import features
from tests.harness.slow_links import slow_link

from staunch_features.errors import DatabaseUnavailable, RowNotAsked, ViewError
from staunch_features.postgres.connection import opened
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.rules import canonical_id
from staunch_features.views.source import FeatureSource, outcome_window, read_whys

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEYS = {
    "bigint": [1, 2, 3],
    "text": ["a", "b c", "ü'\"\\"],
    "uuid": [str(uuid.UUID(int=number)) for number in (1, 2, 3)],
}


@pytest.mark.parametrize("id_type", KEYS)
async def test_ids_of_every_type_come_back_in_the_order_asked(clients, id_type):
    first, second, third = KEYS[id_type]
    batch = await clients.source(id_type=id_type).fetch(
        [third, first, second], NOON, deadline=Deadline.after(5)
    )
    assert batch.values.dtype == np.float64
    assert batch.values[:, 0].tolist() == [30, 10, 20]
    assert np.isnan(batch.values[:, 1]).tolist() == [True, False, False]
    assert batch.found.tolist() == [True, True, True]
    assert batch.eligible.tolist() == [True, True, False]
    assert (batch.as_of, batch.problems) == (NOON, {})


@pytest.mark.parametrize("id_type", KEYS)
async def test_the_population_comes_in_chunks_and_in_its_order(clients, id_type):
    population = f"SELECT id FROM clients_{id_type} ORDER BY a DESC;"
    source = clients.source(id_type=id_type, population=population)
    first, second, third = KEYS[id_type]
    assert [chunk async for chunk in source.population(2)] == [[third, second], [first]]


@pytest.mark.parametrize(
    "population", ["SELECT nonsense FROM clients_bigint", "SELECT id FORM clients_bigint"]
)
async def test_a_population_that_is_no_sql_is_blamed_where_it_stands(clients, population):
    source = clients.source(population=population)
    with pytest.raises(ViewError, match="the database refuses it") as caught:
        await anext(source.population(2))
    assert source.view.text.splitlines()[caught.value.line - 1].startswith("population = ")


@given(ids=st.lists(st.sampled_from([1, 2, 3, 4, 5, 2**63 - 1]), max_size=12))
async def test_order_and_duplicates_are_kept_and_unknown_ids_reported(clients, ids):
    batch = await clients.source().fetch(ids, NOON, deadline=Deadline.after(5))
    assert batch.found.tolist() == [key <= 3 for key in ids]
    assert np.array_equal(
        batch.values[:, 0], [10 * key if key <= 3 else np.nan for key in ids], equal_nan=True
    )
    assert batch.eligible.tolist() == [key in (1, 3) for key in ids]
    assert np.isnan(batch.values[~batch.found]).all()


async def test_one_id_gives_the_same_bits_as_many_in_any_order(churn):
    t = MOMENTS[-1]
    some = crowd(t, 300)
    await write(churn.owner, *some)
    ids = [history.customer_id for history in some]
    many = await churn.source.fetch(ids, t, deadline=Deadline.after(10))
    assert many.found.all()
    for row, key in enumerate(ids):
        alone = await churn.source.fetch([key], t, deadline=Deadline.after(10))
        assert alone.values.tobytes() == many.values[row].tobytes()
    order = Random(2).sample(range(len(ids)), len(ids))
    again = await churn.source.fetch([ids[row] for row in order], t, deadline=Deadline.after(10))
    assert again.values.tobytes() == many.values[order].tobytes()


async def test_a_customer_with_100_000_transactions_equals_the_reference(churn):
    t = MOMENTS[-1]
    (history,) = crowd(t, 1, transactions=100_000)
    await write(churn.owner, history)
    begun = time.monotonic()
    batch = await churn.source.fetch([history.customer_id], t, deadline=Deadline.after(30))
    assert time.monotonic() - begun < 5
    expected = features(history, t, churn.rules)
    names = [column.name for column in (await churn.source.signature(Deadline.after(5))).features]
    got = dict(zip(names, batch.values[0].tolist(), strict=True))
    wanted = [np.nan if expected[name] is None else expected[name] for name in names]
    assert list(got.values()) == pytest.approx(wanted, rel=1e-9, abs=1e-6, nan_ok=True)


async def test_an_absent_moment_is_the_moment_the_query_is_sent(clients):
    before = datetime.now(UTC)
    batch = await clients.source().fetch([1], None, deadline=Deadline.after(5))
    assert before <= batch.as_of <= datetime.now(UTC)


async def test_a_view_without_dates_takes_no_moment(clients):
    source = clients.source(
        "SELECT c.id, c.a, c.b FROM unnest($1::bigint[]) u(id) JOIN clients_bigint c USING (id)"
    )
    assert not (await source.signature(Deadline.after(5))).uses_as_of
    batch = await source.fetch([2], None, deadline=Deadline.after(5))
    assert (batch.as_of, batch.values.tolist(), batch.eligible.tolist()) == (None, [[20, 2]], [True])
    with pytest.raises(ValueError, match="no as-of time"):
        await source.fetch([2], NOON, deadline=Deadline.after(5))


async def test_no_ids_give_no_rows(clients):
    batch = await clients.source().fetch([], NOON, deadline=Deadline.after(5))
    assert (batch.values.shape, batch.found.shape, batch.eligible.shape) == ((0, 2), (0,), (0,))


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("nullif(c.a, 10)", "feature a is null, but the view says it never is"),
        (
            "CASE WHEN c.a = 10 THEN 'NaN'::float8 ELSE c.a END",
            "feature a is null, but the view says it never is",
        ),
        ("CASE WHEN c.a = 10 THEN '-Infinity'::float8 ELSE c.a END", "feature a is infinite"),
    ],
)
async def test_a_row_that_breaks_the_views_promise_is_named_and_fails_alone(clients, expression, problem):
    batch = await clients.source(a=expression).fetch([3, 1, 99], NOON, deadline=Deadline.after(5))
    assert batch.problems == {1: problem}
    assert batch.values[0, 0] == 30


async def test_a_row_outside_the_population_may_hold_anything(clients):
    batch = await clients.source(a="nullif(c.a, 20)").fetch([2], NOON, deadline=Deadline.after(5))
    assert (batch.found[0], batch.eligible[0], batch.problems) == (True, False, {})


WHY = """SELECT u.id, c.a, c.b, c.a <> 20 AS _eligible,
  CASE WHEN c.a = 20 THEN {why} END AS _why, $2::timestamptz AS _moment
FROM unnest($1::{id_type}[]) u(id) JOIN clients_{id_type} c ON c.id = u.id"""


async def whys(source: FeatureSource, pool: Database, ids: list, as_of: datetime | None = NOON):
    """Reads whys as a server does."""
    found = await source.signature(Deadline.after(5))
    return await read_whys(pool, source.view, found, ids, as_of, deadline=Deadline.after(5))


@pytest.mark.parametrize("id_type", KEYS)
async def test_why_is_read_of_ids_of_every_type(clients, id_type):
    first, second, third = KEYS[id_type]
    why = "'left on ' || to_char($2::timestamptz, 'YYYY-MM-DD')"
    source = clients.source(WHY.format(id_type=id_type, why=why))
    found = await whys(source, clients.database, [third, second, first])
    assert found == {first: "", second: "left on 2026-01-01", third: ""}


async def test_a_view_that_tells_nothing_still_tells_whom_it_knows(clients):
    assert await whys(clients.source(), clients.database, [1, 77]) == {1: ""}
    undated = "SELECT c.id, c.a, c.b FROM unnest($1::bigint[]) u(id) JOIN clients_bigint c USING (id)"
    assert await whys(clients.source(undated), clients.database, [2, 77], None) == {2: ""}


CONTROLS = r"U&'a\202Eb' || E'\x1b[31mc\x01\x7f' || U&'\2028d\0085'"


async def test_why_is_a_clause_on_one_line(clients):
    for given_, read in (
        ("E' left\\n  us. '", "left us"),
        ("repeat('x', 300)", "x" * 200),
        (CONTROLS, "a b [31mc d"),
    ):
        source = clients.source(WHY.format(id_type="bigint", why=given_))
        assert (await whys(source, clients.database, [2]))[2] == read


async def test_a_why_that_fails_is_blamed_on_its_line_and_costs_no_row_its_features(clients):
    source = clients.source(WHY.format(id_type="bigint", why="(1 / (c.a::int - 20))::text"))
    with pytest.raises(ViewError, match="division by zero"):
        await whys(source, clients.database, [2])
    assert (await source.fetch([1, 2, 3], NOON, deadline=Deadline.after(5))).found.all()


@pytest.mark.parametrize(
    ("id_type", "raw", "canonical"),
    [
        ("int64", 1, 1),
        ("int64", 2**63 - 1, 2**63 - 1),
        ("text", "Ü", "Ü"),
        ("uuid", "{6F9619FF-8B86-D011-B42D-00CF4FC964FF}", "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
        ("uuid", "6F9619FF8B86D011B42D00CF4FC964FF", "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
        *(("text", key, key) for key in (" ", " 7", "007", "7 ", "e\u0301", "\u00e9", "A", "1e3", "\t\n")),
    ],
)
def test_an_id_has_one_form(id_type, raw, canonical):
    assert canonical_id(id_type, raw) == canonical


NO_IDS = {
    "int64": [0, -1, 2**63, "1"],
    "text": ["", "a\0", 7],
    "uuid": [
        *("6f96", "", 7),
        # What Python takes for 32 digits: blanks, signs, marks of base 16, digits of other scripts.
        *(begin.ljust(32, "0") for begin in (" 1", "+1", "0x", "1_0", "\u0661")),
        "{6f9619ff-8b86-d011-b42d-00cf4fc964ff",
        " 6f9619ff-8b86-d011-b42d-00cf4fc964ff",
    ],
}


@pytest.mark.parametrize(
    ("id_type", "raw"), [(id_type, raw) for id_type in NO_IDS for raw in NO_IDS[id_type]]
)
def test_what_is_no_id_is_refused(id_type, raw):
    with pytest.raises(ValueError, match="expected"):
        canonical_id(id_type, raw)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("1 / (u.id - 3)::float8 AS a", r"division by zero; divide by nullif\(..., 0\)"),
        (
            "(u.id || ' yes')::float8 AS a",
            r"invalid input syntax .*; a cast from text cannot read it: \(... = 'yes'\)::int::float8",
        ),
        (
            "(SELECT c.a FROM clients_bigint c) AS a",
            "more than one row returned by a subquery .*; a sub-query in brackets gives one value",
        ),
        ("ln(u.id - 3) AS a", r"logarithm of zero; take the logarithm of nullif\(..., 0\)"),
        ("sqrt(u.id - 9) AS a", "square root of a negative number; take the root or the power of greatest"),
        ("(u.id * 9000000000000000000)::float8 AS a", "bigint out of range; a number is too large .*: cast"),
        (
            "date_part('day', (u.id || ' May')::date) AS a",
            r"invalid input syntax for type date.*; a cast from text to a time cannot read it: use to_time",
        ),
        (
            "date_part('day', '2000-01-01'::date + 90000000 * u.id::int) AS a",
            "out of range .*; a date or time is out of range",
        ),
    ],
)
async def test_an_expression_that_fails_with_its_rows_is_told_with_its_kind(clients, columns, message):
    source = clients.source(f"SELECT u.id, {columns}, 1::float8 AS b FROM unnest($1::bigint[]) u(id)")
    with pytest.raises(ViewError, match=message) as caught:
        await source.fetch([3], None, deadline=Deadline.after(5))
    assert caught.value.file == "clients.sql"


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "SELECT u.id, c.a, c.b FROM unnest($1::bigint[]) u(id) JOIN clients_bigint c ON c.id <= u.id",
            "more than one for 3",
        ),
        (
            "SELECT c.id, c.a, c.b FROM clients_bigint c WHERE cardinality($1::bigint[]) > 0",
            r"ids in .1 only, got one for .*; begin with unnest\(\$1::bigint\[\]\)",
        ),
    ],
)
async def test_a_view_at_fault_with_its_rows_is_named(clients, statement, message):
    with pytest.raises(ViewError, match=message) as caught:
        await clients.source(statement).fetch([3], None, deadline=Deadline.after(5))
    assert caught.value.file == "clients.sql"


SLOW = "(SELECT count(*) FROM generate_series(1, 10000000000) n WHERE n <> c.a)::float8"


async def becomes(clients, active: int) -> bool:
    """Waits until so many of the reader's queries run in the database."""
    for _ in range(200):
        async with clients.database.connection(Deadline.after(5)) as connection:
            count = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() "
                "AND datname = current_database() AND query LIKE '%array_agg(packed%'"
            )
        if count == active:
            return True
        await asyncio.sleep(0.02)
    return False


async def test_a_row_for_a_key_that_nobody_asked_for_is_told_with_the_type_of_the_keys(clients):
    statement = "SELECT c.id, c.a, c.b FROM clients_uuid c WHERE cardinality($1::uuid[]) > 0"
    with pytest.raises(ViewError, match=r"begin with unnest\(\$1::uuid\[\]\) and join"):
        await clients.source(statement).fetch([KEYS["uuid"][0]], None, deadline=Deadline.after(5))


async def test_a_view_that_takes_a_key_for_another_does_not_answer_for_it(clients):
    """Whoever ignores case or blanks gives the row of a key that nobody asked for."""
    statement = (
        "SELECT c.id, c.a, c.b FROM unnest($1::text[]) u(id) JOIN clients_text c ON c.id = lower(u.id)"
    )
    with pytest.raises(RowNotAsked, match=r"got one for 'a'; .*; a key is compared byte for byte"):
        await clients.source(statement).fetch(["A"], None, deadline=Deadline.after(5))


async def test_rows_that_do_not_come_in_time_are_given_up_and_their_query_ends(clients):
    source = clients.source(a=SLOW)
    await source.signature(Deadline.after(5))
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        await source.fetch([1], NOON, deadline=Deadline.after(0.2))
    assert time.monotonic() - begun < 2
    assert await becomes(clients, active=0)
    assert (await clients.source().fetch([1], NOON, deadline=Deadline.after(5))).found[0]


async def test_what_a_view_is_is_asked_within_one_deadline_and_not_one_for_each_question(
    clients, clients_database
):
    async with slow_link(clients_database.reader_url, 0.15) as url:
        database = Database(url, size=1)
        async with database.connection(Deadline.after(10)):  # so that the questions alone are timed
            pass
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            await FeatureSource(database, clients.view()).signature(Deadline.after(0.4))
        assert 0.3 < time.monotonic() - begun < 0.7
        begun = time.monotonic()
        await FeatureSource(database, clients.view()).signature(Deadline.after(30))
        assert time.monotonic() - begun > 0.8  # though no single question takes long
        await database.close()


async def test_rows_and_what_a_view_is_come_within_one_deadline(clients, clients_database):
    async with slow_link(clients_database.reader_url, 0.15) as url:
        database = Database(url, size=1)
        begun = time.monotonic()
        with pytest.raises((TimeoutError, DatabaseUnavailable)):
            await FeatureSource(database, clients.view()).fetch([1], NOON, deadline=Deadline.after(0.4))
        assert time.monotonic() - begun < 0.7
        await database.close()


async def test_a_fetch_whose_time_is_over_sends_no_query(clients, clients_database):
    source = clients.source()
    await source.signature(Deadline.after(5))
    async with opened(clients_database.reader_url) as watcher:
        sent = (
            "SELECT pid, query_start FROM pg_stat_activity WHERE usename = current_user "
            "AND datname = current_database() AND pid <> pg_backend_pid()"
        )
        before = await watcher.fetch(sent)
        with pytest.raises(TimeoutError):
            await source.fetch([1], NOON, deadline=Deadline(time.monotonic() - 1))
        assert await watcher.fetch(sent) == before
    assert len(before) == 1
    assert before[0]["query_start"] is not None


async def test_a_signature_whose_time_is_over_asks_nothing(clients):
    away = Database("postgresql://nobody@127.0.0.1:1/none", size=1)
    with pytest.raises(TimeoutError):
        await FeatureSource(away, clients.view()).signature(Deadline(time.monotonic() - 1))
    await away.close()


async def test_cancelling_the_task_cancels_the_query(clients):
    source = clients.source(a=SLOW)
    await source.signature(Deadline.after(5))
    task = asyncio.create_task(source.fetch([1], NOON, deadline=Deadline.after(60)))
    assert await becomes(clients, active=1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await becomes(clients, active=0)


async def test_a_database_that_is_away_is_told_as_such_and_asked_again_later(clients):
    away = Database("postgresql://nobody@127.0.0.1:1/none", size=1)
    source = FeatureSource(away, clients.source().view)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            await source.fetch([1], NOON, deadline=Deadline.after(1))
    await away.close()


async def test_labels_come_for_the_ids_asked_and_say_when_they_know_nothing(clients):
    label = clients.label(
        "SELECT id, a > 10 AS left, a::text AS _group FROM clients_bigint WHERE id = ANY ($1) AND a < 30"
    )
    batch = await clients.source().labels(label, [3, 2, 9, 1, 2], NOON)
    assert batch.known.tolist() == [False, True, False, True, True]
    assert batch.values.tolist() == [False, True, False, False, True]
    assert batch.groups == [None, "20", None, "10", "20"]


@pytest.mark.parametrize("id_type", KEYS)
async def test_labels_take_ids_of_every_type(clients, id_type):
    label = clients.label(f"SELECT id, true AS left FROM clients_{id_type} WHERE id = ANY ($1::{id_type}[])")
    batch = await clients.source(id_type=id_type).labels(label, KEYS[id_type], None)
    assert batch.values.tolist() == [True, True, True]
    assert batch.groups == [None, None, None]


def test_the_outcome_window_begins_after_the_gap_and_lasts_the_horizon(clients):
    label = clients.label("SELECT 1")
    assert outcome_window(label, NOON) == (NOON + timedelta(days=7), NOON + timedelta(days=97))
    assert outcome_window(label, None) == (None, None)


async def test_a_label_sees_its_moment_and_its_outcome_window(clients):
    label = clients.label(
        "SELECT u.id, ($2::timestamptz = '2026-01-01 12:00Z' AND $3::timestamptz = '2026-01-08 12:00Z' "
        "AND $4::timestamptz = '2026-04-08 12:00Z') AS left FROM unnest($1::bigint[]) u(id)"
    )
    assert (label.gap_days, label.horizon_days) == (7, 90)
    assert (await clients.source().labels(label, [1], NOON)).values.all()
    assert not (await clients.source().labels(label, [1], NOON + DAY)).values.any()


@pytest.mark.parametrize(
    ("condition", "name"),
    [
        ("id < date_part('epoch', now())", "now"),
        ("$4 < CURRENT_DATE", "CURRENT_DATE"),
        ("$4 < 'today'::timestamptz", "'today'"),
        ("random() < 0.5", "random"),
        ("id < (SELECT max(b) FROM hidden_clock)", "now in view hidden_clock"),
    ],
)
@pytest.mark.parametrize("as_of", [NOON, None])
async def test_a_label_that_reads_the_clock_or_draws_lots_is_refused(clients, condition, name, as_of):
    label = clients.label(f"SELECT id, {condition} AS left FROM clients_bigint WHERE id = ANY ($1::bigint[])")
    with pytest.raises(ViewError, match=rf"{name} answers differently .* use \$3 and \$4") as caught:
        await clients.source().labels(label, [1], as_of)
    assert caught.value.file == "left.sql"


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT id, a FROM clients_bigint WHERE id = ANY ($1)", "got id int8, a float8"),
        (
            "SELECT a > 1 AS left, id FROM clients_bigint WHERE id = ANY ($1)",
            "expected the columns id bigint",
        ),
        ("SELECT id, true AS left, a FROM clients_bigint WHERE id = ANY ($1)", "expected the columns"),
        ("SELECT id FROM clients_bigint WHERE id = ANY ($1)", "expected the columns"),
        ("SELECT u.id, true AS left FROM unnest($1) u(id), clients_bigint", "more than one for 1; aggregate"),
        ("SELECT FROM clients_bigint WHERE id = ANY ($1)", "perhaps _group, got none;"),
        ("SELECT nonsense", "nonsense"),
        ("DELETE FROM clients_bigint WHERE id = ANY ($1) RETURNING id, true AS left", "got DELETE"),
        ("SELECT id, a > $5 AS left FROM clients_bigint WHERE id = ANY ($1)", r"\$1 to \$4, got \$5"),
    ],
)
async def test_a_label_at_fault_is_named(clients, statement, message):
    with pytest.raises(ViewError, match=message) as caught:
        await clients.source().labels(clients.label(statement), [1], NOON)
    assert caught.value.file == "left.sql"


@pytest.mark.parametrize(
    ("columns", "line"),
    [("a AS x,\n true AS left", 7), ("id,\n b AS x", 8), ("id,\n true AS left,\n 1 AS x", 9)],
)
async def test_a_label_of_wrong_columns_is_told_the_line_of_the_first_or_else_the_last(
    clients, columns, line
):
    label = clients.label(f"SELECT {columns}\n FROM clients_bigint WHERE id = ANY ($1)")
    with pytest.raises(ViewError, match="expected the columns id bigint") as caught:
        await clients.source().labels(label, [1], NOON)
    assert caught.value.line == line


@pytest.mark.parametrize("group", ["date '12000-01-01'", "timestamptz '0044-03-15 BC'"])
async def test_a_group_of_a_date_that_python_has_not_is_refused_with_its_line(clients, group):
    label = clients.label(
        f"SELECT id, a > 10 AS left,\n {group} AS _group FROM clients_bigint WHERE id = ANY ($1::bigint[])"
    )
    with pytest.raises(ViewError, match=r"expected _group to be a text or a number, .*; cast it") as caught:
        await clients.source().labels(label, [1], NOON)
    assert caught.value.line == 8
