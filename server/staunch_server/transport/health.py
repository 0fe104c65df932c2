"""grpc.health.v1: what we say of our health to those who ask, list or watch.

Ours and not the library's, which writes to watchers under the lock that a change of a status needs: one that
did not read kept a server from ever being ready, and from ever leaving. Here a change is a plain function, so
that it can wait for nobody. It sets the status and wakes the watchers, each by an event of its own; each
writes what it finds then, so that a slow one gets the last status and not every one between.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Any, NoReturn

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from grpc import StatusCode
from grpc_health.v1 import health_pb2

from staunch_server.deadlines import Deadline
from staunch_server.errors import Code, Reason, Refusal
from staunch_server.transport.contexts import Context, abort, call_of
from staunch_server.transport.seam import Call, Door, Failure, Service
from staunch_server.transport.writing import Untaken, write

SERVICE = "grpc.health.v1.Health"
"""The full name of the service."""

MAX_WATCHERS = 1000
"""The watchers that a process takes at once; one more is refused as OVERLOADED."""

ASKED_WITHIN_S = 5.0
"""A watcher that has not said by then what it watches is let go."""

TAKEN_WITHIN_S = 10.0
"""A watcher that has not taken a status by then is let go, so that it keeps no place from others."""

_WATCH = f"/{SERVICE}/Watch"

_STATES: Any = health_pb2.HealthCheckResponse
_ENCODED: dict[int, bytes] = {
    state: _STATES(status=state).SerializeToString() for state in _STATES.ServingStatus.values()
}


class Health:
    """The status of every service, and who watches it. Its methods take and give bytes.

    Args:
        services: The full names of what is served; each begins as NOT_SERVING, like "", the whole server.
        door: Is told of the watchers that are refused or let go.
        untaken: Where those wait that take no status.
    """

    def __init__(self, services: Iterable[str], door: Door, untaken: Untaken) -> None:
        self._states: dict[str, int] = dict.fromkeys(["", *services], _STATES.NOT_SERVING)
        self._door = door
        self._untaken = untaken
        self._watchers = set[asyncio.Event]()
        self._left = False

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watchers)

    def set(self, service: str, serving: bool) -> None:
        """Sets the status of a service and wakes those that watch it. Ignored after `leave`."""
        if not self._left:
            self._states[service] = _STATES.SERVING if serving else _STATES.NOT_SERVING
            self._wake()

    def leave(self) -> None:
        """Sets every service to NOT_SERVING, for good."""
        self._left = True
        self._states = dict.fromkeys(self._states, _STATES.NOT_SERVING)
        self._wake()

    @property
    def service(self) -> Service:
        """What is called by one message, Check and List; Watch is a stream of its own kind."""
        return Service(
            SERVICE,
            unary={
                "Check": partial(_reply, self._check, health_pb2.HealthCheckRequest),
                "List": partial(_reply, self._list, ListRequest),
            },
        )

    def _check(self, request: Any) -> bytes | Failure:
        """The status of a service; NOT_FOUND if it is unknown."""
        state = self._states.get(request.service)
        if state is None:
            message = "expected the name of a service of this server, or none"
            return Failure(Code.NOT_FOUND, message, b"")
        return _ENCODED[state]

    def _list(self, _: Any) -> bytes:
        """The status of every service."""
        answer = ListResponse()
        for service, state in self._states.items():
            answer.statuses[service].status = state
        return bytes(answer.SerializeToString())

    async def watch(self, raw: AsyncIterator[bytes], context: Context) -> None:
        """Writes the status of a service at once and after each change, for ever.

        That of an unknown one is SERVICE_UNKNOWN: it may become known. A watcher has its place from the
        headers on: `ASKED_WITHIN_S` without a message, `TAKEN_WITHIN_S` with a status that it does not take.
        """
        if len(self._watchers) >= MAX_WATCHERS:
            await self._refuse(context, _too_many())
        woken = asyncio.Event()
        self._watchers.add(woken)
        try:
            service = await self._service_of(raw, context)
            late = await self._follow(service, woken, context)
        finally:
            self._watchers.discard(woken)
        await self._untaken.wait(late, context.peer())  # without a place
        await self._refuse(
            context, _idle(f"Expected the status to be taken within {TAKEN_WITHIN_S:g} s.", TAKEN_WITHIN_S)
        )

    async def _service_of(self, raw: AsyncIterator[bytes], context: Context) -> str:
        """The service that a watcher names; the call ends if it names none in time."""
        try:
            async with Deadline.after(ASKED_WITHIN_S).timeout():
                first = await anext(raw, None)
        except TimeoutError:
            await self._refuse(
                context, _idle(f"Expected a message within {ASKED_WITHIN_S:g} s.", ASKED_WITHIN_S)
            )
        if first is None:
            await context.abort(StatusCode.INVALID_ARGUMENT, "expected a message, got the end of the call")
        return str((await _parsed(health_pb2.HealthCheckRequest, first, context)).service)

    async def _refuse(self, context: Context, refusal: Refusal) -> NoReturn:
        call = call_of(_WATCH, context)
        await abort(context, call, self._door.refuse(call, refusal))

    async def _follow(self, service: str, woken: asyncio.Event, context: Context) -> Any:
        """Tells a watcher of each change; returns the writing that it did not take in time."""
        written = None
        while True:
            woken.clear()  # before the look: a change during the write wakes us again
            state = self._states.get(service, _STATES.SERVICE_UNKNOWN)
            if state != written:
                if late := await write(_ENCODED[state], context, TAKEN_WITHIN_S):
                    return late
                written = state
            await woken.wait()

    def _wake(self) -> None:
        for woken in self._watchers:
            woken.set()


def _too_many() -> Refusal:
    return Refusal(
        Reason.OVERLOADED,
        f"This server takes {MAX_WATCHERS} watchers of its health at once, all there; "
        "try again a little later, or ask by Check.",
        metadata={"what": "watchers", "limit": str(MAX_WATCHERS)},
    )


def _idle(message: str, limit_s: float) -> Refusal:
    return Refusal(Reason.STREAM_IDLE, message, metadata={"limit_s": f"{limit_s:g}"})


def _reply(find: Callable[[Any], bytes | Failure], message_type: type[Any], raw: bytes, call: Call) -> None:
    """Answers a unary call by what is found for its message."""
    try:
        request = message_type.FromString(raw)
    except DecodeError:
        call.reply(Failure(Code.INVALID_ARGUMENT, expected(message_type), b""))
    else:
        call.reply(find(request))


def expected(message_type: type[Any]) -> str:
    """Returns what is said to whoever sends other bytes than those of a message of this type."""
    return f"expected the bytes of a {message_type.DESCRIPTOR.full_name}"


async def _parsed(message_type: Any, raw: bytes, context: Context) -> Any:
    """Returns the message that the bytes are; INVALID_ARGUMENT ends the call if they are none."""
    try:
        return message_type.FromString(raw)
    except DecodeError:
        return await context.abort(StatusCode.INVALID_ARGUMENT, expected(message_type))


def _with_list() -> descriptor_pool.DescriptorPool:
    """A pool of the health service alone, with its method List, which the library's file lacks."""
    file = descriptor_pb2.FileDescriptorProto()
    health_pb2.DESCRIPTOR.CopyToProto(file)
    package, kinds = f".{file.package}", descriptor_pb2.FieldDescriptorProto
    file.message_type.add(name="HealthListRequest")
    response = file.message_type.add(name="HealthListResponse")
    entry = response.nested_type.add(name="StatusesEntry")
    entry.options.map_entry = True
    one = {"label": kinds.LABEL_OPTIONAL, "type": kinds.TYPE_MESSAGE}
    entry.field.add(name="key", number=1, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_STRING)
    entry.field.add(name="value", number=2, type_name=f"{package}.HealthCheckResponse", **one)
    many = one | {"label": kinds.LABEL_REPEATED}
    entries = f"{package}.HealthListResponse.StatusesEntry"
    response.field.add(name="statuses", number=1, type_name=entries, **many)
    types = {"input_type": f"{package}.HealthListRequest", "output_type": f"{package}.HealthListResponse"}
    file.service[0].method.add(name="List", **types)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


POOL = _with_list()
"""The descriptors of the service, for reflection."""

ListRequest: Any = message_factory.GetMessageClass(
    POOL.FindMessageTypeByName("grpc.health.v1.HealthListRequest")
)
"""The message that List takes, without a field."""

ListResponse: Any = message_factory.GetMessageClass(
    POOL.FindMessageTypeByName("grpc.health.v1.HealthListResponse")
)
"""The message that List gives: `statuses`, names of services to HealthCheckResponses."""
