"""Joins the calls that wait while a batch is in flight into the next batch: one query, one ONNX run.

There is no timer: a lone call is sent at once, and what comes meanwhile goes together. Measured before it was
built: one query in flight and at most 32 rows a batch serve most calls a second.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import islice

from staunch_features.errors import DatabaseUnavailable
from staunch_features.views.types import FeatureBatch
from staunch_model_store.model import Scores
from staunch_server.deadlines import Deadline
from staunch_server.metrics import ModelMetrics, observe_all
from staunch_server.types import Flag, Floats, Id, Overrides, Row, Stages

SILENCE_S = 0.1
"""After so many seconds without an answer it is the database that is late, and not the caller's deadline that
is short: a healthy one answers in milliseconds."""

Read = Callable[[Sequence[Id], datetime, Deadline], Awaitable[FeatureBatch]]
"""Reads the rows of distinct ids as of a moment."""

Score = Callable[[Floats], Awaitable[Scores]]
"""Scores float64 (n, features)."""

Flags = Callable[[Floats], Mapping[int, tuple[Flag, ...]]]
"""Finds the values of float64 (n, features) that the model did not learn from: row to flags."""


def _no_flags(_: Floats) -> Mapping[int, tuple[Flag, ...]]:
    return {}


Take = Callable[[Row | Exception], None]
"""Takes what a caller's wait ends with: its row, or why there is none; what it raises it is given too."""


@dataclass(slots=True, eq=False)
class Waiter:
    """A caller: whom it asks for, until when, what takes its row and what its steps took."""

    id: Id
    as_of: datetime | None
    overrides: Overrides
    deadline: Deadline
    stages: Stages
    take: Take | None
    since: float = field(default_factory=time.monotonic)

    def waits(self, now: float) -> bool:
        """Whether an answer would still reach it, by the monotonic clock."""
        return self.take is not None and self.deadline.at > now

    def give(self, outcome: Row | Exception) -> None:
        """Ends the wait, unless it has ended; nothing that goes wrong there costs another caller anything."""
        take, self.take = self.take, None
        if take is None:
            return
        try:
            take(outcome)
        except Exception as error:
            take(error)


@dataclass(slots=True, eq=False)
class _Batch:
    """The waiters in flight, the task that answers them, and what ends it if nobody waits any more."""

    waiters: list[Waiter] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    alarm: asyncio.TimerHandle | None = None


