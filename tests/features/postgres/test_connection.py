"""How connections are set up, and what their failures mean, with a real server."""

import asyncio
import contextlib
import errno
import socket
import traceback

import asyncpg
import pytest
from tests.harness.databases import until_connections
from tests.harness.processes import frozen
from tests.harness.waiting import until

from staunch_features.errors import DatabaseRefused, DatabaseTooOld, DatabaseUnavailable
from staunch_features.postgres.connection import (
    MINIMUM_MAJOR,
    SETTLE_S,
    connect,
    in_words,
    opened,
    unavailable,
)
from staunch_local.postgres.cluster import SUPERUSER
from staunch_local.postgres.server import EmbeddedPostgres


async def test_every_connection_has_our_settings(server: EmbeddedPostgres) -> None:
    connection = await connect(server.reader_url, read_only=True)
    names = ["TimeZone", "search_path", "jit", "plan_cache_mode", "max_parallel_workers_per_gather"]
    values = [await connection.fetchval(f"SHOW {name}") for name in [*names, "default_transaction_read_only"]]
    assert values == ["UTC", "staunch, public", "off", "force_generic_plan", "0", "on"]
    assert await connection.fetchval("SHOW application_name") == "staunch"
    assert await connection.fetchval("SHOW client_connection_check_interval") == "1s"
    await connection.close()


async def test_a_server_that_is_too_old_is_refused_in_one_line(server: EmbeddedPostgres) -> None:
    connection = await connect(server.reader_url)
    major = connection.get_server_version().major
    await connection.close()
    just_new_enough = await connect(server.reader_url, minimum_major=major)
    await just_new_enough.close()
    with pytest.raises(
        DatabaseTooOld,
        match=rf"^the database at \S+ is PostgreSQL {major}: expected {major + 1} or newer; upgrade",
    ):
        await connect(server.reader_url, minimum_major=major + 1)
    await until_connections(server, 0)


def test_postgresql_15_is_the_oldest_that_we_take() -> None:
    assert MINIMUM_MAJOR == 15


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://someone:hush@127.0.0.1:1/staunch",
        "postgresql://someone:hush@no-such-host.invalid/staunch",
        "postgresql://someone:hush@127.0.0.1:notaport/staunch",
        "postgresql://someone:hush#hush@127.0.0.1:1/staunch",
        "postgresql://someone:hush/hush@127.0.0.1:1/staunch",
        "postgresql://someone:hush?hush@127.0.0.1:1/staunch",
        "postgresql://someone:[hush@127.0.0.1:1/staunch",
        "postgresql://127.0.0.1:1/staunch?user=someone&password=hush",
    ],
)
async def test_an_unreachable_database_is_named_without_its_password(url: str) -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        await connect(url, timeout_s=2)
    kind = type(caught.value).__name__
    told = "".join(traceback.format_exception(caught.value)).partition(f"{kind}:")[2]
    assert "hush" not in told
    assert "staunch" in told


async def test_a_wrong_password_is_told_without_the_password(server: EmbeddedPostgres) -> None:
    url = server.reader_url.replace("staunch_reader:", "staunch_reader:not")
    with pytest.raises(DatabaseUnavailable, match="password authentication failed") as caught:
        await connect(url)
    assert url not in str(caught.value)


@pytest.mark.parametrize("attrs", ["any", "primary", "prefer-standby", "read-write", "read-only"])
async def test_a_reader_reads_only_whichever_host_its_url_asks_for(
    server: EmbeddedPostgres, attrs: str
) -> None:
    connection = await connect(f"{server.reader_url}?target_session_attrs={attrs}", read_only=True)
    assert await connection.fetchval("SHOW default_transaction_read_only") == "on"
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await connection.execute("CREATE TEMPORARY TABLE t ()")
    await connection.close()


async def test_of_several_hosts_the_one_that_is_there_is_taken(server: EmbeddedPostgres) -> None:
    url = server.reader_url.replace(f"127.0.0.1:{server.port}", f"127.0.0.1:1,127.0.0.1:{server.port}")
    connection = await connect(f"{url}?target_session_attrs=read-write", read_only=True)
    assert await connection.fetchval("SELECT inet_server_port()") == server.port
    await connection.close()


