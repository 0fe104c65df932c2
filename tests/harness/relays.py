"""A relay on loopback that goes silent without closing, as a machine that loses its power does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Relay:
    """Carries bytes between clients and a server until it is told to go silent.

    What comes over a silent connection is taken and kept, so that TCP itself notices nothing; its end too.

    Attributes:
        port: Where clients find it.
        connections: How many were made.
        takes_new: Whether connections made from now on are carried; else they are silent from the start.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self.port = 0
        self.connections = 0
        self.takes_new = True
        self._carried = set[asyncio.StreamWriter]()
        self._ways = set[asyncio.Task[None]]()

    @property
    def target(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.port}"

    def go_silent(self) -> None:
        """Carries nothing any more over the connections that stand."""
        self._carried.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carries one client's connection."""
        self.connections += 1
        try:
            answers, questions = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:  # the server is away, and so is what stands for it
            writer.close()
            return
        if self.takes_new:
            self._carried |= {writer, questions}
        for source, sink in ((reader, questions), (answers, writer)):
            self._ways.add(asyncio.create_task(self._carry(source, sink)))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):  # one side cut it
                while data := await reader.read(1 << 16):
                    if writer in self._carried:
                        writer.write(data)
            while writer not in self._carried:
                await asyncio.sleep(3600)
        finally:
            writer.close()

    async def close(self) -> None:
        """Closes every connection."""
        for way in self._ways:
            way.cancel()
        await asyncio.gather(*self._ways, return_exceptions=True)


@asynccontextmanager
async def relay_to(server_port: int) -> AsyncIterator[Relay]:
    """Relays to a server on loopback for the block."""
    relay = Relay(server_port)
    listener = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    relay.port = listener.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        listener.close()
        await relay.close()
