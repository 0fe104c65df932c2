from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import numpy as np
import pytest

from staunch_features.views.types import FeatureBatch
from staunch_server.services import parts
from staunch_server.types import Id

NOW = datetime(2026, 11, 29, tzinfo=UTC)


class Turns:
    """Turns of so many rows each, the last again and again."""

    def __init__(self, *rows: int | None) -> None:
        self._rows = list(rows)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[int | None]:
        yield self._rows.pop(0) if len(self._rows) > 1 else self._rows[0]


class Reader:
    """Gives rows that tell whose they are, and remembers how many were asked for at once."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def __call__(self, ids: Sequence[Id]) -> FeatureBatch:
        self.asked.append(len(ids))
        values = np.array([[float(one), -float(one)] for one in ids])
        found = np.array([int(one) % 2 == 0 for one in ids])
        problems = {row: f"of {one}" for row, one in enumerate(ids) if int(one) % 5 == 0}
        return FeatureBatch(values, found, ~found, NOW, problems)


@pytest.mark.parametrize(
    ("turns", "asked"),
    [
        ((None,), [10]),
        ((3,), [3, 3, 3, 1]),
        ((4, None), [4, 6]),
        ((100,), [10]),
    ],
)
async def test_gives_the_rows_in_their_order_however_many_parts_they_are_read_in(
    turns: tuple[int | None, ...], asked: list[int]
) -> None:
    ids = [7, 3, 15, 3, 2, 11, 4, 20, 1, 15]
    reader = Reader()
    batch = await parts.read(ids, Turns(*turns), reader)
    assert reader.asked == asked
    assert batch.values[:, 0].tolist() == ids
    assert batch.found.tolist() == [one % 2 == 0 for one in ids]
    assert batch.eligible.tolist() == [one % 2 == 1 for one in ids]
    assert batch.problems == {2: "of 15", 7: "of 20", 9: "of 15"}
    assert batch.as_of == NOW


async def test_parts_are_neighbours_in_the_order_of_their_keys() -> None:
    read: list[Id] = []

    async def rows(ids: Sequence[Id]) -> FeatureBatch:
        read.extend(ids)
        return await Reader()(ids)

    await parts.read([5, 1, 4, 2, 3], Turns(2), rows)
    assert read == [1, 2, 3, 4, 5]
