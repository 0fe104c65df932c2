"""Connections to PostgreSQL: how each one is set up, and what its failures mean."""

import os
import re
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from types import MappingProxyType
from typing import TypeAlias

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from staunch_features.errors import DatabaseRefused, DatabaseTooOld, DatabaseUnavailable, DatabaseUrlInvalid
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.url import check_url, for_driver, parameter, place

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
"""A connection as asyncpg gives it."""

MINIMUM_MAJOR = 15
"""The oldest PostgreSQL that we support."""

_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "application_name": "staunch",  # a URL's own comes first
        "timezone": "UTC",
        "search_path": "staunch, public",  # pg_catalog comes first unasked; public is where users' tables are
        "jit": "off",
        "plan_cache_mode": "force_generic_plan",  # planning costs ten times the one-id query itself
        "max_parallel_workers_per_gather": "0",
        "client_connection_check_interval": "1s",  # a query whose caller hung up ends
    }
)

_READ_ONLY = "default_transaction_read_only"

OUR_SETTINGS = frozenset({*_SETTINGS, _READ_ONLY}) - {"application_name"}
"""The settings of a session that a URL may not make."""

SETTLE_S = 1.0
"""How long a connection may take to answer again after its query was cancelled, or to say goodbye."""

# What blames neither the statement nor its data but the server or the moment, by SQLSTATE (PostgreSQL's
# appendix A): the connection, a conflict that rolled back (on a replica, with what it replays), no memory or
# disk left, an operator's hand or time limit, the system below.
_AWAY = ("08", "40", "53", "57", "58", "25P03", "25P04", "55P03")

# What a server says when a URL names what it has not: no time heals that, but a hand there may.
_REFUSALS: Mapping[str, str] = MappingProxyType(
    {
        "28P01": "see the role and the password in its URL",
        "28000": "see the role in its URL, and what pg_hba.conf lets in",
        "3D000": "see the name of the database in its URL",
        "42501": "GRANT CONNECT ON DATABASE to the role in its URL",
        "42704": "see the settings in its URL",
        "22023": "see the settings in its URL",
    }
)

FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""All that a connection raises when something is wrong with it or with what was asked."""

_OF_THE_DRIVER = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.ConnectionDoesNotExistError,  # a PostgresError, though no server says so
)


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
    # A file that has a name is one of ours, which somebody removed, say, while the connection was lent.
    is_of_a_file = isinstance(error, OSError) and error.filename is not None
    return isinstance(error, (OSError, DatabaseUnavailable)) and not is_of_a_file


async def connect(
    url: str,
    *,
    timeout_s: float = 5,
    read_only: bool = False,
    statement_timeout_s: float | None = None,
    minimum_major: int = MINIMUM_MAJOR,
) -> Connection:
    """Opens a connection set up as all of ours are: UTC, a fixed search path, generic plans, no JIT.

    Args:
        url: `postgresql://role:password@host:port/database`.
        timeout_s: How long it may take in all.
        read_only: Whether transactions may only read.
        statement_timeout_s: How long a statement may take that is given no timeout of its own; None is
            for ever.
        minimum_major: The oldest PostgreSQL to accept.

    Raises:
        DatabaseUnavailable: It cannot be reached in time.
        DatabaseRefused: It refuses the role, the password or the database's name.
        DatabaseUrlInvalid: The URL cannot be meant.
        DatabaseTooOld: The server is older than `minimum_major`.
    """
    check_url(url, OUR_SETTINGS)
    settings = {**_SETTINGS, _READ_ONLY: "on" if read_only else "off"}
    if name := parameter(url, "application_name"):
        settings["application_name"] = name
    # A session of ours is read-only on each host, so which one takes writes is seen by who follows whom.
    wanted = parameter(url, "target_session_attrs")
    primary = SessionAttribute.primary if read_only and wanted == "read-write" else None
    try:
        async with Deadline.after(timeout_s).timeout():
            connection = await asyncpg.connect(
                for_driver(url),
                timeout=timeout_s,
                command_timeout=statement_timeout_s,
                server_settings=settings,
                target_session_attrs=primary,
                max_cacheable_statement_size=0,  # no limit: a view's text is long
                max_cached_statement_lifetime=0,  # for ever: planning it again costs milliseconds
            )
    except TimeoutError as error:
        raise DatabaseUnavailable(f"{place(url)} did not answer within {round(timeout_s, 3):g} s") from error
    except ValueError:
        # The reason and its cause quote the part that cannot be read, which may be the password.
        raise DatabaseUrlInvalid(
            f"cannot read the URL of {place(url)}: expected postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE; "
            "write / ? # [ ] @ within a password as %2F %3F %23 %5B %5D %40"
        ) from None
    except FAILURES as error:
        raise _not_connected(url, error) from error
    _check_version(connection, url, minimum_major)
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
        with outages_of(url):
            yield connection
    finally:
        await hang_up(connection)


@contextmanager
def outages_of(url: str) -> Iterator[None]:
    """Turns what a connection raises when the database is away into DatabaseUnavailable."""
    try:
        yield
    except FAILURES as error:
        if not unavailable(error):
            raise
        raise DatabaseUnavailable(f"{place(url)} went away or cannot serve now: {in_words(error)}") from error


def in_words(error: BaseException) -> str:
    """Returns what happened in the words of the server or of the system, and in none of a library's.

    Args:
        error: What a connection raised when it could not be made, or ended.
    """
    text = " ".join(str(error).split())  # it may have lines of detail
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno) if error.errno > 0 else error.strerror or text
    if isinstance(error, OSError):  # of several addresses
        return _CONNECT_FAILED.sub(lambda failed: f"{failed[2]}: {os.strerror(int(failed[1]))}", text)
    if isinstance(error, _OF_THE_DRIVER):
        # Behind a colon stands what the server said last.
        of_server = text.partition("middle of operation: ")[2]
        return of_server or "the connection broke"
    return text


_CONNECT_FAILED = re.compile(
    r"(?:Multiple exceptions: )?\[Errno (\d+)\] Connect call failed \('([^']*)'[^)]*\)"
)


def _check_version(connection: Connection, url: str, minimum_major: int) -> None:
    major = connection.get_server_version().major
    if major < minimum_major:
        connection.terminate()
        raise DatabaseTooOld(
            f"{place(url)} is PostgreSQL {major}: expected {minimum_major} or newer; "
            "upgrade it, or name a newer one in STAUNCH_DATABASE_URL"
        )


def _not_connected(url: str, error: BaseException) -> DatabaseUnavailable:
    """What is wrong when no connection came about, and what to do."""
    where, words = place(url), in_words(error)
    if hint := _REFUSALS.get(str(getattr(error, "sqlstate", ""))):
        return DatabaseRefused(f"{where} refuses us: {words}; {hint}")
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        wanted = parameter(url, "target_session_attrs")
        return DatabaseUnavailable(
            f"no host of {where} is what target_session_attrs={wanted} asks for; see which of them is the "
            "primary, or ask for another"
        )
    if isinstance(error, ssl.SSLError):
        return DatabaseUnavailable(
            f"cannot trust {where}: {words}; see its certificate, and sslmode and sslrootcert in its URL"
        )
    if "rejected SSL upgrade" in str(error):
        wanted = parameter(url, "sslmode")
        return DatabaseUnavailable(
            f"{where} offers no TLS, and its URL asks for it with sslmode={wanted}; turn ssl on there, or "
            "ask for less, such as sslmode=prefer"
        )
    return DatabaseUnavailable(
        f"cannot connect to {where}: {words}; see that it runs, and that its URL, "
        "postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE, is right"
    )


async def hang_up(connection: Connection) -> None:
    """Ends a connection politely, or cuts it if the server does not answer."""
    try:
        await connection.close(timeout=SETTLE_S)
    except FAILURES:
        connection.terminate()
