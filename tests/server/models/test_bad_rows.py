"""One customer's bad data and the others: what is found, with how many queries, and when it is given up."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch_features.errors import DatabaseUnavailable, RowNotAsked, RowsNotUnique, ViewError
from staunch_features.views.source import FeatureSource
from staunch_features.views.types import FeatureBatch
from staunch_server.deadlines import Deadline
from staunch_server.models import bad_rows
from staunch_server.types import Id

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


class DivisionByZero(Exception):
    """What the database says of a row's data."""

    sqlstate = "22012"


class UntranslatableCharacter(Exception):
    """What a database of another encoding says of a key."""

    sqlstate = "22P05"


class UndefinedTable(Exception):
    """What the database says of a text."""

    sqlstate = "42P01"


def failure(cause: Exception, kind: type[ViewError] = ViewError) -> ViewError:
    error = kind(file="churn@1/features.sql", line=1, message="division by zero", hint="mend the data")
    error.__cause__ = cause
    return error


@dataclass
class Source:
    """A view over ids whose row is [id], which fails as a whole if one of the bad is asked for."""

    bad: set[Id]
    error: Exception = field(default_factory=lambda: failure(DivisionByZero()))
    queries: int = 0
    view: Any = field(default_factory=lambda: SimpleNamespace(features=["a"]))

    async def fetch(self, ids: Sequence[Id], as_of: datetime | None, *, deadline: Deadline) -> FeatureBatch:
        self.queries += 1
        if self.bad & set(ids):
            raise self.error
        known = np.ones(len(ids), dtype=np.bool_)
        return FeatureBatch(np.array([[float(i)] for i in ids]).reshape(-1, 1), known, known, as_of)


async def fetch(source: Source, ids: Sequence[Id]) -> FeatureBatch:
    return await bad_rows.fetch(cast(FeatureSource, source), ids, MOMENT, deadline=Deadline.after(5))


@given(st.sets(st.integers(1, 200), min_size=1, max_size=200), st.sets(st.integers(1, 200), max_size=3))
async def test_every_other_row_is_read_and_the_bad_are_named(ids: set[int], bad: set[int]) -> None:
    asked = sorted(ids)
    batch = await fetch(Source(set(bad)), asked)
    expected = {place for place, id_ in enumerate(asked) if id_ in bad}
    assert batch.problems == dict.fromkeys(expected, "division by zero")
    assert batch.found.all()
    assert batch.eligible.all()
    values = batch.values[:, 0].tolist()
    assert [v for place, v in enumerate(values) if place not in expected] == [
        i for i in asked if i not in bad
    ]
    assert np.isnan(batch.values[sorted(expected)]).all()
    assert batch.as_of == MOMENT


async def test_a_lone_bad_id_among_10_000_costs_28_queries_more() -> None:
    source = Source({7})
    batch = await fetch(source, range(1, 10_001))
    assert list(batch.problems) == [6]
    assert source.queries - 1 <= 28


async def test_a_batch_without_a_bad_row_costs_one_query() -> None:
    source = Source(set())
    await fetch(source, range(1, 101))
    assert source.queries == 1


@pytest.mark.parametrize("kind", [RowsNotUnique, RowNotAsked])
async def test_two_rows_for_one_id_or_one_for_another_are_the_fault_of_that_id_alone(
    kind: type[ViewError],
) -> None:
    source = Source({2}, failure(ValueError(), kind))
    assert list((await fetch(source, [1, 2, 3])).problems) == [1]


async def test_a_key_of_which_the_database_has_not_the_letters_is_nobodys() -> None:
    batch = await fetch(Source({2}, failure(UntranslatableCharacter())), [1, 2, 3])
    assert (batch.found.tolist(), batch.eligible.tolist()) == ([True, False, True],) * 2
    assert batch.problems == {}


@pytest.mark.parametrize("error", [failure(UndefinedTable()), DatabaseUnavailable("away"), TimeoutError()])
async def test_what_is_no_rows_fault_is_not_looked_for_in_the_rows(error: Exception) -> None:
    source = Source({2}, error)
    with pytest.raises(type(error)):
        await fetch(source, [1, 2, 3])
    assert source.queries == 1


async def test_a_view_that_fails_without_rows_fails() -> None:
    @dataclass
    class Failing(Source):
        async def fetch(
            self, ids: Sequence[Id], as_of: datetime | None, *, deadline: Deadline
        ) -> FeatureBatch:
            raise self.error

    with pytest.raises(ViewError):
        await fetch(Failing(set()), [])


async def test_a_view_that_fails_for_many_is_given_up_after_64_failed_queries() -> None:
    source = Source(set(range(1, 10_001)))
    with pytest.raises(ViewError):
        await fetch(source, range(1, 10_001))
    assert source.queries == bad_rows.MOST_QUERIES + 1 == 65


@pytest.mark.parametrize(("bad", "found"), [(32, True), (33, False)])
async def test_as_many_bad_rows_are_told_apart_as_64_failed_queries_can(bad: int, *, found: bool) -> None:
    """Of n bad rows and no others, n - 1 halvings and n lone rows fail: 63 queries for 32, 65 for 33."""
    source = Source(set(range(1, bad + 1)))
    if found:
        assert len((await fetch(source, range(1, bad + 1))).problems) == bad
    else:
        with pytest.raises(ViewError):
            await fetch(source, range(1, bad + 1))


@pytest.mark.parametrize(
    ("sqlstate", "blamed"),
    [("22012", True), ("22000", True), ("23505", False), ("2F000", False), ("", False)],
)
def test_class_22_is_the_data_and_nothing_else_is(sqlstate: str, *, blamed: bool) -> None:
    cause = DivisionByZero()
    cause.sqlstate = sqlstate
    assert bad_rows.is_data_error(failure(cause)) is blamed
