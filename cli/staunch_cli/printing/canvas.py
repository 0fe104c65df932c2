"""Bars of text as wide as the terminal; without colour unless a terminal shows it."""

import os
import shutil
import sys
from typing import TextIO

PLAIN_WIDTH = 80  # where nobody is there to widen it
_RED, _GREEN, _PLAIN = "\033[31m", "\033[32m", "\033[0m"


class TextCanvas:
    """What text is drawn on: how wide it is, whether it shows colours and blocks.

    Args:
        stream: Where the text will go.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        stream = stream or sys.stdout
        on_terminal = stream.isatty()
        self.width = shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns if on_terminal else PLAIN_WIDTH
        self.colours = on_terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self._blocks = _can_write(stream, "█│")

    def bar(self, share: float, half: int) -> str:
        """Draws a share of -1 to 1 to the left or the right of an axis, `half` cells each way."""
        block, axis = ("█", "│") if self._blocks else ("#", "|")
        cells = min(half, round(abs(share) * half) or int(share != 0))
        left = (block * cells if share < 0 else "").rjust(half)
        right = block * cells if share > 0 else ""
        return f"{self._coloured(left, _GREEN)}{axis}{self._coloured(right, _RED)}"

    def _coloured(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self.colours and text.strip() else text


def _can_write(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
