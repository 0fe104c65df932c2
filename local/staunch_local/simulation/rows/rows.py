"""The rows of one block of customers, in the order in which they were drawn."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from staunch_local.simulation.background.arrays import Bools, Ints
from staunch_local.simulation.background.clock import NEVER, NEVER_DAY
from staunch_local.simulation.background.tables import TABLES, WorldColumn, WorldTable

ColumnArrays = dict[str, NDArray[np.generic]]
"""The columns of one table, equally long."""

_OWNER = "owner"  # position of the customer in the block
_IDS = MappingProxyType({"addresses": "address_id", "terms": "term_id", "tickets": "ticket_id"})
_LINKS = MappingProxyType(
    {"terms": "subscription_id", "transactions": "subscription_id", "tickets": "subscription_id"}
)


class BlockRows:
    """Collects rows and later changes to them. Where a row refers to another, it holds its row number."""

    def __init__(self) -> None:
        self._chunks: dict[str, list[Mapping[str, NDArray[np.generic]]]] = {name: [] for name in TABLES}
        self._counts = dict.fromkeys(TABLES, 0)
        self._edits: dict[str, list[tuple[Ints, Mapping[str, Ints | int]]]] = {name: [] for name in TABLES}

    def add(self, table: str, owner: Ints, **columns: NDArray[np.generic] | int) -> Ints:
        """Adds a row for each owner and returns their numbers.

        Args:
            table: Short name, a key of TABLES.
            owner: Positions of the customers in the block.
            columns: Values of the other columns, one for all rows or one each. What is left out is null,
                infinity or 0.
        """
        count, before = len(owner), self._counts[table]
        values = {name: np.broadcast_to(value, count) for name, value in columns.items()}
        self._chunks[table].append({_OWNER: owner, **values})
        self._counts[table] = before + count
        return np.arange(before, before + count)

    def edit(self, table: str, rows: Ints, **columns: Ints | int) -> None:
        """Sets columns of rows that were added before."""
        self._edits[table].append((rows, columns))

    def columns(self, table: str) -> ColumnArrays:
        """Returns the columns of a table with all edits made, `owner` among them."""
        found = {_OWNER: self._column(table, _OWNER, 0)}
        for column in TABLES[table].columns:
            found[column.name] = self._column(table, column.name, _default(column))
        found[TABLES[table].recorded] = self._column(table, TABLES[table].recorded, NEVER)
        for rows, changes in self._edits[table]:
            for name, value in changes.items():
                found[name][rows] = value
        return found

    def _column(self, table: str, name: str, default: int) -> NDArray[np.generic]:
        parts = [
            chunk[name] if name in chunk else np.full(len(chunk[_OWNER]), default)
            for chunk in self._chunks[table]
        ]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def _default(column: WorldColumn) -> int:
    if column.kind == "time":
        return NEVER
    if column.kind == "date":
        return NEVER_DAY
    return -1 if column.nullable else 0


def numbered(rows: BlockRows, customer_id: Ints) -> dict[str, ColumnArrays]:
    """Gives every row its key, numbering each customer's rows in the order in which they became known.

    So what becomes known later never changes a key that was given before.

    Args:
        rows: All rows of the block.
        customer_id: The customers' ids by position in the block.

    Returns:
        The columns of each table, sorted by key.
    """
    tables = {}
    subscription_ids = np.zeros(0, dtype=np.int64)
    for name, table in TABLES.items():
        columns = rows.columns(name)
        order, key = _key(_integers(columns, _OWNER), _integers(columns, table.recorded))
        if name == "subscriptions":
            subscription_ids = key
            columns["subscription_id"] = key
        if name in _LINKS:
            columns["subscription_id"] = _follow(_integers(columns, "subscription_id"), subscription_ids)
        if name == "transactions":
            columns["transaction_id"] = key
            columns["corrects_transaction_id"] = _follow(_integers(columns, "corrects_transaction_id"), key)
        if name in _IDS:
            columns[_IDS[name]] = key
        columns["customer_id"] = customer_id[_integers(columns, _OWNER)]
        tables[name] = {column: values[order] for column, values in columns.items()}
    return tables


def _integers(columns: ColumnArrays, name: str) -> Ints:
    return columns[name].astype(np.int64, copy=False)


def _key(owner: Ints, recorded: Ints) -> tuple[Ints, Ints]:
    """Returns the order of rows by owner and recorded time, and each row's rank within its owner from 1."""
    order = np.lexsort((recorded, owner))
    sorted_owner = owner[order]
    first = np.flatnonzero(np.diff(sorted_owner, prepend=-1))
    sizes = np.diff(first, append=len(owner))
    rank = np.empty(len(owner), dtype=np.int64)
    rank[order] = np.arange(len(owner)) - np.repeat(first, sizes) + 1
    return order, rank


def _follow(rows: Ints, keys: Ints) -> Ints:
    """Turns row numbers into keys; -1 stays."""
    if not len(keys):
        return rows
    return np.where(rows >= 0, keys[rows], -1)


def known_rows(table: WorldTable, columns: ColumnArrays, until: int) -> ColumnArrays:
    """Returns the rows as they stand at `until`: what is recorded later is not there yet."""
    return _as_known(table, _select(columns, _integers(columns, table.recorded) <= until), until)


def new_rows(table: WorldTable, columns: ColumnArrays, since: int, until: int) -> ColumnArrays:
    """Returns the rows that became known after `since` and by `until`, as they stand at `until`."""
    recorded = _integers(columns, table.recorded)
    return _as_known(table, _select(columns, (recorded > since) & (recorded <= until)), until)


def changed_rows(table: WorldTable, columns: ColumnArrays, since: int, until: int) -> ColumnArrays:
    """Returns the rows known at `since` of which more became known by `until`, as they stand at `until`."""
    changed = np.zeros(len(columns[_OWNER]), dtype=np.bool_)
    for known_column, _ in table.later:
        known_at = _integers(columns, known_column)
        changed |= (known_at > since) & (known_at <= until)
    return _as_known(table, _select(columns, changed & (_integers(columns, table.recorded) <= since)), until)


def _select(columns: ColumnArrays, wanted: Bools) -> ColumnArrays:
    if wanted.all():
        return dict(columns)
    return {name: values[wanted] for name, values in columns.items()}


def _as_known(table: WorldTable, columns: ColumnArrays, until: int) -> ColumnArrays:
    defaults = {column.name: _default(column) for column in table.columns}
    for known_column, filled in table.later:
        hidden = _integers(columns, known_column) > until
        for name in filled:
            columns[name] = np.where(hidden, defaults[name], columns[name])
    return columns
