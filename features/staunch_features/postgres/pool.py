"""A pool of connections to PostgreSQL that outlives outages."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from staunch_features.errors import DatabaseUnavailable, FeatureError
from staunch_features.postgres.connection import (
    FAILURES,
    SETTLE_S,
    Connection,
    connect,
    hang_up,
    outages_of,
)
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.url import place

MAX_AGE_S = 1800.0
"""How old a connection may get, so that none outlives a failover, or a name that moved, by more."""

_SHORTEST_LIFE = 0.75  # of that: each connection draws its own life, lest all end at once


@dataclass(frozen=True, slots=True)
class _Pooled:
    """A connection, and the moment by the pool's clock from which it is not lent any more."""

    connection: Connection
    old_at: float


class Database:
    """A pool of connections that opens them on demand and outlives outages.

    Nothing connects when it is made, so it starts without a database. A connection whose query was
    given up is used again only after it has answered, and otherwise cut. Nothing resets a connection
    between its users, so none of them may SET, LISTEN or lock. One that is older than its life is replaced
    when it is given back, and cut when it would be lent; until then it works on.

    Args:
        url: `postgresql://role:password@host:port/database`.
        size: The most connections at a time.
        read_only: Whether transactions may only read.
        max_age_s: The longest life of a connection; each draws its own, from three quarters of this.
        default_timeout_s: How long what takes no timeout of its own may take: BEGIN, ROLLBACK, the end of a
            cancelled query.
        clock: Gives the seconds by which ages are measured.

    Attributes:
        size: The most connections at a time.
        on_failure: Is told of each connection that could not be opened.
        on_wait: Is told how long whoever asked for a connection waited for it, also in vain, in seconds.
    """

    # It does what `asyncpg.Pool` does, and stays because that took 132 µs of CPU a query with uvloop and this
    # takes 62; queries are most of a call. In outages both came to the same ends.

    def __init__(
        self,
        url: str,
        *,
        size: int,
        read_only: bool = True,
        max_age_s: float = MAX_AGE_S,
        default_timeout_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.size = size
        self.on_failure: Callable[[FeatureError], None] = lambda _: None
        self.on_wait: Callable[[float], None] = lambda _: None
        self._url = url
        self._read_only = read_only
        self._max_age_s = max_age_s
        self._default_timeout_s = default_timeout_s
        self._clock = clock
        self._slots = asyncio.Semaphore(size)
        self._idle: list[_Pooled] = []
        self._in_use = 0
        self._settling: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def in_use(self) -> int:
        """How many connections are lent at the moment."""
        return self._in_use

    @asynccontextmanager
    async def connection(self, deadline: Deadline) -> AsyncIterator[Connection]:
        """Lends a connection: an idle one, or a new one.

        Args:
            deadline: Until when to wait for it. What is then asked of it needs its own timeout; what takes
                none, such as the end of a transaction, gets the pool's default.

        Raises:
            DatabaseUnavailable: There is none in time, or the database goes away while it is lent.
            TimeoutError: The deadline was over before.
        """
        lent = await self._acquire(deadline)
        self._in_use += 1
        sound = False
        try:
            with outages_of(self._url):
                yield lent.connection
            sound = True
        except asyncpg.PostgresError:  # against what was asked: the connection is none the worse
            sound = True
            raise
        finally:
            self._in_use -= 1
            self._release(lent, sound=sound)

    async def answers(self, deadline: Deadline) -> bool:
        """Returns whether the database answers a question by then."""
        try:
            async with self.connection(deadline) as connection:
                await connection.fetchval("SELECT 1", timeout=deadline.left_or_raise())
        except (*FAILURES, FeatureError):
            return False
        return True

    async def warm(self, use: Callable[[Connection], Awaitable[object]], deadline: Deadline) -> None:
        """Opens every connection and has each used once, so that no later caller pays for its first use.

        Args:
            use: What is asked of each.
            deadline: Until when all of it may take.

        Raises:
            DatabaseUnavailable, TimeoutError: As `connection`, or what `use` raises; the first that came.
        """
        lent = asyncio.Barrier(
            self.size
        )  # nobody uses one before all are lent: else some would be lent twice

        async def use_one() -> None:
            async with self.connection(deadline) as connection:
                await lent.wait()
                await use(connection)

        try:
            async with deadline.timeout(), asyncio.TaskGroup() as group:
                for _ in range(self.size):
                    group.create_task(use_one())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def close(self) -> None:
        """Closes what is idle; what is lent is closed when it comes back."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(hang_up(each.connection) for each in idle), *self._settling)

    async def _acquire(self, deadline: Deadline) -> _Pooled:
        started = time.monotonic()
        try:
            await self._take_slot(deadline)
            try:
                return self._take_idle() or await self._open(max(deadline.left(), 0))
            except BaseException:
                self._slots.release()
                raise
        finally:
            self.on_wait(time.monotonic() - started)

    async def _take_slot(self, deadline: Deadline) -> None:
        left_s = deadline.left_or_raise()
        if not self._slots.locked():  # does not wait, so needs no timer, which would cost more than the rest
            await self._slots.acquire()
            return
        try:
            async with deadline.timeout():
                await self._slots.acquire()
        except TimeoutError as error:
            raise DatabaseUnavailable(
                f"all {self.size} connections to {place(self._url)} were busy for {round(left_s, 3):g} s"
            ) from error

    def _take_idle(self) -> _Pooled | None:
        """Takes the idle connection that was used last, since its plans are warm; cuts what is too old."""
        while self._idle:
            pooled = self._idle.pop()
            if pooled.connection.is_closed():
                continue
            if self._clock() < pooled.old_at:
                return pooled
            pooled.connection.terminate()  # without a goodbye, for which the call would have to wait
        return None

    async def _open(self, timeout_s: float) -> _Pooled:
        try:
            connection = await connect(
                self._url,
                timeout_s=timeout_s,
                read_only=self._read_only,
                statement_timeout_s=self._default_timeout_s,
            )
        except FeatureError as error:
            self.on_failure(error)
            raise
        share = random.uniform(_SHORTEST_LIFE, 1)  # noqa: S311 -- it spreads and hides nothing
        return _Pooled(connection, self._clock() + share * self._max_age_s)

    def _release(self, lent: _Pooled, *, sound: bool) -> None:
        now = self._clock()
        if self._idle and self._idle[0].old_at <= now:  # the longest idle; one at a time, and none in vain
            self._idle.pop(0).connection.terminate()
        if sound and now < lent.old_at and self._usable(lent.connection):
            self._idle.append(lent)
            self._slots.release()
            return
        # Given up in the middle, or too old: its slot stays taken until we know what became of it.
        task = asyncio.get_running_loop().create_task(self._settle(lent))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    def _usable(self, connection: Connection) -> bool:
        return not (self._closed or connection.is_closed() or connection.is_in_transaction())

    async def _settle(self, lent: _Pooled) -> None:
        """Takes a connection back if it answers soon, cuts it if it does not, replaces it if it is old."""
        connection = lent.connection
        try:
            if not self._usable(connection):
                await hang_up(connection)
            elif self._clock() < lent.old_at:
                await connection.fetchval("SELECT 1", timeout=SETTLE_S)
                await self._keep(lent)
            else:  # here and now, so that no call waits for a new one
                await hang_up(connection)
                await self._keep(await self._open(SETTLE_S))
        except (*FAILURES, FeatureError):
            connection.terminate()
        finally:
            self._slots.release()

    async def _keep(self, pooled: _Pooled) -> None:
        if self._closed:  # meanwhile
            await hang_up(pooled.connection)
        else:
            self._idle.append(pooled)