class Coalescer:
    """Answers callers of one model version in batches, one batch in flight.

    Callers that give no as-of time share a batch, and those that give the same one do. A caller whose time is
    over, or who went away, is dropped before the query and before the run; the query of a batch that nobody
    waits for any more is cancelled.

    Args:
        read: Reads feature rows.
        score: Runs the model.
        metrics: The version's metrics.
        max_rows: Most callers in a batch.
        flags: Flags the rows that are scored.
        timeout_s: Seconds that a query may take, and that a caller without a deadline waits.
    """

    def __init__(
        self,
        read: Read,
        score: Score,
        metrics: ModelMetrics,
        *,
        max_rows: int,
        timeout_s: float,
        flags: Flags = _no_flags,
    ) -> None:
        self._read = read
        self._score = score
        self._flags = flags
        self._metrics = metrics
        self._max_rows = max_rows
        self._timeout_s = timeout_s
        # In order of arrival; a dict, so that one who leaves is found at once.
        self._queue: dict[Waiter, None] = {}
        self._flight: _Batch | None = None
        # One timer for all, set to the earliest deadline: one each would cost every call.
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf
        # When the first query was sent that the database has not answered since; None if it owes us nothing.
        self._silent_since: float | None = None

    async def row(
        self,
        id_: Id,
        as_of: datetime | None = None,
        overrides: Overrides = (),
        deadline: Deadline | None = None,
        stages: Stages | None = None,
    ) -> Row:
        """Reads and scores one customer; arguments as `ask`, no deadline is as long as a query may take.

        Raises:
            DatabaseUnavailable, TimeoutError, ViewError: As `ask` gives them.
        """
        future: asyncio.Future[Row] = asyncio.get_running_loop().create_future()
        deadline = deadline or Deadline.after(self._timeout_s)
        stages = {} if stages is None else stages
        waiter = self.ask(id_, as_of, overrides, deadline, stages, take=partial(_settle, future))
        try:
            return await future
        except asyncio.CancelledError:
            self.leave(waiter)
            raise

    def ask(
        self,
        id_: Id,
        as_of: datetime | None,
        overrides: Overrides,
        deadline: Deadline,
        stages: Stages,
        *,
        take: Take,
    ) -> Waiter:
        """Has one customer read and scored with those who wait.

        Args:
            id_: Whom.
            as_of: The moment, UTC; None is when the query is sent.
            overrides: Columns to replace before scoring.
            deadline: Until when there is an answer, a row or an error.
            stages: Where to write down what queue, query and run took: a batch's are those of each in it.
            take: Takes the row; or DatabaseUnavailable if the database is away or did not answer in time,
                TimeoutError if the deadline was too short for a healthy one too, ViewError if it is the
                view's fault.

        Returns:
            The caller, as `leave` takes it.
        """
        waiter = Waiter(id_, as_of, overrides, deadline, stages, take)
        self._queue[waiter] = None
        if deadline.at < self._alarm_at:
            self._set_alarm(deadline)
        self._launch()
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Forgets a caller; a batch that nobody waits for any more is cancelled, and its query with it."""
        waiter.take = None
        self._drop([waiter])
        self._cancel_in_vain()

    def _drop(self, gone: Sequence[Waiter]) -> None:
        """Takes out of the queue those of them who are in it."""
        queued = [waiter for waiter in gone if waiter in self._queue]
        for waiter in queued:
            del self._queue[waiter]
        if queued:
            self._metrics.work_saved["read"].inc(len(queued))

    def _launch(self) -> None:
        """Sends the next batch unless one is in flight; what arrives in the same turn of the loop joins."""
        if self._flight is None and self._queue:
            flight = self._flight = _Batch()
            flight.task = asyncio.create_task(self._fly(flight))
            flight.task.add_done_callback(lambda task: self._land(flight, task))

    def _land(self, flight: _Batch, task: asyncio.Task[None]) -> None:
        """Answers those whom the batch left without a row, by its error, and sends the next."""
        error = None if task.cancelled() else task.exception()
        for waiter in flight.waiters:
            if waiter.take is None:
                continue
            if isinstance(error, Exception) and not isinstance(error, TimeoutError):
                waiter.give(error)
            else:
                waiter.give(self._too_late())
        self._flight = None
        if flight.alarm is not None:
            flight.alarm.cancel()
        if not self._queue:
            # Nobody waits, so nothing is owed: the next query's silence begins with that query.
            self._silent_since = None
            self._stop_alarm()
        self._launch()

    def _set_alarm(self, deadline: Deadline) -> None:
        self._stop_alarm()
        self._alarm_at = deadline.at
        self._alarm = asyncio.get_running_loop().call_later(max(0.0, deadline.left()), self._ring)

    def _stop_alarm(self) -> None:
        """Stops it; it would also keep a version in memory that another has replaced."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self._alarm_at = None, math.inf

    def _ring(self) -> None:
        """Ends the wait of those whose time is over, and sets the alarm for the next of the others."""
        self._stop_alarm()
        waiting = [*self._queue, *(self._flight.waiters if self._flight else ())]
        late = [waiter for waiter in waiting if waiter.deadline.left() <= 0]
        self._drop(late)
        for waiter in late:
            waiter.give(self._too_late())
        open_ = [waiter.deadline for waiter in waiting if waiter.take is not None]
        if open_:
            self._set_alarm(min(open_, key=lambda deadline: deadline.at))
        self._cancel_in_vain()

    def _too_late(self) -> Exception:
        """Says why a caller's time ended: a silent database, or a deadline too short for any answer."""
        silent_s = self._silent_s()
        if silent_s >= SILENCE_S:
            return DatabaseUnavailable(
                f"expected rows from the database, got none for {silent_s:.3f} s; try again later"
            )
        return TimeoutError("expected a deadline that leaves time to read and score; give more time")

    def _silent_s(self) -> float:
        """How long the database has owed us an answer, in seconds."""
        return 0.0 if self._silent_since is None else time.monotonic() - self._silent_since

    def _cancel_in_vain(self) -> None:
        """Cancels a batch that nobody waits for any more; not one that takes its waiters only later.

        And not one of a database that is not late: to cancel a query takes a connection and a process of its
        own there, and where callers give up by the hundred, that came to more than all the answers.
        """
        flight = self._flight
        if flight is None or flight.task is None or not flight.waiters:
            return
        if flight.task.done() or flight.task.cancelling():
            return
        if any(waiter.take is not None for waiter in flight.waiters):
            return
        late_in_s = SILENCE_S - self._silent_s()
        if late_in_s <= 0:
            flight.task.cancel()
            self._metrics.work_saved["query"].inc()
        elif flight.alarm is None:
            flight.alarm = asyncio.get_running_loop().call_later(late_in_s, self._cancel_in_vain)

    def _take(self) -> list[Waiter]:
        """Takes the callers that wait for the same moment as the first of them, in order of arrival."""
        now = time.monotonic()
        gone = [waiter for waiter in self._queue if not waiter.waits(now)]
        self._drop(gone)
        for waiter in gone:
            waiter.give(self._too_late())  # the alarm would find it no more
        if not self._queue:
            return []
        moment = next(iter(self._queue)).as_of
        taken = list(islice((w for w in self._queue if w.as_of == moment), self._max_rows))
        for waiter in taken:
            del self._queue[waiter]
        return taken

    async def _fly(self, flight: _Batch) -> None:
        waiters = flight.waiters = self._take()
        if not waiters:
            return
        ids = list(dict.fromkeys(waiter.id for waiter in waiters))
        as_of = waiters[0].as_of or datetime.now(UTC)
        rows = await self._ask(ids, as_of, waiters)
        places = {id_: place for place, id_ in enumerate(ids)}
        now = time.monotonic()
        asked = [(waiter, places[waiter.id]) for waiter in waiters if waiter.waits(now)]
        if len(asked) < len(waiters):
            self._metrics.work_saved["score"].inc(len(waiters) - len(asked))
        await self._answer(asked, rows, as_of)

    async def _ask(self, ids: list[Id], as_of: datetime, waiters: list[Waiter]) -> FeatureBatch:
        """Reads the rows within the time of the caller who waits longest."""
        sent_at = time.monotonic()
        self._silent_since = self._silent_since or sent_at
        self._metrics.joined_rows.observe(len(waiters))
        for waiter in waiters:
            waiter.stages["queue"] = sent_at - waiter.since
        observe_all(self._metrics.queue_seconds, [waiter.stages["queue"] for waiter in waiters])
        latest = Deadline(max([waiter.deadline.at for waiter in waiters]))
        rows = await self._read(ids, as_of, latest.within(self._timeout_s))
        self._silent_since = None
        sql_s = time.monotonic() - sent_at
        for waiter in waiters:
            waiter.stages["sql"] = sql_s
        self._metrics.sql_seconds.observe(sql_s)
        return rows

    async def _answer(self, asked: list[tuple[Waiter, int]], rows: FeatureBatch, as_of: datetime) -> None:
        """Scores the rows of those who still wait, and gives each their own."""
        found, eligible = rows.found.tolist(), rows.eligible.tolist()  # NumPy's own scalars cost more
        scored = [(w, place) for w, place in asked if eligible[place] and place not in rows.problems]
        values = _overridden(rows.values[[place for _, place in scored]], [w.overrides for w, _ in scored])
        if scored:
            started = time.monotonic()
            probabilities = (await self._score(values)).probabilities.tolist()
            onnx_s = time.monotonic() - started
            flags = self._flags(values)
            for at, ((waiter, _), row, probability) in enumerate(
                zip(scored, values, probabilities, strict=True)
            ):
                waiter.stages["onnx"] = onnx_s
                waiter.give(Row(True, True, "", as_of, row, probability, flags.get(at, ())))
        for waiter, place in asked:
            if waiter.take is not None:
                problem = rows.problems.get(place, "")
                waiter.give(Row(found[place], eligible[place], problem, as_of, rows.values[place]))
        self._metrics.rows_scored.inc(len(scored))
        self._metrics.rows_failed.inc(len(asked) - len(scored))


def _settle(future: asyncio.Future[Row], outcome: Row | Exception) -> None:
    if future.done():  # cancelled, and its caller on the way to say so
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _overridden(values: Floats, overrides: Sequence[Overrides]) -> Floats:
    """Replaces columns of the rows in place, each row by its own overrides."""
    for row, changes in zip(values, overrides, strict=True):
        for column, value in changes:
            row[column] = value
    return values
