"""Connections of a process's own are ended by the address they came to, and nothing else is."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from staunch_server.transport.sockets import end_connection, end_connections

Pair = tuple[socket.socket, socket.socket]


class Listening:
    """A server of sockets: `connect()` gives both ends of a connection to it."""

    def __init__(self, stack: ExitStack, family: socket.AddressFamily, address: object) -> None:
        self._stack = stack
        self.socket = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        self.socket.bind(address)
        self.socket.listen()

    def connect(self) -> Pair:
        client = self._stack.enter_context(socket.socket(self.socket.family, socket.SOCK_STREAM))
        client.connect(self.socket.getsockname())
        client.settimeout(5)
        return client, self._stack.enter_context(self.socket.accept()[0])


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_what_was_written_arrives_before_the_end_and_other_ports_stay(stack: ExitStack) -> None:
    one, other = (Listening(stack, socket.AF_INET, ("127.0.0.1", 0)) for _ in range(2))
    ended, kept = [one.connect() for _ in range(3)], other.connect()
    for _, server in ended:
        server.sendall(b"answer")
    end_connections(one.socket.getsockname()[1])
    for client, server in ended:
        assert client.recv(100) == b"answer"
        assert client.recv(100) == b""
        assert server.recv(100) == b""
    kept[1].sendall(b"on")
    assert kept[0].recv(100) == b"on"
    again, _ = one.connect()  # it listens as before
    again.sendall(b"x")


def test_a_unix_socket_is_known_by_its_path(stack: ExitStack, tmp_path: Path) -> None:
    one, other = (Listening(stack, socket.AF_UNIX, str(tmp_path / name)) for name in "ab")
    ended, kept = one.connect(), other.connect()
    end_connections(str(tmp_path / "a"))
    assert ended[0].recv(100) == b""
    kept[1].sendall(b"on")
    assert kept[0].recv(100) == b"on"


def test_ending_connections_leaves_no_descriptor_behind(stack: ExitStack) -> None:
    one = Listening(stack, socket.AF_INET, ("127.0.0.1", 0))
    pairs = [one.connect() for _ in range(3)]
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        end_connections(one.socket.getsockname()[1])
    assert len(os.listdir("/dev/fd")) == before
    assert len(pairs) == 3


@pytest.mark.parametrize(
    ("family", "host", "peer"),
    [(socket.AF_INET, "127.0.0.1", "ipv4:127.0.0.1:{}"), (socket.AF_INET6, "::1", "ipv6:%5B::1%5D:{}")],
)
def test_one_client_is_known_by_its_address(
    stack: ExitStack, family: socket.AddressFamily, host: str, peer: str
) -> None:
    try:
        listening = Listening(stack, family, (host, 0))
    except OSError:
        pytest.skip("no IPv6 here")
    ended, kept = listening.connect(), listening.connect()
    end_connection(peer.format(ended[0].getsockname()[1]))
    assert ended[0].recv(100) == b""
    kept[1].sendall(b"on")
    assert kept[0].recv(100) == b"on"


@pytest.mark.parametrize("peer", ["unix:", "unix:/run/staunch.sock", "", "ipv4:127.0.0.1:1"])
def test_a_client_that_is_not_known_ends_none(stack: ExitStack, tmp_path: Path, peer: str) -> None:
    kept = Listening(stack, socket.AF_UNIX, str(tmp_path / "a")).connect()
    end_connection(peer)
    kept[1].sendall(b"on")
    assert kept[0].recv(100) == b"on"
