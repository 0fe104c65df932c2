"""Joins the calls that wait while a batch is in flight into the next batch: one query, one ONNX run.

There is no timer: a lone call is sent at once, and what comes meanwhile goes together. Measured before it was
built: one query in flight and at most 32 rows a batch serve most calls a second.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from staunch_features.errors import DatabaseUnavailable
from staunch_server.metrics import ModelMetrics

Id = int | str
"""A bigint, or a text or uuid key, in canonical form."""

Overrides = tuple[tuple[int, float], ...]
"""Columns to replace in a live row, and their values; NaN is null."""

# A healthy database answers in milliseconds, so a query that has been silent for this long is not the
# caller's short deadline but the database's fault.
_SILENCE_S = 0.1

# What is kept back of a caller's time so that our answer still arrives: 5 %, at most 50 ms.
_RESERVE_SHARE = 0.05
_RESERVE_MAX_S = 0.05


class Rows(Protocol):
    """What a read gives: `staunch_features.views.source.FeatureBatch`."""

    @property
    def values(self) -> NDArray[np.float64]:
        """Features, float64 (n, features), NaN is null."""

    @property
    def found(self) -> NDArray[np.bool_]:
        """Whether there is a row, bool (n,)."""

    @property
    def eligible(self) -> NDArray[np.bool_]:
        """Whether the row belongs to the population, bool (n,)."""

    @property
    def problems(self) -> dict[int, str]:
        """Row index to why an eligible row must not be scored."""


class Scores(Protocol):
    """What a run of the model gives: `staunch_model_store.model.Scores`."""

    @property
    def margins(self) -> NDArray[np.float64]:
        """The model's own output, float64 (n,)."""

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Calibrated probabilities, float64 (n,)."""


Read = Callable[[Sequence[Id], datetime, float], Awaitable[Rows]]
"""Reads the rows of distinct ids as of a moment within so many seconds."""

Score = Callable[[NDArray[np.float64]], Awaitable[Scores]]
"""Scores float64 (n, features)."""


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one caller's customer.

    Attributes:
        found: Whether the view has a row.
        eligible: Whether the row belongs to the population; only such rows are scored.
        problem: Why an eligible row was not scored; empty if it was.
        as_of: The moment it was read as of, UTC.
        values: Float64 (features,), overrides applied, NaN is null.
        probability: 0 to 1; NaN if not scored.
    """

    found: bool
    eligible: bool
    problem: str
    as_of: datetime
    values: NDArray[np.float64]
    probability: float = float("nan")


@dataclass(slots=True, eq=False)
class _Waiter:
    """A caller: whom it asks for, until when (monotonic seconds), and where its row goes."""

    id: Id
    as_of: datetime | None
    overrides: Overrides
    give_up_at: float
    row: asyncio.Future[Row]
    since: float = field(default_factory=time.monotonic)

    def waits(self) -> bool:
        return not self.row.done() and self.give_up_at > time.monotonic()


