"""The reference transport: grpc.aio, with health and reflection.

Handlers take and give bytes, so that malformed ones reach the guard; the library would answer UNKNOWN and
name our classes.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import grpc
from grpc import aio

from staunch_server.deadlines import Deadline
from staunch_server.transport import accepting, health, reflection
from staunch_server.transport.accepting import Room
from staunch_server.transport.contexts import Context, abort, call_of
from staunch_server.transport.seam import (
    MAX_METADATA_BYTES,
    MAX_RECEIVED_BYTES,
    USUAL_LIMITS,
    ConnectionLimits,
    Door,
    Failure,
    NotTaken,
    Service,
    StreamMethod,
    UnaryMethod,
    outcome,
)
from staunch_server.transport.sockets import end_connections
from staunch_server.transport.strays import Strays
from staunch_server.transport.writing import Untaken, write

HANDSHAKE_TIMEOUT_S = 5.0
"""How long a new connection may take to say that it speaks HTTP/2; the library's default is 120 s."""

_FLUSH_S = 0.02  # what the library needs at most to hand the last answers to the kernel
_STREAM_FLUSH_S = 0.2  # and the end of a stream, which the native one hands on to another thread

if TYPE_CHECKING:
    Handler: TypeAlias = grpc.RpcMethodHandler[Any, Any]
else:
    Handler: TypeAlias = grpc.RpcMethodHandler  # generic for type checkers only

Handlers: TypeAlias = dict[str, Handler]
"""Full method names to what the library calls."""

Options: TypeAlias = list[tuple[str, int]]
"""Names and values of settings of gRPC."""


class Carrier(Protocol):
    """What `AioTransport` needs of a server of a library."""

    def add_insecure_port(self, address: str) -> int:
        """Binds; returns the port. RuntimeError if the address cannot be bound."""

    async def start(self) -> None:
        """Answers from now on."""

    async def stop(self, grace: float | None) -> None:
        """Takes no new call, waits up to grace seconds for those in progress, cancels the rest, closes."""


class AioTransport:
    """Carries services over grpc.aio; see `seam.Transport`.

    Args:
        services: What is served, beside health and reflection.
        door: Is told of the calls that come to no method of them.
        address: What is bound: "127.0.0.1:50051", with port 0 a free one, or "unix:PATH".
        reuse_port: Lets several processes share the port; otherwise a used port is refused.
        reflects: Whether reflection is served.
        limits: What one connection may do.

    Attributes:
        health: What grpc.health.v1 answers.
    """

    def __init__(
        self,
        services: Sequence[Service],
        door: Door,
        *,
        address: str,
        reuse_port: bool = False,
        reflects: bool = False,
        limits: ConnectionLimits = USUAL_LIMITS,
    ) -> None:
        self._address = address
        self._options = _options(reuse_port, limits)
        names = [service.name for service in services]
        untaken = Untaken()
        self.health = health.Health(names, door, untaken)
        self._door = door
        self._strays = Strays(door)
        self._in_progress = InProgress(Room(limits.calls))
        # Unary methods and streams apart: a library may carry the former itself, and not the latter.
        self._methods = {
            f"/{service.name}/{name}": method
            for service in (*services, self.health.service)
            for name, method in service.unary.items()
        }
        self._streams = {
            **_stream_handlers(services, limits.answer_wait_s, self._in_progress, untaken),
            **_watch_handler(self.health),
        }
        if reflects:
            reflect = reflection.method([*names, health.SERVICE], door)
            nobody = InProgress(self._in_progress.room)  # no stop waits for a stream of it
            for path in reflection.METHODS:
                handle = _stream(reflect, path, limits.answer_wait_s, nobody, untaken)
                self._streams[path] = grpc.stream_stream_rpc_method_handler(handle)
        self._server: Carrier | None = None
        self._port = 0

    async def start(self) -> int:
        """Binds and answers from now on; returns the port. OSError if the address cannot be bound."""
        self._server = self._new_server()
        try:
            with _for_us_alone() if self._socket else nullcontext():
                port = self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise OSError(f"cannot bind {self._address}: {error}") from error
        await accepting.start(self._server.start, self._in_progress.room)
        self._strays.start()
        self._port = 0 if self._socket else port
        return self._port

    @property
    def watchers(self) -> int:
        """How many watch the health."""
        return self.health.watchers

    def set_serving(self, service: str, serving: bool) -> None:
        """Sets what grpc.health.v1 says of a service; "" is the whole server. Ignored after `leave`."""
        self.health.set(service, serving)

    def leave(self) -> None:
        """Says NOT_SERVING for everything from now on and goes on answering."""
        self.health.leave()

    async def stop(self, grace_s: float) -> None:
        """Waits up to grace_s seconds for the calls in progress, then ends every connection, and the rest.

        The connections come first: the library answers CANCELLED to what it has received and not handed over,
        and to what comes while it stops (grpc/grpc#41785), which tells nobody to try again.
        """
        if self._server is None:
            return
        self._in_progress.room.close()
        grace = Deadline.after(grace_s)
        while self._in_progress.count and grace.left() > 0:  # noqa: ASYNC110 - an event would cost each call
            await asyncio.sleep(_FLUSH_S)
        await asyncio.sleep(self._in_progress.flush_s())
        self._strays.stop()
        end_connections(self._port or self._address.removeprefix("unix:"))
        await self._server.stop(None)
        if self._socket is not None:
            self._socket.unlink(missing_ok=True)

    @property
    def _socket(self) -> Path | None:
        """The Unix socket; None on a port."""
        path = self._address.removeprefix("unix:")
        return None if path == self._address else Path(path)

    def _new_server(self) -> Carrier:
        server = aio.server(options=self._options)
        unary = {
            path: self._strays.waited_for(path, _unary(method, path, self._in_progress))
            for path, method in self._methods.items()
        }
        server.add_generic_rpc_handlers((GenericHandlers(self._streams | unary, self._strays),))
        return server


