"""What `view check` finds: nulls, plans, times, and features that look ahead."""

import dataclasses
import re
import time
from datetime import UTC, datetime

import pytest
from tests.features.checks.visits import HONEST, TIMES, VISITS, vacuum
from tests.features.churn.histories import MOMENTS, crowd, write

from staunch_features.checks.check import check_view
from staunch_features.errors import ViewError
from staunch_features.views.sql_text import quoted
from staunch_local.postgres.cluster import READER

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


async def test_a_check_reports_columns_times_plan_and_label(clients):
    label = clients.label("SELECT id, a > 10 AS left FROM clients_bigint WHERE id = ANY ($1::bigint[])")
    view = clients.view(population="SELECT id FROM clients_bigint ORDER BY id")
    found = await check_view(clients.database, view, label, as_of=NOON)
    assert (found.as_of, found.found, found.eligible, found.errors, found.probes) == (NOON, 3, 2, (), ())
    assert [(check.column.name, check.nulls, check.rows) for check in found.columns] == [
        ("a", 0, 2),
        ("b", 1, 2),
    ]
    assert [timing.ids for timing in found.timings] == [1, 3]
    assert all(timing.median_ms > 0 for timing in found.timings)
    assert found.not_probed == ("public.clients_bigint",)
    assert (found.label.rows, found.label.known, found.label.true) == (2, 2, 1)
    assert "clients_bigint" in found.plan.text


async def test_a_view_without_dates_is_checked_too(clients):
    view = clients.view(
        "SELECT id, a, b FROM unnest($1::text[]) AS u (id) JOIN clients_text USING (id)",
        population="SELECT id FROM clients_text ORDER BY id",
    )
    found = await check_view(clients.database, view)
    assert (found.as_of, found.found, found.errors) == (None, 3, ())


@pytest.mark.parametrize("answer", ["true", "null", "c.a > 10"])
async def test_a_view_without_dates_hears_nothing_of_time(clients, answer):
    view = clients.view(
        "SELECT id, nullif(a, 30) AS a, b, nullif(a, 20) < 0 AS _eligible"
        " FROM unnest($1::text[]) AS u (id) JOIN clients_text USING (id)",
        population="SELECT id FROM clients_text ORDER BY id",
    )
    flat = clients.label(f"SELECT c.id, ({answer})::boolean AS left FROM clients_text c")
    label = dataclasses.replace(flat, horizon_days=0, gap_days=0, observation_days=0)
    found = await check_view(clients.database, view, label)
    said = [*map(str, found.errors), *found.advice]
    assert said
    assert not [text for text in said if re.search(r"\b(time|date|days?|as.of|horizon|reach so far)\b", text)]


async def test_a_broken_promise_is_an_error_with_its_line_and_id(clients):
    view = clients.view(a="nullif(c.a, 30)", population="SELECT id FROM clients_bigint ORDER BY id")
    found = await check_view(clients.database, view, as_of=NOON)
    (error,) = found.errors
    assert error.line == 6
    assert "feature a is null" in str(error)
    assert "id 3" in str(error)


async def test_a_promise_that_was_broken_only_before_is_found_where_training_reads(clients):
    seen = f"{HONEST} AND $2::timestamptz > '2026-01-15Z'::timestamptz"
    statement = VISITS.format(table="visits", seen=HONEST).replace(
        "count(*)::float8 AS a", f"(SELECT max(visits.rank) FROM visits WHERE {seen}) AS a"
    )
    view = clients.view(statement, times=TIMES, population="SELECT id FROM clients_bigint ORDER BY id")
    found = await check_view(clients.database, view)
    (error,) = found.errors
    assert error.line == 8
    assert re.search(r"feature a is null, .*: id \d as of 2026-01-1\d", str(error))
    assert found.columns[0].nulls == 0


async def test_a_row_that_does_not_say_whether_it_belongs_is_an_error(clients):
    statement = """SELECT c.id, c.a, c.b,
  nullif(c.id, 2) > 1
    AS _eligible
FROM unnest($1::bigint[]) u(id) JOIN clients_bigint c ON c.id = u.id"""
    view = clients.view(statement, population="SELECT id FROM clients_bigint")
    (error,) = (await check_view(clients.database, view)).errors
    assert "expected _eligible to be true or false, got null for 1 of 3 ids; write (...) IS TRUE" in str(
        error
    )
    assert error.line == 11


