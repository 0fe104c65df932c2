"""The simulated world: customers whose reasons to leave are known, written as the rows a business would have.

A world is fixed by its seed, its size and its origin, the `until` it was first written with. Written until
one day and appended to until another, it is the same, row for row and bit for bit, as written until the
second day at once. What the simulation knows and nobody can see, the true hazards, is in the schema
`simulation`.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any

from asyncpg import InsufficientPrivilegeError, UndefinedTableError

import staunch_sql
from staunch_features.errors import FeatureError
from staunch_features.postgres.advisory_locks import take_lock
from staunch_features.postgres.connection import Connection, opened
from staunch_features.postgres.progress import Progress, silent
from staunch_local.simulation.background.clock import Calendar, microseconds
from staunch_local.simulation.background.reference import read_reference
from staunch_local.simulation.life.block import World
from staunch_local.simulation.write import Written, append, load

GENERATOR_VERSION = 2
"""Raised whenever the same seed would give other rows; a world of another version is written anew."""

DEFAULT_CUSTOMERS = 10_000
"""How many customers a new world begins with unless told otherwise."""

DEFAULT_SEED = 4242636
"""The seed of a new world unless told otherwise: one whose customer 42, whom the docs ask about, stays."""

_LARGEST_SEED = 2**63 - 1
_CONNECT_TIMEOUT_S = 10.0


class WorldError(FeatureError):
    """The database holds customers, or a world, that the one asked for cannot join."""


@dataclass(frozen=True)
class WorldSettings:
    """How a world departs from the usual.

    Attributes:
        drift_from: From the first month that begins on this date or later, customers follow other habits:
            they mind prices more, contracts and habit less. None for never. It may be set later on, for a
            date that the world has not reached.
    """

    drift_from: date | None = None

    def dump(self) -> str:
        """Returns the settings as JSON."""
        return json.dumps({"drift_from": self.drift_from and self.drift_from.isoformat()})

    @classmethod
    def parse(cls, text: str) -> "WorldSettings":
        """Reads what `dump` wrote."""
        drift_from = json.loads(text).get("drift_from")
        return cls(None if drift_from is None else date.fromisoformat(drift_from))


@dataclass(frozen=True)
class WorldReport:
    """What writing a world came to.

    Attributes:
        action: "written" (anew), "appended" or "unchanged".
        customers: How many were known at the origin.
        seed: The world's seed.
        origin: The `until` it was first written with.
        since: What it was known up to before; None if it was written anew.
        until: What it is known up to now.
        rows: New rows by qualified table.
        changed: Rows of before of which more has become known.
    """

    action: str
    customers: int
    seed: int
    origin: datetime
    since: datetime | None
    until: datetime
    rows: Mapping[str, int]
    changed: int

    def __str__(self) -> str:
        """One line for people."""
        if self.since is None:
            return f"{self.customers:,} customers until {self.until:%Y-%m-%d} written"
        if self.action == "unchanged":
            return f"up to date until {self.until:%Y-%m-%d}"
        days = (self.until - self.since).total_seconds() / 86_400
        return f"{days:.1f} days until {self.until:%Y-%m-%d} appended"


@dataclass(frozen=True)
class _Stored:
    """The world that a database holds."""

    seed: int
    customers: int
    generator_version: int
    origin: datetime
    until: datetime
    settings: WorldSettings
    finished: bool


async def write_world(  # noqa: PLR0913 - what `staunch simulate` asks, by name
    owner_url: str,
    *,
    until: datetime,
    customers: int | None = None,
    seed: int | None = None,
    origin: datetime | None = None,
    progress: Progress = silent,
    settings: WorldSettings | None = None,
) -> WorldReport:
    """Writes a world into a migrated database, or what has happened in it since it was last written.

    All of it happens in one transaction: stopped at any moment, the next call begins where this one did.

    Args:
        owner_url: URL of the role that owns the tables.
        until: Nothing recorded later is written. With a zone.
        customers: How many are known at the origin; others join later. At least 1; None is those of the
            world that stands, DEFAULT_CUSTOMERS for a new one.
        seed: From 0 to 2^63 - 1; the same one gives the same world. None is that of the world that stands,
            DEFAULT_SEED for a new one.
        origin: The time that fixes the draws of a new world, by default its `until`; not later than that.
        progress: Called now and then, and once if another writer is waited for.
        settings: How this world departs from the usual; as it was written before if left out.

    Raises:
        WorldError: The database holds customers that are not simulated, or another world; or its tables are
            missing, or another role owns them.
        ValueError: An argument is out of range, or the reference data is not complete.
        DatabaseUnavailable: The database cannot be reached, goes away meanwhile or is full.
    """
    async with opened(owner_url, timeout_s=_CONNECT_TIMEOUT_S) as connection:
        await take_lock(connection, "simulation/lock", "staunch simulate", progress)
        stored = await _read_as_owner(connection)
        standing = (stored.customers, stored.seed) if stored else (DEFAULT_CUSTOMERS, DEFAULT_SEED)
        size = standing[0] if customers is None else customers
        wanted = _Wanted.of(size, standing[1] if seed is None else seed, until, origin or until, settings)
        return await _write(connection, stored, wanted, progress)


async def world_until(owner_url: str) -> datetime | None:
    """Returns up to when the simulated world of a database is known, None if it holds no finished one.

    Args:
        owner_url: URL of the role that owns the tables; a role that may not see the simulation gets None.

    Raises:
        DatabaseUnavailable: The database cannot be reached.
    """
    async with opened(owner_url, timeout_s=_CONNECT_TIMEOUT_S) as connection:
        try:
            stored = await _read(connection)
        except (UndefinedTableError, InsufficientPrivilegeError):
            return None
    return stored.until if stored and stored.finished else None


@dataclass(frozen=True)
class _Wanted:
    """What the caller asked for."""

    customers: int
    seed: int
    until: datetime
    origin: datetime
    settings: WorldSettings | None

    @classmethod
    def of(
        cls, customers: int, seed: int, until: datetime, origin: datetime, settings: WorldSettings | None
    ) -> "_Wanted":
        """Checks what was asked for."""
        if customers < 1 or not 0 <= seed <= _LARGEST_SEED:
            raise ValueError(
                f"expected at least 1 customer and a seed from 0 to 2^63 - 1, got {customers} and {seed}"
            )
        if until.tzinfo is None or origin.tzinfo is None or origin > until:
            raise ValueError(
                f"expected `until` with a time zone and an `origin` not later, got {until} and {origin}"
            )
        return cls(customers, seed, until.astimezone(UTC), origin.astimezone(UTC), settings)


async def _write(
    connection: Connection, stored: _Stored | None, wanted: _Wanted, progress: Progress
) -> WorldReport:
    settings = wanted.settings or (stored.settings if stored else WorldSettings())
    if stored is None:
        await _refuse_customers(connection)
        return await _write_anew(connection, wanted, settings, progress)
    _refuse_another(stored, wanted, settings)
    if not stored.finished:
        return await _write_anew(connection, wanted, settings, progress)
    ahead = replace(wanted, origin=stored.origin, until=max(wanted.until, stored.until))
    if stored.generator_version != GENERATOR_VERSION:
        return await _write_anew(connection, ahead, settings, progress)
    if ahead.until == stored.until:
        return _report("unchanged", ahead, stored.until, Written(Counter(), 0))
    return await _append(connection, ahead, stored.until, settings, progress)


async def _read(connection: Connection) -> _Stored | None:
    row = await connection.fetchrow(staunch_sql.query("simulation/read"))
    if row is None:
        return None
    known: dict[str, Any] = dict(row)
    finished = known.pop("finished_at") is not None
    settings = WorldSettings.parse(known.pop("settings"))
    return _Stored(**known, settings=settings, finished=finished)


async def _read_as_owner(connection: Connection) -> _Stored | None:
    try:
        return await _read(connection)
    except (UndefinedTableError, InsufficientPrivilegeError) as error:
        raise WorldError(
            f"expected the tables of Staunch and the role that owns them, got: {error}; "
            "run `staunch migrate`, and name the owner in STAUNCH_DATABASE_URL"
        ) from error


async def _refuse_customers(connection: Connection) -> None:
    if not await connection.fetchval(staunch_sql.query("simulation/is_empty")):
        raise WorldError(
            "expected no customers, or simulated ones, and found some that the simulation did not write; "
            "give the simulation a database of its own"
        )


def _refuse_another(stored: _Stored, wanted: _Wanted, settings: WorldSettings) -> None:
    if (stored.seed, stored.customers) != (wanted.seed, wanted.customers):
        raise WorldError(
            f"expected the world that the database holds, seed {stored.seed} with {stored.customers:,} "
            f"customers, got seed {wanted.seed} with {wanted.customers:,}; ask for that one, or give the "
            "other one a database of its own"
        )
    drifts = {settings.drift_from, stored.settings.drift_from}
    passed = [day for day in drifts if day is not None and day <= stored.until.date()]
    if stored.finished and len(drifts) > 1 and passed:
        raise WorldError(
            f"expected the drift to change only after {stored.until:%Y-%m-%d}, up to which the world is "
            f"written, got {settings.drift_from} instead of {stored.settings.drift_from}; choose a later date"
        )


async def _write_anew(
    connection: Connection, wanted: _Wanted, settings: WorldSettings, progress: Progress
) -> WorldReport:
    world = await _world(connection, wanted, settings)
    marker = (wanted.seed, wanted.customers, GENERATOR_VERSION, wanted.origin, wanted.until, settings.dump())
    async with connection.transaction():
        await connection.execute(staunch_sql.query("simulation/begin"), *marker)
        written = await load(connection, world, progress)
        await connection.execute(
            staunch_sql.query("simulation/finish"), wanted.seed, wanted.until, settings.dump()
        )
    await _vacuum(connection, progress)
    return _report("written", wanted, None, written)


async def _append(
    connection: Connection, wanted: _Wanted, since: datetime, settings: WorldSettings, progress: Progress
) -> WorldReport:
    world = await _world(connection, wanted, settings)
    async with connection.transaction():
        written = await append(connection, world, microseconds(since), progress)
        await connection.execute(
            staunch_sql.query("simulation/finish"), wanted.seed, wanted.until, settings.dump()
        )
    await _vacuum(connection, progress)
    return _report("appended", wanted, since, written)


async def _world(connection: Connection, wanted: _Wanted, settings: WorldSettings) -> World:
    reference = await read_reference(connection)
    calendar = Calendar.between(wanted.origin, wanted.until)
    return World.of(wanted.seed, wanted.customers, calendar, reference, settings.drift_from)


async def _vacuum(connection: Connection, progress: Progress) -> None:
    progress("counting", 0.95)
    await connection.execute(staunch_sql.query("simulation/vacuum"))
    progress("done", 1.0)


def _report(action: str, wanted: _Wanted, since: datetime | None, written: Written) -> WorldReport:
    return WorldReport(
        action,
        wanted.customers,
        wanted.seed,
        wanted.origin,
        since,
        wanted.until,
        MappingProxyType(dict(written.rows)),
        written.changed,
    )