@dataclass(slots=True, eq=False)
class _Batch:
    """The waiters in flight and the task that answers them."""

    waiters: list[_Waiter] = field(default_factory=list)
    task: asyncio.Task[None] | None = None


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
        timeout_s: Seconds that a query may take, and that a caller without a deadline waits.
    """

    def __init__(
        self, read: Read, score: Score, metrics: ModelMetrics, *, max_rows: int, timeout_s: float
    ) -> None:
        self._read = read
        self._score = score
        self._metrics = metrics
        self._max_rows = max_rows
        self._timeout_s = timeout_s
        self._queue: dict[_Waiter, None] = {}
        self._flight: _Batch | None = None
        # When the first query was sent that the database has not answered since; None if it owes us nothing.
        self._silent_since: float | None = None

    async def row(
        self, id_: Id, as_of: datetime | None = None, overrides: Overrides = (), deadline: float | None = None
    ) -> Row:
        """Reads and scores one customer.

        Args:
            id_: Whom.
            as_of: The moment, UTC; None is when the query is sent.
            overrides: Columns to replace before scoring.
            deadline: On the clock of `time.monotonic()`, seconds; None if there is none.

        Raises:
            DatabaseUnavailable: The database is away or did not answer in time.
            TimeoutError: The deadline was too short for a healthy database too.
            ViewError: The view is at fault.
        """
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        until = give_up_at(now, now + self._timeout_s if deadline is None else deadline)
        waiter = _Waiter(id_, as_of, overrides, until, loop.create_future(), now)
        timer = loop.call_later(max(0.0, until - now), self._give_up, waiter)
        self._queue[waiter] = None
        self._launch()
        try:
            return await waiter.row
        finally:
            timer.cancel()
            self._leave(waiter)

    def _launch(self) -> None:
        """Sends the next batch unless one is in flight; what arrives in the same turn of the loop joins."""
        if self._flight is None and self._queue:
            flight = self._flight = _Batch()
            flight.task = asyncio.create_task(self._fly(flight))
            flight.task.add_done_callback(lambda task: self._land(flight, task))

    def _land(self, flight: _Batch, task: asyncio.Task[None]) -> None:
        """Answers those whom the batch left without a row, by its error, and sends the next."""
        error = TimeoutError() if task.cancelled() else task.exception() or TimeoutError()
        for waiter in flight.waiters:
            if not waiter.row.done():
                waiter.row.set_exception(self._too_late() if isinstance(error, TimeoutError) else error)
        self._flight = None
        if not self._queue:
            self._silent_since = None
        self._launch()

    def _give_up(self, waiter: _Waiter) -> None:
        if not waiter.row.done():
            waiter.row.set_exception(self._too_late())

    def _too_late(self) -> Exception:
        """Says why a caller's time ended: a silent database, or a deadline too short for any answer."""
        silent_s = 0.0 if self._silent_since is None else time.monotonic() - self._silent_since
        if silent_s >= _SILENCE_S:
            return DatabaseUnavailable(
                f"expected rows from the database, got none for {silent_s:.3f} s; try again later"
            )
        return TimeoutError("expected a deadline that leaves time to read and score; give more time")

    def _leave(self, waiter: _Waiter) -> None:
        """Forgets a caller; a batch that nobody waits for any more is cancelled, and its query with it."""
        self._queue.pop(waiter, None)
        flight = self._flight
        if flight is None or flight.task is None or flight.task.done():
            return
        if waiter in flight.waiters and all(other.row.done() for other in flight.waiters):
            flight.task.cancel()

    def _take(self) -> list[_Waiter]:
        """Takes the callers that wait for the same moment as the first of them, in order of arrival."""
        for gone in [waiter for waiter in self._queue if not waiter.waits()]:
            del self._queue[gone]
        first = next(iter(self._queue), None)
        same = (waiter for waiter in self._queue if first is not None and waiter.as_of == first.as_of)
        taken = list(itertools.islice(same, self._max_rows))
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
        await self._answer([(w, places[w.id]) for w in waiters if w.waits()], rows, as_of)

    async def _ask(self, ids: list[Id], as_of: datetime, waiters: list[_Waiter]) -> Rows:
        """Reads the rows within the time of the caller who waits longest."""
        sent_at = time.monotonic()
        self._silent_since = self._silent_since or sent_at
        self._metrics.joined_rows.observe(len(waiters))
        for waiter in waiters:
            self._metrics.queue_seconds.observe(sent_at - waiter.since)
        longest_s = max(waiter.give_up_at for waiter in waiters) - sent_at
        rows = await self._read(ids, as_of, min(self._timeout_s, longest_s))
        self._silent_since = None
        self._metrics.sql_seconds.observe(time.monotonic() - sent_at)
        return rows

    async def _answer(self, asked: list[tuple[_Waiter, int]], rows: Rows, as_of: datetime) -> None:
        """Scores the rows of those who still wait, and gives each their own."""
        scored = [(w, place) for w, place in asked if rows.eligible[place] and place not in rows.problems]
        values = _overridden(rows.values[[place for _, place in scored]], [w.overrides for w, _ in scored])
        if scored:
            probabilities = (await self._score(values)).probabilities.tolist()
            for (waiter, _), row, probability in zip(scored, values, probabilities, strict=True):
                _give(waiter, Row(True, True, "", as_of, row, probability))
        for waiter, place in asked:
            found, eligible = bool(rows.found[place]), bool(rows.eligible[place])
            _give(waiter, Row(found, eligible, rows.problems.get(place, ""), as_of, rows.values[place]))
        self._metrics.rows_scored.inc(len(scored))
        self._metrics.rows_failed.inc(len(asked) - len(scored))


def _give(waiter: _Waiter, row: Row) -> None:
    if not waiter.row.done():
        waiter.row.set_result(row)


def _overridden(values: NDArray[np.float64], overrides: Sequence[Overrides]) -> NDArray[np.float64]:
    """Replaces columns of the rows in place, each row by its own overrides."""
    for row, changes in zip(values, overrides, strict=True):
        for column, value in changes:
            row[column] = value
    return values


def give_up_at(now: float, deadline: float) -> float:
    """When to stop waiting so that the answer still arrives by the deadline; all in monotonic seconds."""
    return deadline - min(_RESERVE_MAX_S, _RESERVE_SHARE * max(0.0, deadline - now))
