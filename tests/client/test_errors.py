"""How failures reach the caller."""

import copy
import pickle

import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from tests.client.harness.toy import failing

import staunch
from staunch import (
    BatchIncomplete,
    Conflict,
    ErrorDetails,
    FieldViolation,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    ServerFault,
    StaunchError,
    _errors,
)
from staunch.v1 import prediction_service_pb2 as pb
from staunch_server.errors import Reason, Refusal, Resource, Violation

CLASSES = {
    "INVALID_ARGUMENT": "InvalidRequest",
    "OUT_OF_RANGE": "InvalidRequest",
    "NOT_FOUND": "NotFound",
    "FAILED_PRECONDITION": "PreconditionFailed",
    "ABORTED": "Conflict",
    "ALREADY_EXISTS": "Conflict",
    "RESOURCE_EXHAUSTED": "LimitExceeded",
    "PERMISSION_DENIED": "AccessDenied",
    "UNAUTHENTICATED": "AccessDenied",
    "UNAVAILABLE": "Unavailable",
    "CANCELLED": "Unavailable",
    "DEADLINE_EXCEEDED": "DeadlineExceeded",
    "INTERNAL": "ServerFault",
    "UNKNOWN": "ServerFault",
    "UNIMPLEMENTED": "ServerFault",
    "DATA_LOSS": "ServerFault",
}
ONCE = staunch.RetryPolicy(attempts=1)


@pytest.mark.parametrize(("code", "name"), CLASSES.items())
async def test_each_status_becomes_the_class_of_what_to_do(toy_with, toy, code, name):
    toy.script.append(failing(StatusCode[code], "SOME_REASON"))
    with pytest.raises(StaunchError) as caught:
        await toy_with(retry=ONCE).call("predict", 42)
    assert type(caught.value) is getattr(staunch, name)
    assert str(caught.value) == "SOME_REASON: as told"


async def test_each_reason_of_the_server_becomes_the_class_of_its_status(either_with, service):
    client = either_with(retry=ONCE)
    for reason in Reason:
        service.script.append(Refusal(reason, "as told"))
        with pytest.raises(StaunchError) as caught:
            await client.call("predict", 42)
        assert type(caught.value) is getattr(staunch, CLASSES[reason.code.name])
        assert (caught.value.reason, caught.value.message) == (reason.name, "as told")
        assert caught.value.details.retry_after_s == reason.retry_after_s


async def test_rich_details_are_read(either, service):
    violation = Violation("overrides.age", "expected a finite number, got nan")
    service.script.append(Refusal(Reason.FEATURE_NOT_FINITE, "as told", [violation]))
    with pytest.raises(InvalidRequest) as caught:
        await either.call("predict", 42, metadata={"x-request-id": "r1"})
    details = caught.value.details
    assert details.violations == (FieldViolation("overrides.age", "expected a finite number, got nan"),)
    assert (details.request_id, details.retry_after_s) == ("r1", None)


async def test_what_is_missing_is_named(either, service):
    service.script.append(Refusal(Reason.CUSTOMER_NOT_FOUND, "as told", resource=Resource("customer", "42")))
    with pytest.raises(NotFound) as caught:
        await either.call("predict", 42)
    assert (caught.value.details.resource_type, caught.value.details.resource_name) == ("customer", "42")


async def test_an_incident_id_reaches_the_caller(either, service):
    service.script.append(RuntimeError("unforeseen"))
    with pytest.raises(ServerFault) as caught:
        await either.call("predict", 42)
    assert caught.value.incident_id
    assert caught.value.incident_id in caught.value.message


def test_what_the_server_did_not_send_is_absent_and_what_is_no_number_too():
    assert ServerFault(StatusCode.INTERNAL, "odd").incident_id == ""
    assert Conflict(StatusCode.ABORTED, "moved").current_version is None
    newer = ErrorDetails(metadata={"current_version": "seven"})
    assert Conflict(StatusCode.ABORTED, "moved", newer).current_version is None
    assert NotFound(StatusCode.NOT_FOUND, "nobody").known_now is None
    odd = ErrorDetails(metadata={"known_now": "perhaps"})
    assert NotFound(StatusCode.NOT_FOUND, "nobody", odd).known_now is None
    outside = PreconditionFailed(StatusCode.FAILED_PRECONDITION, "left")
    assert (outside.eligible, outside.why) == ("", "")


def asking_to_wait(seconds):
    status = status_pb2.Status()
    status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=seconds)))
    return status.SerializeToString()


@pytest.mark.parametrize("details", [b"\xff\xff\xff", asking_to_wait(2**62)])
async def test_damaged_details_leave_code_and_message(toy_with, toy, details):
    def fail(_request, context):
        context.set_trailing_metadata((("grpc-status-details-bin", details), ("x-request-id", "r1")))
        context.abort(StatusCode.NOT_FOUND, "plain words")

    toy.script.append(fail)
    with pytest.raises(NotFound, match="NOT_FOUND: plain words") as caught:
        await toy_with().call("predict", 42)
    assert caught.value.details == ErrorDetails(request_id="r1")


async def test_the_original_error_is_the_cause(either, service):
    service.script.append(Refusal(Reason.CUSTOMER_NOT_FOUND, "as told"))
    with pytest.raises(NotFound) as caught:
        await either.call("predict", 42)
    assert caught.value.__cause__.code() is StatusCode.NOT_FOUND


async def test_an_outcome_of_a_newer_server_is_not_guessed(either, service):
    async def newer(_request, _call):
        return pb.PredictResponse()

    service.script.append(newer)
    with pytest.raises(ServerFault, match="update staunch-client"):
        await either.call("predict", 42)


def test_errors_survive_copying():
    error = copy.copy(NotFound(StatusCode.NOT_FOUND, "gone"))
    assert (type(error), error.code, error.message) == (NotFound, StatusCode.NOT_FOUND, "gone")


def test_the_tree_in_the_docstring_is_the_tree_in_the_code():
    for error in StaunchError.__subclasses__():
        assert f"── {error.__name__} " in (_errors.__doc__ or "")


def test_an_incomplete_batch_survives_pickling_with_what_it_holds():
    made = BatchIncomplete(StatusCode.INTERNAL, "as told", failed_rows=7, scored=[1])
    again = pickle.loads(pickle.dumps(made))
    assert (type(again), again.failed_rows, again.scored) == (BatchIncomplete, 7, [1])
    assert (again.code, again.message, str(again)) == (made.code, made.message, "INTERNAL: as told")