WHY = """SELECT c.id, c.a, c.b, c.a <> 20 AS _eligible,
  {why} AS _why
FROM unnest($1::bigint[]) u(id) JOIN clients_bigint c ON c.id = u.id"""


@pytest.mark.parametrize(
    ("why", "notes"),
    [
        ("CASE WHEN c.a = 20 THEN 'left' END", []),
        ("NULLIF('', '')", [r"null for all of 1 ids tried that are not eligible.*: let it say what"]),
        ("'left'::text", [r"says something of 2 of 2 ids tried that are eligible.*: let it be null where"]),
        ("CASE WHEN c.a <> 20 THEN 'x' END", ["null for all of 1 ids", "of 2 of 2 ids tried that are eli"]),
    ],
)
async def test_a_why_that_tells_nothing_or_too_much_is_told(clients, why, notes):
    view = clients.view(WHY.format(why=why), population="SELECT id FROM clients_bigint ORDER BY id")
    found = await check_view(clients.database, view)
    advice = [note for note in found.advice if "_why" in note]
    assert len(advice) == len(notes)
    for note, words in zip(advice, notes, strict=True):
        assert re.match(rf"clients\.sql:10: _why {words}|clients\.sql:10: .*{words}", note)


async def test_a_why_that_fails_is_an_error_on_its_line(clients):
    view = clients.view(
        WHY.format(why="(1 / (c.a::int - 20))::text"), population="SELECT id FROM clients_bigint"
    )
    with pytest.raises(ViewError, match="division by zero"):
        await check_view(clients.database, view)


async def test_a_population_of_whom_nobody_is_eligible_is_told(clients):
    view = clients.view(population="SELECT 2::bigint")
    found = await check_view(clients.database, view)
    assert (found.errors, found.found, found.eligible) == ((), 1, 0)
    assert [note for note in found.advice if note.startswith("no id of the population is eligible")]


async def test_a_population_none_of_whose_ids_has_a_row_is_an_error(clients):
    (error,) = (await check_view(clients.database, clients.view(population="SELECT 4::bigint"))).errors
    assert error.line == 4
    assert "expected rows for the ids of the population, got none for the 1 tried as of " in str(error)
    assert "read the same keys, and give --as-of a moment" in str(error)


EARLIER = """SELECT u.id, count(*)::float8 AS a, max(visits.rank) AS b
FROM unnest($1::bigint[]) AS u (id) JOIN visits ON visits.client = u.id
  AND visits.at <= $2::timestamptz AND visits.known_at <= $2::timestamptz
  AND visits.at > $2::timestamptz - interval '5 days'
GROUP BY u.id"""
CLIENTS = "SELECT id FROM clients_bigint"


async def test_nobody_eligible_now_but_before_leads_to_as_of(clients):
    view = clients.view(EARLIER, population=CLIENTS, times=TIMES)
    found = await check_view(clients.database, view)
    assert (found.errors, found.found) == ((), 0)
    (note,) = [note for note in found.advice if "nobody" in note]
    assert re.match(r"nobody is eligible as of 20.*, but 3 are as of 2026-01-.*, with --as-of$", note)


@pytest.mark.parametrize(("expression", "answer"), [("c.a > 0", "true"), ("c.a < 0", "false")])
async def test_a_label_with_one_answer_for_all_is_told(clients, expression, answer):
    label = clients.label(f"SELECT c.id, {expression} AS left FROM clients_bigint c")
    found = await check_view(clients.database, clients.view(population=CLIENTS), label, as_of=NOON)
    (note,) = [note for note in found.advice if "nothing to learn" in note]
    assert note.startswith(f"left.sql: the label is {answer} for all of 2 rows as of 2026-01-01 12:00 UTC")


async def test_a_label_that_says_nothing_is_an_error_once_its_window_has_closed(clients):
    label = clients.label("SELECT c.id, true AS left FROM clients_bigint c WHERE c.id > 9")
    view = clients.view(population=CLIENTS)
    (error,) = (await check_view(clients.database, view, label, as_of=NOON)).errors
    assert "left.sql: expected labels of eligible ids, got none for the 2 tried as of 2026-01-01" in str(
        error
    )
    (error,) = (await check_view(clients.database, view, label, as_of=NOON, until=NOON)).errors
    assert "tried as of 2025-09-26" in str(error)  # a moment whose window has closed by then
    declared = clients.view(EARLIER, population=CLIENTS, times=TIMES)
    found = await check_view(clients.database, declared, label)  # the rows end before any window does
    assert found.errors == ()
    assert [note for note in found.advice if "the label is known for none of 3 rows" in note]


