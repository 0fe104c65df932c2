"""Writing to callers who may not read."""

import asyncio
from collections import Counter
from typing import Any

from grpc import aio

from staunch_server.transport.sockets import end_connection

MAX_UNTAKEN = 4
"""Streams of a connection that are over but for an answer that is not taken; with one more it is closed."""


class Untaken:
    """The streams that cannot end before their callers take an answer, by connection.

    Each holds that answer in memory, and its caller may never read again.
    """

    def __init__(self) -> None:
        self._by_peer = Counter[str]()

    async def wait(self, writing: asyncio.Task[None], peer: str) -> None:
        """Waits until the caller has taken an answer; one connection too full of such waits is closed."""
        self._by_peer[peer] += 1
        if self._by_peer[peer] > MAX_UNTAKEN:
            end_connection(peer)
        try:
            await writing
        finally:
            self._by_peer[peer] -= 1
            if not self._by_peer[peer]:
                del self._by_peer[peer]


async def write(message: bytes, context: aio.ServicerContext[Any, Any], within_s: float) -> Any:
    """Writes a message of a stream.

    Returns:
        None once the library has taken it, which is when the caller has room for it; or, if that has not come
        within `within_s` seconds, the task that writes on. Until it is done, grpc.aio can neither end nor
        reset the call: whoever wants to end it gives up its place, waits by `Untaken`, then sends the status.
    """
    writing = asyncio.create_task(_write(message, context))
    try:
        done, _ = await asyncio.wait({writing}, timeout=within_s)
    except asyncio.CancelledError:
        writing.cancel()
        raise
    for one in done:
        one.result()  # raises what went wrong
    return None if done else writing


async def _write(message: bytes, context: aio.ServicerContext[Any, Any]) -> None:
    await context.write(message)
