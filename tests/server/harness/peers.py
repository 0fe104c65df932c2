"""A client of raw HTTP/2 (RFC 9113) that takes no more of an answer than it says: no library would let it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import MappingProxyType

from tests.harness.waiting import until

from staunch.v1 import prediction_service_pb2 as pb

WATCH = "/grpc.health.v1.Health/Watch"
BATCH = "/staunch.v1.PredictionService/BatchPredict"

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _WINDOW_UPDATE, _CONTINUATION = 0, 1, 3, 4, 6, 8, 9
_FRAME_BYTES = 16_384
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_CANCEL = 8  # the code of a reset by one who needs the answer no longer
_INITIAL_WINDOW = 4

UNKNOWN_CUSTOMERS = pb.BatchPredictRequest(customer_ids=range(10**9, 10**9 + 3000)).SerializeToString()
"""A chunk whose answer is longer than it is."""

WIDE = 2**31 - 1
"""The window of a peer whose streams are held up by their connection alone."""


@dataclass
class Peer:
    """A connection that gives the server no room beside the 65,535 bytes that each connection begins with.

    Attributes:
        taken: Bytes of answers by stream.
        ended: The streams that the server ended or reset.
        closed: Whether the server closed the connection.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    taken: Counter[int] = field(default_factory=Counter)
    ended: set[int] = field(default_factory=set)
    closed: bool = False
    _streams: int = 0

    def open(self, path: str, metadata: Mapping[str, str] = MappingProxyType({})) -> int:
        """Begins a call; returns its stream."""
        stream = 2 * self._streams + 1
        self._streams += 1
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": "x",
            "content-type": "application/grpc",
            "te": "trailers",
            **metadata,
        }
        block = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())
        parts = [block[at : at + _FRAME_BYTES] for at in range(0, len(block), _FRAME_BYTES)]
        for at, part in enumerate(parts):
            last = _END_HEADERS if at == len(parts) - 1 else 0
            self._send(_CONTINUATION if at else _HEADERS, last, stream, part)
        return stream

    def send(self, stream: int, message: bytes, *, last: bool = False, packed: bool = False) -> None:
        """Sends a message of a call, and with the last one its end; says of a packed one that it is."""
        rest = bytes([packed]) + len(message).to_bytes(4, "big") + message
        while rest:
            part, rest = rest[:_FRAME_BYTES], rest[_FRAME_BYTES:]
            self._send(_DATA, _END_STREAM if last and not rest else 0, stream, part)

    def reset(self, stream: int) -> None:
        """Gives a call up."""
        self._send(_RESET, 0, stream, _CANCEL.to_bytes(4, "big"))

    def give_room(self, stream: int, more_bytes: int) -> None:
        """Takes so many more bytes of a stream's answer."""
        self._send(_WINDOW_UPDATE, 0, stream, more_bytes.to_bytes(4, "big"))

    def watch(self, service: str = "") -> int:
        """Watches the health of a service; returns the stream."""
        name = service.encode()
        stream = self.open(WATCH)
        self.send(stream, b"\x0a" + bytes([len(name)]) + name if name else b"", last=True)
        return stream

    async def read(self) -> None:
        """Reads frames until the server closes; gives back no room."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                header = await self.reader.readexactly(9)
                payload = await self.reader.readexactly(int.from_bytes(header[:3], "big"))
                self._take(header[3], header[4], int.from_bytes(header[5:], "big"), payload)
        self.closed = True

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind in (_SETTINGS, _PING) and not flags & _ACK:
            self._send(kind, _ACK, 0, payload if kind == _PING else b"")
        elif kind == _DATA:
            self.taken[stream] += len(payload)
        if kind == _RESET or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
            self.ended.add(stream)

    def _send(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
        self.writer.write(head + payload)

    def settings(self, window: int) -> None:
        """Says hello, and how much of each stream's answer it takes."""
        setting = _INITIAL_WINDOW.to_bytes(2, "big") + window.to_bytes(4, "big")
        self.writer.write(_PREFACE)
        self._send(_SETTINGS, 0, 0, setting)


@asynccontextmanager
async def peer(port: int, *, window: int = 0) -> AsyncIterator[Peer]:
    """Connects as one who takes `window` bytes of each stream, and of all together 65,535."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    connection = Peer(reader, writer)
    connection.settings(window)
    reading = asyncio.create_task(connection.read())
    try:
        yield connection
    finally:
        reading.cancel()
        writer.close()


async def fill(held: Peer, path: str, messages: Sequence[bytes]) -> None:
    """Has a method answer until the whole connection has no room left; answers are longer than messages.

    Messages of a stream go one by one, for the server's own windows are no larger than ours.
    """
    stream, room = held.open(path), 60_000
    for count, message in enumerate(messages, 1):
        held.send(stream, message)
        await until(lambda: held.taken[stream] > min(count * len(message), room))  # noqa: B023
    await until(lambda: held.taken[stream] > room)


def _text(text: str) -> bytes:
    """A string of HPACK, not compressed."""
    return _length(len(text)) + text.encode()


def _length(number: int) -> bytes:
    """An integer of HPACK with a prefix of seven bits."""
    if number < 127:
        return bytes([number])
    more, number = bytearray([127]), number - 127
    while number >= 128:
        more.append(128 | number & 127)
        number >>= 7
    return bytes([*more, number])
