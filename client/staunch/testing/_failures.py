"""What the fake fails with: the server's reasons, with the status and the details that it gives them."""

import difflib
from collections.abc import Iterator, Mapping

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from staunch.v1 import prediction_service_pb2 as pb

# A test holds this table against the server's own.
REASONS: Mapping[str, tuple[StatusCode, float | None]] = {
    "SUBJECT_MISSING": (StatusCode.INVALID_ARGUMENT, None),
    "CUSTOMER_ID_INVALID": (StatusCode.INVALID_ARGUMENT, None),
    "ID_TYPE_MISMATCH": (StatusCode.INVALID_ARGUMENT, None),
    "FEATURE_UNKNOWN": (StatusCode.INVALID_ARGUMENT, None),
    "FEATURE_MISSING": (StatusCode.INVALID_ARGUMENT, None),
    "FEATURE_TYPE_MISMATCH": (StatusCode.INVALID_ARGUMENT, None),
    "FEATURES_MISMATCH": (StatusCode.INVALID_ARGUMENT, None),
    "FEATURE_NOT_FINITE": (StatusCode.INVALID_ARGUMENT, None),
    "OVERRIDE_NOT_ALLOWED": (StatusCode.INVALID_ARGUMENT, None),
    "AS_OF_IN_FUTURE": (StatusCode.INVALID_ARGUMENT, None),
    "AS_OF_NOT_ALLOWED": (StatusCode.INVALID_ARGUMENT, None),
    "CHUNK_EMPTY": (StatusCode.INVALID_ARGUMENT, None),
    "CHUNK_TOO_LARGE": (StatusCode.INVALID_ARGUMENT, None),
    "MESSAGE_TOO_LARGE": (StatusCode.INVALID_ARGUMENT, None),
    "MESSAGE_MISSING": (StatusCode.INVALID_ARGUMENT, None),
    "METHOD_UNKNOWN": (StatusCode.UNIMPLEMENTED, None),
    "MODEL_CHANGED_IN_STREAM": (StatusCode.INVALID_ARGUMENT, None),
    "MALFORMED_MESSAGE": (StatusCode.INVALID_ARGUMENT, None),
    "FIELD_INVALID": (StatusCode.INVALID_ARGUMENT, None),
    "CUSTOMER_NOT_FOUND": (StatusCode.NOT_FOUND, None),
    "MODEL_NOT_FOUND": (StatusCode.NOT_FOUND, None),
    "CUSTOMER_NOT_ELIGIBLE": (StatusCode.FAILED_PRECONDITION, None),
    "MODEL_NOT_LOADED": (StatusCode.FAILED_PRECONDITION, None),
    "MODEL_REFUSED": (StatusCode.FAILED_PRECONDITION, None),
    "EXPLAINER_MISSING": (StatusCode.FAILED_PRECONDITION, None),
    "ALIAS_MOVED": (StatusCode.ABORTED, None),
    "ALIAS_LIMIT": (StatusCode.FAILED_PRECONDITION, None),
    "ALIAS_NOT_FOLLOWED": (StatusCode.UNAVAILABLE, None),
    "DATABASE_UNAVAILABLE": (StatusCode.UNAVAILABLE, 0.5),
    "MODEL_NOT_READY": (StatusCode.UNAVAILABLE, 1.0),
    "STORE_UNAVAILABLE": (StatusCode.UNAVAILABLE, 1.0),
    "DRAINING": (StatusCode.UNAVAILABLE, 0.1),
    "OVERLOADED": (StatusCode.UNAVAILABLE, 0.1),
    "STREAM_IDLE": (StatusCode.UNAVAILABLE, 0.1),
    "DEADLINE_EXCEEDED": (StatusCode.DEADLINE_EXCEEDED, None),
    "INTERNAL": (StatusCode.INTERNAL, None),
}
"""By reason, the status it has and after how many seconds it asks for another try."""


