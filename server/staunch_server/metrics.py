"""Every metric of a serving process; docs/metrics.md lists them, and a test says so.

Label children are resolved once and kept, since `labels()` costs more than the count itself. In Prometheus'
multiprocess mode each worker writes files that the supervisor adds up, so gauges say how: most are summed
over the living workers. Info metrics do not work there, hence the gauges that are always 1.
"""

import asyncio
import platform
import threading
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.registry import Collector

from staunch_features.errors import DatabaseRefused, DatabaseTooOld, DatabaseUrlInvalid, FeatureError
from staunch_server.errors import Code, Reason
from staunch_server.events import CallEnded, LoadEnded, VersionChanged
from staunch_server.types import NoService, WorkSaved

CALL_SECONDS = (
    0.0005,
    0.001,
    0.002,
    0.003,
    0.005,
    0.0075,
    0.01,
    0.02,
    0.03,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
)
"""Buckets of whole calls, in seconds."""

STEP_SECONDS = (5e-5, 1e-4, 2e-4, 5e-4, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
"""Buckets of the steps of a call, in seconds."""

BATCH_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 512, 1_000, 2_500, 5_000, 10_000)
"""Buckets of batch sizes, in rows."""

POOLS = ("interactive", "batch", "beside")
"""The pools of connections to the database: of single calls, of streams, and of what is asked beside them."""

SECOND_LOOKS = ("answered", "failed", "late", "turned_away")
"""What can become of a second look at a refused call."""

SCORES = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
"""Buckets of scores; most are low, since what is predicted is rare."""


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """The children of one model version: how long each step took, how many rows, what became of them.

    Attributes:
        work_saved: The counter of each kind of work that was left undone.
        score_bands: Gives the counter of a risk band.
        feature_missing: Gives the counter of a feature's missing values.
    """

    queue_seconds: Histogram
    sql_seconds: Histogram
    batch_sql_seconds: Histogram
    score_seconds: Histogram
    explain_seconds: Histogram
    joined_rows: Histogram
    chunk_rows: Histogram
    rows_scored: Counter
    rows_failed: Counter
    work_saved: Mapping[WorkSaved, Counter]
    scores: Histogram
    score_bands: Callable[[str], Counter]
    feature_missing: Callable[[str], Counter]


def observe_all(histogram: Histogram, amounts: Sequence[float]) -> None:
    """Observes amounts, none of them NaN, as `Histogram.observe` does one, for the price of a few."""
    bounds, buckets = histogram._upper_bounds, histogram._buckets
    for place, count in Counts(map(partial(bisect_left, bounds), amounts)).items():
        buckets[place].inc(count)
    histogram._sum.inc(sum(amounts))


@dataclass(slots=True)
class _Ends:
    """How often calls of one kind ended and how long they took; those of a turn of the loop wait here."""

    counter: Counter
    seconds: Histogram
    waiting: list[float] = field(default_factory=list)


