"""A file that takes its place when it is complete, and leaves no trace if it never is."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from staunch_cli.shared.errors import cannot_write


class PendingFile:
    """A file that is written under another name in the same folder until it is complete.

    Entering the block opens it, so that a place where nothing can be written is refused before the work.

    Attributes:
        target: The file as the user named it.
        path: Where it is written until then.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f".{target.name}.{os.getpid()}.part")

    def __enter__(self) -> Self:
        try:
            if self.target.is_dir():  # else it would be found out after the work
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            self.open()
        except OSError as error:
            raise cannot_write(self.target, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self.path.unlink(missing_ok=True)

    def open(self) -> None:
        """Opens the file for writing."""
        raise NotImplementedError

    def close(self) -> None:
        """Closes the file, as often as asked."""
        raise NotImplementedError

    def commit(self) -> None:
        """Closes the file, makes sure that it is on the disk, and moves it to its place."""
        self.close()
        with self.path.open("rb") as written:
            os.fsync(written.fileno())
        try:
            self.path.replace(self.target)
        except OSError as error:
            raise cannot_write(self.target, error) from error


class PendingPicture(PendingFile):
    """A picture that somebody else draws into `path`."""

    def open(self) -> None:
        """Finds out whether the file can be written."""
        self.path.touch()

    def close(self) -> None:
        """Has nothing to do: who drew it has closed it."""

    def draw(self, work: Callable[[Path, str], None]) -> None:
        """Has the picture drawn and moves it to its place.

        Args:
            work: Draws into a file, whatever it is called, what an ending such as `.png` asks for.

        Raises:
            CommandError: The file cannot be written.
        """
        try:
            work(self.path, self.target.suffix)
        except OSError as error:
            raise cannot_write(self.target, error) from error
        self.commit()