async def test_a_label_and_a_view_that_do_not_agree_on_dates_are_an_error(clients):
    label = dataclasses.replace(clients.label("SELECT c.id, c.id = 1 AS left FROM clients_bigint c"))
    label = dataclasses.replace(label, horizon_days=0, gap_days=0)
    view = clients.view(population=CLIENTS)
    (error,) = (await check_view(clients.database, view, label, as_of=NOON)).errors
    assert (error.file, error.line) == ("left.sql", 3)
    assert "got horizon_days = 0" in str(error)


async def test_rows_that_end_before_the_outcomes_do_are_told(clients):
    view = clients.view(EARLIER, population=CLIENTS, times=TIMES)
    label = clients.label("SELECT c.id, c.id = 1 AS left FROM clients_bigint c")
    late = datetime(2026, 3, 1, tzinfo=UTC)
    found = await check_view(clients.database, view, label, as_of=NOON, until=late)
    (note,) = [note for note in found.advice if "--until" in note]
    assert note.startswith(
        "the last row is of 2026-01-21 by [time_columns], but outcomes are looked for until"
    )
    assert note.endswith("train with --until 2026-01-22")
    found = await check_view(
        clients.database, view, label, as_of=NOON, until=datetime(2026, 1, 23, tzinfo=UTC)
    )
    assert not [note for note in found.advice if "--until" in note]


async def test_a_dated_view_without_time_columns_is_told_what_could_not_be_tried(clients):
    found = await check_view(clients.database, clients.view(population=CLIENTS), as_of=NOON)
    (note,) = found.advice
    assert note.startswith("clients.sql: the header has no [time_columns], so it could not be tried whether")
    undated = clients.view(
        "SELECT id, a, b FROM unnest($1::text[]) AS u (id) JOIN clients_text USING (id)",
        population="SELECT id FROM clients_text",
    )
    assert (await check_view(clients.database, undated)).advice == ()


@pytest.mark.parametrize("window", ["30 dayz", "30days", "1.5 weeks", "90 d ahead", "90"])
async def test_a_window_that_cannot_be_read_is_told_with_its_line(clients, window):
    view = clients.view(population=CLIENTS)
    windowed = dataclasses.replace(view.features["b"], window=window)
    view = dataclasses.replace(view, features={**view.features, "b": windowed})
    notes = (await check_view(clients.database, view, as_of=NOON)).advice
    assert f"clients.sql:7: cannot read the window '{window}' of b: write a whole number of hours" in notes[0]


@pytest.mark.parametrize("window", ["90 days ahead", "1 month", "since the last call", ""])
async def test_windows_ahead_and_words_for_people_are_let_pass(clients, window):
    view = clients.view(population=CLIENTS)
    windowed = dataclasses.replace(view.features["b"], window=window)
    view = dataclasses.replace(view, features={**view.features, "b": windowed})
    notes = (await check_view(clients.database, view, as_of=NOON)).advice
    assert not [note for note in notes if "window" in note]


BIG = """SELECT u.id, (SELECT count(*) FROM big WHERE big.id = u.id)::float8 AS a, 1::float8 AS b
FROM unnest($1::bigint[]) AS u (id)"""


async def test_an_index_that_answers_only_with_the_help_of_its_table_leads_to_vacuum(clients):
    await clients.owner.execute(
        "CREATE TABLE big (id bigint PRIMARY KEY) WITH (autovacuum_enabled = false); "
        "INSERT INTO big SELECT n FROM generate_series(1, 20000) AS n; GRANT SELECT ON big TO PUBLIC"
    )
    await vacuum(clients.owner, "big")
    view = clients.view(BIG, population="SELECT id FROM big WHERE id <= 1000")
    assert (await check_view(clients.database, view)).advice == ()
    # Written again, its pages are marked as visible to all no more, and the plan stays as it was.
    await clients.owner.execute("UPDATE big SET id = id WHERE id <= 1000")
    (note,) = (await check_view(clients.database, view)).advice
    assert re.fullmatch(r"public\.big: \d+ of 1000 rows came from the table itself: VACUUM it", note)
    await clients.owner.execute("DROP TABLE big")


SLOW = """SELECT u.id,
  (SELECT count(*) FROM generate_series(1, 60000 + u.id) AS n WHERE n % 7 = 1)::float8 AS a,
  1::float8 AS b
FROM unnest($1::bigint[]) AS u (id)"""


