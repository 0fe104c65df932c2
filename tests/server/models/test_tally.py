"""Rows are counted exactly, however many come at a time, and soon."""

import asyncio

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from tests.harness.waiting import until

from staunch_model_store.manifest import Feature
from staunch_server.metrics import SCORES, Metrics
from staunch_server.models import tally
from staunch_server.models.tally import MOST_ROWS, Tally

EDGES = (0.1, 0.45)
FEATURES = [
    Feature(name=name, nullable=nullable, unit="", description="")
    for name, nullable in (("a", True), ("never", False), ("b", True))
]


class Counted:
    """A tally and what stands in its metrics."""

    def __init__(self, edges: tuple[float, ...] = EDGES) -> None:
        self.registry = CollectorRegistry()
        self.tally = Tally(Metrics(self.registry).model("churn@1"), FEATURES, edges)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, {"model": "churn@1", **labels})

    @property
    def rows(self) -> float | None:
        return self.value("staunch_scores_count")


def rows(count: int, *, missing: str = "") -> NDArray[np.float64]:
    values = np.ones((count, len(FEATURES)))
    for column, feature in enumerate(FEATURES):
        if feature.name == missing:
            values[:, column] = np.nan
    return values


async def test_the_scores_are_counted_as_one_by_one_also_those_at_a_limit() -> None:
    counted, one_by_one = Counted(), Metrics(CollectorRegistry())
    rng = np.random.default_rng(1)
    for _ in range(3):
        scores = np.concatenate([rng.beta(1, 9, 40), SCORES, np.nextafter(SCORES, 0), [0.0, 1.0]])
        counted.tally.add(rows(len(scores)), scores)
        for score in scores.tolist():
            one_by_one.scores.labels("churn@1").observe(score)
    counted.tally.settle()
    for bound in (*map(float, SCORES), float("inf")):
        labels = {"model": "churn@1", "le": "+Inf" if bound == float("inf") else str(bound)}
        expected = one_by_one.registry.get_sample_value("staunch_scores_bucket", labels)
        assert counted.registry.get_sample_value("staunch_scores_bucket", labels) == expected
        assert expected is not None
    total = one_by_one.registry.get_sample_value("staunch_scores_sum", {"model": "churn@1"})
    assert counted.value("staunch_scores_sum") == pytest.approx(total)


async def test_rows_are_counted_by_band_and_one_without_a_score_in_none() -> None:
    counted = Counted()
    counted.tally.add(rows(6), np.array([0.0, 0.0999, 0.1, 0.45, 1.0, np.nan]))
    counted.tally.settle()
    bands = {
        band: counted.value("staunch_score_bands_total", band=band) for band in ("LOW", "MEDIUM", "HIGH")
    }
    assert bands == {"LOW": 2, "MEDIUM": 1, "HIGH": 2}
    assert counted.rows == 5
    assert counted.value("staunch_score_bands_total", band="UNSPECIFIED") is None


async def test_without_thresholds_there_is_no_band() -> None:
    counted = Counted(())
    counted.tally.add(rows(1), np.array([0.5]))
    counted.tally.settle()
    assert counted.rows == 1
    assert counted.value("staunch_score_bands_total", band="LOW") is None


async def test_missing_values_are_counted_by_feature_from_0_of_those_that_may_be() -> None:
    counted = Counted()

    def missing() -> list[float | None]:
        return [counted.value("staunch_feature_missing_total", feature=each.name) for each in FEATURES]

    assert missing() == [0, None, 0]
    counted.tally.add(rows(3), np.full(3, 0.5))
    counted.tally.add(rows(2, missing="b"), np.full(2, 0.5))
    counted.tally.settle()
    assert missing() == [0, None, 2]
    counted.tally.add(rows(1, missing="a"), np.full(1, 0.5))
    counted.tally.settle()
    assert missing() == [1, None, 2]
    assert counted.rows == 6


async def test_rows_wait_for_each_other_and_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "WAIT_S", 0.05)
    counted = Counted()
    for _ in range(2):
        counted.tally.add(rows(1), np.array([0.5]))
    counted.tally.add(rows(0), np.empty(0))
    assert counted.rows == 0
    await until(lambda: counted.rows == 2)
    counted.tally.add(rows(MOST_ROWS), np.full(MOST_ROWS, 0.5))
    assert counted.rows == 2 + MOST_ROWS
    counted.tally.add(rows(1), np.array([0.5]))
    await asyncio.sleep(0)
    assert counted.rows == 2 + MOST_ROWS  # the timer of those before has ended with them
    await until(lambda: counted.rows == 3 + MOST_ROWS)


async def test_nothing_waits_after_it_was_counted() -> None:
    counted = Counted()
    counted.tally.settle()
    counted.tally.add(rows(1), np.array([0.5]))
    for _ in range(3):
        counted.tally.settle()
    assert counted.rows == 1
