"""The coalescer's promises, with a real event loop and small functions where SQL and ONNX go."""

import asyncio
import gc
import math
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from tests.harness.waiting import until

from staunch_features.errors import DatabaseUnavailable
from staunch_features.views.types import FeatureBatch
from staunch_model_store.model import Scores
from staunch_server.deadlines import Deadline, answer_by
from staunch_server.metrics import Metrics
from staunch_server.models.coalescer import SILENCE_S, Coalescer
from staunch_server.types import Id, Row

PAST = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Backend:
    """A database whose row for id i is [i, 2i], and a model that adds up; both remember their calls."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    queries: list[tuple[list[Id], datetime]] = field(default_factory=list)
    runs: list[NDArray[np.float64]] = field(default_factory=list)
    cancelled: int = 0
    fails: Exception | None = None
    missing: set[Id] = field(default_factory=set)
    ineligible: set[Id] = field(default_factory=set)
    broken: set[Id] = field(default_factory=set)

    async def read(self, ids: Sequence[Id], as_of: datetime, deadline: Deadline) -> FeatureBatch:
        self.queries.append((list(ids), as_of))
        try:
            async with deadline.timeout():
                await self.gate.wait()
        except (asyncio.CancelledError, TimeoutError):
            # Ended before its answer: by nobody waiting any more, or by the same moment as a deadline.
            self.cancelled += 1
            raise
        if self.fails is not None:
            raise self.fails
        return FeatureBatch(
            values=np.array([[float(i), 2.0 * float(i)] for i in ids]),
            found=np.array([i not in self.missing for i in ids]),
            eligible=np.array([i not in self.missing | self.ineligible for i in ids]),
            as_of=as_of,
            problems={place: "is null" for place, i in enumerate(ids) if i in self.broken},
        )

    async def score(self, values: NDArray[np.float64]) -> Scores:
        self.runs.append(values)
        return Scores(margins=values.sum(axis=1), probabilities=values.sum(axis=1))


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def coalescer(backend: Backend) -> Callable[..., Coalescer]:
    def make(max_rows: int = 32, timeout_s: float = 5) -> Coalescer:
        metrics = Metrics(CollectorRegistry()).model("churn@1")
        return Coalescer(backend.read, backend.score, metrics, max_rows=max_rows, timeout_s=timeout_s)

    return make


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def ask_during_flight(made: Coalescer, *asked: Any) -> list[asyncio.Task[Row]]:
    """Sends id 1 alone, and the rest while it is in flight."""
    tasks = [asyncio.create_task(made.row(1))]
    await settle()
    tasks += [asyncio.create_task(one) for one in asked]
    await settle()
    return tasks


async def test_a_lone_call_is_sent_at_once(backend: Backend, coalescer: Callable[..., Coalescer]) -> None:
    task = asyncio.create_task(coalescer().row(7))
    await settle()
    assert [ids for ids, _ in backend.queries] == [[7]]
    backend.gate.set()
    assert (await task).probability == 21


async def test_each_call_hears_what_queue_query_and_run_took(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    backend.ineligible = {3}
    made, first, second, third = coalescer(), dict[str, float](), dict[str, float](), dict[str, float]()
    flights = await ask_during_flight(made, made.row(2, stages=second), made.row(3, stages=third))
    flights.append(asyncio.create_task(made.row(4, PAST, stages=first)))
    await asyncio.sleep(0.02)
    assert second == {}
    backend.gate.set()
    await asyncio.gather(*flights)
    assert second.keys() == first.keys() == {"queue", "sql", "onnx"}
    assert third.keys() == {"queue", "sql"}  # nothing was computed for it
    assert second["queue"] >= 0.02
    assert second["sql"] >= 0
    assert third["sql"] == second["sql"]  # they shared a batch


async def test_calls_of_one_turn_of_the_loop_share_a_batch(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    backend.gate.set()
    made = coalescer()
    rows = await asyncio.gather(*(made.row(i) for i in range(1, 11)))
    assert [row.probability for row in rows] == [3 * i for i in range(1, 11)]
    assert len(backend.queries) == len(backend.runs) == 1


async def test_what_waits_during_a_flight_goes_together_next(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    made = coalescer()
    tasks = await ask_during_flight(made, *(made.row(i) for i in (2, 3, 4)))
    assert len(backend.queries) == 1
    backend.gate.set()
    rows = await asyncio.gather(*tasks)
    assert [ids for ids, _ in backend.queries] == [[1], [2, 3, 4]]
    assert len({row.as_of for row in rows[1:]}) == 1


async def test_a_batch_holds_no_more_than_its_cap(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    made = coalescer(max_rows=4)
    tasks = await ask_during_flight(made, *(made.row(i) for i in range(2, 12)))
    backend.gate.set()
    await asyncio.gather(*tasks)
    assert [len(ids) for ids, _ in backend.queries] == [1, 4, 4, 2]


async def test_ids_reach_the_query_distinct_and_each_caller_gets_its_row(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    backend.gate.set()
    made = coalescer()
    rows = await asyncio.gather(*(made.row(i) for i in (5, 6, 5)))
    assert backend.queries[0][0] == [5, 6]
    assert [row.probability for row in rows] == [15, 18, 15]


async def test_only_equal_moments_share_a_batch(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    made = coalescer()
    later = PAST + timedelta(microseconds=1)
    tasks = await ask_during_flight(
        made, made.row(2, PAST), made.row(3), made.row(4, PAST), made.row(5, later)
    )
    backend.gate.set()
    rows = await asyncio.gather(*tasks)
    assert [ids for ids, _ in backend.queries] == [[1], [2, 4], [3], [5]]
    assert [rows[1].as_of, rows[3].as_of, rows[4].as_of] == [PAST, PAST, later]


async def test_an_absent_moment_is_the_one_at_which_the_query_is_sent(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    made = coalescer()
    tasks = await ask_during_flight(made, made.row(2))
    freed = datetime.now(UTC)
    backend.gate.set()
    rows = await asyncio.gather(*tasks)
    assert rows[0].as_of < freed <= rows[1].as_of <= datetime.now(UTC)


async def test_overrides_change_only_their_callers_row(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    backend.gate.set()
    made = coalescer()
    plain, changed = await asyncio.gather(made.row(5), made.row(5, None, ((1, 100.0), (0, math.nan))))
    assert plain.values.tolist() == [5, 10]
    assert math.isnan(changed.values[0])
    assert changed.values[1] == 100
    assert len(backend.queries) == len(backend.runs) == 1


async def test_an_unknown_or_ineligible_id_fails_only_itself(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    backend.gate.set()
    backend.missing, backend.ineligible, backend.broken = {2}, {3}, {4}
    made = coalescer()
    rows = await asyncio.gather(*(made.row(i) for i in (1, 2, 3, 4)))
    assert [(row.found, row.eligible, row.problem) for row in rows] == [
        (True, True, ""),
        (False, False, ""),
        (True, False, ""),
        (True, True, "is null"),
    ]
    assert [math.isnan(row.probability) for row in rows] == [False, True, True, True]
    assert backend.runs[0].tolist() == [[1, 2]]


async def test_nothing_is_scored_when_no_row_can_be(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    backend.gate.set()
    backend.missing = {9}
    assert not (await coalescer().row(9)).found
    assert backend.runs == []


async def test_a_failed_query_fails_its_callers_and_the_next_batch_goes_on(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    made = coalescer()
    tasks = await ask_during_flight(made)
    backend.fails = DatabaseUnavailable("away")
    backend.gate.set()
    with pytest.raises(DatabaseUnavailable, match="away"):
        await tasks[0]
    backend.fails = None
    assert (await made.row(2)).probability == 6


async def test_an_error_nobody_foresaw_reaches_every_caller_of_the_batch(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    backend.gate.set()
    backend.fails = ZeroDivisionError("a bug")
    made = coalescer()
    outcomes = await asyncio.gather(made.row(1), made.row(2), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError, ZeroDivisionError]


async def test_a_cancelled_call_is_dropped_before_the_query(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    made = coalescer()
    tasks = await ask_during_flight(made, made.row(2), made.row(3))
    tasks[1].cancel()
    await settle()
    backend.gate.set()
    await asyncio.gather(tasks[0], tasks[2])
    assert [ids for ids, _ in backend.queries] == [[1], [3]]


async def test_a_late_call_is_dropped_before_the_query(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    made = coalescer()
    tasks = await ask_during_flight(made, made.row(2, deadline=Deadline.after(0.02)), made.row(3))
    with pytest.raises(TimeoutError):
        await tasks[1]
    backend.gate.set()
    await asyncio.gather(tasks[0], tasks[2])
    assert [ids for ids, _ in backend.queries] == [[1], [3]]


async def test_a_call_whose_time_is_over_when_it_comes_costs_no_query(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    with pytest.raises(TimeoutError, match="more time"):
        await coalescer().row(1, deadline=Deadline.after(-1))
    await settle()
    assert backend.queries == []


async def test_each_row_query_and_wait_is_counted_once(backend: Backend) -> None:
    metrics = Metrics(CollectorRegistry())
    made = Coalescer(backend.read, backend.score, metrics.model("churn@1"), max_rows=32, timeout_s=5)
    backend.gate.set()
    backend.missing, backend.broken = {2}, {3}
    await asyncio.gather(*(made.row(i) for i in (1, 2, 3, 4, 5)))

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, {"model": "churn@1", **labels})

    assert value("staunch_rows_total", outcome="scored") == 3
    assert value("staunch_rows_total", outcome="failed") == 2
    assert value("staunch_sql_seconds_count", kind="interactive") == 1
    assert value("staunch_queue_seconds_count") == 5
    assert value("staunch_batch_rows_sum", kind="interactive") == 5


async def test_a_call_that_left_during_the_query_is_not_scored(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    made = coalescer()
    tasks = [asyncio.create_task(made.row(i)) for i in (1, 2)]
    await settle()
    tasks[0].cancel()
    await settle()
    backend.gate.set()
    await tasks[1]
    assert backend.queries[0][0] == [1, 2]
    assert backend.runs[0].tolist() == [[2, 4]]


async def test_work_that_nobody_waits_for_is_counted_by_what_it_was(backend: Backend) -> None:
    metrics = Metrics(CollectorRegistry())
    made = Coalescer(backend.read, backend.score, metrics.model("churn@1"), max_rows=32, timeout_s=5)

    def saved() -> dict[str, float]:
        (family,) = metrics.work_saved.collect()
        counted = [sample for sample in family.samples if sample.name.endswith("_total")]
        return {sample.labels["what"]: sample.value for sample in counted if sample.value}

    flight = await ask_during_flight(made, made.row(2), made.row(3, deadline=Deadline.after(0.02)))
    flight[1].cancel()  # left, and the other's time ends: neither is read
    with pytest.raises(TimeoutError):
        await flight[2]
    assert saved() == {"read": 2}
    backend.gate.set()
    await flight[0]
    backend.gate.clear()
    pair = [asyncio.create_task(made.row(i)) for i in (4, 5)]
    await settle()
    pair[0].cancel()  # read, and not scored
    await settle()
    backend.gate.set()
    await pair[1]
    assert saved() == {"read": 2, "score": 1}
    backend.gate.clear()
    lone = asyncio.create_task(made.row(6))
    await settle()
    lone.cancel()
    made.leave(made.ask(7, None, (), Deadline.after(5), {}, take=lambda _: None))
    await until(lambda: saved() == {"read": 3, "score": 1, "query": 1})  # once the database is late


async def test_the_query_is_cancelled_when_nobody_waits(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    made = coalescer()
    tasks = [asyncio.create_task(made.row(i)) for i in (1, 2)]
    await settle()
    tasks[0].cancel()
    await settle()
    assert backend.cancelled == 0
    tasks[1].cancel()
    await settle()
    assert backend.cancelled == 0  # to cancel costs more than what a database that is not late still does
    await until(lambda: backend.cancelled == 1)
    backend.gate.set()
    assert (await made.row(3)).probability == 9


async def test_a_deadline_too_short_for_a_healthy_database_is_the_callers(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    with pytest.raises(TimeoutError, match="more time"):
        await coalescer().row(1, deadline=Deadline.after(0.03))
    await until(lambda: backend.cancelled == 1)


async def test_a_silent_database_is_unavailable_before_the_callers_deadline(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    made = coalescer()
    caller = Deadline.after(0.3)
    tasks = await ask_during_flight(made, made.row(2, deadline=answer_by(caller)))
    with pytest.raises(DatabaseUnavailable, match="expected rows"):
        await tasks[1]
    assert caller.left() > 0
    tasks[0].cancel()


async def test_a_database_that_answered_slowly_owes_nothing_to_the_next_batch(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    made = coalescer(max_rows=1)
    first = asyncio.create_task(made.row(1))
    await settle()
    queued = asyncio.create_task(made.row(2))
    await asyncio.sleep(1.5 * SILENCE_S)
    backend.gate.set()
    assert (await first).probability == 3
    backend.gate.clear()  # The next query is out by now, and its silence begins with it.
    with pytest.raises(TimeoutError, match="more time"):
        await made.row(3, deadline=Deadline.after(0.3 * SILENCE_S))
    backend.gate.set()
    await queued


async def test_a_silence_ends_with_the_last_caller_who_waited_for_it(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    made = coalescer()
    with pytest.raises(DatabaseUnavailable):
        await made.row(1, deadline=Deadline.after(1.5 * SILENCE_S))
    await settle()
    with pytest.raises(TimeoutError, match="more time"):
        await made.row(2, deadline=Deadline.after(0.3 * SILENCE_S))


async def test_callers_queued_behind_a_silent_database_hear_that_it_is_unavailable(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    made = coalescer(max_rows=1)
    until = time.monotonic() + 0.3
    asked = [made.row(i, deadline=Deadline(until + i / 100)) for i in range(6)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {DatabaseUnavailable}
    await settle()  # callers hear first, then the query that was theirs ends
    assert backend.cancelled == len(backend.queries)


async def test_a_query_that_takes_too_long_while_the_caller_has_time_is_unavailable(
    coalescer: Callable[..., Coalescer],
) -> None:
    with pytest.raises(DatabaseUnavailable):
        await coalescer(timeout_s=0.2).row(1, deadline=Deadline.after(60))


async def test_each_caller_waits_until_its_own_deadline_whichever_came_first(
    coalescer: Callable[..., Coalescer],
) -> None:
    made = coalescer(max_rows=2)
    waits = [0.3, 0.1, 0.5, 0.2, 0.4, 0.1]  # some in flight, some queued; later ones are due earlier
    began = time.monotonic()

    async def waited(seconds: float) -> float:
        with pytest.raises((TimeoutError, DatabaseUnavailable)):
            await made.row(1, deadline=Deadline.after(seconds))
        return time.monotonic() - began

    ended = await asyncio.gather(*map(waited, waits))
    for wait, end in zip(waits, ended, strict=True):
        assert wait <= end < wait + 0.09


async def test_a_far_deadline_keeps_no_coalescer_once_its_caller_is_answered(
    backend: Backend, coalescer: Callable[..., Coalescer]
) -> None:
    backend.gate.set()
    made = coalescer()
    await made.row(1, deadline=Deadline.after(3600))
    await settle()
    gone = weakref.ref(made)
    del made
    gc.collect()
    assert gone() is None


async def test_a_caller_without_a_deadline_waits_no_longer_than_a_query_may_take(
    coalescer: Callable[..., Coalescer],
) -> None:
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        await coalescer(timeout_s=0.2).row(1)
    assert time.monotonic() - began < 1


@given(
    calls=st.lists(
        st.tuples(st.integers(1, 6), st.sampled_from([None, PAST]), st.floats(0, 0.004), st.booleans()),
        max_size=30,
    ),
    max_rows=st.integers(1, 5),
)
def test_every_caller_gets_its_own_row_however_calls_arrive_and_leave(
    calls: list[tuple[int, datetime | None, float, bool]], max_rows: int
) -> None:
    async def call(made: Coalescer, id_: int, as_of: datetime | None, wait_s: float, leaves: bool) -> None:
        await asyncio.sleep(wait_s)
        task = asyncio.create_task(made.row(id_, as_of))
        if leaves:
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            return
        row = await task
        assert (row.probability, row.as_of) == (3 * id_, as_of or row.as_of)

    async def run() -> None:
        backend = Backend()
        asyncio.get_running_loop().call_later(0.002, backend.gate.set)
        metrics = Metrics(CollectorRegistry()).model("churn@1")
        made = Coalescer(backend.read, backend.score, metrics, max_rows=max_rows, timeout_s=5)
        await asyncio.gather(*(call(made, *one) for one in calls))
        assert all(len(ids) <= max_rows for ids, _ in backend.queries)

    asyncio.run(run())
