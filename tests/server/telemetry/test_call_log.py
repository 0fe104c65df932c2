"""What the log says of calls: which have a line, of which level, and what is in it."""

import logging
from pathlib import Path
from typing import Any

import pytest
from tests.harness.clock import Clock

from staunch_server.errors import Code, Reason, Refusal
from staunch_server.events import CallEnded
from staunch_server.telemetry.call_log import LOG_EVERY_S, CallLog, call_fields, trace_id
from staunch_server.telemetry.lines import JsonLines
from staunch_server.telemetry.repeats import flush_repeats

METHOD = "/staunch.v1.PredictionService/Predict"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ANSWERED = CallEnded(METHOD, "r1", "churn@1", Code.OK, 0.1)
LEFT = CallEnded(METHOD, "r3", "churn@1", Code.CANCELLED, 0.1)


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="staunch")
    return caplog


def ended(reason: Reason, error: Exception | None = None, **metadata: str) -> CallEnded:
    refusal = Refusal(reason, "No, 42.", metadata=metadata)
    trace = [("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01"), ("customer", "42")]
    return CallEnded(METHOD, "r1", "churn@1", refusal.code, 0.1, refusal, error, metadata=trace)


def fields(lines: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.__dict__["fields"] for record in lines.records]


def levels(lines: pytest.LogCaptureFixture) -> list[str]:
    return [record.levelname for record in lines.records]


def test_an_answer_is_no_news(lines: pytest.LogCaptureFixture) -> None:
    CallLog().call_ended(ANSWERED)
    CallLog().call_ended(LEFT)
    assert levels(lines) == []


def test_a_callers_mistake_is_seen_and_not_what_the_caller_was_told(lines: pytest.LogCaptureFixture) -> None:
    CallLog().call_ended(ended(Reason.CUSTOMER_NOT_FOUND, customer_id="42"))
    assert levels(lines) == ["INFO"]
    assert lines.messages == ["Predict NOT_FOUND: CUSTOMER_NOT_FOUND: The view returns no row for the id."]
    assert fields(lines)[0]["request_id"] == "r1"
    assert "42" not in str({**fields(lines)[0], "trace_id": ""})


def test_an_outage_is_logged_once_a_second_for_each_reason(
    lines: pytest.LogCaptureFixture, clock: Clock
) -> None:
    log = CallLog(clock=clock)
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


def test_the_words_of_a_cause_are_written_only_where_its_class_answers_for_them(
    lines: pytest.LogCaptureFixture,
) -> None:
    event = ended(Reason.DATABASE_UNAVAILABLE)
    assert event.refusal is not None
    event.refusal.__cause__ = KeyError("customer 42")
    CallLog().call_ended(event)
    assert lines.messages == [
        "Predict UNAVAILABLE: DATABASE_UNAVAILABLE: The database did not answer. (KeyError)"
    ]


def test_what_nobody_foresaw_is_logged_each_time_with_its_incident_and_traceback(
    lines: pytest.LogCaptureFixture,
) -> None:
    log = CallLog()
    for number in range(3):
        log.call_ended(ended(Reason.INTERNAL, ZeroDivisionError("a bug"), incident_id=f"abc{number}"))
    assert levels(lines) == ["ERROR"] * 3
    for text in (f"incident abc2: {METHOD} request r1", "ZeroDivisionError: a bug"):
        assert text in lines.text
    assert fields(lines)[2].items() >= {"incident_id": "abc2", "trace_id": TRACE}.items()


def test_what_was_counted_is_told_when_its_second_ends(lines: pytest.LogCaptureFixture, clock: Clock) -> None:
    log = CallLog(clock=clock)
    for _ in range(71):
        log.call_ended(ended(Reason.DATABASE_UNAVAILABLE))
    clock.now_s += LOG_EVERY_S
    log.call_ended(ended(Reason.DATABASE_UNAVAILABLE))
    assert "repeated" not in fields(lines)[0]
    assert fields(lines)[1]["repeated"] == 70
    assert lines.messages[1] == f"{lines.messages[0]} (and 70 more)"


def test_what_was_counted_is_told_when_the_process_ends(lines: pytest.LogCaptureFixture) -> None:
    log = CallLog()
    for _ in range(71):
        log.call_ended(ended(Reason.CUSTOMER_NOT_FOUND))
    flush_repeats()
    flush_repeats()
    assert [each.get("repeated", 0) for each in fields(lines)] == [0, 69]
    assert sum(1 + each.get("repeated", 0) for each in fields(lines)) == 71


