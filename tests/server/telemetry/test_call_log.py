"""What the log says of calls that got no answer, and how often."""

import logging

import pytest
from tests.harness.clock import Clock

from staunch_server.errors import Code, Reason, Refusal
from staunch_server.events import CallEnded
from staunch_server.telemetry.call_log import LOG_EVERY_S, CallLog

METHOD = "/staunch.v1.PredictionService/Predict"


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger="staunch.calls")
    return caplog


def ended(reason: Reason, error: Exception | None = None, **metadata: str) -> CallEnded:
    refusal = Refusal(reason, "No.", metadata=metadata)
    return CallEnded(
        METHOD, "r1", "churn@1", refusal.code, 0.1, refusal, error, metadata=[("traceparent", "00-trace")]
    )


def levels(lines: pytest.LogCaptureFixture) -> list[str]:
    return [record.levelname for record in lines.records]


def test_an_answer_is_no_news(lines: pytest.LogCaptureFixture) -> None:
    CallLog().call_ended(CallEnded(METHOD, "r1", "churn@1", Code.OK, 0.1))
    CallLog().call_ended(CallEnded(METHOD, "r1", "", Code.CANCELLED, 0.1))
    assert levels(lines) == []


def test_a_callers_mistake_is_for_debugging_only(lines: pytest.LogCaptureFixture) -> None:
    CallLog().call_ended(ended(Reason.CUSTOMER_NOT_FOUND))
    assert levels(lines) == ["DEBUG"]
    assert "request r1: CUSTOMER_NOT_FOUND: No." in lines.text


def test_an_outage_is_logged_once_a_second_for_each_reason(
    lines: pytest.LogCaptureFixture, clock: Clock
) -> None:
    log = CallLog(clock)
    for _ in range(1000):
        log.call_ended(ended(Reason.DATABASE_UNAVAILABLE))
    log.call_ended(ended(Reason.DEADLINE_EXCEEDED))
    assert levels(lines) == ["WARNING", "WARNING"]
    clock.now_s += LOG_EVERY_S - 0.001
    log.call_ended(ended(Reason.DATABASE_UNAVAILABLE))
    assert levels(lines) == ["WARNING"] * 2
    clock.now_s += 0.001
    log.call_ended(ended(Reason.DATABASE_UNAVAILABLE))
    assert levels(lines) == ["WARNING"] * 3


def test_the_cause_of_an_outage_is_for_the_operator(lines: pytest.LogCaptureFixture) -> None:
    event = ended(Reason.DATABASE_UNAVAILABLE)
    assert event.refusal is not None
    event.refusal.__cause__ = OSError("the database at 10.0.0.7 went away")
    CallLog().call_ended(event)
    assert "10.0.0.7" in lines.text


def test_what_nobody_foresaw_is_logged_each_time_with_its_incident_and_traceback(
    lines: pytest.LogCaptureFixture,
) -> None:
    log = CallLog()
    for number in range(3):
        log.call_ended(ended(Reason.INTERNAL, ZeroDivisionError("a bug"), incident_id=f"abc{number}"))
    assert levels(lines) == ["ERROR"] * 3
    for text in ("incident abc2:", "request r1 00-trace", "ZeroDivisionError: a bug"):
        assert text in lines.text
