"""One feature of a view as a panel: how it is spread, how the label goes with it, what is missing."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from staunch_cli.pictures import paper
from staunch_cli.pictures.bars import draw_bars
from staunch_cli.pictures.words import PictureWords

if TYPE_CHECKING:
    from staunch_features.checks.distribution.feature_summary import FeatureSummary

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]

_Z = 1.96  # of the normal distribution, 95 % lie within so many standard deviations
_TITLE_SIZES = (7.5, 6.5, 6.0)
_ABOVE_IN, _BELOW_IN = 0.58, 0.44  # title, strength, names of the axes; ticks, unit, note
_LEFT_IN, _RIGHT_IN = 0.42, 0.40
_MISSING_IN, _GAP_IN = 0.34, 0.10


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a panel stands, and what it shares with the others.

    Attributes:
        left_in: From the paper's left edge.
        top_in: From its top edge.
        width_in: With the numbers of its axes.
        height_in: With title and notes.
        label_share: The share of true labels of all rows; None without a label.
        label_top: Where the axis of the labels ends.
        words: The words around the view's own.
    """

    left_in: float
    top_in: float
    width_in: float
    height_in: float
    label_share: float | None
    label_top: float
    words: PictureWords


@dataclass(frozen=True, slots=True)
class Points:
    """Shares of true labels, each with where it is drawn and of how many rows it is."""

    places: Floats
    shares: Floats
    rows: Counts


def draw_panel(figure: Figure, feature: "FeatureSummary", frame: Frame) -> None:
    """Draws one feature.

    Of few values each has its bar, with its label if it stands for something; many are counted in steps,
    where the outer ones count the rows beyond too and a note says how far those reach. What is missing is a
    bar of its own to the right.
    """
    _draw_head(figure, feature, frame)
    has_missing, has_values = feature.null_rows > 0, bool(feature.bars or feature.histogram.rows)
    high_in = frame.height_in - _ABOVE_IN - _BELOW_IN
    room_in = frame.width_in - _LEFT_IN - _RIGHT_IN
    wide_in = room_in - (_MISSING_IN + _GAP_IN if has_missing else 0)
    top, left = frame.top_in + _ABOVE_IN, frame.left_in + _LEFT_IN
    axes = paper.placed_axes(figure, left, top, (wide_in, high_in))
    if has_values:
        draw_bars(axes, feature, frame.words, (wide_in, high_in), frame.width_in - 0.3)
    else:
        axes.set_xticks([])
    most = max([feature.null_rows, *(bar.rows for bar in feature.bars), *feature.histogram.rows])
    axes.set_ylim(0, 1.05 * max(most, 1))
    axes.spines["right"].set_visible(False)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.yaxis.set_major_formatter(lambda rows, _: frame.words.count(rows))
    axes.tick_params(axis="y", labelsize=paper.SMALL_PT)
    if has_missing:
        place = left + wide_in + _GAP_IN
        missing = paper.placed_axes(figure, place, top, (_MISSING_IN, high_in))
        missing.set_ylim(axes.get_ylim())
        _draw_missing(missing, feature, frame)
    if frame.label_share is not None:
        _draw_labels(figure, axes, missing if has_missing else None, feature, frame)


def _draw_head(figure: Figure, feature: "FeatureSummary", frame: Frame) -> None:
    """Writes the title on two lines at most, the strength, what is missing, and the names of both axes."""
    words, left = frame.words, frame.left_in + 0.04
    room_in = frame.width_in - 0.2
    title, bold = feature.doc.title, {"weight": "bold"}
    fits = (size for size in _TITLE_SIZES if len(paper.wrapped(title, room_in, size, most=9, **bold)) <= 2)
    size = next(fits, _TITLE_SIZES[-1])
    lines = paper.wrapped(title, room_in, size, most=2, **bold)
    bottom = frame.top_in + 2 * paper.line_in(_TITLE_SIZES[0])
    style = {"fontsize": size, "fontweight": "bold", "linespacing": 1.15}
    paper.write(figure, left, bottom, "\n".join(lines), va="bottom", **style)
    grey = {"fontsize": paper.SMALL_PT, "color": paper.FAINT}
    paper.write(figure, left, bottom + 0.03, _facts(feature, words), **grey)
    above = frame.top_in + _ABOVE_IN - 0.03
    paper.write(figure, left, above, words.rows, va="bottom", **grey)
    if frame.label_share is not None:
        right = frame.left_in + frame.width_in - 0.12
        red = {"fontsize": paper.SMALL_PT, "color": paper.LABEL}
        paper.write(figure, right, above, words.label_true, va="bottom", ha="right", **red)


