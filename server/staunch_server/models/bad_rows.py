"""Keeps one customer whose data make a view fail (a division by zero, two rows) from failing the others."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from staunch_features.errors import RowNotAsked, RowsNotUnique, ViewError
from staunch_features.views.source import FeatureSource
from staunch_features.views.types import FeatureBatch
from staunch_server.deadlines import Deadline
from staunch_server.types import Id

MOST_QUERIES = 64
"""The most queries beyond the first that one batch is worth.

A lone bad id among 10,000 is found with 28; a view that fails for many is not worth many more.
"""

# Class 22 of SQLSTATE, data exception: what the values of a row do, and not the text.
_DATA_EXCEPTION = "22"

# The database's encoding does not have a character of the key: so no row of it has that key.
_UNTRANSLATABLE = "22P05"


async def fetch(
    source: FeatureSource, ids: Sequence[Id], as_of: datetime | None, *, deadline: Deadline
) -> FeatureBatch:
    """Reads rows as `FeatureSource.fetch` does; an id whose data it fails on becomes a problem row.

    Args:
        source: Of the view.
        ids: Canonical ids, in any order, duplicates allowed.
        as_of: The moment, UTC; None for a view without one.
        deadline: Until when the queries may take together.

    Raises:
        ViewError: The text is at fault, or it fails for more ids than could be told apart.
        DatabaseUnavailable, TimeoutError: As `FeatureSource.fetch`.
    """
    return await _Search(source, as_of, deadline).fetch(ids)


class _Search:
    """Halves a batch that fails until the ids that it fails on stand alone."""

    def __init__(self, source: FeatureSource, as_of: datetime | None, deadline: Deadline) -> None:
        self._source = source
        self._as_of = as_of
        self._deadline = deadline
        self._queries_left = MOST_QUERIES

    async def fetch(self, ids: Sequence[Id]) -> FeatureBatch:
        try:
            return await self._source.fetch(ids, self._as_of, deadline=self._deadline)
        except ViewError as error:
            if not ids or not is_data_error(error) or self._queries_left == 0:
                raise
            self._queries_left -= 1
            if len(ids) == 1:
                return _problem(self._source, self._as_of, error)
        half = len(ids) // 2
        return _joined(await self.fetch(ids[:half]), await self.fetch(ids[half:]))


def is_data_error(error: ViewError) -> bool:
    """Returns whether a view failed on the values of rows, and not by its text or its tables."""
    return isinstance(error, RowsNotUnique | RowNotAsked) or _sqlstate(error).startswith(_DATA_EXCEPTION)


def _sqlstate(error: ViewError) -> str:
    return str(getattr(error.__cause__, "sqlstate", ""))


def _problem(source: FeatureSource, as_of: datetime | None, error: ViewError) -> FeatureBatch:
    """One row that is there, belongs to the population as far as we know, and must not be scored."""
    there = np.full(1, _sqlstate(error) != _UNTRANSLATABLE)
    values = np.full((1, len(source.view.features)), np.nan)
    return FeatureBatch(values, there, there, as_of, {0: error.message} if there[0] else {})


def _joined(first: FeatureBatch, second: FeatureBatch) -> FeatureBatch:
    moved = {row + len(first.found): problem for row, problem in second.problems.items()}
    return FeatureBatch(
        np.concatenate([first.values, second.values]),
        np.concatenate([first.found, second.found]),
        np.concatenate([first.eligible, second.eligible]),
        first.as_of,
        first.problems | moved,
    )
