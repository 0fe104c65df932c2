"""Text for people: numbers, times, aligned columns."""

from collections.abc import Sequence
from datetime import UTC, datetime

from staunch_cli.printing.words import ENGLISH, Words


def number(value: float | None, words: Words = ENGLISH) -> str:
    """Writes a feature's value: six digits, "missing" for None."""
    return words.missing if value is None else words.written(f"{value:.6g}")


def quantity(value: float | None, unit: str) -> str:
    """Writes a feature's value with its unit, short: four digits, or all those before the point."""
    return ENGLISH.quantity(value, unit)


def utc_time(moment: datetime | None) -> str:
    """Writes a moment in UTC; empty for None."""
    return "" if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """Writes names and values, the values aligned; rows without a value are left out."""
    shown = [(name, value) for name, value in rows if value]
    width = max((len(name) for name, _ in shown), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in shown)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Writes aligned columns below a header; the last column is not padded."""
    return columns([header, *rows])


def columns(lines: Sequence[Sequence[str]]) -> str:
    """Writes aligned columns; the last one is not padded."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