def test_calls_are_counted_by_method_reason_and_version(
    lines: pytest.LogCaptureFixture, clock: Clock
) -> None:
    log = CallLog(clock=clock)
    for model in ("churn@1", "churn@2", "churn@1"):
        log.call_ended(ended(Reason.OVERLOADED)._replace(model=model))
    assert [each["model"] for each in fields(lines)] == ["churn@1", "churn@2"]


def test_with_the_access_log_each_call_without_an_answer_has_a_line_and_none_is_counted(
    lines: pytest.LogCaptureFixture,
) -> None:
    log = CallLog("errors")
    for event in (ANSWERED, ended(Reason.CUSTOMER_NOT_FOUND), *[ended(Reason.OVERLOADED)] * 2, LEFT):
        log.call_ended(event)
    log.call_ended(ended(Reason.INTERNAL, ZeroDivisionError("a bug"), incident_id="abc"))
    assert [(record.name, record.levelname, record.message[:20]) for record in lines.records] == [
        ("staunch.access", "INFO", "Predict NOT_FOUND: C"),
        *[("staunch.access", "WARNING", "Predict UNAVAILABLE:")] * 2,
        ("staunch.access", "INFO", "Predict CANCELLED"),
        ("staunch.access", "ERROR", "incident abc: /staun"),
    ]
    assert lines.messages[0].endswith(" CUSTOMER_NOT_FOUND: The view returns no row for the id.")


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.1, 10), (0.25, 25), (1.0, 100)])
def test_of_the_answers_a_share_has_a_line_and_of_the_others_all(
    lines: pytest.LogCaptureFixture, share: float, count: int
) -> None:
    chances = iter(number / 100 for number in range(100))
    log = CallLog("all", share, chance=lambda: next(chances))
    for _ in range(100):
        log.call_ended(ANSWERED)
        log.call_ended(LEFT)
    assert [each["code"] for each in fields(lines)].count("OK") == count
    assert len(lines.records) == count + 100


def test_who_asks_for_the_access_log_gets_it_at_every_level(lines: pytest.LogCaptureFixture) -> None:
    logging.getLogger("staunch").setLevel(logging.ERROR)
    CallLog("all").call_ended(ANSWERED)
    assert lines.messages == ["Predict OK"]


def test_the_line_that_the_page_of_operations_shows_is_what_is_written(
    lines: pytest.LogCaptureFixture,
) -> None:
    stages = {"queue": 0.000_083, "sql": 0.001_725, "onnx": 0.000_213}
    answered = ended(Reason.INTERNAL)._replace(code=Code.OK, seconds=0.00251, refusal=None)
    CallLog("all").call_ended(answered._replace(request_id="7d1c", stages=stages))
    lines.records[0].created = 1_790_000_000.25
    page = (Path(__file__).parents[3] / "docs/operations.md").read_text()
    line = JsonLines().format(lines.records[0])
    assert f"<!-- line: a test writes it -->\n```json\n{line}\n```" in page


def test_a_line_has_what_its_steps_took_in_milliseconds() -> None:
    event = CallEnded("/M", "r1", "churn@1", Code.OK, 0.0123456, stages={"queue": 0.001, "sql": 0.0100004})
    assert call_fields(event) == {
        "method": "/M",
        "code": "OK",
        "request_id": "r1",
        "model": "churn@1",
        "ms": {"total": 12.346, "queue": 1.0, "sql": 10.0},
    }


def test_a_call_that_never_came_to_a_model_has_none() -> None:
    found = call_fields(ended(Reason.MODEL_NOT_FOUND)._replace(model=""))
    assert (found["code"], found["reason"], found["trace_id"]) == ("NOT_FOUND", "MODEL_NOT_FOUND", TRACE)
    assert "model" not in found


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "42",
        "x" * 8000,
        b"42",
        f"00-{TRACE}",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        f"00-{TRACE}-00f067aa0ba902b7-01\n",
    ],
)
def test_what_is_no_traceparent_gives_no_trace(sent: str | bytes) -> None:
    assert trace_id([("traceparent", sent)]) == ""