def _facts(feature: "FeatureSummary", words: PictureWords) -> str:
    """How strong the feature is, and how many rows miss it."""
    facts = []
    if feature.strength is not None:
        facts.append(words.strength.format(strength=words.plain.written(f"{feature.strength:.2f}")))
    if feature.null_rows:
        rows = words.count(feature.null_rows)
        facts.append(words.missing_share.format(share=words.percent(feature.nulls), rows=rows))
    return "  ·  ".join(facts)


def _draw_missing(axes: Any, feature: "FeatureSummary", frame: Frame) -> None:
    axes.bar(
        [0],
        [feature.null_rows],
        0.72,
        color=paper.MISSING,
        edgecolor=paper.FAINT,
        hatch="////",
        linewidth=0.6,
    )
    axes.set_xlim(-0.6, 0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.spines["right"].set_visible(False)
    axes.set_xticks([0], [frame.words.plain.missing], fontsize=paper.SMALL_PT)


def _draw_labels(figure: Figure, axes: Any, missing: Any, feature: "FeatureSummary", frame: Frame) -> None:
    """Draws the shares of true labels over the bars, on a scale that all panels share, to the right."""
    twins = [each.twinx() for each in (axes, missing) if each is not None]
    for twin in twins:
        twin.set_ylim(0, frame.label_top)
        twin.axhline(frame.label_share, color=paper.LABEL, linewidth=0.7, linestyle=(0, (1, 1.5)))
        twin.spines["left"].set_visible(False)
        twin.spines["right"].set_visible(twin is twins[-1])
        twin.spines["right"].set_color(paper.LABEL)
        twin.set_yticks([])
    twins[-1].yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    twins[-1].yaxis.set_major_formatter(lambda share, _: frame.words.short_percent(share))
    twins[-1].tick_params(axis="y", labelsize=paper.SMALL_PT, colors=paper.LABEL)
    points = _points(feature)
    if len(points.places):
        _draw_points(twins[0], points, frame, joined=not feature.doc.labels)
    if missing is not None and feature.null_trend is not None:
        alone = Points(np.zeros(1), np.array([feature.null_trend]), np.array([feature.null_rows]))
        _draw_points(twins[-1], alone, frame, joined=False)


def _points(feature: "FeatureSummary") -> Points:
    if feature.bars:
        known = [
            (place, bar.trend, bar.rows) for place, bar in enumerate(feature.bars) if bar.trend is not None
        ]
        places, shares, rows = zip(*known, strict=True) if known else ((), (), ())
        return Points(np.array(places, float), np.array(shares, float), np.array(rows, int))
    edges = feature.histogram.edges or (0.0, 0.0)
    centres = np.clip(np.array(feature.centres, float), edges[0], edges[-1])
    return Points(centres, np.array(feature.trend, float), np.array(feature.sizes, int))


def _draw_points(axes: Any, points: Points, frame: Frame, *, joined: bool) -> None:
    """Draws shares with their intervals, broad and pale; one beyond the scale is a triangle at its top."""
    top = frame.label_top  # an interval that goes on beyond it ends there
    lower, upper = wilson_interval(points.shares, points.rows)
    axes.vlines(
        points.places, lower.clip(max=top), upper.clip(max=top), color=paper.LABEL, linewidth=3, alpha=0.28
    )
    line = "-" if joined else "none"
    inside = points.shares <= top
    axes.plot(
        points.places[inside],
        points.shares[inside],
        linestyle=line,
        marker="o",
        color=paper.LABEL,
        markersize=2.8,
        linewidth=0.9,
        clip_on=False,
    )
    axes.plot(
        points.places[~inside],
        np.full((~inside).sum(), top),
        "^",
        color=paper.LABEL,
        markersize=4,
        clip_on=False,
    )


def wilson_interval(share: Floats, rows: Counts) -> tuple[Floats, Floats]:
    """Returns Wilson's 95 % interval of shares seen in so many rows; it has a width at 0 and 1 too."""
    middle = (share + _Z**2 / (2 * rows)) / (1 + _Z**2 / rows)
    half = _Z / (1 + _Z**2 / rows) * np.sqrt(share * (1 - share) / rows + _Z**2 / (4 * rows**2))
    return middle - half, middle + half


def highest_interval(feature: "FeatureSummary", *, least_rows: float) -> float:
    """Returns where the highest interval of a feature ends, of groups of so many rows at least; 0 of none."""
    points = _points(feature)
    shares, rows = points.shares, points.rows
    if feature.null_trend is not None:
        shares, rows = np.append(shares, feature.null_trend), np.append(rows, feature.null_rows)
    large = rows >= least_rows
    return float(wilson_interval(shares[large], rows[large])[1].max(initial=0.0))