class GenericHandlers(grpc.GenericRpcHandler):
    """Finds handlers by full method name; registered ones do nothing on grpc.aio before 1.84."""

    def __init__(self, handlers: Handlers, strays: Strays) -> None:
        self._handlers = handlers
        self._strays = strays

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """The handler of a call."""
        path, metadata = handler_call_details.method, handler_call_details.invocation_metadata
        handler = self._handlers.get(path)
        return self._strays.handler(path, metadata, known=handler is not None) or handler


@contextmanager
def _for_us_alone() -> Iterator[None]:
    """Has what is made in the block closed to others: a Unix socket is open from its first moment."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)


def _options(reuse_port: bool, limits: ConnectionLimits) -> Options:
    options = [
        ("grpc.so_reuseport", int(reuse_port)),
        ("grpc.max_concurrent_streams", limits.streams),
        # Else core 1.83 lowers the limit while streams end and refuses (RST_STREAM 7, UNAVAILABLE) what a
        # well-behaved client has sent under the old one: 134 of 300 calls at once over one connection.
        ("grpc.http.overload_protection", 0),
        # Who comes while so many wait to be taken up the library refuses (CANCELLED), near to it by chance.
        ("grpc.server.max_pending_requests", limits.waiting - limits.waiting // 8),
        ("grpc.server.max_pending_requests_hard_limit", limits.waiting),
        ("grpc.max_receive_message_length", MAX_RECEIVED_BYTES),
        # One limit: between two, core refuses by chance. It holds once a client knows it; before, ours does.
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.server_handshake_timeout_ms", round(HANDSHAKE_TIMEOUT_S * 1000)),
        ("grpc.keepalive_time_ms", round(limits.keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", round(limits.keepalive_timeout_s * 1000)),
        # Else the library waits a minute at least.
        ("grpc.http2.ping_timeout_ms", round(limits.keepalive_timeout_s * 1000)),
        # Both ways: we ask clients without calls too, and they may ask us.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", round(limits.ping_interval_s * 1000)),
    ]
    if limits.age_s:
        options.append(("grpc.max_connection_age_ms", round(limits.age_s * 1000)))
    return options


class InProgress:
    """How many calls of services are, the room for unary ones, and when the last stream ended."""

    def __init__(self, room: Room) -> None:
        self.count = 0
        self.room = room
        self.stream_ended_s = -_STREAM_FLUSH_S

    def flush_s(self) -> float:
        """Seconds that the last answers need yet to leave the process."""
        return max(_FLUSH_S, self.stream_ended_s + _STREAM_FLUSH_S - time.monotonic())


def _stream_handlers(
    services: Sequence[Service], answer_wait_s: float, in_progress: InProgress, untaken: Untaken
) -> Handlers:
    handlers: Handlers = {}
    for service in services:
        for name, stream in service.streams.items():
            path = f"/{service.name}/{name}"
            handlers[path] = grpc.stream_stream_rpc_method_handler(
                _stream(stream, path, answer_wait_s, in_progress, untaken)
            )
    return handlers


def _unary(method: UnaryMethod, path: str, in_progress: InProgress) -> Callable[..., Any]:
    async def handle(raw: bytes, context: Context) -> bytes:
        call = call_of(path, context)
        in_progress.count += 1
        in_progress.room.enter()
        try:
            answer = await outcome(method, raw, call)
        except Failure as failure:
            return await abort(context, call, failure)
        finally:
            in_progress.room.leave()
            in_progress.count -= 1
        context.set_trailing_metadata(tuple(call.trailing))
        return answer

    return handle


def _stream(
    method: StreamMethod, path: str, answer_wait_s: float, in_progress: InProgress, untaken: Untaken
) -> Callable[..., Any]:
    async def handle(raw: AsyncIterator[bytes], context: Context) -> None:
        call, late = call_of(path, context), None
        in_progress.count += 1
        try:
            async with aclosing(method(raw, call)) as answers:
                async for answer in answers:
                    if late := await write(answer, context, answer_wait_s):
                        await answers.athrow(NotTaken(answer_wait_s))
        except Failure as failure:
            if late is not None:
                await untaken.wait(late, call.peer)
            await abort(context, call, failure)
        finally:
            in_progress.count -= 1
            in_progress.stream_ended_s = time.monotonic()
        context.set_trailing_metadata(tuple(call.trailing))

    return handle


def _watch_handler(servicer: health.Health) -> Handlers:
    # As a stream of messages, of which one comes: so nothing waits for it but us, and the native library
    # keeps no thread waiting for a watcher that does not read.
    return {f"/{health.SERVICE}/Watch": grpc.stream_stream_rpc_method_handler(servicer.watch)}
