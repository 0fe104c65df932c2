"""Errors as a client decodes them."""

from collections.abc import AsyncIterable, Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc import aio

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class RichError:
    """An error as a client decodes it: the status, and the one ErrorInfo and its companions."""

    code: grpc.StatusCode
    message: str
    infos: list[error_details_pb2.ErrorInfo]
    violations: list[tuple[str, str]]
    resource: tuple[str, str] | None
    retry_s: float | None
    trailing: dict[str, str | bytes]

    @property
    def reason(self) -> str:
        """The reason of the one ErrorInfo."""
        (info,) = self.infos
        assert info.domain == "staunch"
        return str(info.reason)


def read_rich_error(error: aio.AioRpcError) -> RichError:
    """Decodes an error with google.rpc, asserting that status and details agree."""
    trailing = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailing.get("grpc-status-details-bin", b""))
    found: dict[str, list[Any]] = {}
    for packed in status.details:
        kind = getattr(error_details_pb2, packed.type_url.rpartition(".")[2])
        detail = kind()
        assert packed.Unpack(detail)
        found.setdefault(kind.__name__, []).append(detail)
    if status.details:
        assert (status.code, status.message) == (error.code().value[0], error.details())
    bad = found.get("BadRequest", [])
    resources, retries = found.get("ResourceInfo", []), found.get("RetryInfo", [])
    return RichError(
        code=error.code(),
        message=error.details() or "",
        infos=found.get("ErrorInfo", []),
        violations=[(v.field, v.description) for request in bad for v in request.field_violations],
        resource=(resources[0].resource_type, resources[0].resource_name) if resources else None,
        retry_s=retries[0].retry_delay.ToTimedelta().total_seconds() if retries else None,
        trailing=trailing,
    )


async def read_all(stream: AsyncIterable[Answer]) -> list[Answer]:
    """Reads a stream to its end."""
    return [answer async for answer in stream]


async def failure(call: Awaitable[object]) -> RichError:
    """Awaits a call, or the next message of a stream, that must fail; returns its error."""
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return read_rich_error(caught.value)
