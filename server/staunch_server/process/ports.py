"""The ports of a server: taken before anything else, so that a second server touches nothing."""

import errno
import os
import socket

from staunch_server.settings import address


class PortTaken(Exception):
    """The address is in use; the message says which setting picks another."""


def reserve(host: str, port: int, setting: str) -> socket.socket:
    """Binds an address without listening, so that only our own workers can listen there.

    After the bind the socket swaps SO_REUSEADDR for SO_REUSEPORT: a worker that asks for SO_REUSEPORT may
    then listen beside it, and another supervisor, which does not, is refused even before a worker is up.

    Args:
        host: The address to bind.
        port: The port; 0 takes a free one.
        setting: The flag to name in the error.

    Raises:
        PortTaken: Something else holds the port, or the address is not ours.
    """
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    held = socket.socket(family, socket.SOCK_STREAM)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((host, port))
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError as error:
        held.close()
        raise PortTaken(cannot_bind(host, port, error, setting)) from error
    return held


def cannot_bind(host: str, port: int, error: OSError, setting: str, what: str = "") -> str:
    """Returns why an address cannot be had, and what to do.

    Args:
        host: The address.
        port: The port.
        error: What the system said.
        setting: The flag that picks another port; that of the address is named as it is.
        what: What it was wanted for, behind the address.
    """
    hint = f"stop what runs there or choose another with {setting}"
    if error.errno in (errno.EACCES, errno.EPERM):
        hint = f"ports below 1024 are for root; choose another with {setting}"
    elif error.errno == errno.EADDRNOTAVAIL:
        hint = f"no such address is on this machine; choose another with {setting.replace('port', 'host')}"
    return f"cannot use {address(host, port)}{what} ({os.strerror(error.errno or 0)}): {hint}"
