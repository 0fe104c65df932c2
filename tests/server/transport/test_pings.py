"""Pings both ways: an idle connection is kept as long as its client asks decently, and left when it is dead.

Frames are written by hand (RFC 9113): the test says when a ping is sent, and no library's own limits count.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import grpc
import pytest
from tests.harness.waiting import until
from tests.server.harness.shell import StartShell

from staunch_server.events import Events
from staunch_server.transport.aio import AioTransport
from staunch_server.transport.guard import Guard
from staunch_server.transport.seam import USUAL_LIMITS, ConnectionLimits

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS, _PING, _GOAWAY, _ACK = 4, 6, 7, 1
_ENHANCE_YOUR_CALM = 11


@dataclass
class IdleConnection:
    """A connection of HTTP/2 without a stream.

    Attributes:
        answered: How many of our pings were answered.
        asked: How many pings the server sent.
        sent_away: The error codes of the server's GOAWAYs.
        closed: Whether the server closed it.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    answers_pings: bool
    answered: int = 0
    asked: int = 0
    sent_away: list[int] = field(default_factory=list)
    closed: bool = False

    def send(self, kind: int, flags: int = 0, payload: bytes = b"") -> None:
        """Writes a frame of the connection itself."""
        self.writer.write(len(payload).to_bytes(3, "big") + bytes([kind, flags, 0, 0, 0, 0]) + payload)

    async def ping(self, times: int, every_s: float) -> None:
        """Asks so often whether the server lives, and stops if it closes."""
        for _ in range(times):
            if self.closed:
                return
            self.send(_PING, payload=bytes(8))
            await asyncio.sleep(every_s)

    async def read(self) -> None:
        """Reads until the server closes."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                header = await self.reader.readexactly(9)
                payload = await self.reader.readexactly(int.from_bytes(header[:3], "big"))
                self._take(header[3], header[4], payload)
        self.closed = True

    def _take(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == _SETTINGS and not flags & _ACK:
            self.send(_SETTINGS, _ACK)
        elif kind == _PING and flags & _ACK:
            self.answered += 1
        elif kind == _PING:
            self.asked += 1
            if self.answers_pings:
                self.send(_PING, _ACK, payload)
        elif kind == _GOAWAY:
            self.sent_away.append(int.from_bytes(payload[4:8], "big"))


@asynccontextmanager
async def idle(port: int, *, answers_pings: bool = True) -> AsyncIterator[IdleConnection]:
    """Connects, says hello and nothing more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    connection = IdleConnection(reader, writer, answers_pings)
    writer.write(_PREFACE)
    connection.send(_SETTINGS)
    reading = asyncio.create_task(connection.read())
    try:
        yield connection
    finally:
        reading.cancel()
        writer.close()


async def test_an_idle_connection_may_ping_as_often_as_we_say_for_as_long_as_it_likes(
    shell: StartShell,
) -> None:
    server = await shell(connections=ConnectionLimits(ping_interval_s=0.05))
    async with idle(server.port) as connection:
        await connection.ping(20, every_s=0.1)
        await until(lambda: connection.answered == 20)
        assert (connection.sent_away, connection.closed) == ([], False)


async def test_a_silent_stream_may_be_pinged_over_as_often(shell: StartShell) -> None:
    """As the keepalive of a client does that watches health; here the real library's."""
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.keepalive_time_ms", 100),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    server = await shell(connections=ConnectionLimits(ping_interval_s=0.05))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options) as channel:
        stream: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(
            "/staunch.v1.PredictionService/BatchPredict"
        )()
        await stream.write(b"")
        await stream.read()
        states = list[grpc.ChannelConnectivity]()
        async with asyncio.timeout(10):
            for _ in range(20):
                await asyncio.sleep(0.1)
                states.append(channel.get_state())
        assert set(states) == {grpc.ChannelConnectivity.READY}
        await stream.write(b"")
        await stream.read()
        stream.cancel()


@pytest.mark.parametrize("transport_name", ["aio"])  # the native library answers any number
async def test_a_client_that_pings_without_measure_is_sent_away(shell: StartShell) -> None:
    server = await shell(connections=ConnectionLimits(ping_interval_s=60))
    async with idle(server.port) as connection:
        await connection.ping(40, every_s=0.02)
        await until(lambda: connection.closed)
        assert connection.sent_away == [_ENHANCE_YOUR_CALM]
        assert connection.answered <= 4


def test_the_usual_limits_take_keepalives_of_any_usual_client() -> None:
    assert USUAL_LIMITS.ping_interval_s == 0.1
    guard = Guard(Events(), max_calls=1, max_streams=1, default_deadline_s=1, stream_idle_s=0)
    options = dict(AioTransport([], guard, address="127.0.0.1:0")._options)
    assert options["grpc.http2.min_ping_interval_without_data_ms"] == 100
    assert options["grpc.keepalive_permit_without_calls"] == 1


async def test_a_client_without_calls_is_asked_whether_it_lives_and_stays_while_it_answers(
    shell: StartShell,
) -> None:
    server = await shell(connections=ConnectionLimits(keepalive_s=0.1, keepalive_timeout_s=0.5))
    async with idle(server.port) as connection:
        await until(lambda: connection.asked >= 8)
        assert not connection.closed


async def test_a_client_without_calls_that_died_is_let_go(shell: StartShell) -> None:
    server = await shell(connections=ConnectionLimits(keepalive_s=0.2, keepalive_timeout_s=0.2))
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(idle(server.port, answers_pings=False))
        await until(lambda: connection.closed)
        assert connection.asked >= 1
