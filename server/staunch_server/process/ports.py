"""Where a server listens: taken before anything else, so that a second server touches nothing."""

import contextlib
import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from staunch_server.settings import address


class PortTaken(Exception):
    """The address, or the path of a socket, cannot be had; the message says which setting picks another."""


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


@contextlib.contextmanager
def held_socket(target: str) -> Iterator[None]:
    """Holds the path of a Unix socket for the block, for us and our workers, and leaves nothing there.

    What a dead server left is removed. A lock beside it refuses another server while no worker listens yet.

    Args:
        target: The address, "unix:PATH".

    Raises:
        PortTaken: A server lives there, or something that is no socket, or nothing can be made there.
    """
    path = Path(target.removeprefix("unix:"))
    lock = path.with_name(f"{path.name}.lock")
    try:
        held = _locked(lock)
        try:
            _remove_if_dead(path)
        except BaseException:
            lock.unlink(missing_ok=True)
            os.close(held)
            raise
    except (BlockingIOError, TimeoutError):
        raise PortTaken(
            f"cannot use {target}: a server is there; stop it or choose another {_LISTEN}"
        ) from None
    except FileExistsError:
        why = "what is there is no socket; remove it or choose another"
        raise PortTaken(f"cannot use {target}: {why} {_LISTEN}") from None
    except OSError as error:
        why = os.strerror(error.errno or 0)
        hint = "expected a folder that this user can write; make it or choose another"
        raise PortTaken(f"cannot use {target} ({why}): {hint} {_LISTEN}") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.unlink(missing_ok=True)  # before it is let go of: who finds it unlocked has to make it anew
        os.close(held)


_LISTEN = "with --listen unix:PATH"


def _locked(lock: Path) -> int:
    """Returns the descriptor of a file that we hold from now on. Raises BlockingIOError if another does."""
    while True:
        held = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(held), lock.stat()):
                return held
        except FileNotFoundError:  # its holder ended, and removed it, between our two steps
            pass
        except BaseException:
            os.close(held)
            raise
        os.close(held)


def _remove_if_dead(path: Path) -> None:
    """Removes a socket at which nobody listens.

    Raises:
        BlockingIOError, TimeoutError: Somebody does.
        FileExistsError: It is no socket.
        OSError: Nobody can tell.
    """
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise FileExistsError
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise BlockingIOError
