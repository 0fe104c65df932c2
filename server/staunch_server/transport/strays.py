"""Calls that come to no method of ours, or bring it no message: each ends with a status of ours, and counts.

The library would answer some without a word of ours, and others never: of a unary call it hands nothing over
until its message is there.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import chain
from typing import Any, NoReturn

import grpc
from grpc import aio

from staunch_server.errors import Reason, Refusal
from staunch_server.transport.contexts import Context, abort, call_of
from staunch_server.transport.seam import FIRST_MESSAGE_S, MAX_METADATA_BYTES, Door

UNKNOWN = "unknown"
"""The method of calls of no method of ours, in metrics and log: as they name it, there would be no end."""

MANY_WAITING = 1000
"""Of so many unary calls of a process without their message each gets less time for it: `HURRIED_S`."""

HURRIED_S = 1.0
"""Seconds for the message of a unary call where many wait: by then one that is there has been read."""

_LOOK_S = 0.25  # between two looks at who waits for too long
_ENDING_S = 0.01  # what the library takes at most to cancel a call that it, or the caller, has ended


class Strays:
    """Ends what comes to no method, and unary calls of grpc.aio whose message does not come.

    Args:
        door: Is told of each.
    """

    def __init__(self, door: Door) -> None:
        self._door = door
        # By the time since when: a timer a call would cost as much as the rest of the way in.
        self._waiting: dict[asyncio.Task[Any], float] = {}
        self._late = set[asyncio.Task[Any]]()
        self._looking: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Looks from now on after calls whose message does not come."""
        self._look()

    def stop(self) -> None:
        """Looks no more."""
        if self._looking is not None:
            self._looking.cancel()

    def waited_for(self, path: str, answer: Callable[[bytes, Context], Awaitable[bytes]]) -> Any:
        """Returns the handler of a unary method, as one of a stream of messages, of which one comes.

        Of a call without one, and without an end, grpc.aio tells the former nothing.
        """

        async def handle(_: AsyncIterator[bytes], context: Context) -> Any:
            return await answer(await self._message(path, context), context)

        return grpc.stream_unary_rpc_method_handler(handle)

    async def _message(self, path: str, context: Context) -> bytes:
        task = asyncio.current_task()
        assert task is not None, "the library runs each call in a task"
        self._waiting[task] = time.monotonic()
        try:
            raw = await context.read()
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            await self._refuse(path, context, _late())
        finally:
            del self._waiting[task]
            self._late.discard(task)
        if raw is aio.EOF:
            await self._none(path, context)
        return bytes(raw)

    def handler(self, path: str, metadata: Sequence[Any], known: bool) -> Any:
        """Returns what answers a call that may come to no method; None if it may."""
        if size_of(metadata) > MAX_METADATA_BYTES:
            return self._refusing(path if known else UNKNOWN, _too_much)
        return None if known else self._refusing(UNKNOWN, _unknown)

    def _refusing(self, path: str, refusal: Callable[[Context], Refusal]) -> Any:
        async def handle(_: AsyncIterator[bytes], context: Context) -> None:
            await self._refuse(path, context, refusal(context))

        # Of streams, since such a one waits for no message.
        return grpc.stream_stream_rpc_method_handler(handle)

    async def _none(self, path: str, context: Context) -> NoReturn:
        """Ends a call that has ended without a message: the caller is told, if it is there."""
        try:
            await asyncio.sleep(_ENDING_S)
        except asyncio.CancelledError:
            self._door.left(call_of(path, context))
            raise
        await self._refuse(path, context, _missing())

    async def _refuse(self, path: str, context: Context, refusal: Refusal) -> NoReturn:
        call = call_of(path, context)
        await abort(context, call, self._door.refuse(call, refusal))

    def _look(self) -> None:
        waits_s = FIRST_MESSAGE_S if len(self._waiting) < MANY_WAITING else min(HURRIED_S, FIRST_MESSAGE_S)
        since = time.monotonic() - waits_s
        for task, began in self._waiting.items():  # from the oldest on
            if began > since:
                break
            if task not in self._late:
                self._late.add(task)
                task.cancel()
        self._looking = asyncio.get_running_loop().call_later(_LOOK_S, self._look)


def size_of(metadata: Any) -> int:
    """Returns how large metadata are as HTTP/2 counts them: names, values, and 32 bytes a pair."""
    return 32 * len(metadata) + sum(map(len, chain.from_iterable(metadata)))


def _late() -> Refusal:
    return Refusal(
        Reason.STREAM_IDLE,
        f"Expected the message of the call within {FIRST_MESSAGE_S:g} s, it did not come; call again.",
        metadata={"limit_s": f"{FIRST_MESSAGE_S:g}"},
    )


def _missing() -> Refusal:
    return Refusal(Reason.MESSAGE_MISSING, "Expected one message, got the end of the call.")


def _unknown(_: Context) -> Refusal:
    return Refusal(
        Reason.METHOD_UNKNOWN,
        "This server has no such method; docs/api.md lists those there are, a newer server may have more, "
        "and STAUNCH_MODEL_SERVICE may leave out some.",
    )


def _too_much(context: Context) -> Refusal:
    size = size_of(context.invocation_metadata() or ())
    return Refusal(
        Reason.MESSAGE_TOO_LARGE,
        f"Expected at most {MAX_METADATA_BYTES} bytes of metadata, got {size}.",
        metadata={"size_bytes": str(size), "limit_bytes": str(MAX_METADATA_BYTES)},
    )
