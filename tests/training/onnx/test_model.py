"""The exported model answers what the trees answer, bit for bit in every batch."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from tests.model_store.model_examples import FEATURES, Fitted, booster, forest, on_the_edges, training_rows

from staunch_model_store.runtime import open_session
from staunch_training.onnx import model as onnx_model
from staunch_training.trees import TreeEnsemble
from staunch_training.types import Floats


def run(content: bytes, rows: Floats) -> list[Floats]:
    return open_session(content).run(None, {"features": rows})  # type: ignore[no-any-return]


def test_margins_are_those_of_the_trees_on_hard_rows(fitted: Fitted) -> None:
    rows = on_the_edges(fitted.trees)
    margins, _ = run(onnx_model.export(fitted.trees, fitted.space), rows)
    assert np.abs(margins - fitted.trees.margin(rows)).max() <= 1e-12


def test_probabilities_of_log_odds_are_their_sigmoid() -> None:
    rows = training_rows()[0]
    margins, probabilities = run(onnx_model.export(booster().trees, "LOG_ODDS"), rows)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-margins)), rtol=0, atol=1e-15)


def test_probabilities_of_a_forest_never_leave_0_to_1() -> None:
    rows = np.arange(60.0)[:, None]
    native = RandomForestClassifier(49, random_state=0).fit(rows, rows[:, 0] > 30)
    _, probabilities = run(onnx_model.export(TreeEnsemble.from_sklearn(native), "PROBABILITY"), rows)
    assert probabilities.min() == 0.0
    assert probabilities.max() == 1.0


def test_a_row_has_the_same_bits_in_any_batch(fitted: Fitted) -> None:
    rows = on_the_edges(fitted.trees, 1100)
    content = onnx_model.export(fitted.trees, fitted.space)
    together, probabilities = run(content, rows)
    for size in (1, 2, 3, 7, 8, 16, 31, 33, 64, 100, 1000):
        margins, alone = run(content, rows[:size])
        assert margins.tobytes() == together[:size].tobytes()
        assert np.abs(alone - probabilities[:size]).max() <= 1e-15


def test_an_ensemble_without_splits_answers_its_base() -> None:
    native = RandomForestClassifier(4, bootstrap=False).fit(np.zeros((40, 2)), [0, 1] * 20)
    content = onnx_model.export(TreeEnsemble.from_sklearn(native), "PROBABILITY")
    assert [output.tolist() for output in run(content, np.array([[1.0, np.nan]]))] == [[0.5], [0.5]]


def test_no_rows_give_no_answers() -> None:
    margins, probabilities = run(onnx_model.export(forest().trees, "PROBABILITY"), np.zeros((0, FEATURES)))
    assert margins.shape == probabilities.shape == (0,)


def test_the_same_trees_give_the_same_bytes() -> None:
    assert onnx_model.export(booster().trees, "LOG_ODDS") == onnx_model.export(booster().trees, "LOG_ODDS")


@pytest.mark.filterwarnings("ignore")  # the converters use what others deprecate
def test_the_independent_export_of_skl2onnx_agrees_within_float32() -> None:
    import skl2onnx

    fitted, rows = forest(), np.nan_to_num(training_rows()[0]).astype(np.float32)
    kind = skl2onnx.common.data_types.FloatTensorType([None, FEATURES])
    theirs = skl2onnx.convert_sklearn(
        fitted.native, initial_types=[("features", kind)], options={"zipmap": False}
    )
    _, probabilities = run(theirs.SerializeToString(), rows)
    ours, _ = run(onnx_model.export(fitted.trees, "PROBABILITY"), rows.astype(np.float64))
    assert np.abs(probabilities[:, 1] - ours).max() <= 1e-6


@pytest.mark.filterwarnings("ignore")
def test_the_independent_export_of_onnxmltools_agrees_within_float32() -> None:
    import onnxmltools

    fitted, rows = booster(), training_rows()[0].astype(np.float32)
    kind = onnxmltools.convert.common.data_types.FloatTensorType([None, FEATURES])
    theirs = onnxmltools.convert_xgboost(fitted.native, initial_types=[("features", kind)])
    _, probabilities = run(theirs.SerializeToString(), rows)
    _, ours = run(onnx_model.export(fitted.trees, "LOG_ODDS"), rows.astype(np.float64))
    assert np.abs(probabilities[:, 1] - ours).max() <= 1e-6
