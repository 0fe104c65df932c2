"""What calls raise, split by what the caller can do about it.

    StaunchError                 everything that this package raises about a call
    ├── InvalidRequest           mend the request: it can never succeed
    ├── NotFound                 there is no such customer, model or version
    ├── PreconditionFailed       the request is fine, the state is not: change that first
    ├── Conflict                 somebody was faster: read again, then decide
    ├── LimitExceeded            send less, or more slowly
    ├── AccessDenied             bring other credentials
    ├── Unavailable              try again later; the client already has
    ├── DeadlineExceeded         give it more time, or ask for less
    ├── BatchIncomplete          ask again for the customers of the chunks that failed, and for no others
    ├── ServerFault              report it, with the incident id: nothing you can mend
    └── ClientClosed             make a new client: this one was closed, before the call or during it

What cannot be sent raises before anything is: TypeError where the type is wrong, ValueError where the value
is. A client used where it cannot work raises `WrongEventLoop` or `ForkedProcess`, both RuntimeErrors.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from staunch.v1 import prediction_service_pb2 as pb

_DETAILS_KEY = "grpc-status-details-bin"
_REQUEST_ID_KEY = "x-request-id"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One wrong field of a request.

    Attributes:
        field: The field's path in the request.
        description: What was expected, what came, what to do.
    """

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """What an error says beside its message; each part is empty where the server sent none.

    Attributes:
        reason: The ErrorInfo reason, for example "CUSTOMER_NOT_FOUND".
        metadata: The ErrorInfo metadata.
        violations: The wrong fields.
        resource_type: What is missing or moved: "customer", "model" or "alias".
        resource_name: Its name.
        retry_after_s: How long the server asks to wait before another try; None if it asks nothing.
        request_id: The id under which the server logged the call.
    """

    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = ()
    resource_type: str = ""
    resource_name: str = ""
    retry_after_s: float | None = None
    request_id: str = ""


class StaunchError(Exception):
    """A call that did not give what it was asked for.

    Attributes:
        code: The gRPC status.
        message: What happened and what to do.
        details: The parts that programs read: reason, violations, push-back, request id.
    """

    def __init__(self, code: StatusCode, message: str, details: ErrorDetails | None = None) -> None:
        self.code = code
        self.message = message
        self.details = details or ErrorDetails()
        super().__init__(message)

    @property
    def reason(self) -> str:
        """The ErrorInfo reason; empty where the gRPC library itself failed the call."""
        return self.details.reason

    def __str__(self) -> str:
        return f"{self.reason or self.code.name}: {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code, self.message, self.details)


class InvalidRequest(StaunchError):
    """The request can never succeed: mend it. `details.violations` names the fields."""


class NotFound(StaunchError):
    """There is no such customer, model or version."""

    @property
    def known_now(self) -> bool | None:
        """Whether a customer who was not known as of the time asked for is known now; None if the server
        did not look, as where no time was asked for.
        """
        return {"true": True, "false": False}.get(self.details.metadata.get("known_now", ""))


class PreconditionFailed(StaunchError):
    """The request is fine and the state is not: the customer is not eligible, the model not loaded."""

    @property
    def eligible(self) -> str:
        """What a customer who is eligible has or does, as words that follow "a customer who"; else empty."""
        return self.details.metadata.get("eligible", "")

    @property
    def why(self) -> str:
        """Why the customer is not eligible, and since when; empty where the server's view does not tell."""
        return self.details.metadata.get("why", "")


class Conflict(StaunchError):
    """Somebody was faster: read the state again, then decide."""

    @property
    def current_version(self) -> int | None:
        """The version that the alias points at now, 0 for none; None if the server sent none."""
        found = self.details.metadata.get("current_version", "")
        return int(found) if found.isdecimal() else None


class LimitExceeded(StaunchError):
    """Too much was sent, or too fast."""


class AccessDenied(StaunchError):
    """The credentials do not allow the call."""


class Unavailable(StaunchError):
    """Nobody can answer now: try again later. The client's own tries are spent."""


class DeadlineExceeded(StaunchError):
    """No answer came in time."""


class BatchIncomplete(StaunchError):
    """Chunks of a batch failed as a whole. It comes after the last row; each of their rows was a RowError.

    `code`, `reason` and `details` are those of the first chunk that failed.

    Attributes:
        failed_rows: How many customers have no score for it.
        scored: What `batch_predict_frame` would have returned, complete but for these; None elsewhere.
    """

    def __init__(
        self,
        code: StatusCode,
        message: str,
        details: ErrorDetails | None = None,
        *,
        failed_rows: int = 0,
        scored: Any = None,
    ) -> None:
        super().__init__(code, message, details)
        self.failed_rows = failed_rows
        self.scored = scored

    def __reduce__(self) -> tuple[Any, ...]:
        return *super().__reduce__(), {"failed_rows": self.failed_rows, "scored": self.scored}


class ServerFault(StaunchError):
    """The server failed in a way that the caller cannot mend: report it."""

    @property
    def incident_id(self) -> str:
        """The id under which the server logged the failure; empty if it sent none."""
        return self.details.metadata.get("incident_id", "")


