"""Keeps streams from crowding single calls out: while these come, one of them reads at a time, and little.

The database works on a chunk for as long as it takes, on a core of its own, and the query of a single call
waits for one. In small parts, with a rest after each, the chunk leaves room between them; while nobody else
calls it is read whole, as fast as that goes.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

PART_ROWS = 250
"""Rows that are read at once while single calls come: some 10 ms of the database's time."""

REST = 0.5
"""How long a stream rests after a part, as a share of what the part took."""

_LINGERS_S = 0.1


class Lanes:
    """Gives streams their turns at the database.

    Args:
        connections: How many of them read at once while no single call comes.
        calls: Tells how many single calls are in hand.
    """

    def __init__(self, connections: int, calls: Callable[[], int]) -> None:
        self._calls = calls
        self._turns = asyncio.Semaphore(connections)
        self._alone = asyncio.Lock()
        self._busy_at = -_LINGERS_S

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[int | None]:
        """Waits for a turn, and gives how many rows may be read in it; None for as many as one likes."""
        async with AsyncExitStack() as stack:
            if self._is_busy():
                await stack.enter_async_context(self._alone)
            await stack.enter_async_context(self._turns)
            began = time.monotonic()
            yield PART_ROWS if self._is_busy() else None
            if self._is_busy():
                await asyncio.sleep(REST * (time.monotonic() - began))

    def _is_busy(self) -> bool:
        """Whether single calls come; also for a while after, since a lone caller leaves gaps."""
        now = time.monotonic()
        if self._calls():
            self._busy_at = now
        return now - self._busy_at < _LINGERS_S