@pytest.mark.parametrize("read_only", [True, False])
async def test_a_host_that_is_not_what_is_asked_for_is_said_to_be_so(
    server: EmbeddedPostgres, read_only: bool
) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"no host of .* is what target_session_attrs=standby asks"):
        await connect(f"{server.reader_url}?target_session_attrs=standby", read_only=read_only)


async def test_a_server_without_tls_is_told_from_one_that_is_away(server: EmbeddedPostgres) -> None:
    with pytest.raises(
        DatabaseUnavailable, match="offers no TLS, and its URL asks for it with sslmode=require"
    ):
        await connect(f"{server.reader_url}?sslmode=require")


async def test_settings_in_a_url_count_and_its_name_of_the_application_too(server: EmbeddedPostgres) -> None:
    url = f"{server.reader_url}?application_name=scores&options=-c%20statement_timeout=7s"
    connection = await connect(url, read_only=True)
    assert await connection.fetchval("SHOW application_name") == "scores"
    assert await connection.fetchval("SHOW statement_timeout") == "7s"
    assert await connection.fetchval("SHOW search_path") == "staunch, public"
    await connection.close()


async def test_what_consoles_write_into_a_url_is_taken(server: EmbeddedPostgres) -> None:
    written = (
        "sslmode=prefer&channel_binding=prefer&connect_timeout=10&keepalives_idle=30&client_encoding=utf8"
    )
    connection = await connect(f"{server.reader_url}?{written}&application_name=crm", read_only=True)
    assert await connection.fetchval("SHOW application_name") == "crm"
    await connection.close()


async def test_a_role_that_may_not_connect_is_refused_with_what_to_grant(server: EmbeddedPostgres) -> None:
    async with opened(server.url_for("postgres", SUPERUSER)) as superuser:
        await superuser.execute("CREATE DATABASE closed")
        await superuser.execute("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
        with pytest.raises(DatabaseRefused, match=r"permission denied for database .*; GRANT CONNECT ON"):
            await connect(server.reader_url.rpartition("/")[0] + "/closed")
        await superuser.execute("DROP DATABASE closed")


async def test_no_connection_left_is_no_refusal(server: EmbeddedPostgres) -> None:
    role = server.reader_url.partition("//")[2].partition(":")[0]
    async with opened(server.url_for("postgres", SUPERUSER)) as superuser:
        await superuser.execute(f"ALTER ROLE {role} CONNECTION LIMIT 0")
        with pytest.raises(DatabaseUnavailable, match="too many connections") as caught:
            await connect(server.reader_url)
        await superuser.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1")
    assert not isinstance(caught.value, DatabaseRefused)


def test_what_means_that_the_database_is_away() -> None:
    away = [
        ConnectionRefusedError(),
        asyncpg.ConnectionDoesNotExistError(),
        asyncpg.CannotConnectNowError(),
        asyncpg.SerializationError(),  # a replica's conflict with what it replays
        asyncpg.DiskFullError(),
        asyncpg.OutOfMemoryError(),
        asyncpg.TooManyConnectionsError(),
        asyncpg.PostgresIOError(),
        asyncpg.QueryCanceledError(),  # by an operator or a time limit of the server's
        asyncpg.LockNotAvailableError(),
        asyncpg.IdleInTransactionSessionTimeoutError(),
        asyncpg.TransactionTimeoutError(),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("cannot switch to state 11; another operation (2) is in progress"),
        DatabaseUnavailable(),
    ]
    here = [
        TimeoutError(),
        asyncpg.UndefinedTableError(),
        asyncpg.ReadOnlySQLTransactionError(),
        asyncpg.StatementTooComplexError(),
        asyncpg.DataCorruptedError(),
        asyncpg.InterfaceError("wrong argument"),
        asyncpg.InternalClientError("unexpected message"),
        DatabaseTooOld(),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "outcomes.sql"),
        ValueError(),
    ]
    assert all(map(unavailable, away))
    assert not any(map(unavailable, here))