class ClientClosed(StaunchError, ValueError):
    """The client was closed, or the channel that it was given, before the call or while it was under way.

    It is a ValueError too, as that of a closed file.
    """

    def __init__(
        self,
        code: StatusCode = StatusCode.CANCELLED,
        message: str = "this client is closed; make a new one",
        details: ErrorDetails | None = None,
    ) -> None:
        super().__init__(code, message, details)


class WrongEventLoop(RuntimeError):
    """An AsyncClient was used in another event loop than the one it was first used in, or in none."""


class ForkedProcess(RuntimeError):
    """A client was used in a process forked from one where gRPC had been started, which cannot work."""


_CLASSES: Mapping[StatusCode, type[StaunchError]] = {
    StatusCode.INVALID_ARGUMENT: InvalidRequest,
    StatusCode.OUT_OF_RANGE: InvalidRequest,
    StatusCode.NOT_FOUND: NotFound,
    StatusCode.FAILED_PRECONDITION: PreconditionFailed,
    StatusCode.ABORTED: Conflict,
    StatusCode.ALREADY_EXISTS: Conflict,
    StatusCode.RESOURCE_EXHAUSTED: LimitExceeded,
    StatusCode.PERMISSION_DENIED: AccessDenied,
    StatusCode.UNAUTHENTICATED: AccessDenied,
    StatusCode.UNAVAILABLE: Unavailable,
    # The call was taken back, by a server that stops or by closing this client: asking again is all.
    StatusCode.CANCELLED: Unavailable,
    StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}
_OUT_OF_TIME = "Deadline Exceeded"  # the words of both libraries where a call's own time ends here
_TOO_LATE = "the time was over before an answer came; timeout_s gives it more"

_CODES: Mapping[int, StatusCode] = {code.value[0]: code for code in StatusCode}


def status_code(number: int) -> StatusCode:
    """Gives the status of a google.rpc.Code number; an unknown number is UNKNOWN."""
    return _CODES.get(number, StatusCode.UNKNOWN)


def make_error(code: StatusCode, message: str, details: ErrorDetails) -> StaunchError:
    """Makes the exception of the class that belongs to a status."""
    return _CLASSES.get(code, ServerFault)(code, message, details)


def from_rpc_error(error: grpc.RpcError) -> StaunchError:
    """Translates what grpc or grpc.aio raised, reading the rich details if they are there."""
    # Both libraries raise a RpcError that is a finished Call too; the base class does not say so.
    call: grpc.Call = error  # type: ignore[assignment]
    message = call.details() or "the server gave no message"
    if message == _OUT_OF_TIME:
        message = _TOO_LATE
    made = make_error(call.code(), message, _read_details(tuple(call.trailing_metadata() or ())))
    made.__cause__ = error
    return made


class RowFailed(grpc.RpcError):
    """Why a row of a stream has no answer, behind the face that the library gives to a call of its own.

    Args:
        status: What the server says, the same on the wire as a google.rpc.Status.
        request_id: The id under which the server knows the call.
    """

    def __init__(self, status: pb.StreamPredictStatus, request_id: str) -> None:
        super().__init__(status.message)
        self._status = status
        self._request_id = request_id

    def code(self) -> StatusCode:
        """Returns the status."""
        return status_code(self._status.code)

    def details(self) -> str:
        """Returns the message."""
        return self._status.message

    def trailing_metadata(self) -> Any:
        """Returns the rich details and the id as they would travel."""
        return (_DETAILS_KEY, self._status.SerializeToString()), (_REQUEST_ID_KEY, self._request_id)


def out_of_time() -> DeadlineExceeded:
    """Makes what a call ends with whose time is over before anything came of it."""
    return DeadlineExceeded(StatusCode.DEADLINE_EXCEEDED, _TOO_LATE)


def request_id_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """Reads the id under which the server knows a call from its trailing metadata; empty if it sent none."""
    return next((v for k, v in metadata or () if k == _REQUEST_ID_KEY and isinstance(v, str)), "")


def _read_details(metadata: Sequence[tuple[str, str | bytes]]) -> ErrorDetails:
    """Reads google.rpc details from trailing metadata; damaged ones are left out."""
    raw, known = dict(metadata).get(_DETAILS_KEY), request_id_of(metadata)
    try:
        return _unpack(status_pb2.Status.FromString(raw if isinstance(raw, bytes) else b""), known)
    except (DecodeError, OverflowError):  # the latter by a time to wait that no timedelta holds
        return ErrorDetails(request_id=known)  # the code and the message still stand


def _unpack(status: status_pb2.Status, request_id: str) -> ErrorDetails:
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    resource = error_details_pb2.ResourceInfo()
    retry = error_details_pb2.RetryInfo()
    pushed_back = False
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
        detail.Unpack(resource)
        pushed_back |= detail.Unpack(retry)
    return ErrorDetails(
        reason=info.reason,
        metadata=dict(info.metadata),
        violations=tuple(FieldViolation(v.field, v.description) for v in bad.field_violations),
        resource_type=resource.resource_type,
        resource_name=resource.resource_name,
        retry_after_s=retry.retry_delay.ToTimedelta().total_seconds() if pushed_back else None,
        request_id=request_id,
    )
