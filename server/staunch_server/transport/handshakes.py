"""Ends connections that do not say hello, for a library that would wait two minutes for each.

HTTP/2 begins with 24 bytes and a SETTINGS frame of 9 or more. Whoever has sent fewer for too long holds a
file descriptor and nothing else; the kernel knows how many came (TCP_INFO, on Linux).
"""

import asyncio
import os
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress

from staunch_server.transport.sockets import connections

HELLO_BYTES = 24 + 9
"""What a connection begins with at least."""

_LOOKS = 4  # in the time that a connection has
_REMEMBERED = 10_000
_RECEIVED = struct.Struct("Q")
_RECEIVED_OFFSET = 128  # of tcpi_bytes_received in struct tcp_info, since Linux 4.1


async def end_silent(port: int, timeout_s: float) -> None:
    """Ends each connection to a port of this process that said no hello for timeout_s seconds; for ever."""
    silent: dict[int, float] = {}  # since when, by the number that the kernel gives to a socket
    greeted: set[int] = set()  # so that each look costs little beside a thousand that work
    while True:
        await asyncio.sleep(timeout_s / _LOOKS)
        if len(greeted) > _REMEMBERED:
            greeted.clear()
        silent = _look(port, timeout_s, silent, greeted)


def _look(port: int, timeout_s: float, silent: Mapping[int, float], greeted: set[int]) -> dict[int, float]:
    """Looks once at the connections but those that have said hello, which are added to `greeted`.

    Returns:
        Since when each of the others is silent; those that were so for too long are ended.
    """
    now, still = time.monotonic(), {}
    for connection in connections(port, passed_over=greeted):
        with connection:
            number = os.fstat(connection.fileno()).st_ino
            if _received(connection) >= HELLO_BYTES:
                greeted.add(number)
                continue
            still[number] = silent.get(number, now)
            if now - still[number] >= timeout_s:
                with suppress(OSError):  # the client has ended it
                    connection.shutdown(socket.SHUT_RDWR)
    return still


def _received(connection: socket.socket) -> int:
    """Bytes that came so far; more than enough where the kernel does not say."""
    if not hasattr(socket, "TCP_INFO"):
        return HELLO_BYTES
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED_OFFSET + _RECEIVED.size)
    if len(info) < _RECEIVED_OFFSET + _RECEIVED.size:
        return HELLO_BYTES
    (received,) = _RECEIVED.unpack_from(info, _RECEIVED_OFFSET)
    return int(received)
