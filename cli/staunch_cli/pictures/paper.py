"""What all pictures are drawn on: one style, texts that are measured, files of the same bytes each time."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

POINTS_PER_INCH = 72
TALLEST_PX = 65_000
"""No PNG of more lines can be drawn."""

DPI = 150
SMALL_PT = 6.2

# Told apart by whoever sees no colours, and in grey: each pair differs in lightness.
INK, FAINT, HAIRLINE = "#22272e", "#68717c", "#d4d9df"
ROWS, MISSING = "#b9c9dc", "#e4e4e4"
LABEL = "#b3361e"
RAISES, LOWERS = "#e69f00", "#1f5f99"

_STYLE = {
    "font.family": "DejaVu Sans",  # matplotlib brings it, so that pictures are the same everywhere
    "font.size": 7,
    "text.color": INK,
    "text.parse_math": False,  # a "$" is a dollar
    "axes.edgecolor": FAINT,
    "axes.labelcolor": FAINT,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.unicode_minus": True,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
    "hatch.linewidth": 0.6,
    "savefig.dpi": DPI,
    # The same numbers give the same bytes: neither the time of day nor a random salt goes into the file.
    "svg.hashsalt": "staunch",
}


@contextmanager
def styled() -> Iterator[None]:
    """Draws in the style of the house within the block."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # A letter that the font lacks becomes a box; nobody is helped by a line of matplotlib's for each.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def save(figures: Sequence[Figure], file: Path, ending: str) -> None:
    """Writes figures into one file: PDF takes several, PNG and SVG the only one.

    Args:
        figures: Drawn in the block of `styled`, as this is called.
        file: Where to write.
        ending: `.png`, `.svg` or `.pdf`: what to write, whatever the file is called.

    Raises:
        OSError: The file cannot be written.
    """
    if ending == ".pdf":
        with PdfPages(file, metadata={"CreationDate": None}) as pages:
            for figure in figures:
                pages.savefig(figure)
        return
    (figure,) = figures
    figure.savefig(file, format=ending[1:], metadata={"Date": None} if ending == ".svg" else None)


@cache
def width_in(text: str, size: float, weight: str = "normal") -> float:
    """Measures a text of one line, in inches."""
    font = FontProperties(family="DejaVu Sans", size=size, weight=weight)
    points = text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
    return float(points) / POINTS_PER_INCH


def line_in(size: float) -> float:
    """Gives the height of a line with the blank to the next, in inches."""
    return 1.25 * size / POINTS_PER_INCH


def wrapped(text: str, room_in: float, size: float, *, most: int, weight: str = "normal") -> list[str]:
    """Breaks a text into lines of at most a width; what does not fit into so many lines ends in an ellipsis.

    Args:
        text: The text.
        room_in: How wide a line may be, in inches.
        size: The font's, in points.
        most: How many lines there may be.
        weight: The font's.
    """
    lines = [""]
    for word in text.split(" "):  # at no other blank: one that holds a number together is none
        longer = f"{lines[-1]} {word}".lstrip()
        if not lines[-1] or width_in(longer, size, weight) <= room_in:
            lines[-1] = longer
        else:
            lines.append(word)
    kept = [*lines[: most - 1], " ".join(lines[most - 1 :])] if len(lines) > most else lines
    return [cut(line, room_in, size, weight) for line in kept]


def cut(text: str, room_in: float, size: float, weight: str = "normal") -> str:
    """Returns a text that fits into a width, with an ellipsis for what it lost."""
    if width_in(text, size, weight) <= room_in:
        return text
    fits = next(
        (end for end in range(len(text) - 1, 0, -1) if width_in(f"{text[:end]}…", size, weight) <= room_in), 1
    )
    return f"{text[:fits].rstrip()}…"


def placed_axes(figure: Figure, left_in: float, top_in: float, size_in: tuple[float, float]) -> Any:
    """Adds axes at a place that is measured from the paper's left upper corner.

    Args:
        figure: The paper.
        left_in: From the left edge.
        top_in: From the top edge down to the axes' upper edge.
        size_in: Width and height.
    """
    width, height = figure.get_size_inches()
    wide, high = size_in
    return figure.add_axes((left_in / width, 1 - (top_in + high) / height, wide / width, high / height))


def write(figure: Figure, left_in: float, top_in: float, text: str, **style: Any) -> None:
    """Writes a text whose first line begins so far below the paper's top."""
    width, height = figure.get_size_inches()
    figure.text(left_in / width, 1 - top_in / height, text, **{"va": "top", **style})
