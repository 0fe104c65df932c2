"""A feature view as pages of panels, the strongest feature first."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from staunch_cli.pictures import paper
from staunch_cli.pictures.panel import Frame, draw_panel, highest_interval
from staunch_cli.pictures.words import PictureWords
from staunch_cli.shared.errors import CommandError

if TYPE_CHECKING:
    from staunch_features.checks.distribution.feature_summary import FeatureSummary
    from staunch_features.checks.summary import ViewSummary

_PAGE_IN = (8.27, 11.69)  # A4
_MARGIN_IN = 0.35
_TITLE_PT, _HEAD_PT, _FOOT_PT = 11, 7.5, 6.2
_LARGE_GROUP = 0.01  # of all rows: what the scale of the labels makes room for


@dataclass(frozen=True, slots=True)
class _Grid:
    """How many panels stand beside each other, and how large each is, in inches."""

    columns: int
    width_in: float
    height_in: float


_WIDE = _PAGE_IN[0] - 2 * _MARGIN_IN
_GRIDS = {1: _Grid(1, 5.9, 3.4), 2: _Grid(2, _WIDE / 2, 2.5)}
_GRID = _Grid(3, _WIDE / 3, 1.9)


def plot(summary: "ViewSummary", words: PictureWords, out: Path, ending: str) -> None:
    """Draws one panel a feature into one file: a PDF has pages, PNG and SVG are as tall as it takes.

    Args:
        summary: What `summarise` gave, of the features to draw.
        words: What stands around the view's own texts.
        out: The file, whatever it is called.
        ending: What to write into it, `.png`, `.svg` or `.pdf`.

    Raises:
        OSError: The file cannot be written.
    """
    with paper.styled():
        pages = _Pages(summary, words, by_page=ending == ".pdf")
        paper.save(pages.drawn(), out, ending)


def refuse_too_many(features: int, ending: str) -> None:
    """Refuses a PNG of so many features that it would be taller than one can be.

    Raises:
        CommandError: They are too many.
    """
    most = int((paper.TALLEST_PX / paper.DPI - 3) / _GRID.height_in) * _GRID.columns
    if ending == ".png" and features > most:
        raise CommandError(
            f"expected at most {most} features in one .png, got {features}: let --out end in .pdf, which has "
            "pages, or choose some by --feature"
        )


def by_strength(features: Sequence["FeatureSummary"]) -> list["FeatureSummary"]:
    """Sorts features, the strongest first; equal ones stay in the order of the view."""
    return sorted(features, key=lambda feature: -(feature.strength or 0.0))


class _Pages:
    """The pages of one view."""

    def __init__(self, summary: "ViewSummary", words: PictureWords, *, by_page: bool) -> None:
        self._summary, self._words = summary, words
        self._features = by_strength(summary.features)
        self._grid = _GRIDS.get(len(self._features), _GRID)
        self._width_in = max(self._grid.columns * self._grid.width_in, 5.2) + 2 * _MARGIN_IN
        title = words.view_title.format(view=summary.view.name, description=summary.view.description)
        self._title = paper.wrapped(title, self._room_in, _TITLE_PT, most=2, weight="bold")
        self._head, self._foot = self._head_lines(), self._foot_lines()
        self._head_in = (
            _MARGIN_IN
            + len(self._title) * paper.line_in(_TITLE_PT)
            + (len(self._head) + 1) * paper.line_in(_HEAD_PT)
            + 0.22
        )
        self._foot_in = (len(self._foot) + 1) * paper.line_in(_FOOT_PT) + _MARGIN_IN
        lines = -(-len(self._features) // self._grid.columns)
        room_in = _PAGE_IN[1] - self._head_in - self._foot_in
        fit = int(room_in / self._grid.height_in)
        self._lines = lines
        if by_page and lines > fit:
            self._lines, self._grid = fit, replace(self._grid, height_in=room_in / fit)
        self._label_top = _label_top(summary)

    def drawn(self) -> list[Figure]:
        """Draws all of them."""
        each = self._lines * self._grid.columns
        parts = [self._features[start : start + each] for start in range(0, len(self._features), each)]
        return [self._page(part, number, len(parts)) for number, part in enumerate(parts, start=1)]

    def _page(self, features: Sequence["FeatureSummary"], number: int, pages: int) -> Figure:
        height_in = self._head_in + self._lines * self._grid.height_in + self._foot_in
        figure = Figure(figsize=(self._width_in, _PAGE_IN[1] if pages > 1 else height_in))
        self._draw_head(figure)
        for place, feature in enumerate(features):
            line, column = divmod(place, self._grid.columns)
            frame = Frame(
                left_in=_MARGIN_IN + column * self._grid.width_in,
                top_in=self._head_in + line * self._grid.height_in,
                width_in=self._grid.width_in,
                height_in=self._grid.height_in,
                label_share=self._summary.label_share,
                label_top=self._label_top,
                words=self._words,
            )
            draw_panel(figure, feature, frame)
        self._draw_foot(figure, number, pages)
        return figure

    def _head_lines(self) -> list[str]:
        summary, words = self._summary, self._words
        facts = [words.head.format(rows=words.count(summary.rows))]
        if summary.as_of:
            facts[0] += f" {words.as_of.format(date=f'{summary.as_of:%Y-%m-%d}')}"
        if summary.label_share is not None:
            facts.append(words.label_share.format(share=words.percent(summary.label_share)))
        return paper.wrapped(", ".join(facts), self._room_in, _HEAD_PT, most=2)

    def _foot_lines(self) -> list[str]:
        words = self._words
        is_sorted = any(feature.strength is not None for feature in self._features)
        scale = "" if self._summary.label_share is None else words.same_scale
        text = f"{words.sorted_by if is_sorted else words.unsorted} {scale}"
        return paper.wrapped(text, self._room_in, _FOOT_PT, most=6)

    @property
    def _room_in(self) -> float:
        return self._width_in - 2 * _MARGIN_IN

    def _draw_head(self, figure: Figure) -> None:
        title = "\n".join(self._title)
        paper.write(figure, _MARGIN_IN, _MARGIN_IN, title, fontsize=_TITLE_PT, fontweight="bold")
        below = _MARGIN_IN + len(self._title) * paper.line_in(_TITLE_PT) + 0.05
        paper.write(figure, _MARGIN_IN, below, "\n".join(self._head), fontsize=_HEAD_PT)
        below += len(self._head) * paper.line_in(_HEAD_PT) + 0.02
        width, height = figure.get_size_inches()
        legend = figure.legend(
            handles=self._legend(),
            loc="upper left",
            bbox_to_anchor=(_MARGIN_IN / width, 1 - below / height),
            ncols=4,
            frameon=False,
            fontsize=_FOOT_PT + 0.4,
            borderpad=0,
            borderaxespad=0,
            handlelength=1.6,
            columnspacing=1.6,
        )
        legend.set_in_layout(False)

    def _legend(self) -> list[Patch | Line2D]:
        words = self._words
        handles: list[Patch | Line2D] = [Patch(color=paper.ROWS, label=words.rows)]
        if any(feature.null_rows for feature in self._features):
            handles.append(
                Patch(facecolor=paper.MISSING, edgecolor=paper.FAINT, hatch="////", label=words.plain.missing)
            )
        if self._summary.label_share is not None:
            line: dict[str, Any] = {"color": paper.LABEL, "linewidth": 0.9}
            handles += [
                Line2D(
                    [], [], marker="o", markersize=2.8, label=f"{words.label_true} {words.interval}", **line
                ),
                Line2D([], [], linestyle=(0, (1, 1.5)), label=words.all_rows, **line),
            ]
        return handles

    def _draw_foot(self, figure: Figure, number: int, pages: int) -> None:
        height_in = figure.get_size_inches()[1]
        top = height_in - self._foot_in + paper.line_in(_FOOT_PT)
        style = {"fontsize": _FOOT_PT, "color": paper.FAINT}
        paper.write(figure, _MARGIN_IN, top, "\n".join(self._foot), linespacing=1.25, **style)
        if pages > 1:
            folio = self._words.page.format(page=number, pages=pages)
            paper.write(
                figure, self._width_in - _MARGIN_IN, height_in - 0.18, folio, ha="right", va="bottom", **style
            )


def _label_top(summary: "ViewSummary") -> float:
    """Where the scale of the labels ends: it has room for all groups that are not tiny."""
    least_rows = max(_LARGE_GROUP * summary.rows, 1)
    highest = [highest_interval(feature, least_rows=least_rows) for feature in summary.features]
    return float(np.clip(1.05 * max([*highest, 1.5 * (summary.label_share or 0.0)]), 1e-3, 1.02))
