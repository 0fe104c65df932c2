"""Looks a second time at those who are refused: why they are not eligible, or whether they are known by now.

A refusal is right without it. So it gets what nobody else needs: a connection of its own, one read at a time,
a short while, and a share of the time; whoever comes when that is spent is refused without a why.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

from staunch_features.errors import log_text
from staunch_features.postgres.pool import Database
from staunch_server.deadlines import Deadline
from staunch_server.types import Id

MOST_IDS = 64
"""The most ids of a read."""

MOST_WAITING = 256
"""The most callers that wait: those beyond would be refused by their time anyway."""

TIME_S = 0.25
"""The seconds that a caller waits at most; a healthy database answers in milliseconds."""

REST = 3
"""After a read, how many times as long nothing is read: a flood of refusals gets a quarter of a backend."""

FAILURE_REST_S = 1.0
"""The seconds for which nothing is read, and nobody waits, after a read that failed or was late."""

_LOG = logging.getLogger("staunch.models")

ReadWhys = Callable[[Database, Sequence[Id], datetime, Deadline], Awaitable[Mapping[Id, str]]]
"""Reads of each id that the view knows as of a moment why it is not eligible; empty if it does not tell."""


class SecondLook(NamedTuple):
    """What was found of somebody who was refused.

    Attributes:
        is_known: Whether the view has a row as of the moment asked for.
        why: Why not eligible, in the view's words; empty if it does not tell.
    """

    is_known: bool
    why: str


@dataclass(slots=True, eq=False)
class _Waiter:
    """A caller: by which view, for whom, as of when (None: now), until when, and where the answer goes."""

    read: ReadWhys
    id: Id
    as_of: datetime | None
    deadline: Deadline
    found: asyncio.Future[SecondLook | None]


class WhyNot:
    """Asks for refused callers of all versions of a process, those of one view and moment together.

    Args:
        database: The reader's, of its own: what is asked here takes no connection from any call.
        time_s: Seconds that a caller waits at most, and a read takes.

    Attributes:
        on_end: Is told what became of each that was asked for, as `metrics.SECOND_LOOKS` has it.
    """

    def __init__(self, database: Database, time_s: float = TIME_S) -> None:
        self._database = database
        self._time_s = time_s
        self._queue: dict[_Waiter, None] = {}
        self._working: asyncio.Task[None] | None = None
        self._closed_until = 0.0
        self._last_failure = ""
        self.on_end: Callable[[str], None] = lambda _: None

    async def ask(
        self, read: ReadWhys, id_: Id, as_of: datetime | None, deadline: Deadline
    ) -> SecondLook | None:
        """Looks a second time at one id; never raises for what goes wrong, and never takes long.

        Args:
            read: Reads the version's view.
            id_: Whom.
            as_of: The moment, UTC; None is when the read is sent.
            deadline: The caller's; at most half of what is left of it is used.

        Returns:
            What was found; None if nothing was in time.
        """
        own = deadline.keep(0.5).within(self._time_s)
        if len(self._queue) >= MOST_WAITING or time.monotonic() < self._closed_until or own.left() <= 0:
            self.on_end("turned_away")
            return None
        waiter = _Waiter(read, id_, as_of, own, asyncio.get_running_loop().create_future())
        self._queue[waiter] = None
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        try:
            async with own.timeout():
                found = await waiter.found
        except TimeoutError:
            self.on_end("late")
            return None
        finally:
            self._queue.pop(waiter, None)
        self.on_end("failed" if found is None else "answered")
        return found

    async def close(self) -> None:
        """Ends what is under way, since nobody is left who waits for it, and closes the database."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait([self._working])
        await self._database.close()

    async def _work(self) -> None:
        """Reads for those who wait, and rests in between, until nobody does."""
        while taken := self._take():
            begun = time.monotonic()
            rows = await self._read(taken)
            for waiter in taken:
                if not waiter.found.done():
                    waiter.found.set_result(
                        None if rows is None else SecondLook(waiter.id in rows, rows.get(waiter.id, ""))
                    )
            if rows is None:
                self._turn_away()
            else:
                await asyncio.sleep(REST * (time.monotonic() - begun))

    def _take(self) -> list[_Waiter]:
        """Takes those who want the same view and moment as the first of them, in order of arrival."""
        first = next(iter(self._queue), None)
        if first is None:
            return []
        alike = (w for w in self._queue if (w.read, w.as_of) == (first.read, first.as_of))
        taken = list(islice(alike, MOST_IDS))
        for waiter in taken:
            del self._queue[waiter]
        return taken

    async def _read(self, taken: Sequence[_Waiter]) -> Mapping[Id, str] | None:
        """Reads for them all; None if that fails or is late, which is logged once.

        However long they have waited, the read has all of its time: else a queue would look like a failure.
        """
        first, until = taken[0], Deadline.after(self._time_s)
        ids = sorted({waiter.id for waiter in taken}, key=str)
        try:
            async with until.timeout():
                rows = await first.read(self._database, ids, first.as_of or datetime.now(UTC), until)
        except Exception as error:  # whatever it is, the refusals stand without it
            late, kind = isinstance(error, TimeoutError), type(error).__name__
            words = f"no answer for {self._time_s:g} s" if late else log_text(error)
            failure = words if words.startswith(kind) else f"{kind}: {words}"
            if failure != self._last_failure:
                _LOG.warning("refusals go out without a why for %g s: %s", FAILURE_REST_S, failure)
            self._last_failure = failure
            return None
        self._last_failure = ""
        return rows

    def _turn_away(self) -> None:
        """Refuses all who wait, and for a while whoever comes, without a why."""
        self._closed_until = time.monotonic() + FAILURE_REST_S
        for waiter in self._queue:
            if not waiter.found.done():
                waiter.found.set_result(None)
        self._queue.clear()
