"""The connections of a server's own address in this process, to end them before the library would."""

import contextlib
import os
import socket
import stat
import urllib.parse
from collections.abc import Callable, Container, Iterator

_DESCRIPTORS = "/dev/fd"  # on Linux a link to /proc/self/fd


def end_connections(address: int | str) -> None:
    """Ends every connection at an address of this process.

    What was written before still arrives, and then the end of the connection: whatever clients have sent
    since ends as UNAVAILABLE, and none of it is taken up.

    Args:
        address: The TCP port, or the path of a Unix socket.
    """
    _end(_come_to(address))


def connections(address: int | str, passed_over: Container[int] = ()) -> Iterator[socket.socket]:
    """Gives a second handle of each connection at an address of this process, to be closed.

    Args:
        address: The TCP port, or the path of a Unix socket.
        passed_over: The numbers (`st_ino`) of sockets that are not looked at.
    """
    return _connections(_come_to(address), passed_over)


def end_connection(peer: str) -> None:
    """Ends the connection of a client, and nothing where it came by a Unix socket: there all are one.

    Args:
        peer: As the transport writes it: "ipv4:127.0.0.1:41234", "ipv6:%5B::1%5D:41234".
    """
    host, _, port = urllib.parse.unquote(peer.partition(":")[2]).rpartition(":")
    if port.isdigit():
        _end(lambda found: _remote(found) == (host.strip("[]"), int(port)))


def _end(chosen: Callable[[socket.socket], bool]) -> None:
    with contextlib.ExitStack() as stack:
        # All are found before the first is ended: finding takes longer, and a client may be back in 2 ms.
        for connection in [stack.enter_context(found) for found in _connections(chosen)]:
            with contextlib.suppress(OSError):  # the client has ended it
                connection.shutdown(socket.SHUT_RDWR)


def _connections(
    chosen: Callable[[socket.socket], bool], passed_over: Container[int] = ()
) -> Iterator[socket.socket]:
    for descriptor in map(int, os.listdir(_DESCRIPTORS)):
        with contextlib.suppress(OSError):  # closed since
            status = os.fstat(descriptor)
            if stat.S_ISSOCK(status.st_mode) and status.st_ino not in passed_over:
                found = socket.socket(fileno=os.dup(descriptor))
                if chosen(found):
                    yield found
                else:
                    found.close()


def _come_to(address: int | str) -> Callable[[socket.socket], bool]:
    return lambda found: _local(found) == address and not _listens(found)


def _local(found: socket.socket) -> object:
    name: object = found.getsockname()
    return name[1] if isinstance(name, tuple) else name


def _remote(found: socket.socket) -> object:
    try:
        name: object = found.getpeername()
    except OSError:  # it listens, or has ended
        return None
    return (name[0].removeprefix("::ffff:"), name[1]) if isinstance(name, tuple) else name


def _listens(found: socket.socket) -> bool:
    return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
