"""Whose turn it is on a stream, and how long it may take."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from staunch_server.errors import Reason, Refusal
from staunch_server.transport.seam import NotTaken

_PAUSE_S = 0.05
_WRITING_S = 0.5


class Turn:
    """Whose turn it is on a stream: ours while messages are in hand, else the caller's, and not for ever.

    Args:
        first_s: The seconds that the first message may take, or idle_s if that is less.
        idle_s: The seconds that each further one may take; 0 is for ever.

    Attributes:
        limit_s: The seconds of the turn that is the caller's now or was last.
    """

    def __init__(self, first_s: float, idle_s: float) -> None:
        self._idle_s = idle_s or None
        self.limit_s = min(first_s, idle_s) if idle_s else first_s
        self._loop = asyncio.get_running_loop()
        self._in_hand = 0
        self._begun = False
        self._reading: asyncio.Timeout | None = None

    @asynccontextmanager
    async def taking(self) -> AsyncIterator[asyncio.Timeout]:
        """Waits in the block for a message: as long as it takes while one is in hand, else idle_s seconds."""
        try:
            async with asyncio.timeout(self._time()) as self._reading:
                yield self._reading
            self._in_hand += 1
            self._begun = True
        finally:
            self._reading = None

    def _time(self) -> float | None:
        if not self._begun:
            return self.limit_s
        self.limit_s = self._idle_s or self.limit_s
        return None if self._in_hand else self._idle_s

    def given(self) -> None:
        """Counts an answer; after the last that was in hand the caller's time begins."""
        self._in_hand -= 1
        if self._reading is not None and not self._in_hand and self._idle_s is not None:
            self._reading.reschedule(self._loop.time() + self._idle_s)


async def written_out(raw: AsyncIterator[bytes]) -> None:
    """Takes what the caller of a stream that we end still writes, until there is a pause.

    One of grpc.aio whose stream ends while it writes may read "Internal error from Core" in place of what we
    say, INTERNAL in place of UNAVAILABLE.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(_WRITING_S):
            while True:
                async with asyncio.timeout(_PAUSE_S):
                    if await anext(raw, None) is None:
                        return


def not_taken(late: NotTaken) -> Refusal:
    """Returns the refusal of a stream whose caller has not taken an answer in time."""
    return Refusal(
        Reason.STREAM_IDLE,
        f"Expected an answer to be taken within {late.within_s:g} s, it was not; "
        "open a new stream for what is left.",
        metadata={"limit_s": f"{late.within_s:g}"},
    )
