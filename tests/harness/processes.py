"""Freezes processes, as a machine that hangs does."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def frozen(pid: int | None, *, alone: bool = False) -> Iterator[None]:
    """Stops a process, unless alone its children too, by SIGSTOP for the block; what ends meanwhile may."""
    pids = family(pid)[: 1 if alone else None]
    for one in pids:
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in pids:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGCONT)


def family(pid: int | None) -> list[int]:
    """Returns a process's id and its children's, whatever process groups they have."""
    assert pid is not None, "expected a process that runs"
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
