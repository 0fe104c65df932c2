from dataclasses import fields
from pathlib import Path

import pytest

from staunch_training.costs import Costs
from staunch_training.evaluate import METRICS
from staunch_training.selection import MARGINS
from staunch_training.split import SHARES, SIDES, DateCounts
from staunch_training.train import TrainSettings

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text()


@pytest.mark.parametrize("side", SIDES)
def test_the_page_tells_the_dates_and_shares_of_each_side(side: str) -> None:
    dates = getattr(DateCounts(), side)
    assert f"| {side} | {dates} | {SHARES[side]:.0%}".replace("%", " %") in PAGE  # type: ignore[index]


def test_the_page_names_every_metric_and_margin() -> None:
    for name in (*METRICS, *(f"{metric}_gain" for metric in MARGINS)):
        assert f"`{name}`" in PAGE
    assert all(f"{margin} of" in PAGE for margin in MARGINS.values())


def test_the_page_tells_every_cost_and_the_thresholds_they_give() -> None:
    for field in fields(Costs):
        assert f"| `--{field.name.replace('_', '-')}` | {field.default:.2f}".replace(".00", "") in PAGE
    medium, high = Costs().thresholds()
    assert f"{medium:.3f}" in PAGE
    assert f"{high:.3f}" in PAGE


def test_the_page_tells_the_limits() -> None:
    settings = TrainSettings()
    assert f"AUC of {settings.leak_limit:.2f} or more" in PAGE
    assert f"More than {settings.max_customers:,} customers" in PAGE
    assert f"steps of {settings.dates.step_days} days" in PAGE
