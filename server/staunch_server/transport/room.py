"""Room for streams, and for the calls that come as rows of some."""

import asyncio
from collections import deque
from collections.abc import Callable

MAX_STREAMS_OF_ROWS = 1000
"""Streams of rows in progress; one whose client asks nothing costs little more than a connection."""


class Places:
    """The places of streams of one kind; one is taken for a `with` block.

    Args:
        most: How many there are.

    Attributes:
        most: As given.
        taken: How many are taken.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0

    def __enter__(self) -> None:
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        self.taken -= 1


class RoomForRows:
    """What rows wait for before they are taken up, first come, first served.

    A call that comes alone is refused where there is no room. Rows wait instead, many a message, since one
    that is not read yet costs nothing. They get a part of the room, so that calls that come alone find some.

    Args:
        free: Says whether there is room for one more.
    """

    def __init__(self, free: Callable[[], bool]) -> None:
        self._free = free
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __call__(self) -> None:
        """Waits until one more row may be taken up."""
        while not self._free():
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn

    def wake(self) -> None:
        """Has the one who waits longest look again, since a call has ended."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
