"""Progress of a long step: a line that moves on a terminal, lines now and then elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

_TITLE_WIDTH = 9  # of a step of `staunch run`

MARGIN = " " * (_TITLE_WIDTH + 1)
"""Sets progress under the titles of `staunch run`."""

_SILENT_S = 10.0
"""How long a stage is silent where no line can move."""


def print_step(title: str, text: str) -> None:
    """Prints one line of `staunch run` at once: the step's title, empty to go on with it, and a text."""
    print(f"{title:<{_TITLE_WIDTH}} {text}", flush=True)


class ProgressLine:
    """Prints stages as they come.

    Args:
        stream: Where to print; on a terminal the figure of a stage overwrites itself.
        clock: Returns a time in seconds.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stdout
        self._moves = self._stream.isatty()
        self._stage = ""
        self._clock = clock
        self._printed_at = clock()

    def __call__(self, stage: str, done: float) -> None:
        """Reports how much of `stage` is done, 0 to 1; one that begins as done is a line of news."""
        is_news = stage != self._stage and done == 1
        self._show(stage, "" if is_news else f" {done:4.0%}")

    def count(self, stage: str, number: int) -> None:
        """Reports how many of `stage` are done where nobody knows how many there are."""
        self._show(stage, f" {number:,}")

    def close(self) -> None:
        """Ends the moving line."""
        if self._moves and self._stage:
            self._write("\n")

    def _show(self, stage: str, figure: str) -> None:
        begins = stage != self._stage
        if self._moves:
            line_break = "\n" if begins and self._stage else "\r"
            self._write(f"{line_break}{MARGIN}{stage}{figure}")
        elif begins:
            self._write(f"{MARGIN}{stage}\n")
        elif self._clock() - self._printed_at >= _SILENT_S:
            self._write(f"{MARGIN}{stage}{figure}\n")
        self._stage = stage

    def _write(self, text: str) -> None:
        self._printed_at = self._clock()
        self._stream.write(text)
        self._stream.flush()
