"""Proves on real rows that a feature view sees nothing from after its as-of time.

For each table with declared time columns the view runs twice as of a moment in the middle of the table: as
it is, and with every later row hidden behind a WITH of the same name. A view that compares times as it
should cannot tell the difference. Where the rows can be read past the WITH, through a view of the database or
a function, nothing would be proved: then it is not tried, and that is what is reported. Nothing is written.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from staunch_features.checks.stand_ins import no_table, seen_rows, with_stand_ins
from staunch_features.checks.tables import (
    Reads,
    Relation,
    Statement,
    Table,
    find_table,
    reads_of,
    relations_read,
)
from staunch_features.checks.time_columns import (
    Middle,
    TimeColumn,
    declared_tables,
    endless_advice,
    middle_of,
    zone_advice,
)
from staunch_features.checks.untried import (
    Untried,
    no_moment,
    obstacle,
    refused,
    relatives,
    through_function,
    unreadable_function,
)
from staunch_features.errors import ViewError
from staunch_features.postgres.connection import Connection
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.file import FeatureView
from staunch_features.views.source import FeatureSource
from staunch_features.views.sql_text import quoted
from staunch_features.views.types import FeatureBatch, Id


@dataclass(frozen=True, slots=True)
class Probe:
    """What the features as of a moment do when the later rows of one table are hidden.

    Attributes:
        table: The table with its schema.
        as_of: The moment; about half of the table's rows are later, or more.
        changed: The features that changed, which therefore look ahead; `_eligible` may be among them.
    """

    table: str
    as_of: datetime
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LookAhead:
    """What was tried and what was not.

    Attributes:
        probes: One for each table with declared time columns that could be tried.
        untried: What could not be tried, and why.
        undeclared: The tables read that the header declares no time columns of.
        advice: What there is to say of the time columns.
    """

    probes: tuple[Probe, ...]
    untried: tuple[Untried, ...]
    undeclared: tuple[str, ...]
    advice: tuple[str, ...]


NO_LOOK_AHEAD = LookAhead((), (), (), ())
"""Of a view without an as-of time: it has nothing to look ahead from."""


async def probe_tables(
    database: Database,
    view: FeatureView,
    ids: Sequence[Id],
    *,
    timeout_s: float,
    now: datetime | None = None,
) -> LookAhead:
    """Probes each table that declares time columns, has rows, and is read in no way but the view's own text.

    Args:
        database: The reader's connections.
        view: A view with an as-of time.
        ids: Canonical ids to try.
        timeout_s: How long each statement may take, in seconds.
        now: What is later has not happened yet, so that no probe looks from there; None is this moment.

    Raises:
        ViewError: A declared table or column is not there, or the view is at fault.
    """
    # All texts are made before any is run: a run takes a connection, and the pool may have one alone.
    async with database.connection(Deadline.after(timeout_s)) as connection:
        texts = await _Texts.of(connection, view, now or datetime.now(UTC), timeout_s)
        reads = await reads_of(connection, view, timeout_s=timeout_s)
        ways = [await texts.without_later_rows(declared, reads) for declared in texts.declared]
        undeclared = await texts.undeclared(reads)
    tried = [
        each if isinstance(each, Untried) else await _probe(database, view, each, ids, timeout_s)
        for each in ways
    ]
    untried = [each for each in tried if isinstance(each, Untried)]
    untried += _only_through_functions(reads, undeclared | {each.what for each in untried})
    return LookAhead(
        probes=tuple(each for each in tried if isinstance(each, Probe)),
        untried=tuple(untried),
        undeclared=tuple(sorted(undeclared - {each.what for each in untried})),
        advice=(
            *zone_advice(view, [(each.table, each.columns) for each in texts.declared]),
            *(
                note
                for each in texts.declared
                for note in endless_advice(each.table, each.columns, each.middles)
            ),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Declared:
    """A table with its declared time columns, and where the middle of each lies."""

    table: Table
    columns: tuple[TimeColumn, ...]
    middles: tuple[Middle, ...]


@dataclass(frozen=True, slots=True)
class _WithoutLater:
    """A view without the later rows of a table, and the moment to run it as of."""

    table: Table
    as_of: datetime
    view: FeatureView


@dataclass(frozen=True, slots=True)
class _Texts:
    """Makes the texts that are run and planned in place of a view's own."""

    connection: Connection
    view: FeatureView
    timeout_s: float
    declared: Sequence[_Declared]
    shadowed: Set[int]  # the tables whose names without a schema mean others

    @classmethod
    async def of(cls, connection: Connection, view: FeatureView, now: datetime, timeout_s: float) -> "_Texts":
        declared = [
            _Declared(
                table,
                columns,
                tuple(
                    [await middle_of(connection, view, name, table, each, now, timeout_s) for each in columns]
                ),
            )
            for name, (table, columns) in zip(
                view.time_columns, await declared_tables(connection, view, timeout_s=timeout_s), strict=True
            )
        ]
        shadowed = set[int]()
        for each in declared:
            meant = await find_table(connection, quoted(each.table.name), timeout_s=timeout_s)
            if meant is not None and meant.oid != each.table.oid:
                shadowed.add(each.table.oid)
        return cls(connection, view, timeout_s, declared, shadowed)

    async def without_later_rows(self, declared: _Declared, reads: Reads) -> _WithoutLater | Untried:
        """The view without the later rows of a table, or why that would prove nothing."""
        table, columns = declared.table, declared.columns
        related = await relatives(self.connection, table.oid, timeout_s=self.timeout_s)
        # What declares time columns of its own is hidden with it: the same rows, read in another way.
        numbers = {each.relation.oid for each in related}
        together = [each for each in self.declared if each.table.oid in numbers]
        try:
            left = await self._left(together)
        except ViewError as error:
            return refused(table, error)
        found = obstacle(table, columns, related, reads, left) or no_moment(table, columns, declared.middles)
        if found is not None:
            return found
        as_of = next(middle.moment for middle in declared.middles if middle.moment)
        by_number = {each.table.oid: each.columns for each in together}

        def seen(table: Table, name: str) -> str:
            return seen_rows(table, name, by_number[table.oid])

        tables = [each.table for each in together]
        return _WithoutLater(table, as_of, with_stand_ins(self.view, tables, seen, self.shadowed))

    async def undeclared(self, reads: Reads) -> set[str]:
        """What is read beside the declared tables; a part of what is read as a whole is not named again."""
        try:
            left = await self._left(self.declared)
        except ViewError:
            left = reads.relations
        own = {each.table.oid for each in self.declared}
        return {
            each.full_name
            for each in left.values()
            if each.has_rows_of_its_own and each.oid not in own and not each.wholes & (own | left.keys())
        }

    async def _left(self, declared: Sequence[_Declared]) -> Mapping[int, Relation]:
        """What is read still with tables out of the way."""
        without = with_stand_ins(self.view, [each.table for each in declared], no_table, self.shadowed)
        statement = Statement(self.view, self.view.statement, without.statement, ([], datetime.now(UTC)))
        left, _ = await relations_read(self.connection, statement, timeout_s=self.timeout_s)
        return left


