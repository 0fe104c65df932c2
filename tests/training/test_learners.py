import numpy as np
import pytest
import xgboost
from sklearn.metrics import roc_auc_score

from staunch_training.calibrate import sigmoid
from staunch_training.learners import LEARNERS, Learned, LearnerName, fit, logistic_regression, prevalence

FEATURES = 8


def _rows(seed: int, rows: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Rows with nulls, whole numbers and a column that never varies, most of it noise."""
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=(rows, FEATURES)) * 10) / 3
    margins = values[:, 0] / 3 + (values[:, 1] > 2) * 1.5 - 2
    labels = (rng.random(rows) < sigmoid(margins)).astype(np.float64)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[:, FEATURES - 1] = 7.0
    return values, labels


@pytest.fixture(scope="module", params=LEARNERS)
def learned(request: pytest.FixtureRequest) -> Learned:
    return fit(request.param, *_rows(1), seed=3)


def test_our_trees_answer_as_the_library_does(learned: Learned) -> None:
    values, _ = _rows(2)
    assert learned.trees.margin(values) == pytest.approx(learned.outputs(values), abs=learned.precision)


@pytest.mark.parametrize("share", [0.001, 0.9, 0.999, 0.9995, 0.9999])
def test_our_trees_answer_as_the_library_does_however_rare_an_answer_is(share: float) -> None:
    """XGBoost begins with the share's log-odds, in float32: close to 1 that is far from the exact one."""
    values = np.random.default_rng(1).normal(size=(20_000, 2))
    labels = (np.arange(20_000) >= 20_000 * (1 - share)).astype(np.float64)
    learned = fit("xgboost", values, labels, seed=1)
    assert learned.trees.margin(values) == pytest.approx(learned.outputs(values), abs=learned.precision)


def test_a_learner_finds_what_is_there(learned: Learned) -> None:
    values, labels = _rows(2)
    assert roc_auc_score(labels, learned.outputs(values)) > 0.75


def test_contributions_of_shap_add_up_to_the_output(learned: Learned) -> None:
    values, _ = _rows(2, rows=50)
    contributions = learned.contributions(values)
    assert contributions.shape == values.shape
    sums = contributions.sum(axis=1) + learned.trees.base_value()
    assert sums == pytest.approx(learned.outputs(values), abs=learned.precision)


def test_contributions_of_a_booster_come_from_shap_itself_in_float64() -> None:
    learned, (values, _) = fit("xgboost", *_rows(1), seed=3), _rows(2, rows=20)
    own = learned._model.predict(xgboost.DMatrix(values), pred_contribs=True)[:, :-1]  # type: ignore[attr-defined]
    ours = learned.contributions(values)
    assert ours == pytest.approx(own, abs=1e-5)
    assert (ours.astype(np.float32) != ours).any()


@pytest.mark.parametrize("name", LEARNERS)
def test_the_same_seed_gives_the_same_trees(name: LearnerName) -> None:
    values, labels = _rows(1, rows=800)
    first, second, other = (fit(name, values, labels, seed=seed).outputs(values) for seed in (5, 5, 6))
    assert (first == second).all()
    assert (first != other).any()


def test_the_plain_models_give_probabilities_with_nulls_and_empty_columns() -> None:
    values, labels = _rows(1)
    values[:, 6] = np.nan
    predict = logistic_regression(values, labels)
    later, answers = _rows(2)
    later[:, 6] = np.nan
    assert 0.7 < roc_auc_score(answers, predict(later)) < 1
    assert prevalence(labels)(later) == pytest.approx(np.full(len(later), labels.mean()))
