"""A server of metrics whose figures a test sets: the real names, over a real socket."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge

from staunch_server.metrics import Metrics
from staunch_server.process.http import listen, serve_metrics

METHOD = "/staunch.v1.PredictionService/Predict"


@dataclass(frozen=True)
class Served:
    """What is served where.

    Attributes:
        metrics: Those of a worker.
        cpu: The CPU seconds of a worker.
        port: On 127.0.0.1.
    """

    metrics: Metrics
    cpu: Counter
    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def call(self, code: str = "OK", reason: str = "", seconds: float = 0.004) -> None:
        """Counts one call as it ends."""
        self.metrics.calls.labels(METHOD, code, reason, "churn@3").inc()
        self.metrics.call_seconds.labels(METHOD, code, "churn@3").observe(seconds)


@contextlib.contextmanager
def served(port: int = 0) -> Iterator[Served]:
    """Serves while the block runs: two workers to be, one of them ready, one version."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    Gauge("staunch_workers", "To be.", registry=registry).set(2)
    Gauge("staunch_workers_ready", "Ready.", registry=registry).set(1)
    cpu = Counter("process_cpu_seconds", "CPU.", ("worker",), registry=registry)
    for name, value in (("resident_memory_bytes", 100 << 20), ("open_fds", 30), ("threads", 11)):
        gauge = Gauge(f"process_{name}", "Use.", ("worker",), registry=registry)
        for worker in ("0", "10", "2", "supervisor"):
            gauge.labels(worker).set(value)
            cpu.labels(worker)
    for version, state in (("3", "READY"), ("10", "REFUSED"), ("3", "LOADING")):
        metrics.model_info.labels("churn", version, "sha256:" + "ab" * 32, state).set(state != "LOADING")
    listening = listen("127.0.0.1", port)
    found = listening.getsockname()[1]
    with serve_metrics(listening, [registry], lambda: ""):
        yield Served(metrics, cpu, found)
