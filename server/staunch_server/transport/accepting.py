"""Lets grpc.aio take up a call only while there is room for it; till then calls wait in the library's core.

A call that Python has taken up costs it some 200 µs, answered or refused. One that the core has received and
that nobody took up costs a tenth of that: should its caller give up, or should more wait than the core is to
keep (`grpc.server.max_pending_requests`), it ends there. So a server that is asked for more than it can does
not spend itself on saying no.

The library takes up one call after the other in a coroutine of its own and has no way to hold it, so we drive
that coroutine. Without one of that name nothing is held, and calls are refused one by one (the tests would
say so).
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any

REFUSALS_S = 100.0
"""Calls a second that are taken up although there is no room, to be refused in our words: 2 % of a core."""

_ON_THE_WAY = 8
"""So many calls may have been taken up and not been counted yet, for their message is being read."""

_ACCEPTS = "_server_main_loop"


class Room:
    """Counts the calls in hand, and tells whether one more is to be taken up.

    Args:
        most: How many at once; beyond these only `REFUSALS_S`.

    Attributes:
        count: How many there are.
    """

    def __init__(self, most: int) -> None:
        self.count = 0
        self._most = max(1, most - _ON_THE_WAY)
        self._refusals = REFUSALS_S
        self._counted_at = time.monotonic()
        self._waiting: asyncio.Event | None = None
        self._is_closing = False

    def enter(self) -> None:
        """Counts a call that was taken up."""
        self.count += 1

    def leave(self) -> None:
        """Counts a call that ended."""
        self.count -= 1
        if self._waiting is not None and self.count < self._most:
            self._waiting.set()

    def close(self) -> None:
        """Holds nothing any more: what comes now the guard refuses."""
        self._is_closing = True
        if self._waiting is not None:
            self._waiting.set()

    def has_to_wait(self) -> bool:
        """Whether the next call has to wait; if only a refusal lets it pass, that is taken."""
        return self.count >= self._most and not self._is_closing and not self._may_refuse()

    async def wait(self) -> None:
        """Waits until there is room, or a refusal is due."""
        while self.has_to_wait():
            self._waiting = asyncio.Event()
            timer = asyncio.get_running_loop().call_later(1 / REFUSALS_S, self._waiting.set)
            await self._waiting.wait()
            timer.cancel()
            self._waiting = None

    def _may_refuse(self) -> bool:
        """Takes one of the refusals of this second, if any is left."""
        now = time.monotonic()
        self._refusals = min(REFUSALS_S, self._refusals + (now - self._counted_at) * REFUSALS_S)
        self._counted_at = now
        if self._refusals < 1:
            return False
        self._refusals -= 1
        return True


async def start(begin: Callable[[], Coroutine[Any, Any, None]], room: Room) -> None:
    """Starts a server of the library that takes up calls while there is room.

    Args:
        begin: Starts it, and makes the task that takes up calls.
        room: Where there is.
    """
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()

    def make(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        if getattr(coro, "__name__", "") == _ACCEPTS:
            coro = _driven(_Accepting(coro, room))
        return asyncio.Task(coro, loop=loop, **options)

    loop.set_task_factory(make)
    try:
        await begin()
    finally:
        loop.set_task_factory(before)


class _Accepting:
    """The library's coroutine, each step of which takes up a call, made to wait for room between them."""

    def __init__(self, steps: Coroutine[Any, Any, Any], room: Room) -> None:
        self._steps = steps
        self._room = room

    def __await__(self) -> Generator[Any, Any, None]:
        step: Callable[[Any], Any] = self._steps.send
        given: Any = None
        while True:
            try:
                waited = step(given)
            except StopIteration:
                return
            # What it waits for is a call. When one has come, it is not told before there is room.
            try:
                given = yield waited
                yield from self._room.wait().__await__()
                step = self._steps.send
            except BaseException as error:  # its own, which it hears of where it waits, as if we were not
                step, given = self._steps.throw, error


async def _driven(steps: _Accepting) -> None:
    await steps
