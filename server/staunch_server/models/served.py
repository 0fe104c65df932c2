"""One model version in memory, with the view it was trained on: what a request is answered by."""

import asyncio
import math
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from staunch.v1.prediction_service_pb2 import (
    RISK_BAND_HIGH,
    RISK_BAND_LOW,
    RISK_BAND_MEDIUM,
    RISK_BAND_UNSPECIFIED,
    ModelReference,
    RiskBand,
)
from staunch_features.errors import DatabaseUnavailable, ViewError
from staunch_features.postgres.pool import Database
from staunch_features.views.file import parse_view
from staunch_features.views.source import FeatureSource
from staunch_features.views.types import FeatureBatch, ViewSignature
from staunch_model_store.errors import ModelRefused
from staunch_model_store.manifest import FEATURES_SQL, Manifest
from staunch_model_store.model import Explanation, LoadedModel, Scores
from staunch_model_store.store import StoredVersion
from staunch_server.metrics import ModelMetrics
from staunch_server.models import bad_rows as isolation
from staunch_server.models.coalescer import Coalescer, Id

# One to a few rows run in the loop, since a hop to a thread costs more than the run.
_INLINE_ROWS = 64

# Rows of one run in a thread: milliseconds, so that a cancelled chunk stops soon and others get their turn.
_SLICE_ROWS = 1024

_BANDS = (RISK_BAND_LOW, RISK_BAND_MEDIUM, RISK_BAND_HIGH)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Databases:
    """The readers' pools: calls of one customer never wait for a stream's connections."""

    interactive: Database
    batch: Database


