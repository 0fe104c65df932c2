"""One model version in memory: fetch, score and explain, by what a request is answered."""

import asyncio
import math
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from staunch_features.errors import ViewError
from staunch_features.views.file import FeatureView, parse_view
from staunch_features.views.rules import problem_for_log, row_hint
from staunch_features.views.types import FeatureBatch
from staunch_model_store.errors import ModelRefused
from staunch_model_store.manifest import FEATURES_SQL
from staunch_model_store.model import Explanation, Largest, LoadedModel, Scores
from staunch_model_store.store import StoredVersion
from staunch_server.deadlines import Deadline
from staunch_server.metrics import ModelMetrics
from staunch_server.models.coalescer import Coalescer
from staunch_server.models.explaining import Explaining
from staunch_server.models.limits import Limits
from staunch_server.models.tally import Tally
from staunch_server.models.view_health import CheckedView
from staunch_server.types import Floats, Id, RiskBand, Version

# One to a few rows run in the loop, since a hop to a thread costs more than the run.
_INLINE_ROWS = 64

# Rows of one run in a thread: milliseconds, so that a cancelled chunk stops soon and others get their turn.
_SLICE_ROWS = 1024

_BANDS = (RiskBand.LOW, RiskBand.MEDIUM, RiskBand.HIGH)


