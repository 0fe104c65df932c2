"""What is counted of calls, versions and loads, and that children are made once."""

import asyncio
import platform
import threading

import pytest
from prometheus_client import CollectorRegistry

from staunch_features.errors import (
    DatabaseRefused,
    DatabaseTooOld,
    DatabaseUnavailable,
    DatabaseUrlInvalid,
)
from staunch_server.errors import Code, Reason, Refusal
from staunch_server.events import CallEnded, LoadEnded, VersionChanged
from staunch_server.metrics import Metrics
from staunch_server.process.present import Present
from staunch_server.types import Version, VersionStatus

PREDICT = "/staunch.v1.PredictionService/Predict"
CHURN = Version("churn", 3)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def ended(code: Code, seconds: float, *, model: str = "churn@3", reason: Reason | None = None) -> CallEnded:
    return CallEnded(PREDICT, "r1", model, code, seconds, reason and Refusal(reason, "No."))


def calls(metrics: Metrics, code: str, reason: str = "", model: str = "churn@3") -> float | None:
    return value(metrics, "staunch_calls_total", method=PREDICT, code=code, reason=reason, model=model)


def test_a_call_is_counted_by_code_reason_and_model(metrics: Metrics) -> None:
    for _ in range(2):
        metrics.call_ended(ended(Code.OK, 0.01))
    metrics.call_ended(ended(Code.UNAVAILABLE, 0.02, reason=Reason.DRAINING))
    metrics.call_ended(ended(Code.UNAVAILABLE, 0.02, reason=Reason.OVERLOADED))
    metrics.call_ended(ended(Code.CANCELLED, 0.03, model=""))
    assert calls(metrics, "OK") == 2
    assert calls(metrics, "UNAVAILABLE", "DRAINING") == calls(metrics, "UNAVAILABLE", "OVERLOADED") == 1
    assert calls(metrics, "CANCELLED", model="") == 1


def test_the_time_of_a_call_is_observed_by_code_and_model_whatever_became_of_it(metrics: Metrics) -> None:
    metrics.call_ended(ended(Code.UNAVAILABLE, 0.25, reason=Reason.DRAINING))
    metrics.call_ended(ended(Code.UNAVAILABLE, 0.5, reason=Reason.OVERLOADED))
    metrics.call_ended(ended(Code.OK, 7))
    labels = {"method": PREDICT, "code": "UNAVAILABLE", "model": "churn@3"}
    assert value(metrics, "staunch_call_seconds_sum", **labels | {"code": "OK"}) == 7
    assert value(metrics, "staunch_call_seconds_count", **labels) == 2
    assert value(metrics, "staunch_call_seconds_sum", **labels) == 0.75
    # A bucket holds what is at its limit.
    assert value(metrics, "staunch_call_seconds_bucket", le="0.1", **labels) == 0
    assert value(metrics, "staunch_call_seconds_bucket", le="0.25", **labels) == 1
    assert value(metrics, "staunch_call_seconds_bucket", le="0.5", **labels) == 2


def test_why_nothing_is_served_is_one_cause_at_a_time(metrics: Metrics) -> None:
    causes = ("empty", "unreadable", "refused")
    for cause in (*causes, None):
        metrics.set_not_serving(cause)
        shown = {each: value(metrics, "staunch_not_serving", cause=each) for each in causes}
        assert shown == {each: float(each == cause) for each in causes}


def test_connections_that_fail_are_counted_by_pool_and_cause(metrics: Metrics) -> None:
    for error, cause in (
        (DatabaseRefused("password"), "refused"),
        (DatabaseUrlInvalid("port"), "refused"),
        (DatabaseTooOld("14"), "too_old"),
        (DatabaseUnavailable("away"), "away"),
    ):
        labels = {"pool": "batch", "cause": cause}
        before = value(metrics, "staunch_pool_connection_failures_total", **labels) or 0
        metrics.connection_failed("batch", error)
        assert value(metrics, "staunch_pool_connection_failures_total", **labels) == before + 1
        labels["pool"] = "interactive"
        assert value(metrics, "staunch_pool_connection_failures_total", **labels) == 0


def info(metrics: Metrics, state: str, digest: str = "") -> float | None:
    labels = {"model": "churn", "version": "3", "digest": digest, "state": state}
    page = CollectorRegistry()
    page.register(Present(metrics.registry))
    return page.get_sample_value("staunch_model_info", labels)