def _only_through_functions(reads: Reads, known: Set[str]) -> Iterator[Untried]:
    """Names what functions read, and the functions of which that does not show; without what is known."""
    for relation in reads.function_relations:
        if relation.has_rows_of_its_own and relation.full_name not in known:
            yield through_function(relation.full_name, reads.by_function[relation.oid])
    for name, why in reads.opaque.items():
        yield unreadable_function(name, why)


async def _probe(
    database: Database, view: FeatureView, without: _WithoutLater, ids: Sequence[Id], timeout_s: float
) -> Probe | Untried:
    """Runs the view as it is and without the later rows."""
    source, as_of = FeatureSource(database, view), without.as_of
    before = await source.fetch(ids, as_of, deadline=Deadline.after(timeout_s))
    hidden = FeatureSource(database, without.view)
    try:
        after = await hidden.fetch(ids, as_of, deadline=Deadline.after(timeout_s))
    except ViewError as error:
        return refused(without.table, error)
    if not (before.found.any() or after.found.any()):
        why = f"none of the {len(ids):,} ids tried has a row as of {as_of:%Y-%m-%d}, the middle of its rows"
        return Untried(without.table.full_name, why)
    names = [column.name for column in (await source.signature(Deadline.after(timeout_s))).features]
    return Probe(without.table.full_name, as_of, _changed(names, before, after))


def _changed(names: Sequence[str], before: FeatureBatch, after: FeatureBatch) -> tuple[str, ...]:
    same = (before.values == after.values) | (np.isnan(before.values) & np.isnan(after.values))
    changed = [name for name, equal in zip(names, same.all(axis=0), strict=True) if not equal]
    if not np.array_equal(before.eligible, after.eligible):
        changed.append("_eligible")
    return tuple(changed)
