"""How connections are set up, and what their failures mean, with a real server."""

import traceback

import asyncpg
import pytest

from staunch_features.errors import DatabaseTooOld, DatabaseUnavailable
from staunch_features.postgres import connection as connection_module
from staunch_features.postgres.connection import connect, opened, unavailable
from staunch_local.postgres.cluster import SUPERUSER


async def test_every_connection_has_our_settings(server):
    connection = await connect(server.reader_url, read_only=True)
    names = ["TimeZone", "search_path", "jit", "plan_cache_mode", "max_parallel_workers_per_gather"]
    values = [await connection.fetchval(f"SHOW {name}") for name in [*names, "default_transaction_read_only"]]
    assert values == ["UTC", "staunch, public", "off", "force_generic_plan", "0", "on"]
    await connection.close()


async def test_a_server_that_is_too_old_is_refused_in_one_line(server, monkeypatch):
    monkeypatch.setattr(connection_module, "MINIMUM_MAJOR", 99)
    with pytest.raises(
        DatabaseTooOld, match=r"^the database at \S+ is PostgreSQL \d+: expected 99 or newer; upgrade"
    ):
        await connect(server.reader_url)


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
async def test_an_unreachable_database_is_named_without_its_password(url):
    with pytest.raises(DatabaseUnavailable) as caught:
        await connect(url, timeout_s=2)
    told = "".join(traceback.format_exception(caught.value)).partition("DatabaseUnavailable:")[2]
    assert "hush" not in told
    assert "staunch" in told


async def test_a_wrong_password_is_told_without_the_password(server):
    url = server.reader_url.replace("staunch_reader:", "staunch_reader:not")
    with pytest.raises(DatabaseUnavailable, match="password authentication failed") as caught:
        await connect(url)
    assert url not in str(caught.value)


def test_what_means_that_the_database_is_away():
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
    ]
    here = [
        TimeoutError(),
        asyncpg.UndefinedTableError(),
        asyncpg.ReadOnlySQLTransactionError(),
        asyncpg.StatementTooComplexError(),
        asyncpg.DataCorruptedError(),
        asyncpg.InterfaceError("wrong argument"),
        ValueError(),
    ]
    assert all(map(unavailable, away))
    assert not any(map(unavailable, here))


async def test_a_database_that_dies_during_long_work_is_unavailable_and_no_traceback(server):
    async def work() -> None:
        async with opened(server.reader_url) as connection:
            backend = await connection.fetchval("SELECT pg_backend_pid()")
            async with opened(server.url_for("postgres", SUPERUSER)) as watcher:
                await watcher.execute("SELECT pg_terminate_backend($1)", backend)
            await connection.execute("SELECT 42")

    with pytest.raises(DatabaseUnavailable, match="went away"):
        await work()