class Served:
    """A verified version that answers; requests in flight hold it, so a swap takes nothing from them.

    Attributes:
        name: "churn@3".
        manifest: What the version says about itself.
        manifest_bytes: Its manifest.json, byte for byte.
        reference: How answers name it.
        columns: Feature name to column.
        coalescer: Joins calls of one customer.
        checked: Whether the database's view has been seen to fit the model.
        trouble: Why the view failed when it was last run, though the version itself is sound; None if it
            did not. Calls go on asking, so that each gets its own error, and none once it is mended.
        looked_at: When the view last ran or was tried by `look`, monotonic seconds.
    """

    def __init__(  # noqa: PLR0913 - the composition root's parts, by name
        self,
        model: LoadedModel,
        stored: StoredVersion,
        databases: Databases,
        metrics: ModelMetrics,
        *,
        max_batch_rows: int,
        query_timeout_s: float,
        on_trouble: Callable[[], None],
    ) -> None:
        manifest = stored.manifest
        self.name = f"{manifest.name}@{manifest.version}"
        self.manifest: Manifest = manifest
        self.manifest_bytes = stored.manifest_bytes
        self.reference = ModelReference(name=manifest.name, version=manifest.version, digest=stored.digest)
        self.columns = {name: column for column, name in enumerate(manifest.feature_names)}
        self.checked = False
        self.trouble: ViewError | None = None
        self.looked_at = time.monotonic()
        self._on_trouble = on_trouble
        thresholds = manifest.thresholds
        self._edges = [thresholds.medium, thresholds.high] if thresholds else []
        self._model = model
        self._metrics = metrics
        self._file = f"{self.name}/{FEATURES_SQL}"
        self._databases = databases
        self._view = parse_view(manifest.view, _text(stored, self.name), self._file)
        self._renew()
        self.coalescer = Coalescer(
            self._read, self.score, metrics, max_rows=max_batch_rows, timeout_s=query_timeout_s
        )

    @property
    def has_explainer(self) -> bool:
        """Whether `explain` answers."""
        return self._model.has_explainer

    async def check(self, timeout_s: float) -> None:
        """Compares the view, as the database prepares it, with what the model was trained on, until it fits.

        Raises:
            ViewError: They differ, or the text is no valid view in this database; `trouble` holds it.
            DatabaseUnavailable: The database is away.
            TimeoutError: It did not answer within timeout_s seconds.
        """
        if self.checked:
            return
        try:
            _compare(self._file, self.manifest, await self._source.signature(timeout_s))
        except ViewError as error:
            self._set_trouble(error)
            raise
        self.checked = True

    async def look(self, timeout_s: float) -> None:
        """Runs the view for nobody, and says by `trouble` whether it broke or was mended meanwhile.

        A table may change under a running server, and no call need come by that would find it out.

        Raises:
            ViewError: It failed; `trouble` holds it.
            DatabaseUnavailable, TimeoutError: As `check`; `trouble` stays what it was.
        """
        self.looked_at = time.monotonic()
        await self._read([], datetime.now(UTC), timeout_s)
        self._set_trouble(None)

    async def read_chunk(self, ids: Sequence[Id], as_of: datetime, timeout_s: float) -> FeatureBatch:
        """Reads the rows of a stream's chunk on the connections kept for streams; errors as `check` and
        `FeatureSource.fetch`.

        Args:
            ids: Canonical ids.
            as_of: The moment, UTC; ignored by a view without one.
            timeout_s: Seconds that it may take.
        """
        started = time.monotonic()
        self._metrics.chunk_rows.observe(len(ids))
        batch = await self._fetch(self._batch_source, ids, as_of, timeout_s)
        self._metrics.batch_sql_seconds.observe(time.monotonic() - started)
        return batch

    async def score(self, values: Floats) -> Scores:
        """Scores rows, float64 (n, features): a few in the loop, many in a thread, slice by slice."""
        if len(values) <= _INLINE_ROWS:
            return self._run(values)
        slices = [values[start : start + _SLICE_ROWS] for start in range(0, len(values), _SLICE_ROWS)]
        parts = [await asyncio.to_thread(self._run, part) for part in slices]
        return Scores(
            np.concatenate([part.margins for part in parts]),
            np.concatenate([part.probabilities for part in parts]),
        )

    async def explain(self, values: Floats) -> Explanation:
        """Explains one row, float64 (features,), in a thread: it takes some hundred times a prediction."""
        started = time.monotonic()
        explanation = await asyncio.to_thread(self._model.explain, values[None])
        self._metrics.explain_seconds.observe(time.monotonic() - started)
        return explanation

    def count(self, scored: int, failed: int) -> None:
        """Counts rows by what became of them."""
        self._metrics.rows_scored.inc(scored)
        self._metrics.rows_failed.inc(failed)

    def band(self, probability: float) -> RiskBand.ValueType:
        """The class of action of a probability; unspecified for NaN or without thresholds."""
        if math.isnan(probability) or not self._edges:
            return RISK_BAND_UNSPECIFIED
        return _BANDS[bisect_right(self._edges, probability)]

    def view_error(self, message: str) -> ViewError:
        """The error of a view that gave a row which it says it never gives, or failed on the data of one."""
        hint = "mend the data, or the view (may the feature be null?) and train again"
        return ViewError(file=self._file, line=None, message=message, hint=hint)

    def _run(self, values: Floats) -> Scores:
        started = time.monotonic()
        scores = self._model.predict(values)
        self._metrics.score_seconds.observe(time.monotonic() - started)
        return scores

    async def _read(self, ids: Sequence[Id], as_of: datetime, timeout_s: float) -> FeatureBatch:
        return await self._fetch(self._source, ids, as_of, timeout_s)

    async def _fetch(
        self, source: FeatureSource, ids: Sequence[Id], as_of: datetime, timeout_s: float
    ) -> FeatureBatch:
        deadline = time.monotonic() + timeout_s
        moment = as_of if self.manifest.uses_as_of else None
        await self.check(timeout_s)
        try:
            batch = await isolation.fetch(source, ids, moment, deadline=deadline)
        except ViewError as error:
            if not isolation.is_data_error(error):
                self._renew()
                with suppress(DatabaseUnavailable, TimeoutError):
                    await self.check(deadline - time.monotonic())  # says what changed, in the view's words
            self._set_trouble(error)
            raise
        self.looked_at = time.monotonic()
        return batch

    def _renew(self) -> None:
        """Begins anew with a view that the database has to prepare, and we to compare."""
        self._source = FeatureSource(self._databases.interactive, self._view)
        self._batch_source = FeatureSource(self._databases.batch, self._view)
        self.checked = False

    def _set_trouble(self, trouble: ViewError | None) -> None:
        before, self.trouble = self.trouble, trouble
        if str(before) != str(trouble):
            self._on_trouble()


def _text(stored: StoredVersion, name: str) -> str:
    try:
        return stored.files[FEATURES_SQL].decode()
    except UnicodeDecodeError as error:
        raise ModelRefused(f"{name}: expected UTF-8 in {FEATURES_SQL}, got {error}; train again") from error


def _compare(file: str, manifest: Manifest, signature: ViewSignature) -> None:
    trained = (manifest.id_type, manifest.uses_as_of, [(f.name, f.type) for f in manifest.features])
    found = (signature.id_type, signature.uses_as_of, [(f.name, f.type) for f in signature.features])
    if trained == found and manifest.features_digest == signature.features_digest:
        return
    raise ViewError(
        file=file,
        line=None,
        message=f"expected the view to give {_difference(trained, found)}",
        hint="bring the database's tables back to what the view was written for, or train again",
    )


def _difference(trained: tuple[object, ...], found: tuple[object, ...]) -> str:
    """The first thing that differs, as "X, got Y"."""
    for was, now in zip(trained, found, strict=True):
        if isinstance(was, list) and isinstance(now, list) and was != now:
            missing, added = [f for f in was if f not in now], [f for f in now if f not in was]
            return f"{missing or 'the same order'}, got {added or 'another order'}"[:300]
        if was != now:
            return f"{was}, got {now}"
    return "the same digest of names and types, got another"
