"""Progress of a long step: a line that moves on a terminal, one line a stage elsewhere."""

import sys
from typing import TextIO

MARGIN = " " * 10
"""Sets progress under the titles of `staunch run`."""


class Progress:
    """Prints stages as they come.

    Args:
        stream: where to print; on a terminal the percentage of a stage overwrites itself.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._moves = self._stream.isatty()
        self._stage = ""

    def __call__(self, stage: str, done: float) -> None:
        """Says that `stage` is done to the part `done`, 0 to 1."""
        begins = stage != self._stage
        if self._moves:
            line_break = "\n" if begins and self._stage else "\r"
            self._write(f"{line_break}{MARGIN}{stage} {done:4.0%}")
        elif begins:
            self._write(f"{MARGIN}{stage}\n")
        self._stage = stage

    def close(self) -> None:
        """Ends the moving line."""
        if self._moves and self._stage:
            self._write("\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
