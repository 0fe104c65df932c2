"""The terminal that a server was started from: once it is closed, SIGHUP means to stop."""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

_TERMINAL = "/dev/tty"  # whichever controls the process that opens it


class Terminal:
    """The terminal that controls this process when it is made, if one does.

    The kernel takes it from all its processes when it is closed, and then sends SIGHUP to those in front; the
    shell sends it to the others. Who began with SIGHUP ignored, by nohup, has none that could be closed.
    """

    def __init__(self) -> None:
        self.outlived = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        self._was_there = not self.outlived and _is_there()

    @property
    def closed(self) -> bool:
        """Whether it was there and is no more."""
        return self._was_there and not _is_there()


@contextlib.contextmanager
def closing_interrupts(terminal: Terminal) -> Iterator[None]:
    """Has the end of the terminal interrupt the block as Ctrl-C does, once; another SIGHUP does nothing.

    Afterwards SIGHUP does nothing: whoever is leaving does not hear it.
    """
    interrupted = False

    def hang_up(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        if terminal.closed and not interrupted:
            interrupted = True
            raise KeyboardInterrupt

    if not terminal.outlived:  # else it stays ignored, also in the processes that we start
        signal.signal(signal.SIGHUP, hang_up)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _is_there() -> bool:
    try:
        os.close(os.open(_TERMINAL, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True
