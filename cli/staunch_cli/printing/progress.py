"""Progress of a long step: a line that moves on a terminal, lines now and then elsewhere."""

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

_TITLE_WIDTH = 9  # of a step of `staunch run`

MARGIN = " " * (_TITLE_WIDTH + 1)
"""Sets progress under the titles of `staunch run`."""

_SILENT_S = 10.0
"""How long a stage is silent where no line can move."""

_STILL_S = 1.0
"""How long it is silent on a terminal."""

_AT_WORK = "at work"  # what a silence after news is called

_PATIENCE_S = 1.0  # how long the end of a line that somebody else writes is waited for


def print_step(title: str, text: str) -> None:
    """Prints one line of `staunch run` at once: the step's title, empty to go on with it, and a text."""
    print(f"{title:<{_TITLE_WIDTH}} {text}", flush=True)


class ProgressLine:
    """Prints stages as they come, and from time to time that a stage still goes on.

    Args:
        stream: Where to print; on a terminal the figure of a stage overwrites itself.
        clock: Returns a time in seconds.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stdout
        self._moves = self._stream.isatty()
        self._stage = self._figure = ""
        self._is_news = self._is_below_news = False
        self._width = 0  # of what a moving line shows at most, to be overwritten
        self._clock = clock
        self._printed_at = self._begun_at = clock()
        # A fit reports nothing while it goes on, and may hold this thread for minutes.
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._beating = threading.Thread(target=self._beat_until_closed, name="progress", daemon=True)

    def __call__(self, stage: str, done: float) -> None:
        """Reports how much of `stage` is done, 0 to 1; one that begins as done is a line of news."""
        is_news = stage != self._stage and done == 1
        self._show(stage, "" if is_news else f" {done:4.0%}", is_news=is_news)

    def count(self, stage: str, number: int) -> None:
        """Reports how many of `stage` are done where nobody knows how many there are."""
        self._show(stage, f" {number:,}")

    def beat(self) -> None:
        """Says that the stage goes on, and for how long, if nothing was printed for a while."""
        with self._lock:
            now = self._clock()
            if not self._stage or now - self._printed_at < (_STILL_S if self._moves else _SILENT_S):
                return
            took = f"{now - self._begun_at:.0f} s"
            what = _AT_WORK if self._is_news else f"{self._stage}{self._figure}"
            if not self._moves:
                self._write(f"{MARGIN}still {what}, {took}\n")
                return
            # News stand as they were printed: what moves is a line below them, which the next stage takes.
            below = self._is_news and not self._is_below_news
            self._is_below_news |= below
            self._width = 0 if below else self._width
            line_break = "\n" if below else "\r"
            self._write(f"{line_break}{self._line(f'{what}, {took}')}")

    def close(self) -> None:
        """Ends the moving line."""
        self._ended.set()
        if self._beating.is_alive():
            self._beating.join(_PATIENCE_S)  # unless it waits for a reader that reads no more
        if self._moves and self._stage:
            self._write("\n")

    def _show(self, stage: str, figure: str, *, is_news: bool = False) -> None:
        if self._beating.ident is None:
            self._beating.start()
        with self._lock:
            begins = stage != self._stage
            takes_line = not begins or self._is_below_news or not self._stage
            if begins:
                self._begun_at, self._is_news, self._is_below_news = self._clock(), is_news, False
            if self._moves:
                self._width = self._width if takes_line else 0
                line = f"{MARGIN}{stage.ljust(self._width)}" if is_news else self._line(f"{stage}{figure}")
                self._write(("\r" if takes_line else "\n") + line)
            elif begins:
                self._write(f"{MARGIN}{stage}\n")
            elif self._clock() - self._printed_at >= _SILENT_S:
                self._write(f"{MARGIN}{stage}{figure}\n")
            self._stage, self._figure = stage, figure

    def _line(self, text: str) -> str:
        """A line that moves: as wide as what it overwrites, and no wider than the terminal."""
        text = text[: max(1, shutil.get_terminal_size().columns - len(MARGIN) - 1)]
        shown = text.ljust(self._width)
        self._width = len(text)
        return f"{MARGIN}{shown}"

    def _beat_until_closed(self) -> None:
        # Who closed the stream is no concern of this thread: the other one meets it too, and decides.
        with contextlib.suppress(OSError, ValueError):
            while not self._ended.wait(_STILL_S):
                self.beat()

    def _write(self, text: str) -> None:
        self._printed_at = self._clock()
        self._stream.write(text)
        self._stream.flush()
