"""Connections that say no hello are ended, and no other is, by the bytes that the kernel counted."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.server.harness.shell import StartShell

from staunch_server.transport.handshakes import HELLO_BYTES, end_silent

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A server that says nothing, and ends who says no hello for 0.4 s."""
    kept = []

    async def keep(*ends: object) -> None:
        kept.append(ends)

    server = await asyncio.start_server(keep, "127.0.0.1", 0)
    listening: int = server.sockets[0].getsockname()[1]
    ending = asyncio.create_task(end_silent(listening, 0.4))
    yield listening
    assert not ending.done(), ending
    ending.cancel()
    server.close()


async def ended(reader: asyncio.StreamReader, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            while await reader.read(1024):
                pass
    except TimeoutError:
        return False
    except ConnectionResetError:  # closed before all that came was read
        pass
    return True


@pytest.mark.parametrize("said", [b"", PREFACE[:10], PREFACE, (PREFACE + SETTINGS)[:-1]])
async def test_half_a_hello_is_none(port: int, said: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    began = asyncio.get_running_loop().time()
    assert await ended(reader, 5)
    assert asyncio.get_running_loop().time() - began > 0.3
    writer.close()


async def test_who_has_said_hello_may_be_silent_and_whoever_comes_later_has_the_same_time(port: int) -> None:
    assert len(PREFACE + SETTINGS) == HELLO_BYTES
    quiet, quiet_writer = await asyncio.open_connection("127.0.0.1", port)
    quiet_writer.write(PREFACE + SETTINGS)
    assert not await ended(quiet, 0.6)
    late, late_writer = await asyncio.open_connection("127.0.0.1", port)
    assert await ended(late, 5)
    assert not await ended(quiet, 0.3)
    for writer in (quiet_writer, late_writer):
        writer.close()


@pytest.mark.parametrize("transport_name", ["native"])
async def test_three_hundred_half_open_connections_are_gone_and_calls_go_on(shell: StartShell) -> None:
    server = await shell()
    half = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(300)]
    for _, writer in half:
        writer.write(PREFACE[:12])
    gone = asyncio.gather(*(ended(reader, 20) for reader, _ in half))
    while not gone.done():
        await server.predict(timeout=2)
        await asyncio.sleep(0.05)
    assert all(await gone)
    for _, writer in half:
        writer.close()
