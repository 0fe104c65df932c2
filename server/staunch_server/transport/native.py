"""The fast transport: pygrpc-native, whose HTTP/2 and gRPC run in Rust outside the GIL.

Of its layers this takes the lowest, which hands over the calls that wait as one batch: each begins at once,
without a task. Streams of messages go to a grpc.aio server on a Unix socket behind it.
"""

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

from grpc import StatusCode, aio
from pygrpc_native import EVENT_CANCEL, NativeGrpcFront

from staunch_server.deadlines import Deadline
from staunch_server.errors import Code
from staunch_server.transport.aio import (
    HANDSHAKE_TIMEOUT_S,
    AioTransport,
    GenericHandlers,
    InProgress,
    Options,
)
from staunch_server.transport.contexts import trailing_of
from staunch_server.transport.handshakes import end_silent
from staunch_server.transport.seam import (
    MAX_RECEIVED_BYTES,
    Call,
    Door,
    Failure,
    Trailing,
    UnaryMethod,
    unheard,
)

MOST_EVENTS = 64
"""Events that the library hands over at once."""

_POLL_S = 0.01
_TOO_LARGE: int = StatusCode.RESOURCE_EXHAUSTED.value[0]  # as grpc.aio has it, which needs none of ours

_TAKEN = frozenset({"keepalive_time_ms", "keepalive_timeout_ms", "max_concurrent_streams"})
"""Options of grpc.aio that the library has under the same name."""


