"""Progress of a long step: a line that moves on a terminal, lines now and then elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

MARGIN = " " * 10
"""Sets progress under the titles of `staunch run`."""

_SILENT_S = 10.0
"""How long a stage is silent where no line can move."""


class ProgressLine:
    """Prints stages as they come.

    Args:
        stream: Where to print; on a terminal the percentage of a stage overwrites itself.
        clock: Tells the seconds that have passed.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stdout
        self._moves = self._stream.isatty()
        self._stage = ""
        self._clock = clock
        self._printed_at = clock()

    def __call__(self, stage: str, done: float) -> None:
        """Says that `stage` is done to the part `done`, 0 to 1; one that begins as done is a line of news."""
        begins = stage != self._stage
        part = "" if begins and done == 1 else f" {done:4.0%}"
        if self._moves:
            line_break = "\n" if begins and self._stage else "\r"
            self._write(f"{line_break}{MARGIN}{stage}{part}")
        elif begins:
            self._write(f"{MARGIN}{stage}\n")
        elif self._clock() - self._printed_at >= _SILENT_S:
            self._write(f"{MARGIN}{stage}{part}\n")
        self._stage = stage

    def close(self) -> None:
        """Ends the moving line."""
        if self._moves and self._stage:
            self._write("\n")

    def _write(self, text: str) -> None:
        self._printed_at = self._clock()
        self._stream.write(text)
        self._stream.flush()
