"""How much of the memory the PostgreSQL that we bring along caches tables and indexes in."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_LEAST_BYTES = 256 << 20
_MOST_BYTES = 8 << 30  # what the churn view reads of 1,000,000 customers is 6 GB


def shared_buffers(data: Path, memory: int | None = None) -> str:
    """Returns the server setting: as much as its databases are large now, at most a third of the memory.

    PostgreSQL's manual, 19.4.1, advises a quarter to begin with, and sees no good in more than 40 %. With
    less than there is to cache, each page that is missing costs a call of the system, or a read of the disk.

    Args:
        data: The server's data folder.
        memory: The memory that there is, in bytes; None is what there is here.
    """
    size = sum(_size(file) for file in (data / "base").rglob("*"))
    third = (memory or memory_bytes()) // 3
    return f"{max(min(size, third, _MOST_BYTES), _LEAST_BYTES) >> 20}MB"


def _size(file: Path) -> int:
    with contextlib.suppress(FileNotFoundError):  # gone since it was listed
        return file.stat().st_size
    return 0


def memory_bytes(root: Path = Path("/")) -> int:
    """Returns the memory that this process may use: the machine's, or its container's if that is less.

    Args:
        root: Where /proc and /sys are found.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_limits(root)])


def _limits(root: Path) -> Iterator[int]:
    """The limits of our control groups and of those around them, versions 1 and 2 (cgroups(7))."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, file = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            mount, file = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        # Within a container the path may be the host's, and the mount the container's own.
        inner = mount / path.lstrip("/")
        for folder in (inner, *inner.parents):
            if folder.is_relative_to(mount):
                yield from _limit(folder / file)


def _limit(file: Path) -> Iterator[int]:
    try:
        text = file.read_text().strip()
    except OSError:
        return
    if text.isdecimal():  # "max" is none
        yield int(text)
