"""Text for people: aligned columns, numbers, bars; without colour unless a terminal shows it."""

import os
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TextIO

PLAIN_WIDTH = 80  # where nobody is there to widen it
_RED, _GREEN, _PLAIN = "\033[31m", "\033[32m", "\033[0m"


def number(value: float | None) -> str:
    """Writes a feature's value: six digits, "missing" for None."""
    return "missing" if value is None else f"{value:.6g}"


def quantity(value: float | None, unit: str) -> str:
    """Writes a feature's value with its unit, short: four digits, or all those before the point."""
    if value is None:
        return "missing"
    digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{digits} {unit}".rstrip()


def time(moment: datetime | None) -> str:
    """Writes a moment in UTC; empty for None."""
    return "" if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """Writes names and values, the values aligned; rows without a value are left out."""
    shown = [(name, value) for name, value in rows if value]
    width = max((len(name) for name, _ in shown), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in shown)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Writes aligned columns below a header; the last column is not padded."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


class Paper:
    """What is written on: how wide it is, whether it shows colours and blocks.

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
