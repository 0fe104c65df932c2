"""Work that many may ask for at once, and that is done for all of them together."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")

PAUSE_S = 1.0
"""How long after the beginning of one run the next one begins at the earliest."""


class Joined(Generic[Result]):
    """Runs work one at a time, and at most once a second; who asks meanwhile shares the next run.

    None shares a run that has begun: what is asked for may be newer than what that has seen.

    Args:
        work: What is done; what it raises, all who share the run get.
        pause_s: See `PAUSE_S`.
    """

    def __init__(self, work: Callable[[], Awaitable[Result]], pause_s: float = PAUSE_S) -> None:
        self._work = work
        self._pause_s = pause_s
        self._began_s = -pause_s
        self._one_at_a_time = asyncio.Lock()
        self._next: asyncio.Task[Result] | None = None

    async def __call__(self) -> Result:
        """Returns what the next run gives; whoever gives up waiting ends it for nobody."""
        if self._next is None:
            self._next = asyncio.create_task(self._run())
            self._next.add_done_callback(_looked_at)
        return await asyncio.shield(self._next)

    async def _run(self) -> Result:
        async with self._one_at_a_time:
            await asyncio.sleep(max(0.0, self._began_s + self._pause_s - time.monotonic()))
            self._began_s = time.monotonic()
            self._next = None
            return await self._work()


def _looked_at(task: asyncio.Task[Result]) -> None:
    """Takes an error that nobody waits for any more, lest asyncio complains of it."""
    if not task.cancelled():
        task.exception()
