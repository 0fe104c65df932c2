"""The spans of calls, as a collector gets them over HTTP."""

import time
from itertools import pairwise
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.server.harness.collector import Collector

from staunch_server.errors import Code, Reason, Refusal
from staunch_server.events import CallEnded
from staunch_server.telemetry.tracing import FLUSH_S, Tracing

METHOD = "/staunch.v1.PredictionService/Predict"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
STAGES = {"queue": 0.001, "sql": 0.01, "onnx": 0.0005}


def facts(span: Span) -> dict[str, str]:
    return {each.key: next(iter(MessageToDict(each.value).values())) for each in span.attributes}


def sent_by(flags: str = "01") -> list[tuple[str, str | bytes]]:
    return [("traceparent", f"00-{TRACE}-{PARENT}-{flags}"), ("customer", "42"), ("some-bin", b"\xff")]


def ended(**changes: Any) -> CallEnded:
    usual = {"method": METHOD, "request_id": "r1", "model": "churn@1", "code": Code.OK, "seconds": 0.02}
    return CallEnded(**{**usual, "metadata": sent_by(), "stages": STAGES, **changes})


def traced(*events: CallEnded) -> None:
    tracing = Tracing()
    for event in events:
        tracing.call_ended(event)
    tracing.close()


def test_a_call_is_a_span_of_the_callers_trace_with_its_steps_within(collector: Collector) -> None:
    traced(ended())
    (call,) = collector.named(METHOD[1:])
    assert (call.trace_id.hex(), call.parent_span_id.hex()) == (TRACE, PARENT)
    assert call.kind == Span.SPAN_KIND_SERVER
    assert call.end_time_unix_nano - call.start_time_unix_nano == pytest.approx(0.02e9, abs=1e3)
    assert abs(call.end_time_unix_nano - time.time_ns()) < 60e9
    assert facts(call) == {
        "rpc.system.name": "grpc",
        "rpc.method": METHOD[1:],
        "rpc.response.status_code": "OK",
        "staunch.request_id": "r1",
        "staunch.model": "churn@1",
    }
    steps = [span for span in collector.spans if span.parent_span_id == call.span_id]
    assert [step.name for step in steps] == list(STAGES)
    assert steps[0].start_time_unix_nano == call.start_time_unix_nano
    for step, after in pairwise(steps):
        assert step.end_time_unix_nano == pytest.approx(after.start_time_unix_nano, abs=10)
    for step in steps:
        took_s = (step.end_time_unix_nano - step.start_time_unix_nano) / 1e9
        assert took_s == pytest.approx(STAGES[step.name], abs=1e-6)
    assert facts(steps[1]) == {"db.system.name": "postgresql"}
    assert "42" not in str([facts(span) for span in collector.spans])


def test_a_call_without_a_trace_begins_one_and_one_that_is_not_sampled_leaves_none(
    collector: Collector,
) -> None:
    traced(ended(metadata=()), ended(metadata=sent_by("00")), ended(metadata=[("traceparent", "none")]))
    calls = collector.named(METHOD[1:])
    assert len(calls) == len({call.trace_id for call in calls}) == 2
    assert all(not call.parent_span_id for call in calls)


def test_what_failed_says_why_and_not_of_whom(collector: Collector) -> None:
    away = Refusal(Reason.DATABASE_UNAVAILABLE, "Not 42.", metadata={"database": "x"})
    unknown = Refusal(Reason.CUSTOMER_NOT_FOUND, "Not 42.", metadata={"customer_id": "42"})
    bug = Refusal(Reason.INTERNAL, "A bug.", metadata={"incident_id": "abc"})
    traced(*(ended(code=one.code, refusal=one, stages={}) for one in (away, unknown, bug)))
    failed = {facts(span)["staunch.reason"]: span for span in collector.spans}
    assert failed["DATABASE_UNAVAILABLE"].status.code == failed["INTERNAL"].status.code == 2
    assert failed["CUSTOMER_NOT_FOUND"].status.code == 0  # the caller's matter, says the convention
    assert facts(failed["DATABASE_UNAVAILABLE"])["error.type"] == "UNAVAILABLE"
    assert facts(failed["INTERNAL"])["staunch.incident_id"] == "abc"
    assert "42" not in str([facts(span) for span in collector.spans])


def test_the_steps_of_a_stream_are_sums(collector: Collector) -> None:
    traced(ended(method="/staunch.v1.PredictionService/BatchPredict", stages={"sql": 0.01}))
    (call,) = collector.spans
    assert facts(call)["staunch.sql_s"] == 0.01


def test_the_variables_of_opentelemetry_count(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    traced(ended())
    assert collector.resource["service.name"] == {"stringValue": "staunch"}
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=churn,deployment.environment=test")
    traced(ended())
    assert collector.resource["service.name"] == {"stringValue": "churn"}
    assert collector.resource["deployment.environment"] == {"stringValue": "test"}
    before = len(collector.spans)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    traced(ended())
    assert len(collector.spans) == before


@pytest.mark.parametrize("how", ["silent", "away"])
def test_a_collector_that_does_not_answer_keeps_nobody_waiting(collector: Collector, how: str) -> None:
    if how == "silent":
        collector.silent.set()
    else:
        collector.close()
    tracing = Tracing()
    started = time.monotonic()
    for _ in range(600):  # four spans each: more than are kept
        tracing.call_ended(ended())
    assert time.monotonic() - started < 20
    started = time.monotonic()
    tracing.close()
    assert time.monotonic() - started < FLUSH_S + 2
