"""Pictures of a feature view: how each feature is spread, and how the label goes with it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from staunch_cli.printing import formatting
from staunch_cli.shared.errors import cannot_write

if TYPE_CHECKING:
    from staunch_features.checks.summary import FeatureSummary, ViewSummary

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]

_Z = 1.96  # of the normal distribution, 95 % lie within so many standard deviations
_COLUMNS = 4
_WIDTH_IN, _HEIGHT_IN = 3.6, 2.4  # of one feature
_SPREAD, _TREND, _SHARE = "#c7d3e3", "#b3261e", "#808080"


def plot(summary: "ViewSummary", out: Path) -> None:
    """Draws one panel a feature into one file.

    The bars are the rows in ten bins of equal width from the 1st to the 99th percentile. The outer ones count
    the rows beyond too; how far those reach stands below. The line is the share of true labels in up to five
    groups of about as many rows each, as far as equal values allow, drawn at the mean value of each. The
    broad marks are 95 % intervals: a group of few rows tells little. The dotted line is that of all rows.

    Args:
        summary: What `summarise` gave.
        out: The file; its ending says whether it becomes PNG, SVG or PDF.

    Raises:
        CommandError: The file cannot be written.
    """
    rows = -(-len(summary.features) // _COLUMNS)
    figure = Figure(figsize=(_COLUMNS * _WIDTH_IN, rows * _HEIGHT_IN + 0.6), layout="constrained")
    figure.suptitle(_title(summary), fontsize=10)
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).flat
    for panel, feature in zip(panels, summary.features, strict=False):
        _draw(panel, feature, summary.label_share)
    for panel in list(figure.axes)[len(summary.features) : rows * _COLUMNS]:
        panel.set_axis_off()
    # The same numbers give the same bytes: neither the time of day nor a random salt goes into the file.
    with mpl.rc_context({"svg.hashsalt": "staunch"}):
        try:
            figure.savefig(out, metadata=_fixed_metadata(out))
        except OSError as error:
            raise cannot_write(out, error) from error


def _title(summary: "ViewSummary") -> str:
    when = f" as of {summary.as_of:%Y-%m-%d}" if summary.as_of else ""
    share = (
        ""
        if summary.label_share is None
        else f", label true for {summary.label_share:.1%} (dotted; red: as the value grows, 95% intervals)"
    )
    return f"{summary.view.name}: {summary.rows:,} rows{when}{share}"


def _draw(panel: Any, feature: "FeatureSummary", share: float | None) -> None:
    unit = f" [{feature.column.unit}]" if feature.column.unit else ""
    nulls = f", {feature.nulls:.0%} null" if feature.nulls else ""
    panel.set_title(f"{feature.column.name}{unit}{nulls}", fontsize=8)
    panel.tick_params(labelsize=7)
    panel.set_yticks([])
    if not feature.spread:
        panel.text(0.5, 0.5, "always null", ha="center", transform=panel.transAxes, fontsize=8)
        return
    low, high = feature.limits
    borders = np.linspace(low, high, len(feature.spread) + 1)
    panel.bar(borders[:-1], feature.spread, np.diff(borders), align="edge", color=_SPREAD)
    panel.set_xlabel(_clipped_note(feature), fontsize=6)
    if feature.trend and share is not None:
        _draw_trend(panel.twinx(), feature, share)


def _clipped_note(feature: "FeatureSummary") -> str:
    """How far the rows reach that lie beyond the limits; empty if none does."""
    (low, high), least, most = feature.limits, feature.quantiles[0], feature.quantiles[-1]
    first = f"first bar: from {formatting.quantity(least, '')}" if least < low else ""
    last = f"last bar: to {formatting.quantity(most, '')}" if most > high else ""
    return ", ".join(filter(None, (first, last)))


def _draw_trend(axis: Any, feature: "FeatureSummary", share: float) -> None:
    low, high = feature.limits
    centres = np.clip(feature.centres, low, high)
    lower, upper = wilson_interval(np.array(feature.trend), np.array(feature.sizes))
    axis.vlines(centres, lower, upper, color=_TREND, linewidth=4, alpha=0.25)
    axis.plot(centres, feature.trend, "o-", color=_TREND, markersize=3, linewidth=1)
    axis.axhline(share, color=_SHARE, linewidth=0.8, linestyle=":")
    axis.set_ylim(0, max(*upper, share) * 1.05)
    axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")  # 2.5% stays that
    axis.tick_params(labelsize=7, colors=_TREND)


def wilson_interval(share: Floats, rows: Counts) -> tuple[Floats, Floats]:
    """Returns Wilson's 95 % interval of shares seen in so many rows; it has a width at 0 and 1 too."""
    middle = (share + _Z**2 / (2 * rows)) / (1 + _Z**2 / rows)
    half = _Z / (1 + _Z**2 / rows) * np.sqrt(share * (1 - share) / rows + _Z**2 / (4 * rows**2))
    return middle - half, middle + half


def _fixed_metadata(out: Path) -> dict[str, None]:
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(out.suffix, {})
