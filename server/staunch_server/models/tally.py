"""Counts what was scored, many rows at a time: how high, in which band, and with which values missing."""

import asyncio
from collections.abc import Sequence

import numpy as np

from staunch_model_store.manifest import Feature
from staunch_server.metrics import ModelMetrics, observe_all
from staunch_server.types import Floats, RiskBand

WAIT_S = 1.0
"""The longest that a row waits to be counted, in seconds; a worker that ends loses those that wait."""

MOST_ROWS = 256
"""So many rows are counted at once."""


class Tally:
    """Counts the scored rows of one version.

    To count is dearer than to score a row: there is a counter for each feature. So rows wait for each other,
    and NumPy goes over all of them at once.

    Args:
        metrics: Of the version.
        features: Of the version, in the order of the columns.
        edges: The thresholds between the bands, ascending; none if the version has no bands.
    """

    def __init__(self, metrics: ModelMetrics, features: Sequence[Feature], edges: Sequence[float]) -> None:
        self._scores = metrics.scores
        self._bands = [metrics.score_bands(band.name) for band in RiskBand if band and edges]
        self._edges = edges
        # Only what may be missing is made, and is 0 at first; of the others a row with none is refused.
        self._missing = [metrics.feature_missing(each.name) for each in features if each.nullable]
        self._nullable = np.array([each.nullable for each in features], dtype=np.bool_)
        self._waiting: list[tuple[Floats, Floats]] = []
        self._rows = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, values: Floats, probabilities: Floats) -> None:
        """Takes scored rows to be counted soon; nobody may write into them any more.

        Args:
            values: Float64 (n, features), as the model saw them.
            probabilities: Float64 (n,).
        """
        if not len(values):
            return
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WAIT_S, self.settle)
        self._waiting.append((values, probabilities))
        self._rows += len(values)
        if self._rows >= MOST_ROWS:
            self.settle()

    def settle(self) -> None:
        """Counts the rows that wait."""
        if self._timer is None:
            return
        self._timer.cancel()
        waiting, self._waiting, self._rows, self._timer = self._waiting, [], 0, None
        self._count_missing(np.concatenate([values for values, _ in waiting]))
        self._count_scores(np.concatenate([probabilities for _, probabilities in waiting]))

    def _count_missing(self, values: Floats) -> None:
        missing = np.isnan(values[:, self._nullable]).sum(axis=0)
        for place in np.flatnonzero(missing).tolist():
            self._missing[place].inc(int(missing[place]))

    def _count_scores(self, probabilities: Floats) -> None:
        known = probabilities[~np.isnan(probabilities)]
        observe_all(self._scores, known.tolist())
        if self._bands:
            # A probability that equals a threshold belongs to the band above it.
            places = np.searchsorted(self._edges, known, side="right")
            for band, count in zip(self._bands, np.bincount(places, minlength=3).tolist(), strict=True):
                band.inc(count)
