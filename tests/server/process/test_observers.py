"""Who listens to what happens in a serving process: metrics, log and, if asked for, traces."""

import logging

import pytest
from prometheus_client import CollectorRegistry
from tests.server.harness.collector import Collector
from tests.server.harness.errors import read_all
from tests.server.harness.running import Publish, Serve

from staunch.v1 import prediction_service_pb2 as pb
from staunch_server.errors import Code, Reason, Refusal
from staunch_server.events import CallEnded
from staunch_server.metrics import Metrics
from staunch_server.process.observers import observed_by
from staunch_server.telemetry.call_log import CallLog

METHOD = "/staunch.v1.PredictionService/Predict"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_metrics_and_log_hear_of_a_call(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="staunch")
    metrics = Metrics(CollectorRegistry())
    refusal = Refusal(Reason.CUSTOMER_NOT_FOUND, "No.", metadata={"customer_id": "42"})
    events = observed_by(metrics, CallLog())
    events.call_ended.emit(CallEnded(METHOD, "r1", "churn@1", Code.NOT_FOUND, 0.1, refusal))
    labels = {"method": METHOD, "code": "NOT_FOUND", "reason": "CUSTOMER_NOT_FOUND", "model": "churn@1"}
    counted = {
        tuple(sorted(sample.labels.items())): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "staunch_calls_total"
    }
    assert counted == {tuple(sorted(labels.items())): 1}
    assert "CUSTOMER_NOT_FOUND" in caplog.text


async def test_a_server_sends_the_spans_of_its_calls(
    collector: Collector, publish: Publish, serve: Serve, transport_name: str
) -> None:
    publish()
    server = await serve(traces="otlp", transport=transport_name)
    sent = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)
    await server.prediction.Predict(pb.PredictRequest(customer_id=1), metadata=sent)
    await server.prediction.Explain(pb.ExplainRequest(customer_id=1), metadata=sent)
    await read_all(server.prediction.BatchPredict(iter([pb.BatchPredictRequest(customer_ids=[1, 2])])))
    await server.stop()
    assert {span.name.rpartition("/")[2] for span in collector.spans} >= {
        "Predict",
        "Explain",
        "BatchPredict",
        "queue",
        "sql",
        "onnx",
        "explain",
    }
    (predict,) = collector.named(METHOD[1:])
    steps = [span for span in collector.spans if span.parent_span_id == predict.span_id]
    assert [step.name for step in steps] == ["queue", "sql", "onnx"]
    assert predict.trace_id.hex() == TRACE
    # A batch's steps are those of each call in it, and none takes longer than the call.
    assert max(step.end_time_unix_nano for step in steps) <= predict.end_time_unix_nano
