"""Freezes processes, as a machine that hangs does."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def frozen(pid: int | None) -> Iterator[None]:
    """Stops a process and its children by SIGSTOP for the block; children that end meanwhile are let go."""
    assert pid is not None, "expected a process that runs"
    pids = [pid, *children(pid)]
    for one in pids:
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in pids:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGCONT)


def children(pid: int) -> list[int]:
    """Returns the process ids of a process's children, whatever process groups they have."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
