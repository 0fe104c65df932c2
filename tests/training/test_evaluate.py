import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from staunch_training.calibrate import sigmoid
from staunch_training.evaluate import METRICS, auc, evaluate

ROWS = 3000


def _rows(seed: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    margins = rng.normal(-2.2, 1.0, ROWS // 2).repeat(2)  # each customer twice, with one risk
    labels = (rng.random(ROWS) < sigmoid(margins)).astype(np.float64)
    return labels, np.round(sigmoid(margins), 3), np.arange(ROWS) // 2


def test_every_metric_agrees_with_scikit_learn() -> None:
    labels, probabilities, groups = _rows()
    found = evaluate(labels, probabilities, groups, resamples=1).values
    assert found["auc"] == pytest.approx(roc_auc_score(labels, probabilities), abs=1e-12)
    assert found["log_loss"] == pytest.approx(log_loss(labels, probabilities), abs=1e-12)
    assert found["brier"] == pytest.approx(brier_score_loss(labels, probabilities), abs=1e-12)
    precision = average_precision_score(labels, probabilities)
    assert found["average_precision"] == pytest.approx(precision, abs=1e-12)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=60))
def test_auc_counts_ties_half(pairs: list[tuple[bool, int]]) -> None:
    labels = np.array([float(answer) for answer, _ in pairs])
    scores = np.array([float(score) for _, score in pairs])
    if 0 < labels.sum() < len(labels):
        assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    else:
        assert np.isnan(auc(labels, scores))


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=30))
def test_the_area_counts_pairs_in_the_right_order(rows: list[tuple[int, bool]]) -> None:
    scores, positive = (np.array(column) for column in zip(*rows, strict=True))
    above, below = scores[positive], scores[~positive]
    if not len(above) or not len(below):
        assert np.isnan(auc(positive.astype(np.float64), scores))
        return
    pairs = [(a > b) + (a == b) / 2 for a in above for b in below]
    assert auc(positive.astype(np.float64), scores) == pytest.approx(np.mean(pairs))


def test_the_lift_counts_the_best_tenth() -> None:
    labels = np.r_[np.ones(10), np.zeros(90)]
    found = evaluate(labels, np.linspace(1, 0, 100), np.arange(100), resamples=1).values
    assert found["lift_at_10_percent"] == pytest.approx(10.0)


def test_the_lift_shares_a_tie_on_the_border() -> None:
    labels = np.r_[np.ones(10), np.zeros(90)]
    found = evaluate(labels, np.full(100, 0.1), np.arange(100), resamples=1).values
    assert found["lift_at_10_percent"] == pytest.approx(1.0)


def test_a_good_model_has_a_calibration_slope_of_one_and_a_loud_one_less() -> None:
    labels, probabilities, groups = _rows()
    loud = sigmoid(2 * np.log(probabilities / (1 - probabilities)))
    assert evaluate(labels, probabilities, groups, resamples=1).values["calibration_slope"] == pytest.approx(
        1, abs=0.2
    )
    assert evaluate(labels, loud, groups, resamples=1).values["calibration_slope"] < 0.6


def test_intervals_hold_the_value_and_are_reproducible() -> None:
    labels, probabilities, groups = _rows()
    first, second = (
        evaluate(labels, probabilities, groups, resamples=100, seed=9).metrics() for _ in range(2)
    )
    assert first == second
    assert tuple(metric.name for metric in first) == METRICS
    for metric in first:
        assert metric.lower is not None
        assert metric.upper is not None
        assert metric.lower < metric.value < metric.upper


def test_intervals_resample_customers_and_not_rows() -> None:
    labels, probabilities, _ = _rows()
    # Ten copies of each row say no more than one: by customer the interval stays, by row it would shrink.
    many = [np.repeat(column, 10) for column in (labels, probabilities, np.arange(ROWS))]
    one = evaluate(labels, probabilities, np.arange(ROWS), resamples=200, seed=1).metrics()[0]
    ten = evaluate(many[0], many[1], many[2], resamples=200, seed=1).metrics()[0]
    assert one.upper is not None
    assert one.lower is not None
    assert ten.upper is not None
    assert ten.lower is not None
    assert ten.upper - ten.lower == pytest.approx(one.upper - one.lower, rel=1e-6)


def test_blocks_of_resamples_are_the_same_as_one() -> None:
    labels, probabilities, groups = _rows()
    whole = evaluate(labels, probabilities, groups, resamples=20, seed=2).draws["auc"]
    some = evaluate(labels, probabilities, groups, resamples=20, seed=2, cells_per_block=3 * ROWS)
    assert some.draws["auc"] == pytest.approx(whole)


def test_what_cannot_be_measured_is_left_out() -> None:
    labels, _, groups = _rows()
    constant = evaluate(labels, np.full(ROWS, 0.1), groups, resamples=10)
    assert "calibration_slope" not in constant.values
    assert constant.values["auc"] == pytest.approx(0.5)


def test_a_gain_is_paired_and_positive_for_the_better_model() -> None:
    labels, probabilities, groups = _rows()
    noisy = np.clip(probabilities + np.random.default_rng(0).normal(0, 0.1, ROWS), 0.001, 0.999)
    good, bad = (evaluate(labels, scores, groups, resamples=200, seed=4) for scores in (probabilities, noisy))
    for name in ("auc", "log_loss"):
        gain = good.gain_over(bad, name)
        assert gain.lower is not None
        assert 0 < gain.lower < gain.value
        assert bad.gain_over(good, name).value == -gain.value
    assert good.gain_over(good, "auc").value == 0.0
