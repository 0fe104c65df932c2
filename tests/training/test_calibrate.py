import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from staunch_training.calibrate import (
    FittedCalibration,
    calibrate,
    fit_logistic,
    fit_platt,
    log_losses,
    sigmoid,
)

RNG = np.random.default_rng(11)
SCORES = RNG.normal(-2.0, 1.2, 4000)
GROUPS = np.arange(4000) // 2


def _answers(margins: np.ndarray) -> np.ndarray:
    return (np.random.default_rng(12).random(len(margins)) < sigmoid(margins)).astype(np.float64)


def test_platt_finds_the_slope_and_the_shift_that_were_put_in() -> None:
    fitted = fit_platt(SCORES, _answers(0.6 * SCORES + 0.9))
    assert fitted.space == "LOG_ODDS"
    assert fitted.a == pytest.approx(0.6, abs=0.12)
    assert fitted.b == pytest.approx(0.9, abs=0.25)


def test_the_regression_agrees_with_scikit_learn() -> None:
    answers = _answers(SCORES)
    weights = np.random.default_rng(3).integers(0, 4, (2, 4000)).astype(np.float64)
    slopes, intercepts = fit_logistic(SCORES, answers, weights)
    for row in range(2):
        reference = LogisticRegression(C=1e12, tol=1e-10, max_iter=1000)
        reference.fit(SCORES[:, None], answers > 0.5, sample_weight=weights[row])
        assert slopes[row] == pytest.approx(reference.coef_[0, 0], rel=1e-5)
        assert intercepts[row] == pytest.approx(reference.intercept_[0], rel=1e-5)


def test_scores_that_separate_the_answers_still_give_finite_numbers() -> None:
    fitted = fit_platt(SCORES, (SCORES > -2).astype(np.float64))
    assert np.isfinite([fitted.a, fitted.b]).all()
    assert fitted.a > 0


def test_a_score_that_never_varies_gets_no_slope() -> None:
    slope, _ = fit_logistic(np.ones(100), _answers(np.zeros(100)), np.ones((1, 100)))
    assert slope[0] == pytest.approx(0.0)


def test_a_sure_and_wrong_answer_costs_no_more_than_the_clip_says() -> None:
    labels = np.array([1.0, 0.0, 1.0, 0.0, 1.0])
    probabilities = np.array([0.0, 1.0, 1e-300, 1 - 2**-53, 2e-15])
    losses = log_losses(labels, probabilities)
    most = -np.log(1e-15)
    assert losses[:4] == pytest.approx([most, -np.log(1 - (1 - 1e-15)), most, -np.log(1 - (1 - 1e-15))])
    assert losses[4] == pytest.approx(-np.log(2e-15))
    assert losses[4] < most
    assert log_losses(labels, labels) == pytest.approx(np.full(5, 1e-15), rel=0.2)


def test_probabilities_are_cut_to_what_a_probability_can_be() -> None:
    outputs = np.array([-1e-17, 0.0, 0.5, 1.0, 1 + 2**-52])
    assert FittedCalibration("PROBABILITY").probabilities(outputs).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_calibration_never_changes_the_ranking() -> None:
    fitted = calibrate(SCORES, _answers(0.3 * SCORES), GROUPS, "LOG_ODDS")
    assert (np.argsort(fitted.probabilities(SCORES)) == np.argsort(SCORES)).all()


def test_boosted_trees_are_always_calibrated() -> None:
    assert calibrate(SCORES, _answers(SCORES), GROUPS, "LOG_ODDS") != FittedCalibration("LOG_ODDS")


def test_a_forest_that_is_right_keeps_its_probabilities() -> None:
    probabilities = sigmoid(SCORES)
    kept = calibrate(probabilities, _answers(SCORES), GROUPS, "PROBABILITY")
    assert kept == FittedCalibration("PROBABILITY", 1.0, 0.0)
    assert (kept.probabilities(probabilities) == probabilities).all()


def test_a_forest_that_is_wrong_is_calibrated() -> None:
    probabilities = sigmoid(SCORES) / 3
    fitted = calibrate(probabilities, _answers(SCORES), GROUPS, "PROBABILITY")
    answers = _answers(SCORES)
    assert fitted.space == "LOG_ODDS"
    better = log_losses(answers, fitted.probabilities(probabilities)).mean()
    assert better < log_losses(answers, probabilities).mean()


def test_a_score_that_points_the_wrong_way_is_left_as_it_is() -> None:
    assert calibrate(SCORES, _answers(-SCORES), GROUPS, "LOG_ODDS") == FittedCalibration("LOG_ODDS")


def test_log_loss_of_a_certain_error_is_finite() -> None:
    assert np.isfinite(log_losses(np.array([0.0, 1.0]), np.array([1.0, 0.0]))).all()


def test_the_sigmoid_neither_overflows_nor_loses_its_tails() -> None:
    assert sigmoid(np.array([-800.0, -40.0, 0.0, 800.0])).tolist() == [
        0.0,
        pytest.approx(np.exp(-40)),
        0.5,
        1.0,
    ]
