"""An explanation as a waterfall: from what the model says of everybody to what it says of this customer."""

import math
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from staunch_cli.pictures import paper
from staunch_cli.pictures.words import PictureWords
from staunch_cli.printing.prediction import warning_line
from staunch_cli.shared.errors import CommandError

if TYPE_CHECKING:
    from staunch import Explanation

_WIDTH_IN, _MARGIN_IN = 8.0, 0.35
_TITLES_IN, _VALUES_IN, _GAP_IN = 2.5, 1.15, 0.15  # at most; what is longer is broken, or cut
_TITLE_PT, _HEAD_PT, _ROW_PT, _SMALL_PT = 11, 7.5, 7.5, 6.5
_ROW_IN, _AXIS_IN = 0.29, 0.42  # one line of the waterfall; what the numbers of an axis need
_BEYOND = 0.2  # of what the bars span: the room for figures at their ends
_LOW_SHARES = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4)
_SHARES = (*_LOW_SHARES, 0.5, *(1 - share for share in reversed(_LOW_SHARES)))
"""Where the axis of probabilities has its marks; beyond them there are none."""


class _Step(NamedTuple):
    """A line of the waterfall: what it is called, its value, and how far it moves the output."""

    title: str
    value: str
    part: float


def draw(
    explanation: "Explanation", customer: int | str, words: PictureWords, out: Path, ending: str
) -> None:
    """Draws an explanation into a file.

    From the average to the output, each contribution is a bar that begins where the one before ended. Those
    that are not listed are one bar, the last. In log-odds the axis above says which probabilities they are.

    Args:
        explanation: The explanation.
        customer: Whom it is of.
        words: What stands around its own titles, units and labels.
        out: The file, whatever it is called.
        ending: What to write into it, `.png`, `.svg` or `.pdf`.

    Raises:
        CommandError: The contributions are too many for a PNG.
        OSError: The file cannot be written.
    """
    most = int((paper.TALLEST_PX / paper.DPI - 4) / _ROW_IN)
    if ending == ".png" and (count := len(explanation.contributions)) > most:
        raise CommandError(
            f"expected at most {most} contributions in one .png, got {count}: choose the largest by --top, "
            "or let --plot end in .svg"
        )
    with paper.styled():
        paper.save([_Waterfall(explanation, customer, words).drawn()], out, ending)


