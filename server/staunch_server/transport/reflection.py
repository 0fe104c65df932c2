"""Server reflection, v1 and v1alpha, so that grpcurl, ghz and the like need no protos.

The library knows v1alpha alone. v1 is the same messages under another package, and names travel in no message
but in the descriptor of the service itself: so one servicer answers both.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection, reflection_pb2

_ALPHA, _V1 = "grpc.reflection.v1alpha", "grpc.reflection.v1"

SERVICES = (f"{_V1}.ServerReflection", f"{_ALPHA}.ServerReflection")
"""The full names of the reflection services."""

METHODS = tuple(f"/{service}/ServerReflectionInfo" for service in SERVICES)
"""The full names of their methods."""


def servicer(names: Sequence[str]) -> reflection.aio.ReflectionServicer:
    """Returns what answers both versions.

    Args:
        names: The full names of the services to list, beside reflection itself.
    """
    return reflection.aio.ReflectionServicer([*names, *SERVICES], pool=_Pool())


class _Pool:
    """The default descriptor pool, and after it that of reflection v1, asked by any method of theirs.

    It finds methods by name as well, for which ghz asks: the reflection protocol says that a server must, and
    protobuf's own pools know messages, enums, fields and services only.
    """

    def __init__(self) -> None:
        self._default: Any = descriptor_pool.Default()
        self._v1: Any = _v1_pool()

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
        """What the first of the pools that finds something finds. Raises KeyError if neither does."""
        try:
            return getattr(self._default, find)(*key)
        except KeyError:
            return getattr(self._v1, find)(*key)


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
