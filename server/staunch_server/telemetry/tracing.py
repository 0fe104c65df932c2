"""Traces of calls by OpenTelemetry: a span a call, and within it one for each of its steps.

Spans are made when a call has ended, from what it has measured anyway, so that a server without traces does
nothing for them and one with them nothing while a call is answered. The caller's trace goes on: its W3C
`traceparent` names the parent, and its decision whether to sample is kept unless `OTEL_TRACES_SAMPLER` says
otherwise. No span says whom a call asked about.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from types import MappingProxyType

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from staunch_server.errors import Code
from staunch_server.events import CallEnded

FLUSH_S = 2.0
"""How long a server that stops waits for the last spans to leave."""

_NS = 1_000_000_000

_FAULTS = frozenset({Code.DEADLINE_EXCEEDED, Code.UNIMPLEMENTED, Code.INTERNAL, Code.UNAVAILABLE})
"""The codes by which a server's span has failed: https://opentelemetry.io/docs/specs/semconv/rpc/grpc/."""

_STEPS: Mapping[str, tuple[SpanKind, Mapping[str, str]]] = MappingProxyType(
    {
        "queue": (SpanKind.INTERNAL, {}),
        "sql": (SpanKind.CLIENT, {"db.system.name": "postgresql"}),
        "onnx": (SpanKind.INTERNAL, {}),
        "explain": (SpanKind.INTERNAL, {}),
        "why": (SpanKind.CLIENT, {"db.system.name": "postgresql"}),
    }
)
"""The steps of a call in their order, what each is, and what the conventions want to be said of it."""


class Tracing:
    """Makes spans of calls that ended and sends them by OTLP over HTTP, to where `OTEL_EXPORTER_OTLP_*` says.

    Args:
        exporter: What sends them; OTLP over HTTP by default.
    """

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        # Not the global one: who embeds us may have another. At our own end we wait for it ourselves.
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("staunch")
        self._propagator = TraceContextTextMapPropagator()

    def call_ended(self, event: CallEnded) -> None:
        """Makes the spans of a call, unless it is not sampled."""
        ended_ns = time.time_ns()
        began_ns = ended_ns - round(event.seconds * _NS)
        span = self._tracer.start_span(
            event.method.removeprefix("/"),
            context=self._context(event),
            kind=SpanKind.SERVER,
            attributes=_attributes(event),
            start_time=began_ns,
        )
        if span.is_recording():
            if event.code in _FAULTS:
                span.set_status(StatusCode.ERROR)
            _add_steps(self._tracer, span, event, began_ns)
        span.end(ended_ns)

    def close(self) -> None:
        """Sends what is left, for `FLUSH_S` seconds at most."""
        # The library's own limits of time add up to half a minute where nobody takes them.
        leaving = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        leaving.start()
        leaving.join(FLUSH_S)

    def _context(self, event: CallEnded) -> Context:
        sent = {name: value for name, value in event.metadata if isinstance(value, str)}
        return self._propagator.extract(sent, Context())


def _resource() -> Resource:
    """Who we are, by the variables of OpenTelemetry; called staunch if those do not name us."""
    found = Resource.create({"service.version": version("staunch-server"), "process.pid": os.getpid()})
    is_named = not str(found.attributes["service.name"]).startswith("unknown_service")
    return found if is_named else found.merge(Resource({"service.name": "staunch"}))


def _attributes(event: CallEnded) -> dict[str, str]:
    facts = {
        "rpc.system.name": "grpc",
        "rpc.method": event.method.removeprefix("/"),
        "rpc.response.status_code": event.code.name,
        "error.type": event.code.name if event.code in _FAULTS else "",
        "staunch.reason": event.refusal.reason.name if event.refusal else "",
        "staunch.incident_id": event.refusal.metadata.get("incident_id", "") if event.refusal else "",
        "staunch.request_id": event.request_id,
        "staunch.model": event.model,
    }
    return {name: value for name, value in facts.items() if value}


def _add_steps(tracer: Tracer, span: Span, event: CallEnded, began_ns: int) -> None:
    """Adds what the steps took, as spans one after the other; of a stream, what its chunks took together."""
    if sum(event.stages.values()) > event.seconds or _is_stream(event):
        span.set_attributes({f"staunch.{name}_s": took for name, took in event.stages.items()})
        return
    parent = set_span_in_context(span, Context())
    for name, took, since in _in_order(event.stages):
        kind, attributes = _STEPS[name]
        start_ns = began_ns + round(since * _NS)
        step = tracer.start_span(name, parent, kind, attributes, start_time=start_ns)
        step.end(start_ns + round(took * _NS))


def _is_stream(event: CallEnded) -> bool:
    return event.method.endswith("/BatchPredict")


def _in_order(stages: Mapping[str, float]) -> Iterator[tuple[str, float, float]]:
    """Yields each step that came, what it took, and how long after the call's beginning it began."""
    since = 0.0
    for name in _STEPS:
        if name in stages:
            yield name, stages[name], since
            since += stages[name]
