"""How one feature is spread and how strong it is: what a picture of it is drawn from."""

import numpy as np
import pytest

from staunch_features.checks.distribution.feature_summary import FeatureSummary, summarise_feature
from staunch_features.views.feature_doc import FeatureDoc
from staunch_features.views.types import FeatureColumn

ROWS = 4000
RNG = np.random.default_rng(3)
TRUTH = RNG.random(ROWS) < 0.1


def summed(
    values: np.ndarray, truth: np.ndarray | None = TRUTH, labels: dict[float, str] | None = None
) -> FeatureSummary:
    column = FeatureColumn(name="a", type="number", nullable=True, unit="", description="")
    doc = FeatureDoc(unit="", description="A.", source=(), window="", null="gone", labels=labels or {})
    return summarise_feature(column, doc, np.asarray(values, float), truth)


def test_few_values_are_counted_one_by_one_and_missing_is_none_of_them():
    values = np.where(np.arange(ROWS) % 4 == 0, np.nan, np.arange(ROWS) % 2)
    found = summed(values)
    assert [(bar.value, bar.rows) for bar in found.bars] == [(0, 1000), (1, 2000)]
    assert [bar.trend for bar in found.bars] == [TRUTH[values == 0].mean(), TRUTH[values == 1].mean()]
    assert (found.null_rows, found.histogram.rows) == (1000, ())


def test_of_many_codes_the_most_frequent_are_shown_and_the_others_together():
    values = np.concatenate([np.repeat(np.arange(40), 2), RNG.integers(40, 54, ROWS - 80)]).astype(float)
    found = summed(values, labels={1.0: "one"})
    assert [bar.value for bar in found.bars] == [*range(40, 54), None]
    assert found.bars[-1].rows == 80
    assert sum(bar.rows for bar in found.bars) == ROWS


def test_whole_numbers_are_counted_in_steps_of_as_many_whole_numbers_each():
    found = summed(np.arange(ROWS) % 40)
    steps = np.diff(found.histogram.edges)
    assert set(steps) == {2.0}
    assert set(found.histogram.rows) == {ROWS // 20}


def test_rows_beyond_the_outer_steps_count_for_them():
    found = summed(np.r_[RNG.normal(size=ROWS - 2), 1e6, -1e6])
    assert sum(found.histogram.rows) == ROWS
    assert found.histogram.edges[-1] < 10
    assert not found.histogram.is_log


def test_a_heavy_tail_is_counted_on_a_logarithmic_scale_unless_there_are_zeros():
    heavy = np.exp(2.5 * RNG.normal(size=ROWS))
    assert summed(heavy).histogram.is_log
    assert max(summed(heavy).histogram.rows) < ROWS / 5
    assert not summed(np.r_[0, heavy[1:]]).histogram.is_log


@pytest.mark.parametrize(
    "values",
    [
        np.full(ROWS, 1e18),
        1e18 + 256.0 * np.arange(ROWS),
        np.r_[np.full(ROWS - 20, 1e18), 1e18 + 1024 * np.arange(1, 21)],
        0.1 + 1e-17 * np.arange(ROWS),
        np.linspace(-1e300, 1e300, ROWS),
    ],
)
def test_numbers_so_large_that_a_step_is_none_are_counted(values):
    found = summed(values)
    assert sum(found.spread) == ROWS
    assert sum(found.histogram.rows) + sum(bar.rows for bar in found.bars) == ROWS


def test_strength_is_one_half_for_noise_however_many_its_groups():
    strengths = [summed(RNG.integers(0, 15, ROWS)).strength for _ in range(20)]
    assert np.mean(strengths) == pytest.approx(0.51, abs=0.015)


def test_strength_sees_what_is_strong_in_the_middle_only_and_what_missing_tells():
    middle = np.where(TRUTH, RNG.normal(0, 0.1, ROWS), RNG.normal(0, 2, ROWS))
    assert summed(middle).strength > 0.8
    assert summed(np.where(TRUTH, np.nan, RNG.normal(size=ROWS))).strength == 1.0
    assert summed(TRUTH).strength == 1.0


@pytest.mark.parametrize("truth", [None, np.zeros(ROWS, bool), np.ones(ROWS, bool), np.arange(ROWS) == 5])
def test_where_labels_tell_nothing_there_is_no_strength(truth):
    assert summed(RNG.normal(size=ROWS), truth).strength is None


def test_all_missing_has_its_share_of_true_labels_and_nothing_else():
    found = summed(np.full(ROWS, np.nan))
    assert (found.null_rows, found.nulls, found.null_trend) == (ROWS, 1.0, TRUTH.mean())
    assert (found.bars, found.histogram.rows, found.strength) == ((), (), None)
    assert summed(np.full(ROWS, np.nan), None).null_trend is None
