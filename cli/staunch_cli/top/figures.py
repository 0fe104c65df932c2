"""The figures that `staunch top` shows, computed from what happened between two readings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from staunch_cli.top.readings import Interval


@dataclass(frozen=True)
class ServerState:
    """How the server as a whole is.

    Attributes:
        workers: How many there are to be.
        workers_ready: How many answer.
        database_up: Whether the database answers; None while nobody has asked it.
        not_serving: The cause by which no version answers; empty if one does.
        unary: Unary calls in progress.
        streams: Streams in progress.
    """

    workers: int
    workers_ready: int
    database_up: bool | None
    not_serving: str
    unary: int
    streams: int


@dataclass(frozen=True)
class MethodRates:
    """The calls of one method that ended in the interval; the times are those of calls that ended with OK."""

    method: str
    per_s: float
    errors_per_s: float
    p50_s: float
    p99_s: float
    p999_s: float


@dataclass(frozen=True)
class StageTimes:
    """What one stage of the calls took in the interval."""

    stage: str
    per_s: float
    mean_s: float
    p50_s: float
    p99_s: float


@dataclass(frozen=True)
class QuerySizes:
    """The rows of the feature queries of one kind in the interval."""

    kind: str
    queries_per_s: float
    rows_per_s: float
    mean_rows: float
    p99_rows: float


@dataclass(frozen=True)
class VersionRates:
    """A version that the server holds, and what it scored in the interval."""

    model: str
    state: str
    digest: str
    rows_per_s: float
    mean_score: float


@dataclass(frozen=True)
class ErrorRates:
    """One way in which calls end other than with OK: in the interval, and since the server was started."""

    method: str
    code: str
    reason: str
    per_s: float
    total: int


@dataclass(frozen=True)
class ProcessUse:
    """What one process of the server uses.

    Attributes:
        worker: Its number, or `supervisor`.
        cores: CPU seconds a second in the interval.
        memory_bytes: Memory in RAM.
        open_files: Open file descriptors.
        threads: Its threads.
    """

    worker: str
    cores: float
    memory_bytes: int
    open_files: int
    threads: int


@dataclass(frozen=True)
class Figures:
    """All that is shown of one interval; a time or size that nothing was observed of is NaN."""

    interval_s: float
    state: ServerState
    calls: Sequence[MethodRates]
    stages: Sequence[StageTimes]
    queries: Sequence[QuerySizes]
    versions: Sequence[VersionRates]
    errors: Sequence[ErrorRates]
    processes: Sequence[ProcessUse]


_STAGES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "queue": ("staunch_queue_seconds", {}),
    "connection, interactive": ("staunch_pool_wait_seconds", {"pool": "interactive"}),
    "connection, batch": ("staunch_pool_wait_seconds", {"pool": "batch"}),
    "SQL, interactive": ("staunch_sql_seconds", {"kind": "interactive"}),
    "SQL, batch": ("staunch_sql_seconds", {"kind": "batch"}),
    "ONNX, score": ("staunch_onnx_seconds", {"step": "score"}),
    "ONNX, explain": ("staunch_onnx_seconds", {"step": "explain"}),
}
"""The stages of a call in the order of its way: the histogram of each, and its labels."""

_KINDS = ("interactive", "batch")


def figures_of(interval: Interval) -> Figures:
    """Computes all figures of an interval."""
    return Figures(
        interval_s=interval.seconds,
        state=_state(interval),
        calls=[_method(interval, method) for (method,) in interval.seen("staunch_calls_total", "method")],
        stages=[_stage(interval, stage) for stage in _STAGES],
        queries=[_queries(interval, kind) for kind in _KINDS],
        versions=list(_versions(interval)),
        errors=sorted(_errors(interval), key=lambda each: (-each.per_s, -each.total)),
        processes=[_process(interval, worker) for (worker,) in _processes(interval)],
    )


def _state(interval: Interval) -> ServerState:
    up = interval.least("staunch_database_up")
    causes = (cause for (cause,) in interval.seen("staunch_not_serving", "cause"))
    return ServerState(
        workers=int(interval.total("staunch_workers")),
        workers_ready=int(interval.total("staunch_workers_ready")),
        database_up=None if up is None else up > 0,
        not_serving=next((each for each in causes if interval.total("staunch_not_serving", cause=each)), ""),
        unary=int(interval.total("staunch_calls_in_progress", kind="unary")),
        streams=int(interval.total("staunch_calls_in_progress", kind="stream")),
    )


def _method(interval: Interval, method: str) -> MethodRates:
    per_s = interval.rate("staunch_calls_total", method=method)
    good = {"method": method, "code": "OK"}
    return MethodRates(
        method=short_method(method),
        per_s=per_s,
        errors_per_s=max(0.0, per_s - interval.rate("staunch_calls_total", **good)),
        p50_s=interval.quantile(0.5, "staunch_call_seconds", **good),
        p99_s=interval.quantile(0.99, "staunch_call_seconds", **good),
        p999_s=interval.quantile(0.999, "staunch_call_seconds", **good),
    )


def short_method(method: str) -> str:
    """Returns the name of a method without its service."""
    return method.rpartition("/")[2]


def _stage(interval: Interval, stage: str) -> StageTimes:
    name, labels = _STAGES[stage]
    return StageTimes(
        stage=stage,
        per_s=interval.rate(f"{name}_count", **labels),
        mean_s=interval.mean(name, **labels),
        p50_s=interval.quantile(0.5, name, **labels),
        p99_s=interval.quantile(0.99, name, **labels),
    )


def _queries(interval: Interval, kind: str) -> QuerySizes:
    name = "staunch_batch_rows"
    return QuerySizes(
        kind=kind,
        queries_per_s=interval.rate(f"{name}_count", kind=kind),
        rows_per_s=interval.rate(f"{name}_sum", kind=kind),
        mean_rows=interval.mean(name, kind=kind),
        p99_rows=interval.quantile(0.99, name, kind=kind),
    )


def _versions(interval: Interval) -> Iterator[VersionRates]:
    seen = interval.seen("staunch_model_info", "model", "version", "state", "digest")
    for name, version, state, digest in sorted(seen, key=lambda each: (each[0], int(each[1]))):
        labels = {"model": name, "version": version, "state": state, "digest": digest}
        if not interval.total("staunch_model_info", **labels):
            continue  # a state that a worker has left
        model = f"{name}@{version}"
        yield VersionRates(
            model=model,
            state=state,
            digest=digest,
            rows_per_s=interval.rate("staunch_rows_total", model=model),
            mean_score=interval.mean("staunch_scores", model=model),
        )


def _errors(interval: Interval) -> Iterator[ErrorRates]:
    for method, code, reason in interval.seen("staunch_calls_total", "method", "code", "reason"):
        labels = {"method": method, "code": code, "reason": reason}
        total = int(interval.total("staunch_calls_total", **labels))
        if code != "OK" and total:
            per_s = interval.rate("staunch_calls_total", **labels)
            yield ErrorRates(short_method(method), code, reason, per_s, total)


def _processes(interval: Interval) -> list[tuple[str, ...]]:
    """The processes: workers by their number, then the supervisor."""
    seen = interval.seen("process_cpu_seconds_total", "worker")
    return sorted(seen, key=lambda each: (not each[0].isdigit(), len(each[0]), each[0]))


def _process(interval: Interval, worker: str) -> ProcessUse:
    return ProcessUse(
        worker=worker,
        cores=interval.rate("process_cpu_seconds_total", worker=worker),
        memory_bytes=int(interval.total("process_resident_memory_bytes", worker=worker)),
        open_files=int(interval.total("process_open_fds", worker=worker)),
        threads=int(interval.total("process_threads", worker=worker)),
    )
