"""The page that stays on a terminal: a real one, that of a pseudo-terminal."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import pytest

from staunch_cli.top.screen import fitted

CODE = """
import itertools
from staunch_cli.top.screen import has_screen, show
numbers = itertools.count(1)
try:
    if has_screen():
        show(lambda: [f"page {next(numbers)}", "  below"], lambda: 0.2)
    print("has no screen" if next(numbers) == 1 else "has ended")
except KeyboardInterrupt:
    print("interrupted")
"""


class Window:
    """A program in a terminal of its own."""

    def __init__(self, terminal: str) -> None:
        self.ours, theirs = pty.openpty()
        self.settings = termios.tcgetattr(self.ours)
        self.process = subprocess.Popen(
            [sys.executable, "-c", CODE],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": terminal, "LINES": "24", "COLUMNS": "80"},
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = b""

    def until(self, text: bytes) -> None:
        """Reads until a text was shown."""
        until = time.monotonic() + 30
        while text not in self.seen:
            assert time.monotonic() < until, self.seen
            if select.select([self.ours], [], [], 0.1)[0]:
                self.seen += os.read(self.ours, 4096)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)


@pytest.fixture
def window() -> Iterator[Window]:
    opened = Window("xterm")
    yield opened
    opened.close()


def test_pages_follow_each_other_until_q(window: Window) -> None:
    window.until(b"below")
    window.until(b"2")  # only what changes is written
    os.write(window.ours, b"xq")
    window.until(b"has ended")
    assert window.process.wait(10) == 0
    assert termios.tcgetattr(window.ours)[3] == window.settings[3]  # it echoes again


def test_ctrl_c_ends_it_too_and_leaves_the_terminal_as_it_was(window: Window) -> None:
    window.until(b"below")
    window.process.send_signal(signal.SIGINT)
    window.until(b"interrupted")
    assert window.process.wait(10) == 0
    assert termios.tcgetattr(window.ours)[3] == window.settings[3]


@pytest.mark.parametrize("terminal", ["dumb", "nobody-knows-it", ""])
def test_a_terminal_without_places_has_no_screen(terminal: str) -> None:
    window = Window(terminal)
    try:
        window.until(b"has no screen")
    finally:
        window.close()


def test_a_small_window_says_what_it_hides():
    lines = [str(number) for number in range(10)]
    assert fitted(lines, 10) == lines
    assert fitted(lines, 4) == ["0", "1", "2", "  7 more lines: make the window taller"]
    assert len(fitted(lines, 1)) == 1