class _Waterfall:
    """One picture."""

    def __init__(self, explanation: "Explanation", customer: int | str, words: PictureWords) -> None:
        self._explanation, self._customer, self._words = explanation, customer, words
        self._in_probability = explanation.output_space == "probability"
        self._steps = _steps(explanation, words)
        self._notes = _notes(explanation, words)
        titles = max((paper.width_in(step.title, _ROW_PT) for step in self._steps), default=0)
        values = max((paper.width_in(step.value, _ROW_PT) for step in self._steps), default=0)
        ends = max(paper.width_in(end, _ROW_PT, "bold") for end in (words.average, words.together))
        self._values_in = min(values, _VALUES_IN)
        self._names_in = max(min(titles, _TITLES_IN) + _GAP_IN + self._values_in, ends)
        self._head_in = _MARGIN_IN + paper.line_in(_TITLE_PT) + 2 * paper.line_in(_HEAD_PT) + 0.2
        self._axis_in = 0.1 if self._in_probability else _AXIS_IN
        self._high_in = (len(self._steps) + 2) * _ROW_IN

    def drawn(self) -> Figure:
        """Draws it."""
        notes_in = len(self._notes) * paper.line_in(_SMALL_PT) + (0.08 if self._notes else 0)
        top_in = self._head_in + self._axis_in
        height_in = top_in + self._high_in + _AXIS_IN + notes_in + _MARGIN_IN
        figure = Figure(figsize=(_WIDTH_IN, height_in))
        self._draw_head(figure)
        left_in = _MARGIN_IN + self._names_in + _GAP_IN
        axes = paper.placed_axes(
            figure, left_in, top_in, (_WIDTH_IN - left_in - _MARGIN_IN - 0.1, self._high_in)
        )
        self._draw_axes(axes)
        self._draw_steps(axes)
        self._draw_names(figure, top_in)
        below = height_in - _MARGIN_IN - len(self._notes) * paper.line_in(_SMALL_PT)
        style = {"fontsize": _SMALL_PT, "color": paper.FAINT, "linespacing": 1.25}
        paper.write(figure, _MARGIN_IN, below, "\n".join(self._notes), **style)
        return figure

    def _draw_head(self, figure: Figure) -> None:
        # Line below line, each measured, since the paper is as tall as what stands on it.
        words, prediction = self._words, self._explanation.prediction
        paper.write(figure, _MARGIN_IN, _MARGIN_IN, self._title(), fontsize=_TITLE_PT, fontweight="bold")
        as_of = prediction.as_of.astimezone(UTC) if prediction.as_of else None
        when = f"{words.plain.as_of} {as_of:%Y-%m-%d %H:%M} UTC" if as_of else ""
        facts = "  ·  ".join(filter(None, (str(prediction.model), when)))
        below = _MARGIN_IN + paper.line_in(_TITLE_PT) + 0.05
        paper.write(figure, _MARGIN_IN, below, facts, fontsize=_HEAD_PT)
        below += paper.line_in(_HEAD_PT) + 0.03
        width, height = figure.get_size_inches()
        figure.legend(
            handles=[
                Patch(color=paper.RAISES, label=words.plain.raises),
                Patch(color=paper.LOWERS, label=words.plain.lowers),
            ],
            loc="upper left",
            bbox_to_anchor=(_MARGIN_IN / width, 1 - below / height),
            ncols=2,
            frameon=False,
            fontsize=_SMALL_PT,
            borderpad=0,
            borderaxespad=0,
            handlelength=1.6,
        )

    def _title(self) -> str:
        """Says whose score it is, and the score; of a long key as much as leaves room for that."""
        words, prediction = self._words, self._explanation.prediction
        band = words.plain.bands.get(prediction.risk_band, "")
        share = ", ".join(filter(None, (words.percent(prediction.probability), band)))
        room_in = _WIDTH_IN - 2 * _MARGIN_IN
        taken_in = paper.width_in(words.title.format(customer=" ", share=share), _TITLE_PT, "bold")
        customer = paper.cut(str(self._customer), room_in - taken_in, _TITLE_PT, "bold")
        return words.title.format(customer=customer, share=share)

    def _draw_axes(self, axes: Any) -> None:
        """Sets the axes up: the output's own below, and probabilities above where those are another thing."""
        words = self._words
        low, high = _span(self._explanation.base_value, self._steps, self._explanation.output_value)
        axes.set_xlim(low, high)
        axes.set_ylim(len(self._steps) + 1.5, -0.5)
        axes.set_yticks([])
        for side in ("left", "right", "top"):
            axes.spines[side].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axes.xaxis.set_major_formatter(lambda value, _: self._mark(value))
        axes.tick_params(axis="x", labelsize=_SMALL_PT)
        axes.set_xlabel(
            words.plain.probability if self._in_probability else words.plain.log_odds, fontsize=_SMALL_PT
        )
        axes.grid(axis="x", color=paper.HAIRLINE, linewidth=0.5)
        axes.set_axisbelow(True)
        if not self._in_probability:
            above = axes.secondary_xaxis("top")
            shares = _apart(low, high)
            above.set_xticks(
                [_log_odds(share) for share in shares],
                [words.short_percent(share) for share in shares],
                fontsize=_SMALL_PT,
            )
            above.set_xlabel(words.plain.probability, fontsize=_SMALL_PT)

    def _draw_steps(self, axes: Any) -> None:
        """Draws bars, each from where the one before ended, and what they begin and end with."""
        reached = self._explanation.base_value
        low, high = axes.get_xlim()
        blank = 0.012 * (high - low)
        self._draw_mark(axes, reached, 0, blank)
        for line, step in enumerate(self._steps, start=1):
            axes.plot([reached, reached], [line - 1, line], color=paper.FAINT, linewidth=0.6, zorder=1)
            axes.barh(
                line, step.part, 0.62, left=reached, color=paper.RAISES if step.part > 0 else paper.LOWERS
            )
            reached += step.part
            aside = blank if step.part > 0 else -blank
            style = {"va": "center", "fontsize": _SMALL_PT, "ha": "left" if step.part > 0 else "right"}
            axes.text(reached + aside, line, self._figure(step.part, "+"), **style)
        last = len(self._steps) + 1
        axes.plot([reached, reached], [last - 1, last], color=paper.FAINT, linewidth=0.6, zorder=1)
        self._draw_mark(axes, self._explanation.output_value, last, blank)

    def _draw_mark(self, axes: Any, value: float, line: int, blank: float) -> None:
        """Draws a point with its value, and its probability where that is another thing."""
        axes.plot([value], [line], "o", color=paper.INK, markersize=4.5)
        text = self._figure(value)
        if not self._in_probability:
            text = f"{text} = {self._words.percent(_share(value))}"
        low, high = axes.get_xlim()
        to_the_right = value < (low + high) / 2
        style = {"va": "center", "fontsize": _ROW_PT, "fontweight": "bold"}
        aside = 2 * blank if to_the_right else -2 * blank
        axes.text(value + aside, line, text, ha="left" if to_the_right else "right", **style)

    def _draw_names(self, figure: Figure, top_in: float) -> None:
        words = self._words
        ends = (_Step(words.average, "", 0), *self._steps, _Step(words.together, "", 0))
        for line, step in enumerate(ends):
            middle = top_in + (line + 0.5) * _ROW_IN
            is_end = line in (0, len(ends) - 1)
            weight = "bold" if is_end else "normal"
            room_in = self._names_in - (0 if is_end else self._values_in + _GAP_IN)
            size = _ROW_PT if paper.width_in(step.title, _ROW_PT, weight) <= room_in else _SMALL_PT - 0.3
            name = "\n".join(paper.wrapped(step.title, room_in, size, most=2, weight=weight))
            if step.title.endswith("*") and not name.endswith("*"):  # the note below is about it
                name += "*"
            style = {"va": "center" if "\n" in name else "center_baseline", "linespacing": 1.05}
            paper.write(figure, _MARGIN_IN, middle, name, fontsize=size, fontweight=weight, **style)
            value = paper.cut(step.value, self._values_in, _ROW_PT)
            style = {"va": "center_baseline", "ha": "right", "fontsize": _ROW_PT, "color": paper.FAINT}
            paper.write(figure, _MARGIN_IN + self._names_in, middle, value, **style)

    def _mark(self, value: float) -> str:
        """Writes a number of the axis, as short as it goes."""
        if self._in_probability:
            return self._words.short_percent(value).replace("-", "\N{MINUS SIGN}")
        return self._words.plain.written(f"{value:.4g}").replace("-", "\N{MINUS SIGN}")

    def _figure(self, value: float, sign: str = "") -> str:
        """Writes what the output is counted in: a share in percent, or log-odds."""
        plain = self._words.plain
        digits = f"{100 * value:{sign}.2f}" if self._in_probability else f"{value:{sign}.3f}"
        text = plain.percent.format(share=digits) if self._in_probability else digits
        return plain.written(text).replace("-", "\N{MINUS SIGN}")


