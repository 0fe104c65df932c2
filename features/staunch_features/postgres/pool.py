"""Connections to PostgreSQL: how each one is set up, and a pool of them that outlives outages."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from types import MappingProxyType
from typing import TypeAlias

import asyncpg

from staunch_features.errors import DatabaseTooOld, DatabaseUnavailable

__all__ = ["MINIMUM_MAJOR", "Connection", "Database", "connect", "opened", "unavailable"]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
"""A connection as asyncpg gives it."""

MINIMUM_MAJOR = 15
"""The oldest PostgreSQL that we support."""

_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "application_name": "staunch",
        "timezone": "UTC",
        "search_path": "staunch, public",  # pg_catalog comes first unasked; public is where users' tables are
        "jit": "off",
        "plan_cache_mode": "force_generic_plan",  # planning costs ten times the one-id query itself
        "max_parallel_workers_per_gather": "0",
        "client_connection_check_interval": "1s",  # a query whose caller hung up ends
    }
)

_SETTLE_S = 1.0  # how long a connection may take to answer again after its query was cancelled

_UNSAID_S = 5.0  # for what takes no timeout of its own: BEGIN, ROLLBACK, the end of a cancelled query

# What blames neither the statement nor its data but the server or the moment, by SQLSTATE (PostgreSQL's
# appendix A): the connection, a conflict that rolled back (on a replica, with what it replays), no memory or
# disk left, an operator's hand or time limit, the system below.
_AWAY = ("08", "40", "53", "57", "58", "25P03", "25P04", "55P03")

# All that a connection raises when something is wrong with it or with what was asked.
_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


def unavailable(error: BaseException) -> bool:
    """Returns whether an error means that the database is away, so that trying again later can help.

    A timeout is none: whether the time was too short or the database too slow, only the caller knows.
    """
    if isinstance(error, TimeoutError):  # in Python a kind of OSError
        return False
    if isinstance(error, asyncpg.InterfaceError):
        return "closed" in str(error)
    if isinstance(error, asyncpg.InternalClientError):  # the server's goodbye crossed our query
        return "another operation" in str(error)
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate or "").startswith(_AWAY)
    return isinstance(error, (OSError, DatabaseUnavailable))


async def connect(
    url: str, *, timeout_s: float = 5, read_only: bool = False, statement_timeout_s: float | None = None
) -> Connection:
    """Opens a connection set up as all of ours are: UTC, a fixed search path, generic plans, no JIT.

    Args:
        url: `postgresql://role:password@host:port/database`.
        timeout_s: How long it may take in all.
        read_only: Whether transactions may only read.
        statement_timeout_s: How long a statement may take that is given no timeout of its own; None is
            for ever.

    Raises:
        DatabaseUnavailable: It cannot be reached in time, or refuses us.
        DatabaseTooOld: The server is older than PostgreSQL 15.
    """
    settings = {**_SETTINGS, "default_transaction_read_only": "on" if read_only else "off"}
    try:
        async with asyncio.timeout(timeout_s):
            connection = await asyncpg.connect(
                url,
                timeout=timeout_s,
                command_timeout=statement_timeout_s,
                server_settings=settings,
                max_cacheable_statement_size=0,  # no limit: a view's text is long
                max_cached_statement_lifetime=0,  # for ever: planning it again costs milliseconds
            )
    except TimeoutError as error:
        raise DatabaseUnavailable(f"{_place(url)} did not answer within {timeout_s:g} s") from error
    except ValueError:
        # The reason and its cause quote the part that cannot be read, which may be the password.
        raise DatabaseUnavailable(
            f"cannot read the URL of {_place(url)}: expected postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE; "
            "write / ? # [ ] @ within a password as %2F %3F %23 %5B %5D %40"
        ) from None
    except _FAILURES as error:
        raise DatabaseUnavailable(
            f"cannot connect to {_place(url)}: {error}; see that it runs, and that its URL, "
            "postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE, is right"
        ) from error
    await _check_version(connection, url)
    return connection


@asynccontextmanager
async def opened(url: str, *, timeout_s: float = 5) -> AsyncIterator[Connection]:
    """Opens a connection that one piece of work has to itself, however long that takes, and closes it.

    Args:
        url: `postgresql://role:password@host:port/database`.
        timeout_s: How long it may take to open.

    Raises:
        DatabaseUnavailable: It cannot be reached in time, refuses us, or goes away during the work.
        DatabaseTooOld: The server is older than PostgreSQL 15.
    """
    connection = await connect(url, timeout_s=timeout_s)
    try:
        with _outages_of(url):
            yield connection
    finally:
        await _hang_up(connection)


@contextmanager
def _outages_of(url: str) -> Iterator[None]:
    """Turns what a connection raises when the database is away into DatabaseUnavailable."""
    try:
        yield
    except _FAILURES as error:
        if not unavailable(error):
            raise
        raise DatabaseUnavailable(f"{_place(url)} went away or cannot serve now: {error}") from error


async def _check_version(connection: Connection, url: str) -> None:
    major = connection.get_server_version().major
    if major < MINIMUM_MAJOR:
        connection.terminate()
        raise DatabaseTooOld(
            f"{_place(url)} is PostgreSQL {major}: expected {MINIMUM_MAJOR} or newer; "
            "upgrade it, or name a newer one in STAUNCH_DATABASE_URL"
        )


def _place(url: str) -> str:
    """Where a URL points, without the role and its password, whatever is wrong with the URL."""
    return "the database at " + url.rpartition("@")[2].rpartition("//")[2].partition("?")[0]


class Database:
    """A pool of connections that opens them on demand and outlives outages.

    Nothing connects when it is made, so it starts without a database. A connection whose query was
    given up is used again only after it has answered, and otherwise cut. Nothing resets a connection
    between its users, so none of them may SET, LISTEN or lock.

    Args:
        url: `postgresql://role:password@host:port/database`.
        size: The most connections at a time.
        read_only: Whether transactions may only read.
    """

    def __init__(self, url: str, *, size: int, read_only: bool = True) -> None:
        self.size = size
        self._url = url
        self._read_only = read_only
        self._slots = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._in_use = 0
        self._settling: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def in_use(self) -> int:
        """How many connections are lent at the moment."""
        return self._in_use

    @asynccontextmanager
    async def connection(self, timeout_s: float) -> AsyncIterator[Connection]:
        """Lends a connection: an idle one, or a new one.

        Args:
            timeout_s: How long to wait for it. What is then asked of it needs its own timeout; what takes
                none, such as the end of a transaction, gets five seconds.

        Raises:
            DatabaseUnavailable: There is none in time, or the database goes away while it is lent.
        """
        connection = await self._acquire(timeout_s)
        self._in_use += 1
        sound = False
        try:
            with _outages_of(self._url):
                yield connection
            sound = True
        except asyncpg.PostgresError:  # against what was asked: the connection is none the worse
            sound = True
            raise
        finally:
            self._in_use -= 1
            self._release(connection, sound=sound)

    async def close(self) -> None:
        """Closes what is idle; what is lent is closed when it comes back."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*map(_hang_up, idle), *self._settling)

    async def _acquire(self, timeout_s: float) -> Connection:
        give_up_at = asyncio.get_running_loop().time() + timeout_s
        await self._take_slot(timeout_s)
        try:
            while self._idle:
                connection = self._idle.pop()  # the one used last: its plans are warm
                if not connection.is_closed():
                    return connection
            left_s = max(give_up_at - asyncio.get_running_loop().time(), 0)
            return await connect(
                self._url, timeout_s=left_s, read_only=self._read_only, statement_timeout_s=_UNSAID_S
            )
        except BaseException:
            self._slots.release()
            raise

    async def _take_slot(self, timeout_s: float) -> None:
        if not self._slots.locked():  # does not wait, so needs no timer, which would cost more than the rest
            await self._slots.acquire()
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._slots.acquire()
        except TimeoutError as error:
            raise DatabaseUnavailable(
                f"all {self.size} connections to {_place(self._url)} were busy for {timeout_s:g} s"
            ) from error

    def _release(self, connection: Connection, *, sound: bool) -> None:
        if sound and not self._closed and not connection.is_closed() and not connection.is_in_transaction():
            self._idle.append(connection)
            self._slots.release()
            return
        # Given up in the middle: its slot stays taken until we know what became of it.
        task = asyncio.get_running_loop().create_task(self._settle(connection))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settle(self, connection: Connection) -> None:
        """Takes a connection back if it answers soon, and cuts it if it does not."""
        try:
            if self._closed or connection.is_closed() or connection.is_in_transaction():
                await _hang_up(connection)
                return
            await connection.fetchval("SELECT 1", timeout=_SETTLE_S)
            self._idle.append(connection)
        except _FAILURES:
            connection.terminate()
        finally:
            self._slots.release()


async def _hang_up(connection: Connection) -> None:
    """Ends a connection politely, or cuts it if the server does not answer."""
    try:
        await connection.close(timeout=_SETTLE_S)
    except _FAILURES:
        connection.terminate()
