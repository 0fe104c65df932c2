"""What a process does at the moment, for whoever asks by SIGUSR1: stacks of threads, and what tasks await.

Places in code only, never a value: neither a customer's id nor a password can be among them.
"""

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

_LOG = logging.getLogger("staunch.stacks")
_STDERR = 2
_DEEPEST = 30  # frames of a task that are told, from the outside in
_LINE = 1500  # characters of one line


def log_tasks() -> None:
    """Logs what the tasks of the running loop await: a line for all that stand at the same place."""
    places = Counter(" > ".join(_way(task.get_coro())) for task in asyncio.all_tasks())
    for place, count in places.most_common():
        _LOG.warning("%d %s at %s", count, "task" if count == 1 else "tasks", place[-_LINE:])
    _LOG.warning("%d tasks in all", places.total())


def dump_stacks_on_signal(
    loop: asyncio.AbstractEventLoop | None = None, then: Callable[[], None] = log_tasks
) -> None:
    """Has SIGUSR1 write the stack of each thread to standard error, at once and whatever the process does.

    From C, so that one that hangs is told of too. To be called early: before, the signal would end us.

    Args:
        loop: Of the process, once there is one; it is told of by `then`, as soon as it comes to it.
        then: What the loop does.
    """
    faulthandler.unregister(signal.SIGUSR1)
    if loop is not None:
        loop.add_signal_handler(signal.SIGUSR1, then)
    faulthandler.register(signal.SIGUSR1, file=_errors(), all_threads=True, chain=loop is not None)


def _way(awaited: Any) -> Iterator[str]:
    """The places of what is awaited, from the outside in."""
    for _ in range(_DEEPEST):
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None)
        if frame is not None:
            yield _place(frame)
        elif hasattr(awaited, "__qualname__"):  # of C code
            yield str(awaited.__qualname__)
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)
        if awaited is None:
            return


def _place(frame: FrameType) -> str:
    code = frame.f_code
    return f"{code.co_qualname} ({os.path.basename(code.co_filename)}:{frame.f_lineno})"


def _errors() -> int:
    """Standard error; of a pipe or a terminal a handle that waits for no reader who has stalled."""
    kind = os.fstat(_STDERR).st_mode
    if stat.S_ISFIFO(kind) or stat.S_ISCHR(kind):
        with contextlib.suppress(OSError):  # another user's terminal
            return os.open("/dev/stderr", os.O_WRONLY | os.O_NONBLOCK)
    return _STDERR