class Failure(Exception):
    """An error that the fake answers with; of the server's reasons it knows the status and the push-back.

    Args:
        reason: The ErrorInfo reason, for example "CUSTOMER_NOT_FOUND"; with a code any, also none at all.
        message: What the caller reads.
        code: The status; None is the one of the reason.
        retry_after_s: The seconds after which to try again; None is what the reason asks for, and nothing
            where a code was given.
        violations: What is wrong with a field, by its path.
        resource: The type and name of what is missing: ("customer", "42").
        metadata: Further facts: {"current_version": "4"}.

    Attributes:
        reason: As given.
        message: As given.
        code: The status.

    Raises:
        ValueError: The server has no such reason, and no code was given.
    """

    def __init__(  # noqa: PLR0913 - what an error may say, by name
        self,
        reason: str,
        message: str = "as the test asked",
        *,
        code: StatusCode | None = None,
        retry_after_s: float | None = None,
        violations: Mapping[str, str] | None = None,
        resource: tuple[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        if code is None and reason not in REASONS:
            near = ", ".join(difflib.get_close_matches(reason, REASONS)) or "see docs/errors.md"
            raise ValueError(f"expected a reason of the server, or a code beside it, got {reason!r}: {near}")
        super().__init__(f"{reason}: {message}")
        # Packed once: a test may have thousands of calls end with the same failure.
        usual_code, usual_retry_s = (code, None) if code is not None else REASONS[reason]
        self.reason = reason
        self.message = message
        self.code = usual_code
        status = status_pb2.Status(code=self.code.value[0], message=message)
        for detail in _details(
            reason,
            metadata or {},
            violations or {},
            resource,
            usual_retry_s if retry_after_s is None else retry_after_s,
        ):
            packed = AnyMessage()
            packed.Pack(detail)
            status.details.append(packed)
        self._status = status.SerializeToString()
        self._chunk_error = _chunk_error(status)

    def of_chunk(self, request: pb.BatchPredictRequest) -> pb.BatchPredictResponse:
        """Returns the answer to a chunk that fails with this as a whole."""
        return pb.BatchPredictResponse(
            customer_ids=request.customer_ids,
            customer_keys=request.customer_keys,
            chunk_error=self._chunk_error,
        )

    def end(self, context: grpc.ServicerContext, request_id: str) -> None:
        """Ends a call with this failure; the library does so by an exception of its own."""
        context.set_trailing_metadata(
            (("x-request-id", request_id), ("grpc-status-details-bin", self._status))
        )
        context.abort(self.code, self.message)


def _chunk_error(status: status_pb2.Status) -> pb.BatchPredictChunkError:
    """Says of a chunk what a status says of a call."""
    error = pb.BatchPredictChunkError(code=status.code, message=status.message)
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    resource = error_details_pb2.ResourceInfo()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
        detail.Unpack(resource)
        if detail.Unpack(retry):
            error.retry_delay.CopyFrom(retry.retry_delay)
    error.reason = info.reason
    error.metadata.update(info.metadata)
    for one in bad.field_violations:
        error.field_violations.add(field=one.field, description=one.description)
    error.resource_type, error.resource_name = resource.resource_type, resource.resource_name
    return error


def _details(
    reason: str,
    metadata: Mapping[str, str],
    violations: Mapping[str, str],
    resource: tuple[str, str] | None,
    retry_after_s: float | None,
) -> Iterator[Message]:
    """Yields what the server sends beside a status, in its order."""
    yield error_details_pb2.ErrorInfo(reason=reason, domain="staunch", metadata=metadata)
    if violations:
        violation = error_details_pb2.BadRequest.FieldViolation
        wrong = [violation(field=field, description=text) for field, text in violations.items()]
        yield error_details_pb2.BadRequest(field_violations=wrong)
    if resource:
        kind, name = resource
        yield error_details_pb2.ResourceInfo(resource_type=kind, resource_name=name)
    if retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(round(retry_after_s * 1000))
        yield error_details_pb2.RetryInfo(retry_delay=delay)