class Served:
    """A verified version that answers; requests in flight hold it, so a swap takes nothing from them.

    Args:
        model: The proven model.
        stored: What it was loaded from.
        view: Its feature view in the database.
        metrics: Of the version.
        max_batch_rows: Most calls that share a query.
        query_timeout_s: Seconds that such a query may take.

    Attributes:
        name: "churn@3".
        version: The same, for programs.
        digest: Of the manifest, `sha256:` and hex: how answers name it.
        manifest: What the version says about itself.
        manifest_bytes: Its manifest.json, byte for byte.
        columns: Feature name to column.
        never_null: Bool (features,): which of them may not be null.
        view: Its feature view in the database.
        limits: What its features' values may be.
        coalescer: Joins calls of one customer.
    """

    def __init__(
        self,
        model: LoadedModel,
        stored: StoredVersion,
        view: CheckedView,
        metrics: ModelMetrics,
        *,
        max_batch_rows: int,
        query_timeout_s: float,
    ) -> None:
        self.manifest = stored.manifest
        self.version = Version(self.manifest.name, self.manifest.version)
        self.name = str(self.version)
        self.digest = stored.digest
        self.manifest_bytes = stored.manifest_bytes
        self.columns = {name: column for column, name in enumerate(self.manifest.feature_names)}
        self.never_null = np.array([not each.nullable for each in self.manifest.features])
        thresholds = self.manifest.thresholds
        self._edges = [thresholds.medium, thresholds.high] if thresholds else []
        self._model = model
        self._metrics = metrics
        self._tally = Tally(metrics, self.manifest.features, self._edges)
        self.view = view
        self._explaining = Explaining(self._explain)
        # Made here, since what it compares with is the same for every batch.
        self.limits = Limits(self.manifest.features, view.text)
        self.coalescer = Coalescer(
            view.read,
            self.score,
            metrics,
            max_rows=max_batch_rows,
            timeout_s=query_timeout_s,
            flags=self.limits.flags,
        )

    @property
    def checked(self) -> bool:
        """Whether the database's view has been seen to fit the model."""
        return self.view.checked

    @property
    def has_explainer(self) -> bool:
        """Whether `explain` answers."""
        return self._model.has_explainer

    async def read_chunk(self, ids: Sequence[Id], as_of: datetime, deadline: Deadline) -> FeatureBatch:
        """Reads rows of a stream's chunk; arguments and errors as `CheckedView.read_chunk`."""
        try:
            return await self.view.read_chunk(ids, as_of, deadline)
        except (asyncio.CancelledError, TimeoutError):
            self._metrics.work_saved["query"].inc()
            raise

    def chunk_read(self, rows: int, sql_s: float) -> None:
        """Counts a chunk that was read, of so many rows and in so many seconds."""
        self._metrics.chunk_rows.observe(rows)
        self._metrics.batch_sql_seconds.observe(sql_s)

    async def score(self, values: Floats) -> Scores:
        """Scores rows, float64 (n, features), which nobody may write into any more, and counts them.

        A few are scored in the loop, many in a thread, slice by slice.
        """
        if len(values) <= _INLINE_ROWS:
            return self.score_few(values)
        slices = [values[start : start + _SLICE_ROWS] for start in range(0, len(values), _SLICE_ROWS)]
        parts = [self._counted(part, await asyncio.to_thread(self._run, part)) for part in slices]
        return Scores(
            np.concatenate([part.margins for part in parts]),
            np.concatenate([part.probabilities for part in parts]),
        )

    def score_few(self, values: Floats) -> Scores:
        """Scores rows as `score` does, at once."""
        return self._counted(values, self._run(values))

    async def flagged(self, values: Floats) -> NDArray[np.bool_]:
        """Finds the rows, float64 (n, features), with values that the model did not learn from: bool (n,)."""
        if len(values) <= _INLINE_ROWS:
            return self._flagged(values)
        return await asyncio.to_thread(self._flagged, values)

    def _flagged(self, values: Floats) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = np.logical_or.reduce(self.limits.beyond(values), axis=1)
        return found

    async def explain(self, values: Floats) -> Explanation:
        """Explains one row, float64 (features,), with those that come meanwhile.

        Whether it adds up is for the caller to look at.
        """
        return await self._explaining.ask(values)

    async def _explain(self, values: Floats) -> Explanation:
        """Explains rows, float64 (n, features), in a thread: each takes some times a prediction."""
        started = time.monotonic()
        explanation = await asyncio.to_thread(self._explained, values)
        self._metrics.explain_seconds.observe(time.monotonic() - started)
        return explanation

    def _explained(self, values: Floats) -> Explanation:
        return self._model.explain_scored(values, self._model.predict(values).margins)

    def largest(self, values: Floats, outputs: Floats, count: int) -> Largest:
        """Finds the largest contributions of scored rows, in the calling thread.

        Args:
            values: Float64 (n, features), the rows.
            outputs: Float64 (n,), their margins.
            count: How many of each row.
        """
        started = time.monotonic()
        found = self._model.explain_scored(values, outputs).largest(count, self.manifest.feature_names)
        self._metrics.explain_seconds.observe(time.monotonic() - started)
        return found

    def count(self, scored: int, failed: int) -> None:
        """Counts rows by what became of them."""
        self._metrics.rows_scored.inc(scored)
        self._metrics.rows_failed.inc(failed)

    def band(self, probability: float) -> RiskBand:
        """Returns the class of action of a probability; unspecified for NaN or without thresholds.

        A probability that equals a threshold belongs to the band above it.
        """
        if math.isnan(probability) or not self._edges:
            return RiskBand.UNSPECIFIED
        return _BANDS[bisect_right(self._edges, probability)]

    def bands(self, probabilities: Floats) -> NDArray[np.intp]:
        """Returns the numbers of the bands of many probabilities, float64 (n,): as `band`, at once."""
        if not self._edges:
            return np.zeros(len(probabilities), dtype=np.intp)
        places = np.searchsorted(self._edges, probabilities, side="right") + int(RiskBand.LOW)
        return np.where(np.isnan(probabilities), int(RiskBand.UNSPECIFIED), places)

    def view_error(self, problem: str, about: str = "") -> ViewError:
        """Returns the error of a view that gave a row which it says it never gives, or failed on one.

        Args:
            problem: As the row has it.
            about: Which row, and a blank; the log does not have it.
        """
        hint = ": ".join(filter(None, ("mend the data, or the view and train again", row_hint(problem))))
        return ViewError(
            file=view_file(self.version),
            line=None,
            message=about + problem,
            hint=hint,
            for_log=problem_for_log(problem),
        )

    def _counted(self, values: Floats, scores: Scores) -> Scores:
        self._tally.add(values, scores.probabilities)
        return scores

    def _run(self, values: Floats) -> Scores:
        started = time.monotonic()
        scores = self._model.predict(values)
        self._metrics.score_seconds.observe(time.monotonic() - started)
        return scores


MakeServed = Callable[[LoadedModel, StoredVersion], Served]
"""Makes a served version of a proven one; the composition root knows with which database and which limits."""


def view_file(version: Version) -> str:
    """Returns how errors name the text that a version carries."""
    return f"{version}/{FEATURES_SQL}"


def view_of(stored: StoredVersion) -> FeatureView:
    """Reads the feature view that a version carries.

    Raises:
        ModelRefused: It is not UTF-8.
        ViewError: It is no view.
    """
    version = Version(stored.manifest.name, stored.manifest.version)
    try:
        text = stored.files[FEATURES_SQL].decode()
    except UnicodeDecodeError as error:
        raise ModelRefused(
            f"{version}: expected UTF-8 in {FEATURES_SQL}, got {error}; train again"
        ) from error
    return parse_view(stored.manifest.view, text, view_file(version))
