"""How failures reach the caller."""

import copy

import pytest
from google.rpc import error_details_pb2
from grpc import StatusCode

import staunch
from staunch import (
    Conflict,
    ErrorDetails,
    FieldViolation,
    InvalidRequest,
    NotFound,
    ServerFault,
    StaunchError,
)

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
    "CANCELLED": "Unavailable",
    "DEADLINE_EXCEEDED": "DeadlineExceeded",
    "INTERNAL": "ServerFault",
    "UNKNOWN": "ServerFault",
    "UNIMPLEMENTED": "ServerFault",
    "DATA_LOSS": "ServerFault",
}


@pytest.mark.parametrize(("code", "name"), CLASSES.items())
async def test_each_status_becomes_the_class_of_what_to_do(either, toy, code, name):
    toy.script.append(toy.failing(StatusCode[code], "SOME_REASON"))
    with pytest.raises(StaunchError) as caught:
        await either.call("predict", 42)
    assert type(caught.value) is getattr(staunch, name)
    assert str(caught.value) == "SOME_REASON: as told"


async def test_rich_details_are_read(either, toy):
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="overrides.age", description="expected a finite number, got nan")
    toy.script.append(toy.failing(StatusCode.INVALID_ARGUMENT, "FEATURE_NOT_FINITE", None, bad))
    with pytest.raises(InvalidRequest) as caught:
        await either.call("predict", 42)
    details = caught.value.details
    assert details.violations == (FieldViolation("overrides.age", "expected a finite number, got nan"),)
    assert (details.request_id, details.retry_after_s) == ("r1", None)


async def test_what_is_missing_is_named(either, toy):
    missing = error_details_pb2.ResourceInfo(resource_type="customer", resource_name="42")
    toy.script.append(toy.failing(StatusCode.NOT_FOUND, "CUSTOMER_NOT_FOUND", None, missing))
    with pytest.raises(NotFound) as caught:
        await either.call("predict", 42)
    assert (caught.value.details.resource_type, caught.value.details.resource_name) == ("customer", "42")


async def test_an_incident_id_reaches_the_caller(either, toy):
    info = error_details_pb2.ErrorInfo(reason="INTERNAL", domain="staunch", metadata={"incident_id": "abc-1"})
    toy.script.append(toy.failing(StatusCode.INTERNAL, "INTERNAL", None, info))
    with pytest.raises(ServerFault) as caught:
        await either.call("predict", 42)
    assert caught.value.incident_id == "abc-1"


def test_what_the_server_did_not_send_is_absent_and_what_is_no_number_too():
    assert ServerFault(StatusCode.INTERNAL, "odd").incident_id == ""
    assert Conflict(StatusCode.ABORTED, "moved").current_version is None
    newer = ErrorDetails(metadata={"current_version": "seven"})
    assert Conflict(StatusCode.ABORTED, "moved", newer).current_version is None


async def test_damaged_details_leave_code_and_message(either, toy):
    def fail(_request, context):
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff\xff"),))
        context.abort(StatusCode.NOT_FOUND, "plain words")

    toy.script.append(fail)
    with pytest.raises(NotFound, match="NOT_FOUND: plain words"):
        await either.call("predict", 42)


async def test_the_original_error_is_the_cause(either, toy):
    toy.script.append(toy.failing(StatusCode.NOT_FOUND))
    with pytest.raises(NotFound) as caught:
        await either.call("predict", 42)
    assert caught.value.__cause__.code() is StatusCode.NOT_FOUND


async def test_an_outcome_of_a_newer_server_is_not_guessed(either, toy):
    toy.script.append(lambda request, _context: type(toy.prediction(request))())
    with pytest.raises(ServerFault, match="update staunch-client"):
        await either.call("predict", 42)


def test_errors_survive_copying():
    error = copy.copy(NotFound(StatusCode.NOT_FOUND, "gone"))
    assert (type(error), error.code, error.message) == (NotFound, StatusCode.NOT_FOUND, "gone")


def test_the_tree_in_the_docstring_is_the_tree_in_the_code():
    from staunch import _errors

    for error in StaunchError.__subclasses__():
        assert f"── {error.__name__} " in (_errors.__doc__ or "")
