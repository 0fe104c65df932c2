"""Text for people: numbers, times, aligned columns."""

from collections.abc import Sequence
from datetime import UTC, datetime


def number(value: float | None) -> str:
    """Writes a feature's value: six digits, "missing" for None."""
    return "missing" if value is None else f"{value:.6g}"


def quantity(value: float | None, unit: str) -> str:
    """Writes a feature's value with its unit, short: four digits, or all those before the point."""
    if value is None:
        return "missing"
    digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{digits} {unit}".rstrip()


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
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
