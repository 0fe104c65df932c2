"""A link to a database on which each answer takes a while, as over a long and busy line."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


@asynccontextmanager
async def slow_link(url: str, delay_s: float) -> AsyncIterator[str]:
    """Gives another URL of a database, from which each answer comes so many seconds later."""
    parts, carrying = urlsplit(url), set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_connection(parts.hostname, parts.port)
        for way in (_carry(reader, questions, 0), _carry(answers, writer, delay_s)):
            carrying.add(asyncio.create_task(way))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{port}").geturl()
    finally:
        server.close()
        for way in carrying:
            way.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    try:
        with suppress(OSError):  # one side cut it
            while data := await reader.read(1 << 16):
                await asyncio.sleep(delay_s)
                writer.write(data)
    finally:
        writer.close()
