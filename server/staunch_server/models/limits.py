"""Finds values that a model never learned from, or that cannot be: their rows are scored, and flagged."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from staunch_features.views.feature_doc import ANY
from staunch_features.views.file import FeatureView
from staunch_model_store.manifest import Feature, LearnedValues
from staunch_server.types import Flag, Floats

_NONE: Mapping[int, tuple[Flag, ...]] = {}


class Limits:
    """What the values of a version's features may be, by its view and by the rows that it learned from.

    A version that was published before versions told what they learned from has the view's ranges alone.

    Args:
        features: The manifest's, in the model's order.
        view: The text that the version carries.
    """

    def __init__(self, features: Sequence[Feature], view: FeatureView) -> None:
        docs = [view.features.get(feature.name) for feature in features]
        self._possible = np.array([doc.possible if doc else ANY for doc in docs]).T
        learned = [each.learned for each in features]
        self._learned = np.array([_ends(each) for each in learned]).T
        self._low = np.maximum(self._possible[0], self._learned[0])
        self._high = np.minimum(self._possible[1], self._learned[1])
        # Where the model saw no null, one is new to it; where the view promises none, none gets here.
        self._never_null = np.array(
            [
                place
                for place, (each, seen) in enumerate(zip(features, learned, strict=True))
                if each.nullable and seen and not seen.null
            ],
            dtype=np.intp,
        )
        sets = {i: each.values for i, each in enumerate(learned) if each and each.values}
        self._coded = np.array(list(sets), dtype=np.intp)
        most = max(map(len, sets.values()), default=0)
        # (codes, 1, coded columns): compared with all rows at once; NaN equals nothing.
        self._codes = np.array(
            [(*codes, *[math.nan] * (most - len(codes))) for codes in sets.values()]
        ).T.reshape(most, 1, len(sets))

    def flags(self, values: Floats) -> Mapping[int, tuple[Flag, ...]]:
        """Finds what is wrong with rows, float64 (n, features); row to flags, only rows that have any."""
        if not self._has_any(values):
            return _NONE
        beyond = self.beyond(values)
        cannot_be = (values < self._possible[0]) | (values > self._possible[1])
        return {
            int(row): tuple(
                Flag(int(column), bool(cannot_be[row, column])) for column in np.flatnonzero(beyond[row])
            )
            for row in np.flatnonzero(beyond.any(axis=1))
        }

    def range_of(self, flag: Flag) -> tuple[float, float]:
        """Returns the least and the greatest value that the flagged one should have lain between."""
        low, high = (self._possible if flag.is_impossible else self._learned)[:, flag.column]
        return float(low), float(high)

    def beyond(self, values: Floats) -> NDArray[np.bool_]:
        """Finds the values that are impossible, or new to the model: bool (n, features)."""
        beyond = (values < self._low) | (values > self._high)
        beyond[:, self._never_null] |= np.isnan(values[:, self._never_null])
        coded = values[:, self._coded]
        beyond[:, self._coded] |= ~((coded == self._codes).any(axis=0) | np.isnan(coded))
        found: NDArray[np.bool_] = beyond
        return found

    def _has_any(self, values: Floats) -> bool:
        """Whether there is any such value: asked of every batch, and nearly always answered by no."""
        count, coded = np.count_nonzero, values.take(self._coded, axis=1)
        return bool(
            count(values < self._low)
            or count(values > self._high)
            or count(np.isnan(values.take(self._never_null, axis=1)))
            # Codes differ, so a value equals one of them or none.
            or count(coded == self._codes) + count(np.isnan(coded)) != coded.size
        )


def _ends(learned: LearnedValues | None) -> tuple[float, float]:
    """The ends of what was learned; of a feature that was always null any value is new."""
    if learned is None:
        return ANY
    if learned.minimum is None or learned.maximum is None:
        return math.inf, -math.inf
    return learned.minimum, learned.maximum
