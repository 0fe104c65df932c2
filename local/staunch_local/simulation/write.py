"""Writes a world to the database: the first time by one bulk load, later by what has become known since."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace

import staunch_sql
from staunch_features.postgres.connection import Connection
from staunch_features.postgres.progress import Progress
from staunch_local.simulation.background.tables import TABLES, WorldTable
from staunch_local.simulation.life.block import World, draw_block
from staunch_local.simulation.life.people import Members, members
from staunch_local.simulation.rows.binary_copy import Labels, encode
from staunch_local.simulation.rows.rows import ColumnArrays, changed_rows, known_rows, new_rows
from staunch_local.simulation.spelling import spell_addresses, spell_customers

_DRAWN = 0.7  # the share of the work that is drawing and copying; indexes and statistics are the rest


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        rows: New rows by qualified table.
        changed: Rows that were there before and of which more has become known.
    """

    rows: Counter[str]
    changed: int


@dataclass(frozen=True)
class _Piece:
    """One block's encoded rows: new ones and changed ones, by short name of the table."""

    new: dict[str, list[bytes]]
    changed: dict[str, list[bytes]]
    rows: Counter[str]
    changes: int


async def load(connection: Connection, world: World, progress: Progress) -> Written:
    """Empties the world's tables and loads it as known at its `until`. Belongs in a transaction.

    Constraints and indexes are dropped before and made again after, rows are frozen as they are copied.
    """
    await connection.execute(staunch_sql.query("simulation/load_settings"))
    indexes = await connection.fetch(staunch_sql.query("simulation/indexes"))
    for index in reversed(indexes):
        await connection.execute(index["drop_statement"])
    await connection.execute(staunch_sql.query("simulation/empty"))
    rows: Counter[str] = Counter()
    async with aclosing(_pieces(world, None, progress)) as pieces:
        async for piece in pieces:
            rows += piece.rows
            for name, stream in piece.new.items():
                await _copy(connection, TABLES[name], stream, freeze=True)
    for made, index in enumerate(indexes):
        progress("building indexes and checking keys", _DRAWN + 0.25 * made / len(indexes))
        await connection.execute(index["make_statement"])
    return Written(rows, 0)


async def append(connection: Connection, world: World, since: int, progress: Progress) -> Written:
    """Brings a world known at `since` up to its `until`. Belongs in a transaction.

    All is drawn again and only the difference written, so that the outcome is the same as if the world
    had been loaded at once.
    """
    await connection.execute(staunch_sql.query("simulation/append_settings"))
    await connection.execute(staunch_sql.query("simulation/stage"))
    rows: Counter[str] = Counter()
    changes = 0
    async with aclosing(_pieces(world, since, progress)) as pieces:
        async for piece in pieces:
            rows, changes = rows + piece.rows, changes + piece.changes
            await _append_piece(connection, piece)
    await connection.execute(staunch_sql.query("simulation/unstage"))
    return Written(rows, changes)


async def _append_piece(connection: Connection, piece: _Piece) -> None:
    """Closes what has ended before it writes what has begun, since the two may not overlap."""
    for name, stream in piece.changed.items():
        await _copy(connection, TABLES[name], stream, staged=True)
    await connection.execute(staunch_sql.query("simulation/change"))
    for name, stream in piece.new.items():
        await _copy(connection, TABLES[name], stream)


async def _pieces(world: World, since: int | None, progress: Progress) -> AsyncGenerator[_Piece]:
    """Draws block after block in a thread, each while the one before it is being copied."""
    blocks = members(world.customers, world.calendar)
    following = asyncio.ensure_future(asyncio.to_thread(_piece, world, since, blocks[0]))
    for done, block in enumerate([*blocks[1:], None], start=1):
        piece = await following
        if block is not None:
            following = asyncio.ensure_future(asyncio.to_thread(_piece, world, since, block))
        yield piece
        progress("drawing customers", _DRAWN * done / len(blocks))


def _piece(world: World, since: int | None, block: Members) -> _Piece:
    """Draws and encodes one block: all that is known, or what has become known since."""
    until = world.calendar.until
    labels = {"plan_code": world.reference.plan_codes, "province_code": world.reference.provinces}
    piece = _Piece({}, {}, Counter(), 0)
    changes = 0
    for name, columns in draw_block(world, block).items():
        table = TABLES[name]
        new = known_rows(table, columns, until) if since is None else new_rows(table, columns, since, until)
        piece.new[name] = _stream(name, new, world, labels)
        piece.rows[table.name] = len(new[table.recorded])
        if since is not None and table.later:
            changed = changed_rows(table, columns, since, until)
            changes += len(changed[table.recorded])
            piece.changed[name] = _stream(name, changed, world, labels)
    return replace(piece, changes=changes)


def _stream(name: str, columns: ColumnArrays, world: World, labels: Labels) -> list[bytes]:
    if not len(columns["customer_id"]):
        return []
    if name == "customers":
        columns = spell_customers(columns)
    if name == "addresses":
        columns = spell_addresses(columns, world.places)
    return list(encode(TABLES[name], columns, labels))


async def _copy(
    connection: Connection,
    table: WorldTable,
    stream: list[bytes],
    *,
    freeze: bool | None = None,
    staged: bool = False,
) -> None:
    if stream:
        schema, name = table.name.split(".")
        await connection.copy_to_table(
            f"changed_{name}" if staged else name,
            schema_name="simulation" if staged else schema,
            columns=[column.name for column in table.columns],
            source=_read(stream),
            format="binary",
            freeze=freeze,
        )


async def _read(stream: list[bytes]) -> AsyncIterator[bytes]:
    for piece in stream:
        yield piece
