"""Reads the rows of a chunk in as many parts as its turns at the database allow."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import numpy as np

from staunch_features.views.types import FeatureBatch
from staunch_server.types import Id


class Turns(Protocol):
    """Says when a stream may read, and how much; see `admission.lanes`."""

    def turn(self) -> AbstractAsyncContextManager[int | None]:
        """Waits for a turn, and gives how many rows may be read in it; None for any number."""


async def read(
    ids: Sequence[Id], turns: Turns, rows_of: Callable[[Sequence[Id]], Awaitable[FeatureBatch]]
) -> FeatureBatch:
    """Returns the rows of ids in their order, read in one part or several.

    Args:
        ids: Canonical, in any order, duplicates allowed.
        turns: When and how much to read.
        rows_of: Reads some, a turn's.
    """
    parts: list[FeatureBatch] = []
    order: Sequence[int] = ()
    left: Sequence[Id] = ids
    while left:
        async with turns.turn() as most:
            if most is not None and most < len(left) and not order:
                # Sorted all together, since neighbours share pages of the tables.
                order = sorted(range(len(ids)), key=ids.__getitem__)
                left = [ids[place] for place in order]
            count = len(left) if most is None else most
            parts.append(await rows_of(left[:count]))
        left = left[count:]
    return parts[0] if len(parts) == 1 else _joined(parts, order)


def _joined(parts: Sequence[FeatureBatch], order: Sequence[int]) -> FeatureBatch:
    """Puts the rows of parts, whose places are told by `order`, into the order that was asked for."""
    places = np.empty(len(order), dtype=np.intp)
    places[list(order)] = np.arange(len(order))
    problems: dict[int, str] = {}
    before = 0
    for part in parts:
        problems |= {order[before + row]: problem for row, problem in part.problems.items()}
        before += len(part.found)
    return FeatureBatch(
        np.concatenate([part.values for part in parts])[places],
        np.concatenate([part.found for part in parts])[places],
        np.concatenate([part.eligible for part in parts])[places],
        parts[0].as_of,
        problems,
    )
