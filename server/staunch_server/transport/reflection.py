"""Server reflection, v1 and v1alpha, so that grpcurl, ghz and the like need no protos.

The library knows v1alpha alone. v1 is the same messages under another package, and names travel in no message
but in the descriptor of the service itself: so one servicer answers both.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection, reflection_pb2

from staunch_server.deadlines import Deadline
from staunch_server.errors import Code, Reason, Refusal
from staunch_server.transport import health
from staunch_server.transport.seam import FIRST_MESSAGE_S, Call, Door, Failure, NotTaken, StreamMethod

_ALPHA, _V1 = "grpc.reflection.v1alpha", "grpc.reflection.v1"

SERVICES = (f"{_V1}.ServerReflection", f"{_ALPHA}.ServerReflection")
"""The full names of the reflection services."""

METHODS = tuple(f"/{service}/ServerReflectionInfo" for service in SERVICES)
"""The full names of their methods."""


ASKED_WITHIN_S = 60.0
"""Seconds between two questions of a stream; the first has `FIRST_MESSAGE_S`."""


def method(names: Sequence[str], door: Door) -> StreamMethod:
    """Returns what answers both versions.

    Args:
        names: The full names of the services to list, beside reflection itself.
        door: Is told of the streams that ask nothing, or take no answer.
    """
    servicer = reflection.aio.ReflectionServicer([*names, *SERVICES], pool=_Pool())

    async def answer(raw: AsyncIterator[bytes], call: Call) -> AsyncGenerator[bytes, None]:
        try:
            async for found in servicer.ServerReflectionInfo(_questions(raw), None):
                yield found.SerializeToString()
        except NotTaken as late:
            raise door.refuse(call, _idle("an answer to be taken", late.within_s)) from None
        except Refusal as refusal:
            raise door.refuse(call, refusal) from None

    return answer


async def _questions(raw: AsyncIterator[bytes]) -> AsyncGenerator[Any, None]:
    within_s = FIRST_MESSAGE_S
    while True:
        try:
            async with Deadline.after(within_s).timeout():
                message = await anext(raw, None)
        except TimeoutError:
            raise _idle("a question, or the end of the stream,", within_s) from None
        if message is None:
            return
        try:
            question = reflection_pb2.ServerReflectionRequest.FromString(message)
        except DecodeError:
            wanted = health.expected(reflection_pb2.ServerReflectionRequest)
            raise Failure(Code.INVALID_ARGUMENT, wanted, b"") from None
        yield question
        within_s = ASKED_WITHIN_S


def _idle(what: str, within_s: float) -> Refusal:
    message = f"Expected {what} within {within_s:g} s."
    return Refusal(Reason.STREAM_IDLE, message, metadata={"limit_s": f"{within_s:g}"})


class _Pool:
    """The descriptor pools of health, of all else and of reflection v1, asked by any method of theirs.

    It finds methods by name as well, for which ghz asks: the reflection protocol says that a server must, and
    protobuf's own pools know messages, enums, fields and services only.
    """

    def __init__(self) -> None:
        # That of our health before the default one, whose health service has no List.
        self._pools: Sequence[Any] = (health.POOL, descriptor_pool.Default(), _v1_pool())

    def __getattr__(self, find: str) -> Callable[..., Any]:
        return partial(self._first, find)

    def FindFileContainingSymbol(self, symbol: str) -> Any:  # noqa: N802 - the name of the pools' method
        """The descriptor of the file that declares the symbol. Raises KeyError if none does."""
        try:
            return self._first("FindFileContainingSymbol", symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            return self._first("FindServiceByName", service).methods_by_name[method].containing_service.file

    def _first(self, find: str, *key: Any) -> Any:
        """What the first of the pools that finds something finds. Raises KeyError if none does."""
        *first, last = self._pools
        for pool in first:
            with suppress(KeyError):
                return getattr(pool, find)(*key)
        return getattr(last, find)(*key)


def _v1_pool() -> descriptor_pool.DescriptorPool:
    """A pool of reflection v1 alone: in the default one it would clash with a library that brings it."""
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    _rename(file)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _rename(file: descriptor_pb2.FileDescriptorProto) -> None:
    """Gives a file of v1alpha the names of v1."""
    file.package = _V1
    file.name = "grpc/reflection/v1/reflection.proto"
    for message in file.message_type:
        for field in message.field:
            if field.type_name:  # only of a message: set on a string, even to "", no pool takes it
                field.type_name = field.type_name.replace(_ALPHA, _V1)
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace(_ALPHA, _V1)
            method.output_type = method.output_type.replace(_ALPHA, _V1)