def test_a_version_shows_the_state_it_has_and_not_the_one_it_left(metrics: Metrics) -> None:
    stored, loading = VersionStatus(), VersionStatus("LOADING")
    ready = VersionStatus("READY", digest="sha256:1")
    metrics.version_changed(VersionChanged(CHURN, stored, loading))
    assert (info(metrics, "STORED"), info(metrics, "LOADING"), info(metrics, "READY")) == (None, 1, None)
    metrics.version_changed(VersionChanged(CHURN, loading, ready))
    assert (info(metrics, "LOADING"), info(metrics, "READY", "sha256:1")) == (None, 1)
    metrics.version_changed(VersionChanged(CHURN, ready, stored))
    assert (info(metrics, "STORED"), info(metrics, "READY", "sha256:1")) == (None, None)


def test_loads_are_counted_by_outcome(metrics: Metrics) -> None:
    for outcome in ("ready", "MODEL_REFUSED", "ready"):
        metrics.load_ended(LoadEnded(CHURN, outcome))
    labels = {"model": "churn", "version": "3"}
    assert value(metrics, "staunch_model_loads_total", outcome="ready", **labels) == 2
    assert value(metrics, "staunch_model_loads_total", outcome="MODEL_REFUSED", **labels) == 1


def test_the_children_of_a_version_are_made_once_and_told_apart(metrics: Metrics) -> None:
    one = metrics.model("churn@3")
    assert metrics.model("churn@3") is one
    assert metrics.model("churn@4") is not one
    one.sql_seconds.observe(0.1)
    one.batch_sql_seconds.observe(0.2)
    one.score_seconds.observe(0.3)
    one.explain_seconds.observe(0.4)
    one.queue_seconds.observe(0.5)
    one.joined_rows.observe(6)
    one.chunk_rows.observe(7)
    one.rows_scored.inc(8)
    one.rows_failed.inc(9)
    found = {
        "interactive SQL": value(metrics, "staunch_sql_seconds_sum", model="churn@3", kind="interactive"),
        "batch SQL": value(metrics, "staunch_sql_seconds_sum", model="churn@3", kind="batch"),
        "score": value(metrics, "staunch_onnx_seconds_sum", model="churn@3", step="score"),
        "explain": value(metrics, "staunch_onnx_seconds_sum", model="churn@3", step="explain"),
        "queue": value(metrics, "staunch_queue_seconds_sum", model="churn@3"),
        "joined": value(metrics, "staunch_batch_rows_sum", model="churn@3", kind="interactive"),
        "chunk": value(metrics, "staunch_batch_rows_sum", model="churn@3", kind="batch"),
        "scored": value(metrics, "staunch_rows_total", model="churn@3", outcome="scored"),
        "failed": value(metrics, "staunch_rows_total", model="churn@3", outcome="failed"),
    }
    assert list(found.values()) == [0.1, 0.2, 0.3, 0.4, 0.5, 6, 7, 8, 9]


def test_what_runs_is_said_in_labels(metrics: Metrics) -> None:
    metrics.set_build("1.2.3", "aio")
    labels = {"version": "1.2.3", "python": platform.python_version(), "transport": "aio"}
    assert value(metrics, "staunch_build_info", **labels) == 1


async def test_calls_that_end_in_one_turn_of_the_loop_are_counted_at_its_end_though_nobody_looks() -> None:
    metrics = Metrics(CollectorRegistry())
    for seconds in (0.001, 0.002, 0.002):
        metrics.call_ended(ended(Code.OK, seconds))
    children = metrics.calls.labels(PREDICT, "OK", "", "churn@3")
    assert children._value.get() == 0
    await asyncio.sleep(0)
    assert children._value.get() == 3
    labels = {"method": PREDICT, "code": "OK", "model": "churn@3"}
    assert value(metrics, "staunch_call_seconds_bucket", **labels, le="0.001") == 1
    assert value(metrics, "staunch_call_seconds_bucket", **labels, le="0.002") == 3
    assert value(metrics, "staunch_call_seconds_sum", **labels) == pytest.approx(0.005)


def test_calls_that_end_while_another_thread_looks_are_counted_once() -> None:
    async def end_and_look() -> None:
        metrics, looking = Metrics(CollectorRegistry()), asyncio.get_running_loop()
        done = threading.Event()

        def look() -> None:
            while not done.is_set():
                metrics.settle()

        watching = looking.run_in_executor(None, look)
        for _ in range(200):
            for _ in range(20):
                metrics.call_ended(ended(Code.OK, 1))
            await asyncio.sleep(0)
        done.set()
        await watching
        assert calls(metrics, "OK") == 4000
        assert value(metrics, "staunch_call_seconds_sum", method=PREDICT, code="OK", model="churn@3") == 4000

    asyncio.run(end_and_look())