class NativeTransport(AioTransport):
    """Carries services over pygrpc-native; see `seam.Transport` and `AioTransport`.

    It closes no connection by age: limits.age_s must be 0.
    """

    _ending: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Binds and answers from now on, as `AioTransport.start` does."""
        port = await super().start()
        if port:  # the library itself waits two minutes
            self._ending = asyncio.create_task(end_silent(port, HANDSHAKE_TIMEOUT_S))
        return port

    async def stop(self, grace_s: float) -> None:
        """Ends as `AioTransport.stop` does."""
        if self._ending is not None:
            self._ending.cancel()
        await super().stop(grace_s)

    def _new_server(self) -> "_NativeServer":
        streams = GenericHandlers(self._streams, self._strays)
        return _NativeServer(self._methods, streams, self._options, self._in_progress, self._door)


class _NativeServer:
    """What `AioTransport` needs of a grpc.aio server, over the library's front.

    Args:
        methods: Unary methods by their full names; the front carries them.
        streams: Finds the handlers of all else; a grpc.aio server behind the front carries them.
        options: As of a grpc.aio server.
        in_progress: Counts the calls in progress.
        door: Is told of messages that are too large to come to a method.
    """

    def __init__(
        self,
        methods: Mapping[str, UnaryMethod],
        streams: GenericHandlers,
        options: Options,
        in_progress: InProgress,
        door: Door,
    ) -> None:
        self._paths = list(methods)
        self._methods = list(methods.values())
        self._options = options
        self._behind = aio.server(options=options)
        self._behind.add_generic_rpc_handlers((streams,))
        self._folder = ""
        self._front: NativeGrpcFront | None = None
        self._calls: dict[int, Call] = {}  # in progress, by the library's number
        self._in_progress = in_progress
        self._door = door
        self._replies: list[tuple[int, Trailing, bytes | Failure]] = []
        self._stopping = False

    def add_insecure_port(self, address: str) -> int:
        """Binds; returns the port.

        Raises:
            RuntimeError: The address cannot be bound.
        """
        given = {name.removeprefix("grpc."): value for name, value in self._options}
        try:
            self._front = NativeGrpcFront(
                address,
                [(path, False) for path in self._paths],  # none of them gives a stream
                call_details=True,
                keepalive_permit_without_calls=True,
                max_metadata_size=given["absolute_max_metadata_size"],
                reuse_port=bool(given["so_reuseport"]),
                **{name: given[name] for name in _TAKEN},
            )
        except OSError as error:
            raise RuntimeError(str(error)) from error
        return int(self._front.bound_port)

    async def start(self) -> None:
        """Answers from now on, on this loop."""
        front = self._bound()
        self._folder = tempfile.mkdtemp(prefix="staunch-streams-")
        socket = f"{self._folder}/streams.sock"
        self._behind.add_insecure_port(f"unix:{socket}")
        await self._behind.start()
        front.set_fallback(socket)
        front.start()
        self._loop = asyncio.get_running_loop()
        events = partial(self._hand_over, front, self._loop)
        threading.Thread(target=events, name="staunch-native", daemon=True).start()

    async def stop(self, grace: float | None) -> None:
        """Ends the calls in progress and closes; `AioTransport.stop` has waited for them."""
        self._stopping = True
        for number in list(self._calls):
            self._cancel(number)
        await self._behind.stop(grace)
        # A thread of its own, as the other ends only by this.
        closing = threading.Thread(target=self._bound().close, name="staunch-native-close", daemon=True)
        closing.start()
        while closing.is_alive():  # noqa: ASYNC110 - a thread sets no event of the loop
            await asyncio.sleep(_POLL_S)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _bound(self) -> NativeGrpcFront:
        assert self._front is not None, "it is bound before it starts"
        return self._front

    def _hand_over(self, front: NativeGrpcFront, loop: asyncio.AbstractEventLoop) -> None:
        """Gives the loop what the library has, in a thread of its own, until that closes."""
        while (events := front.recv_batch_details(MOST_EVENTS)) is not None:
            try:
                loop.call_soon_threadsafe(self._take, events)
            except RuntimeError:  # the loop has ended without a stop
                front.close()
                return

    def _take(self, events: list[Any]) -> None:
        for kind, number, method, raw, _, details in events:
            if kind == EVENT_CANCEL:
                self._cancel(number)
            else:
                self._begin(number, method, raw, *details)

    def _begin(
        self, number: int, method: int, raw: bytes, metadata: Any, peer: str, left_s: float | None
    ) -> None:
        front = self._bound()
        if self._stopping:
            front.fail(number, Code.UNAVAILABLE, "This server is stopping.")
            return
        deadline = None if left_s is None else Deadline.after(left_s)
        call = Call(self._paths[method], metadata, peer, deadline)
        if len(raw) > MAX_RECEIVED_BYTES:  # the library has no limit of its own
            message = f"expected a message of at most {MAX_RECEIVED_BYTES} bytes, got {len(raw)}"
            self._door.left(call)  # as grpc.aio's count
            front.fail(number, _TOO_LARGE, message)
            return
        # Not the call itself, which would keep itself alive by it.
        call.reply = partial(self._reply, number, call.trailing)
        self._calls[number] = call
        self._in_progress.count += 1
        self._methods[method](raw, call)

    def _reply(self, number: int, trailing: Trailing, found: bytes | Failure) -> None:
        """Takes what a call comes to, to be sent at the end of this turn of the loop.

        One after the other a batch's answers would each wake the library's threads, and fill a packet.
        """
        if not self._replies:
            self._loop.call_soon(self._send)
        self._replies.append((number, trailing, found))

    def _send(self) -> None:
        front = self._bound()
        replies, self._replies = self._replies, []
        for number, trailing, found in replies:
            if self._calls.pop(number, None) is None:
                continue  # the caller has gone meanwhile
            self._in_progress.count -= 1
            if isinstance(found, bytes):
                front.respond(number, found, None, trailing)
            else:
                front.fail(number, found.code, found.message, trailing_of(trailing, found))

    def _cancel(self, number: int) -> None:
        """Ends a call whose caller has gone, or whose time is over; what it comes to interests nobody."""
        if call := self._calls.pop(number, None):
            self._in_progress.count -= 1
            call.reply = unheard
            call.cancel()