class Metrics:
    """The metrics of one process, registered in `registry`; in multiprocess mode shared through files."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._settling = False
        self._one_settles = threading.Lock()
        registry.register(_Settler(self.settle))  # before all others, so that they show what they should
        self._define_calls(registry)
        self._define_steps(registry)
        self._define_scores(registry)
        self._define_database(registry)
        self._define_state(registry)
        self._ends: dict[tuple[str, Code, Reason | None, str], _Ends] = {}
        self._models: dict[str, ModelMetrics] = {}

    def _define_calls(self, registry: CollectorRegistry) -> None:
        self.calls = Counter(
            "staunch_calls",
            "Calls ended, by method (unknown for one that is not ours), status code, reason (empty for OK) "
            "and answering model version.",
            ("method", "code", "reason", "model"),
            registry=registry,
        )
        self.call_seconds = Histogram(
            "staunch_call_seconds",
            "Seconds from the message's arrival to its answer, by status code; for streams to the end of the "
            "stream.",
            ("method", "code", "model"),
            buckets=CALL_SECONDS,
            registry=registry,
        )
        self.calls_in_progress = Gauge(
            "staunch_calls_in_progress",
            "Unary calls and rows of StreamPredict; by kind also its streams (joining), others, and watches.",
            ("kind",),
            multiprocess_mode="livesum",
            registry=registry,
        )

    def _define_steps(self, registry: CollectorRegistry) -> None:
        # The steps of a call share their buckets, so that one can be set against the other.
        self.rows = Counter(
            "staunch_rows", "Rows asked for, by what became of them.", ("model", "outcome"), registry=registry
        )
        self.work_saved = Counter(
            "staunch_work_saved",
            "Work that nobody waited for any more, left undone: a row to read, one to score, or a query.",
            ("model", "what"),
            registry=registry,
        )
        self.queue_seconds = Histogram(
            "staunch_queue_seconds",
            "Seconds that a call waited for the batch before it.",
            ("model",),
            buckets=STEP_SECONDS,
            registry=registry,
        )
        self.sql_seconds = Histogram(
            "staunch_sql_seconds",
            "Seconds of one feature query and its decoding, by kind: interactive or batch.",
            ("model", "kind"),
            buckets=STEP_SECONDS,
            registry=registry,
        )
        self.onnx_seconds = Histogram(
            "staunch_onnx_seconds",
            "Seconds of one ONNX run, by step: score or explain.",
            ("model", "step"),
            buckets=STEP_SECONDS,
            registry=registry,
        )
        self.batch_rows = Histogram(
            "staunch_batch_rows",
            "Rows of one feature query, by kind: interactive (joined calls) or batch (a chunk).",
            ("model", "kind"),
            buckets=BATCH_ROWS,
            registry=registry,
        )

    def _define_scores(self, registry: CollectorRegistry) -> None:
        # By version, as every answer names one: `process.present` shows none that has gone.
        self.scores = Histogram(
            "staunch_scores",
            "Probabilities of the rows that were scored, whoever asked and with whatever values.",
            ("model",),
            buckets=SCORES,
            registry=registry,
        )
        self.score_bands = Counter(
            "staunch_score_bands",
            "Rows that were scored, by risk band; none of a version without thresholds.",
            ("model", "band"),
            registry=registry,
        )
        self.feature_missing = Counter(
            "staunch_feature_missing",
            "Rows that were scored with this feature missing, of those features that may be; all rows are "
            "staunch_scores_count.",
            ("model", "feature"),
            registry=registry,
        )

    def _define_database(self, registry: CollectorRegistry) -> None:
        # Connections of workers add up. What can be counted is 0 from the start, so that the first is a rise.
        self.connections_in_use = Gauge(
            "staunch_pool_connections_in_use",
            "Database connections lent out, by pool: interactive, batch, or beside (second looks at "
            "refused calls and the question whether the database is up).",
            ("pool",),
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.connections_max = Gauge(
            "staunch_pool_connections_max",
            "Database connections a pool may open.",
            ("pool",),
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.connection_wait_seconds = Histogram(
            "staunch_pool_wait_seconds",
            "Seconds that a query waited for a connection, also in vain; a new one is opened meanwhile.",
            ("pool",),
            buckets=STEP_SECONDS,
            registry=registry,
        )
        self.connection_failures = Counter(
            "staunch_pool_connection_failures",
            "Database connections that could not be opened, by pool and cause: refused (role, password, name "
            "of the database), too_old, or away.",
            ("pool", "cause"),
            registry=registry,
        )
        for pool, cause in product(POOLS, ("refused", "too_old", "away")):
            self.connection_failures.labels(pool, cause)
        self.database_up = Gauge(
            "staunch_database_up",
            "1 while the database answers us as this role, asked every 2 s, else 0; the least of workers.",
            ("role",),  # without a label a worker that has not asked yet would say 0
            multiprocess_mode="livemin",
            registry=registry,
        )
        self.second_looks = Counter(
            "staunch_second_looks",
            "Second looks at refused calls, for why somebody is not eligible or whether they are known now, "
            "by outcome: answered, failed, late, or turned_away, as too many waited or one has just failed. "
            "The refusal goes out in any case.",
            ("outcome",),
            registry=registry,
        )
        for outcome in SECOND_LOOKS:
            self.second_looks.labels(outcome)

    def _define_state(self, registry: CollectorRegistry) -> None:
        # Versions and builds are the same in each worker: a sum would say nothing.
        self.model_info = Gauge(
            "staunch_model_info",
            "1 for each version that an alias or a request needs, in its present state: LOADING, READY, or "
            "REFUSED, also while its view fails. A state that it left is not shown.",
            ("model", "version", "digest", "state"),
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.model_loads = Counter(
            "staunch_model_loads",
            "Attempts to load a version, by outcome: ready, MODEL_REFUSED, or INTERNAL for what nobody "
            "foresaw, a bug or a disk's bad moment; the log has it.",
            ("model", "version", "outcome"),
            registry=registry,
        )
        self.event_loop_tasks = Gauge(
            "staunch_event_loop_tasks",
            "Tasks of the event loops: some ten a worker, and one or two a call or stream in progress. Those "
            "that stay are a leak.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.not_serving = Gauge(
            "staunch_not_serving",
            "1 for the cause by which no version answers, else 0: the store is empty or unreadable, or what "
            "its aliases point at is refused. /healthz and the log have the text.",
            ("cause",),
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.build_info = Gauge(
            "staunch_build_info",
            "Always 1; the labels say what runs.",
            ("version", "python", "transport"),
            multiprocess_mode="livemax",
            registry=registry,
        )

    def set_build(self, version: str, transport: str) -> None:
        """Says what runs: our version, Python's, the transport."""
        self.build_info.labels(version, platform.python_version(), transport).set(1)

    def connection_failed(self, pool: str, error: FeatureError) -> None:
        """Counts a connection of a pool that could not be opened."""
        causes = ((DatabaseRefused, "refused"), (DatabaseUrlInvalid, "refused"), (DatabaseTooOld, "too_old"))
        cause = next((cause for kind, cause in causes if isinstance(error, kind)), "away")
        self.connection_failures.labels(pool, cause).inc()

    def set_database_up(self, up: bool) -> None:
        """Says whether the database answers us."""
        self.database_up.labels("reader").set(up)

    def second_look_ended(self, outcome: str) -> None:
        """Counts a second look by what became of it, one of `SECOND_LOOKS`."""
        self.second_looks.labels(outcome).inc()

    def set_not_serving(self, cause: NoService | None) -> None:
        """Says why no version answers; None while one does."""
        for each in get_args(NoService):
            self.not_serving.labels(each).set(each == cause)

    def call_ended(self, event: CallEnded) -> None:
        """Counts a call that ended and how long it took; those of one turn of the loop together."""
        reason = None if event.refusal is None else event.refusal.reason
        key = (event.method, event.code, reason, event.model)
        ends = self._ends.get(key) or self._new_ends(key)
        ends.waiting.append(event.seconds)
        if not self._settling:
            self._settling = True
            _soon(self.settle)

    def settle(self) -> None:
        """Counts the calls that ended and wait to be counted; from any thread, while more of them end."""
        self._settling = False
        with self._one_settles:
            for ends in list(self._ends.values()):
                if waiting := ends.waiting[:]:
                    del ends.waiting[: len(waiting)]
                    ends.counter.inc(len(waiting))
                    observe_all(ends.seconds, waiting)

    def _new_ends(self, key: tuple[str, Code, Reason | None, str]) -> _Ends:
        method, code, reason, model = key
        counter = self.calls.labels(method, code.name, "" if reason is None else reason.name, model)
        found = self._ends[key] = _Ends(counter, self.call_seconds.labels(method, code.name, model))
        return found

    def version_changed(self, event: VersionChanged) -> None:
        """Shows a version's present state; the one it left is 0, and no page has it (`process.present`)."""
        for status, value in ((event.before, 0), (event.after, 1)):
            if status.state != "STORED" and not status.let_go:  # else it is no news of this process
                name, number = event.version
                self.model_info.labels(name, str(number), status.digest, status.state).set(value)

    def load_ended(self, event: LoadEnded) -> None:
        """Counts an attempt to load a version."""
        self.model_loads.labels(event.version.name, str(event.version.number), event.outcome).inc()

    def model(self, name: str) -> ModelMetrics:
        """The children of one version, "churn@3"; made once."""
        found = self._models.get(name)
        if found is None:
            found = self._models[name] = ModelMetrics(
                queue_seconds=self.queue_seconds.labels(name),
                sql_seconds=self.sql_seconds.labels(name, "interactive"),
                batch_sql_seconds=self.sql_seconds.labels(name, "batch"),
                score_seconds=self.onnx_seconds.labels(name, "score"),
                explain_seconds=self.onnx_seconds.labels(name, "explain"),
                joined_rows=self.batch_rows.labels(name, "interactive"),
                chunk_rows=self.batch_rows.labels(name, "batch"),
                rows_scored=self.rows.labels(name, "scored"),
                rows_failed=self.rows.labels(name, "failed"),
                work_saved={what: self.work_saved.labels(name, what) for what in get_args(WorkSaved)},
                scores=self.scores.labels(name),
                score_bands=partial(self.score_bands.labels, name),
                feature_missing=partial(self.feature_missing.labels, name),
            )
        return found


class _Settler(Collector):
    """Has what waits to be counted counted, whenever somebody looks; it has no metric of its own."""

    def __init__(self, settle: Callable[[], None]) -> None:
        self._settle = settle

    def collect(self) -> Iterable[Metric]:
        """Gives nothing."""
        return self._settle() or ()


def _soon(settle: Callable[[], None]) -> None:
    """Calls it at the end of this turn of the event loop; at once where none runs."""
    try:
        asyncio.get_running_loop().call_soon(settle)
    except RuntimeError:
        settle()