async def test_a_slow_view_is_tried_on_as_many_ids_as_answer_in_time(clients):
    view = clients.view(SLOW, population="SELECT n::bigint FROM generate_series(1, 3000) AS n")
    begun = time.monotonic()
    found = await check_view(clients.database, view, budget_s=0.3)
    assert time.monotonic() - begun < 10
    assert 1 <= found.found < 3000
    assert found.timings[0].ids == 1
    assert found.timings[-1].ids == found.found
    (note,) = [note for note in found.advice if "sampled ids were tried" in note]
    assert (
        note
        == f"only {found.found:,} of 3,000 sampled ids were tried: more at once would take longer than 0.3 s"
    )


async def test_a_view_that_does_not_answer_is_an_error_with_its_file(clients):
    statement = SLOW.replace("60000", "1000000000000")
    view = clients.view(statement, population="SELECT 1::bigint")
    with pytest.raises(
        ViewError, match=r"clients.sql: expected an answer within 0.5 s, got none; see by EXPLAIN"
    ):
        await check_view(clients.database, view, timeout_s=0.5)


async def test_a_label_that_does_not_answer_is_an_error_with_its_file(clients):
    statement = (
        SLOW.replace("60000", "1000000000000")
        .replace("::float8 AS a,", " > 1 AS left")
        .replace("  1::float8 AS b\n", "")
    )
    view = clients.view(population=CLIENTS)
    with pytest.raises(ViewError, match=r"left.sql: expected an answer within 0.5 s, got none"):
        await check_view(clients.database, view, clients.label(statement), timeout_s=0.5)


@pytest.mark.parametrize(
    ("window", "declared"),
    [
        ("10 days", 10),
        ("1 month", 30),
        ("217 hours", 10),
        ("9 days", None),
        ("216 hours", None),
        ("10 days ahead", None),
        ("", None),
    ],
)
async def test_a_window_longer_than_what_the_label_observes_is_told(clients, window, declared):
    view = clients.view(population="SELECT id FROM clients_bigint")
    windowed = dataclasses.replace(view.features["a"], window=window)
    view = dataclasses.replace(view, features={**view.features, "a": windowed})
    label = clients.label("SELECT id, a > 10 AS left FROM clients_bigint WHERE id = ANY ($1::bigint[])")
    told = (
        "left.sql:5: observation_days is 9, but the view looks back further: "
        f"a over {window}; declare {declared}, or look back less",
    )
    found = await check_view(clients.database, view, label, as_of=NOON)
    assert [note for note in found.advice if "observation_days" in note] == list(told if declared else ())
    assert not [note for note in (await check_view(clients.database, view)).advice if "window" in note]


async def test_an_empty_population_is_refused(clients):
    with pytest.raises(ViewError, match="population") as caught:
        await check_view(clients.database, clients.view(population="SELECT 1::bigint WHERE false"))
    assert caught.value.line == 4


async def test_the_churn_view_passes_its_own_check(churn):
    t = MOMENTS[-1]
    await write(churn.owner, *crowd(t, 50))
    found = await check_view(churn.database, churn.source.view, churn.label, as_of=t)
    assert found.errors == ()
    assert {probe.table for probe in found.probes} == {
        f"staunch.{table}" for table in churn.source.view.time_columns
    }
    assert set(found.not_probed) == {"staunch.plans", "staunch.province_rules", "staunch.cancellation_rules"}


@pytest.mark.parametrize("name", ["a.b", "with blank", "Upper", "select", 'qu"ote'])
async def test_a_table_of_any_name_is_checked(clients, name):
    table = f"public.{quoted(name)}"
    await clients.owner.execute(f"CREATE TABLE {table} AS SELECT id, a, b FROM clients_bigint")
    await clients.owner.execute(f"GRANT SELECT ON {table} TO {READER}")
    view = clients.view(
        f"SELECT u.id, c.a, c.b FROM unnest($1::bigint[]) AS u (id) JOIN {table} AS c ON c.id = u.id",
        population="SELECT 1",
    )
    view = dataclasses.replace(view, population=f"SELECT id FROM {table}")
    try:
        found = await check_view(clients.database, view)
    finally:
        await clients.owner.execute(f"DROP TABLE {table}")
    assert (found.errors, found.found) == ((), 3)
    assert {scan.sql for scan in found.plan.scans} == {f'"public".{quoted(name)}'}