def _with_code(code: str | None) -> asyncpg.PostgresError:
    error = asyncpg.PostgresError("as the server words it")
    error.sqlstate = code
    return error


@pytest.mark.parametrize(
    "code",
    [
        *("08000", "08P01", "40001", "40P01", "53000", "53400", "57014", "57P05", "58000", "58P01"),
        *("25P03", "25P04", "55P03"),
    ],
)
def test_a_code_that_blames_the_server_or_the_moment_means_away(code: str) -> None:
    assert unavailable(_with_code(code))


@pytest.mark.parametrize(
    "code",
    [
        *("0A000", "09000", "39000", "42501", "42P01", "54001", "56000", "XX001"),
        *("25000", "25006", "25P01", "25P02", "55000", "55006", "55P02", "55P04", "P0001", "", None),
    ],
)
def test_a_code_that_blames_the_statement_or_its_data_does_not(code: str | None) -> None:
    assert not unavailable(_with_code(code))


@pytest.mark.parametrize(
    ("setting", "statement"),
    [("idle_in_transaction_session_timeout", None), ("transaction_timeout", "SELECT pg_sleep(30)")],
)
async def test_a_transaction_over_the_servers_limit_is_unavailable(
    server: EmbeddedPostgres, setting: str, statement: str | None
) -> None:
    async def work() -> None:
        async with opened(server.reader_url) as connection:
            await connection.execute(f"SET {setting} = '50ms'")
            await connection.execute("BEGIN")
            if statement is None:
                await until(connection.is_closed)
            await connection.execute(statement or "SELECT 42")

    with pytest.raises(DatabaseUnavailable, match="went away"):
        await work()


async def test_nobody_waits_long_for_the_goodbye_of_a_frozen_database(server: EmbeddedPostgres) -> None:
    async with asyncio.timeout(4 * SETTLE_S):
        async with opened(server.reader_url) as connection:
            await connection.fetchval("SELECT 42")
            thaw = contextlib.ExitStack()
            thaw.enter_context(frozen(server.pid))
        assert connection.is_closed()
    thaw.close()


async def test_a_database_that_dies_during_long_work_is_unavailable_and_no_traceback(
    server: EmbeddedPostgres,
) -> None:
    async def work() -> None:
        async with opened(server.reader_url) as connection:
            backend = await connection.fetchval("SELECT pg_backend_pid()")
            async with opened(server.url_for("postgres", SUPERUSER)) as watcher:
                await watcher.execute("SELECT pg_terminate_backend($1)", backend)
            await connection.execute("SELECT 42")

    with pytest.raises(DatabaseUnavailable, match="went away") as caught:
        await work()
    assert "middle of operation" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"), "Connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (
            OSError(
                "Multiple exceptions: [Errno 111] Connect call failed ('::1', 1, 0, 0), "
                "[Errno 111] Connect call failed ('127.0.0.1', 1)"
            ),
            "::1: Connection refused, 127.0.0.1: Connection refused",
        ),
        (
            asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
            "the connection broke",
        ),
        (
            asyncpg.ConnectionDoesNotExistError(
                "connection was closed in the middle of operation: terminating connection"
            ),
            "terminating connection",
        ),
        (asyncpg.InterfaceError("connection is closed"), "the connection broke"),
        (
            asyncpg.CannotConnectNowError("the database system\nis starting up"),
            "the database system is starting up",
        ),
    ],
)
def test_what_ended_a_connection_is_said_in_no_librarys_words(error: Exception, words: str) -> None:
    assert in_words(error) == words


async def test_a_database_that_never_was_is_told_without_a_librarys_words() -> None:
    with pytest.raises(
        DatabaseUnavailable, match=r"127\.0\.0\.1:1/none: Connection refused; see that"
    ) as caught:
        await connect("postgresql://nobody@127.0.0.1:1/none")
    assert "Errno" not in str(caught.value)
