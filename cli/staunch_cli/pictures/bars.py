"""The bars of a panel: one for each of few values, or steps of equal width, and what stands below them."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from staunch_cli.pictures import paper
from staunch_cli.pictures.words import PictureWords

if TYPE_CHECKING:
    from staunch_features.checks.distribution.feature_summary import Bar, FeatureSummary

_TINY_PT = 5.2
_FAR = 0.1  # of what the steps span: rows that lie less far beyond them are not worth a note
_TICK_IN = 0.36  # so far apart do the numbers below an axis not touch
_LEANING_CUT_IN = 0.57  # of a label that stands aslant below its bar


def draw_bars(
    axes: Any, feature: "FeatureSummary", words: PictureWords, size_in: tuple[float, float], room_in: float
) -> None:
    """Draws the bars, and writes below them the unit and how far the outer ones reach.

    Args:
        axes: What to draw on.
        feature: A feature with values.
        words: What stands around the view's own.
        size_in: Width and height of the axes.
        room_in: How wide a line below them may be.
    """
    wide_in, high_in = size_in
    unit = feature.doc.unit or ("" if feature.doc.labels else words.value)
    below_in = 0.19
    if feature.bars:
        names = [_bar_name(bar, feature, words) for bar in feature.bars]
        axes.bar(range(len(names)), [bar.rows for bar in feature.bars], 0.72, color=paper.ROWS)
        # One bar alone, or two, are not as wide as the panel.
        beside = 0.6 + max(0, 3 - len(names)) * 0.35
        axes.set_xlim(-beside, len(names) - 1 + beside)
        below_in = _name_bars(axes, names, wide_in / (len(names) - 1 + 2 * beside))
    else:
        _draw_steps(axes, feature, words, wide_in)
        if feature.histogram.is_log:
            unit = f"{unit}, {words.log_scale}"
    note = _reach(feature, words)
    for text, colour in ((unit, paper.INK), (note, paper.FAINT)):
        if text:
            line = paper.cut(text, room_in, paper.SMALL_PT)
            style = {"fontsize": paper.SMALL_PT, "color": colour, "ha": "center", "va": "top"}
            axes.text(0.5, -below_in / high_in, line, transform=axes.transAxes, **style)
            below_in += paper.line_in(paper.SMALL_PT)


def _draw_steps(axes: Any, feature: "FeatureSummary", words: PictureWords, wide_in: float) -> None:
    edges = np.array(feature.histogram.edges)
    style = {"color": paper.ROWS, "edgecolor": "white", "linewidth": 0.4}
    axes.bar(edges[:-1], feature.histogram.rows, np.diff(edges), align="edge", **style)
    if feature.histogram.is_log:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=5))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        is_whole = edges[0] % 1 == 0.5  # halves are exact
        ticks = max(2, int(wide_in / _TICK_IN))
        # What stands at the end would touch the name of the bar beside.
        prune = "upper" if feature.null_rows else None
        steps = [1, 2, 2.5, 5, 10]
        axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=steps, integer=is_whole, prune=prune))
    axes.set_xlim(edges[0], edges[-1])
    largest = float(abs(edges).max())
    axes.xaxis.set_major_formatter(lambda value, _: _number(value, largest, words))
    axes.tick_params(axis="x", labelsize=paper.SMALL_PT)


def _bar_name(bar: "Bar", feature: "FeatureSummary", words: PictureWords) -> str:
    largest = max(abs(each.value or 0.0) for each in feature.bars)
    if bar.value is None:
        return words.others
    return feature.doc.labels.get(bar.value, "") or _number(bar.value, largest, words)


def _number(value: float, largest: float, words: PictureWords) -> str:
    """Writes a number as short as it goes beside the largest: `1.5M` is what fits below a bar."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if largest >= max(size, 1e4) and value:
            return words.plain.written(f"{value / size:.4g}") + letter
    return words.plain.quantity(value)


def _name_bars(axes: Any, names: Sequence[str], step_in: float) -> float:
    """Writes names below bars: on a line, small if need be, else on two, else aslant and cut.

    Returns:
        How far below the axis they end, in inches.
    """
    for size in (paper.SMALL_PT, _TINY_PT):
        if _fit([[name] for name in names], step_in, size):
            axes.set_xticks(range(len(names)), names, fontsize=size)
            return 0.19
    broken = [paper.wrapped(name, step_in, paper.SMALL_PT, most=2) for name in names]
    if _fit(broken, step_in, paper.SMALL_PT) and not any("…" in line for lines in broken for line in lines):
        axes.set_xticks(range(len(names)), ["\n".join(lines) for lines in broken], fontsize=paper.SMALL_PT)
        return 0.29
    short = [paper.cut(name, _LEANING_CUT_IN, paper.SMALL_PT) for name in names]
    leaning = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(names)), short, fontsize=paper.SMALL_PT, **leaning)
    return 0.38


def _fit(names: Sequence[Sequence[str]], step_in: float, size: float) -> bool:
    """Whether names of one or more lines stand beside each other with a blank between."""
    widths = [max(paper.width_in(line, size) for line in lines) for lines in names]
    pairs = itertools.pairwise(widths)
    return all((left + right) / 2 + 0.015 <= step_in for left, right in pairs)


def _reach(feature: "FeatureSummary", words: PictureWords) -> str:
    """How far the rows reach that lie well beyond the edges; empty if none does."""
    if not feature.histogram.edges:
        return ""
    low, high = feature.histogram.edges[0], feature.histogram.edges[-1]
    least, most = feature.quantiles[0], feature.quantiles[-1]
    far = _FAR * (high - low)
    first = words.first_from.format(value=words.plain.quantity(least)) if least < low - far else ""
    last = words.last_to.format(value=words.plain.quantity(most)) if most > high + far else ""
    return ", ".join(filter(None, (first, last)))
