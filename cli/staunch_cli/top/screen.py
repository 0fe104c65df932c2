"""A page of text that stays on the terminal and is written anew now and then."""

import contextlib
import curses
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from curses import window

_KEYS_THAT_END = frozenset(
    {ord("q"), ord("Q"), 27, 3}
)  # escape, and Ctrl-C where a terminal sends it as a key


def has_screen() -> bool:
    """Says whether standard output is a terminal that a page can stay on."""
    if not (sys.stdout.isatty() and sys.stdin.isatty()):
        return False
    try:
        curses.setupterm(os.environ.get("TERM", "dumb"), sys.stdout.fileno())
    except curses.error:  # nobody here knows this kind of terminal
        return False
    return bool(curses.tigetstr("cup"))


def show(pages: Callable[[], Sequence[str]], every_s: Callable[[], float]) -> None:
    """Shows one page after another until somebody types q or presses Ctrl-C.

    Args:
        pages: Makes the next page.
        every_s: Gives the seconds that the page just made shall stay.
    """
    with _screen() as screen:
        while True:
            lines = pages()
            if _ends_within(screen, lines, every_s()):
                return


@contextlib.contextmanager
def _screen() -> Iterator["window"]:
    """The terminal in curses' hands; as it was afterwards, whatever happens, also while it is stopped."""
    screen = curses.initscr()
    try:
        curses.noecho()
        curses.cbreak()
        screen.keypad(True)
        with contextlib.suppress(curses.error):  # a terminal that cannot hide its cursor
            curses.curs_set(0)
        yield screen
    finally:
        screen.keypad(False)
        curses.nocbreak()
        curses.echo()
        with contextlib.suppress(curses.error):
            curses.curs_set(1)
        curses.endwin()


def _ends_within(screen: "window", lines: Sequence[str], seconds: float) -> bool:
    """Shows a page for so long, anew after a change of size; says whether somebody has seen enough."""
    until = time.monotonic() + seconds
    _draw(screen, lines)
    while (left_s := until - time.monotonic()) > 0:
        screen.timeout(max(1, int(left_s * 1000)))
        key = screen.getch()
        if key in _KEYS_THAT_END:
            return True
        if key == curses.KEY_RESIZE:
            _draw(screen, lines)
    return False


def _draw(screen: "window", lines: Sequence[str]) -> None:
    """Draws as many lines as there is room for, headings bold."""
    height, width = screen.getmaxyx()
    screen.erase()
    for row, line in enumerate(fitted(lines, height)):
        style = curses.A_BOLD if line and not line.startswith(" ") else curses.A_NORMAL
        with contextlib.suppress(curses.error):  # the last cell of a screen cannot be written without one
            screen.addnstr(row, 0, line, width, style)
    screen.refresh()


def fitted(lines: Sequence[str], height: int) -> list[str]:
    """Returns the lines that a screen of this height shows; the last one says how many it hides.

    Args:
        lines: The page.
        height: Lines of the screen.
    """
    if len(lines) <= height:
        return list(lines)
    return [*lines[: max(0, height - 1)], f"  {len(lines) - height + 1} more lines: make the window taller"]
