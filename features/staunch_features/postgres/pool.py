"""A pool of connections to PostgreSQL that outlives outages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from staunch_features.errors import DatabaseUnavailable
from staunch_features.postgres.connection import (
    FAILURES,
    SETTLE_S,
    Connection,
    connect,
    hang_up,
    outages_of,
    place,
)
from staunch_features.postgres.deadlines import Deadline

_UNSAID_S = 5.0  # for what takes no timeout of its own: BEGIN, ROLLBACK, the end of a cancelled query


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
            with outages_of(self._url):
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
        await asyncio.gather(*map(hang_up, idle), *self._settling)

    async def _acquire(self, timeout_s: float) -> Connection:
        deadline = Deadline.after(timeout_s)
        await self._take_slot(timeout_s)
        try:
            while self._idle:
                connection = self._idle.pop()  # the one used last: its plans are warm
                if not connection.is_closed():
                    return connection
            left_s = max(deadline.left(), 0)
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
                f"all {self.size} connections to {place(self._url)} were busy for {timeout_s:g} s"
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
                await hang_up(connection)
                return
            await connection.fetchval("SELECT 1", timeout=SETTLE_S)
            self._idle.append(connection)
        except FAILURES:
            connection.terminate()
        finally:
            self._slots.release()
