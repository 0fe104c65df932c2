"""Files of the store: measured before they are read, and on the disk before they can be seen.

Callers know the module by its name, so that one place writes all there is.
"""

import os
import stat
from pathlib import Path

_UNSIZED_BYTES = 1 << 20  # what is read of a file that says it has none, as those of the kernel do


class Unfit(ValueError):
    """What lies where a file belongs is none, or is larger than what is read of it."""


def read_file(path: Path, most_bytes: int) -> bytes:
    """Reads a regular file at once; neither a pipe nor a file of any size can hold up or fill the process.

    Args:
        path: The file; a link to one will do.
        most_bytes: The most that it may hold.

    Raises:
        Unfit: It is no regular file, or holds more.
        OSError: It cannot be opened or read.
    """
    # Without waiting: the opening of a pipe would last until somebody writes into it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unfit(f"{path.name}, which is no regular file")
    with open(descriptor, "rb") as file:
        size = os.fstat(descriptor).st_size
        # One more than there may be, since it may grow while it is read; but no memory for what is not there.
        at_most = min(most_bytes, max(size, _UNSIZED_BYTES)) + 1
        content = b"" if size > most_bytes else file.read(at_most)
    if max(size, len(content)) > most_bytes:
        raise Unfit(f"{path.name} of {max(size, len(content))} bytes where at most {most_bytes} belong")
    return content


def reason(error: OSError | Unfit) -> str:
    """Returns what is said of which file, without its folder: callers of the server read this too."""
    if isinstance(error, Unfit):
        return str(error)
    return f"{Path(str(error.filename)).name}: {error.strerror or type(error).__name__}"


def replace_file(path: Path, content: bytes) -> None:
    """Replaces a file at one moment: readers see the old content or the new one."""
    temporary = path.with_name(f".{path.name}")
    write_file(temporary, content)
    temporary.replace(path)
    sync(path.parent)


def write_file(path: Path, content: bytes) -> None:
    """Writes a file, and ends when the disk has it."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Makes the names in a folder durable: fsync of a file alone does not."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