def _steps(explanation: "Explanation", words: PictureWords) -> list[_Step]:
    """Gives the bars: the contributions as they come, the largest first, and the rest together."""
    steps = [
        _Step(
            f"{part.title or part.feature}{'*' if part.overridden else ''}",
            words.plain.quantity(part.value, part.unit, part.value_label),
            part.contribution,
        )
        for part in explanation.contributions
    ]
    if explanation.remainder_count:
        others = words.plain.others.format(count=explanation.remainder_count)
        steps.append(_Step(others, "", explanation.remainder))
    return steps


def _notes(explanation: "Explanation", words: PictureWords) -> list[str]:
    """What stands below: what the star means, and which values the model did not learn from."""
    set_by_you = any(part.overridden for part in explanation.contributions)
    notes = [f"* {words.plain.set_by_you}"] if set_by_you else []
    for warning in explanation.prediction.warnings:
        line = words.warning.format(line=warning_line(warning, words.plain))
        notes += paper.wrapped(line, _WIDTH_IN - 2 * _MARGIN_IN, _SMALL_PT, most=2)
    return notes


def _span(base: float, steps: Sequence[_Step], output: float) -> tuple[float, float]:
    """Returns the ends of the axis: all that bars reach, and room for their figures."""
    reached = [base, output]
    for step in steps:
        reached.append((reached[-1] if len(reached) > 2 else base) + step.part)
    low, high = min(reached), max(reached)
    beyond = _BEYOND * (high - low) or 0.5
    return low - beyond, high + beyond


def _log_odds(share: float) -> float:
    return math.log(share / (1 - share))


def _share(log_odds: float) -> float:
    """Returns the probability of log-odds, however large they are: of a logistic regression they may be."""
    odds = math.exp(-abs(log_odds))
    return (1 if log_odds >= 0 else odds) / (1 + odds)


def _apart(low: float, high: float) -> list[float]:
    """Returns the probabilities to mark between two log-odds, such that their figures do not touch."""
    kept: list[float] = []
    for share in _SHARES:
        place = _log_odds(share)
        if low <= place <= high and (not kept or place - _log_odds(kept[-1]) > 0.09 * (high - low)):
            kept.append(share)
    return kept
