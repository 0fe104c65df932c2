"""Lines of words over a socket that never wait: between a worker and its supervisor, each way."""

import socket
from collections.abc import Callable
from contextlib import suppress

SUPERVISOR_FD = "STAUNCH_SUPERVISOR_FD"
"""The variable with the descriptor of a worker's end of the channel."""

_READ_BYTES = 1 << 16
_UNSENT_BYTES = 1 << 18  # of a peer that does not read: what is said beyond is lost, a line at a time


class Lines:
    """One end of a channel; belongs to one thread, with or without an event loop.

    Args:
        end: A stream socket; it is set to wait for nothing.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._unsent = b""
        self._unread = b""

    def fileno(self) -> int:
        """Returns the descriptor, so that an event loop can watch it."""
        return self._end.fileno()

    def say(self, *words: object) -> None:
        """Sends a line, or as much of it as there is room for; the rest goes before the next one."""
        line = " ".join(map(str, words)).replace("\n", " ")
        if len(self._unsent) < _UNSENT_BYTES:
            self._unsent += f"{line}\n".encode("utf-8", "backslashreplace")
        with suppress(OSError):  # the other end has left, or does not read: no reason to serve worse
            while self._unsent:
                self._unsent = self._unsent[self._end.send(self._unsent) :]

    def hear(self, take: Callable[[str], None]) -> bool:
        """Takes each line that has come; returns False once the other end is gone, True before.

        Raises:
            UnicodeDecodeError: What came is no text.
        """
        while True:
            try:
                read = self._end.recv(_READ_BYTES)
            except BlockingIOError:
                return True
            except OSError:
                return False
            *lines, self._unread = (self._unread + read).split(b"\n")
            for line in lines:
                take(line.decode())
            if not read:
                return False

    def close(self) -> None:
        """Closes the end; what was not sent is lost."""
        self._end.close()
