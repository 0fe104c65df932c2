"""Pictures of a view: what is cut off is shown, and ticks say what they are."""

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from tests.cli.printing.gym import VIEW

from staunch_cli.printing.view_plot import plot, wilson_interval
from staunch_cli.shared.errors import CommandError
from staunch_features.checks.summary import FeatureSummary, ViewSummary
from staunch_features.views.types import FeatureColumn


def summary(quantiles=(0.0, 2.0, 5.0, 8.0, 10.0), trend=(0.02, 0.1), sizes=(2000, 2000)) -> ViewSummary:
    """One feature that lies between 0 and 10 but for what the quantiles say."""
    feature = FeatureSummary(
        column=FeatureColumn(name="visits", type="number", nullable=False, unit="", description="Visits."),
        doc=VIEW.features["visits"],
        nulls=0.0,
        quantiles=quantiles,
        limits=(0.0, 10.0),
        spread=(1, 2, 3, 4, 5, 5, 4, 3, 2, 1),
        centres=(2.5, 7.5),
        trend=trend,
        sizes=sizes,
        null_trend=None,
    )
    return ViewSummary(VIEW, datetime(2026, 1, 1, tzinfo=UTC), 30, 0.06, (feature,))


def drawn(tmp_path: Path, found: ViewSummary) -> str:
    """The picture's texts: matplotlib names each in a comment of its SVG."""
    plot(found, tmp_path / "gym.svg")
    return (tmp_path / "gym.svg").read_text()


@pytest.mark.parametrize(
    ("quantiles", "note"),
    [
        ((0.0, 2.0, 5.0, 8.0, 10.0), ""),
        ((0.0, 2.0, 5.0, 8.0, 13952.0), "last bar: to 13,952"),
        ((-3.0, 2.0, 5.0, 8.0, 10.0), "first bar: from -3"),
        ((-3.0, 2.0, 5.0, 8.0, 99.0), "first bar: from -3, last bar: to 99"),
    ],
)
def test_rows_that_an_outer_bar_gathers_are_shown(tmp_path, quantiles, note):
    texts = drawn(tmp_path, summary(quantiles))
    assert f"<!-- {note} -->" in texts or not note
    assert ("bar:" in texts) == bool(note)


def test_a_tick_of_two_and_a_half_percent_says_so(tmp_path):
    texts = drawn(tmp_path, summary(trend=(0.05, 0.17)))
    ticks = re.findall(r"<!-- ([\d.]+%) -->", texts)
    assert ticks[:4] == ["0%", "2.5%", "5%", "7.5%"]


def test_a_picture_into_a_folder_that_is_not_there_says_which_to_make(tmp_path):
    with pytest.raises(CommandError, match="make the folder /nowhere, or choose another place"):
        plot(summary(), Path("/nowhere/gym.png"))


@pytest.mark.parametrize(("rows", "lower", "upper"), [(18, 0.01, 0.258), (4000, 0.049, 0.063)])
def test_a_share_of_few_rows_is_shown_as_less_certain(rows, lower, upper):
    low, high = wilson_interval(np.array([1 / 18]), np.array([rows]))
    assert low[0] == pytest.approx(lower, abs=1e-3)
    assert high[0] == pytest.approx(upper, abs=1e-3)


def test_a_share_of_none_is_uncertain_too():
    low, high = wilson_interval(np.array([0.0, 1.0]), np.array([10, 10]))
    assert low[0] == pytest.approx(0, abs=1e-12)
    assert high[0] == pytest.approx(0.278, abs=1e-3)
    assert (low[1], high[1]) == (pytest.approx(1 - 0.278, abs=1e-3), pytest.approx(1))
