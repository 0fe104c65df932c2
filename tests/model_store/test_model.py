"""A loaded version answers as it was trained to, and what is not that version is refused."""

import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import astuple, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.model_store.model_examples import (
    FEATURES,
    LEARNERS,
    Fitted,
    a_manifest,
    booster,
    forest,
    on_the_edges,
    some_files,
    training_rows,
)

from staunch_model_store.errors import ModelRefused
from staunch_model_store.manifest import GoldenTolerance
from staunch_model_store.model import Explanation, LoadedModel, not_adding_up
from staunch_model_store.store import ModelStore, StoredVersion
from staunch_training.onnx import explainer as onnx_explainer
from staunch_training.onnx import model as onnx_model

Files = dict[str, bytes]


@cache
def files_of(learner: str) -> Files:
    return some_files(LEARNERS[learner]())


def stored(learner: str = "booster", files: Files | None = None, **changes: Any) -> StoredVersion:
    """A version whose digests fit its files, whatever these are."""
    fitted, content = LEARNERS[learner](), files or files_of(learner)
    from staunch_model_store.store import _assemble

    return _assemble(a_manifest(fitted, **changes), content)


def test_a_published_version_loads_and_names_itself(store: ModelStore) -> None:
    manifest = a_manifest(booster())
    store.publish("churn", lambda version: (manifest, files_of("booster")), verify=LoadedModel.load)
    read = store.read("churn", 1)
    loaded = LoadedModel.load(read)
    assert (loaded.digest, loaded.manifest, loaded.has_explainer) == (read.digest, read.manifest, True)


@pytest.mark.parametrize("learner", LEARNERS)
def test_answers_are_those_of_the_trees_and_add_up(learner: str) -> None:
    fitted, loaded = LEARNERS[learner](), LoadedModel.load(stored(learner))
    rows = on_the_edges(fitted.trees, 100)
    scores, explanation = loaded.predict(rows), loaded.explain(rows)
    assert np.abs(scores.margins - fitted.trees.margin(rows)).max() <= 1e-12
    assert explanation.outputs.tobytes() == scores.margins.tobytes()
    sums = explanation.base_value + explanation.contributions.sum(axis=1)
    assert np.abs(sums - scores.margins).max() <= 1e-9
    assert ((scores.probabilities >= 0) & (scores.probabilities <= 1)).all()


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_row_is_answered_alike_in_any_batch(learner: str) -> None:
    loaded = LoadedModel.load(stored(learner))
    rows = on_the_edges(LEARNERS[learner]().trees, 130)
    together, explained = loaded.predict(rows), loaded.explain(rows)
    for size in (1, 2, 3, 7, 8, 13):
        for at in range(len(rows) - size + 1):
            some = loaded.predict(rows[at : at + size])
            assert some.margins.tobytes() == together.margins[at : at + size].tobytes()
            assert some.probabilities.tobytes() == together.probabilities[at : at + size].tobytes()
    for at, row in enumerate(rows[:30]):
        assert loaded.explain(row[None, :]).contributions.tobytes() == explained.contributions[at].tobytes()


@pytest.mark.parametrize("count", [1, 3, FEATURES, FEATURES + 1])
@pytest.mark.parametrize("learner", LEARNERS)
def test_the_largest_contributions_of_a_row_add_up_and_are_the_same_in_any_batch(
    learner: str, count: int
) -> None:
    loaded, names = LoadedModel.load(stored(learner)), [f"f{i}" for i in range(FEATURES)]
    rows = on_the_edges(LEARNERS[learner]().trees, 70)
    explained = loaded.explain(rows)
    found = explained.largest(count, names)
    listed = min(count, FEATURES)
    assert found.features.shape == found.contributions.shape == (70, listed)
    sums = explained.base_value + found.contributions.sum(axis=1) + found.remainders
    assert np.abs(sums - explained.outputs).max() <= 1e-9
    assert found.errors.max() <= 1e-9
    assert found.add_up.all()
    for at, row in enumerate(rows[:20]):
        alone = loaded.explain(row[None, :]).largest(count, names)
        for one, all_ in zip(astuple(alone), astuple(found), strict=True):
            assert one[0].tobytes() == all_[at].tobytes()


@given(
    contributions=arrays(np.float64, st.tuples(st.integers(1, 5), st.just(6)), elements=st.integers(-3, 3)),
    names=st.permutations(["a", "b", "c", "d", "e", "f"]),
    count=st.integers(0, 8),
)
def test_contributions_are_ordered_by_size_and_then_by_name(
    contributions: npt.NDArray[np.float64], names: list[str], count: int
) -> None:
    outputs = contributions.sum(axis=1)
    found = Explanation(contributions, 0.0, outputs).largest(count, names)
    for row, listed, remainder in zip(contributions, found.features, found.remainders, strict=True):
        want = sorted(range(6), key=lambda column: (-abs(row[column]), names[column]))
        assert listed.tolist() == want[:count]
        assert remainder == sum(row[want[count:]])


@pytest.mark.parametrize("output", [0.5, np.nan, np.inf])
def test_a_row_that_misses_its_output_is_known_and_its_neighbours_add_up(output: float) -> None:
    explanation = Explanation(np.ones((3, 2)), 0.25, np.array([2.25, output, 2.25 + 0.9e-9]))
    found = explanation.largest(1, ["a", "b"])
    assert found.add_up.tolist() == [True, False, True]
    assert "within 1e-09, got 1.75 off" in str(not_adding_up(1.75))


def test_no_rows_are_answered_by_none() -> None:
    loaded = LoadedModel.load(stored())
    none = np.zeros((0, FEATURES))
    assert loaded.predict(none).margins.shape == (0,)
    assert loaded.explain(none).contributions.shape == (0, FEATURES)


def test_infinite_values_are_explained_too() -> None:
    for learner in LEARNERS:
        rows = np.where(np.isnan(training_rows()[0][:50]), np.inf, training_rows()[0][:50])
        LoadedModel.load(stored(learner)).explain(np.concatenate([rows, -rows]))


@pytest.mark.parametrize("shape", [(FEATURES,), (2, FEATURES - 1), (2, FEATURES, 1)])
def test_rows_of_another_shape_are_told_so(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"{FEATURES} features"):
        LoadedModel.load(stored()).predict(np.zeros(shape))


def test_a_version_without_explainer_predicts_only() -> None:
    files = {name: content for name, content in files_of("booster").items() if name != "explainer.onnx"}
    loaded = LoadedModel.load(stored(files=files))
    assert not loaded.has_explainer
    assert len(loaded.predict(training_rows()[0]).margins) == 1500
    with pytest.raises(ValueError, match="no explainer"):
        loaded.explain(training_rows()[0])


def another_model(fitted: Fitted) -> Files:
    return {"model.onnx": onnx_model.export(booster(29).trees, fitted.space)}


def another_explainer(fitted: Fitted) -> Files:
    return {"explainer.onnx": onnx_explainer.export(booster(29).trees)}


def another_space(fitted: Fitted) -> Files:
    return {"model.onnx": onnx_model.export(fitted.trees, "PROBABILITY")}


def wider_model(fitted: Fitted) -> Files:
    return {"model.onnx": onnx_model.export(replace(fitted.trees, features=FEATURES + 1), "LOG_ODDS")}


def swapped_graphs(fitted: Fitted) -> Files:
    files = files_of("booster")
    return {"model.onnx": files["explainer.onnx"], "explainer.onnx": files["model.onnx"]}


def no_graph(fitted: Fitted) -> Files:
    return {"model.onnx": b"no graph"}


def empty_explainer(fitted: Fitted) -> Files:
    return {"explainer.onnx": b""}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (another_model, "model.onnx: expected right margins"),
        (another_explainer, "explainer.onnx: expected right sums"),
        (another_space, "model.onnx: expected right probabilities"),
        (wider_model, "model.onnx: expected float64 features"),
        (swapped_graphs, "model.onnx: expected float64 features"),
        (no_graph, "model.onnx: expected a graph"),
        (empty_explainer, "explainer.onnx: expected a graph"),
    ],
)
def test_graphs_that_are_not_the_versions_own_are_refused(
    change: Callable[[Fitted], Files], named: str
) -> None:
    with pytest.raises(ModelRefused, match=named):
        LoadedModel.load(stored(files=files_of("booster") | change(booster())))


def edited_golden(edit: Callable[[dict[str, Any]], object]) -> Files:
    with np.load(io.BytesIO(files_of("booster")["golden.npz"])) as file:
        arrays: dict[str, Any] = dict(file)
    edit(arrays)
    content = io.BytesIO()
    np.savez(content, allow_pickle=True, **arrays)
    return files_of("booster") | {"golden.npz": content.getvalue()}


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda golden: golden.pop("margins"), "margins"),
        (lambda golden: golden.update(values=golden["values"][:, 1:]), "shapes"),
        (lambda golden: golden.update(margins=golden["margins"][1:]), "shapes"),
        (lambda golden: golden.update(margins=golden["margins"].astype(np.float32)), "float64"),
        (lambda golden: golden.update(margins=golden["margins"].astype(object)), "pickle"),
        (lambda golden: golden.update(margins=np.float64(1)), "shapes"),
        (lambda golden: golden.update({name: golden[name][:0] for name in golden}), "shapes"),
        (lambda golden: golden.update(contributions=golden["contributions"][:0]), "contributions"),
        (lambda golden: golden["margins"].__setitem__(3, np.nan), "margins"),
        (lambda golden: golden["contributions"].__setitem__((0, 0), 1.0), "expected right contributions"),
    ],
)
def test_golden_rows_that_prove_nothing_are_refused(
    edit: Callable[[dict[str, Any]], object], named: str
) -> None:
    with pytest.raises(ModelRefused, match=named):
        LoadedModel.load(stored(files=edited_golden(edit)))


def test_there_are_as_many_golden_rows_as_the_manifest_tells_of() -> None:
    with np.load(io.BytesIO(files_of("booster")["golden.npz"])) as file:
        rows = len(file["values"])
    assert LoadedModel.load(stored(golden_rows=rows))
    for other in (1, rows - 1, rows + 1):
        with pytest.raises(ModelRefused, match=r"golden\.npz: expected (at most|\d+ rows, as the manifest)"):
            LoadedModel.load(stored(golden_rows=other))


def test_golden_rows_that_unpack_to_a_thousand_times_their_size_are_refused_packed() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("values.npy", bytes(100 << 20))
    assert len(content.getvalue()) < 1 << 20
    with pytest.raises(ModelRefused, match=r"golden\.npz: expected at most \d+ bytes for 10000 rows"):
        LoadedModel.load(stored(files=files_of("booster") | {"golden.npz": content.getvalue()}))


def test_golden_rows_are_held_to_the_tolerance() -> None:
    def shift(golden: dict[str, Any]) -> None:
        golden["margins"] += 1e-4

    files = edited_golden(shift)
    wide = GoldenTolerance(output=2e-4, contribution=1e-9)
    assert LoadedModel.load(stored(files=files, golden_tolerance=wide))
    with pytest.raises(ModelRefused, match="margins within 2e-05"):
        LoadedModel.load(stored(files=files))


def test_a_difference_that_equals_the_tolerance_passes_and_one_beyond_does_not() -> None:
    def exact(golden: dict[str, Any]) -> None:
        answers = LoadedModel.load(stored()).predict(golden["values"])
        golden["margins"], golden["probabilities"] = answers.margins.copy(), answers.probabilities
        golden["margins"][0] += 2.0**-13

    files = edited_golden(exact)
    with np.load(io.BytesIO(files["golden.npz"])) as golden:
        found = LoadedModel.load(stored()).predict(golden["values"]).margins
        off = float(np.abs(found - golden["margins"]).max())
    assert 0 < off < 1e-3
    at = GoldenTolerance(output=off, contribution=1e-9)
    assert LoadedModel.load(stored(files=files, golden_tolerance=at))
    below = GoldenTolerance(output=float(np.nextafter(off, 0)), contribution=1e-9)
    with pytest.raises(ModelRefused, match="right margins"):
        LoadedModel.load(stored(files=files, golden_tolerance=below))


def test_more_explained_rows_than_rows_are_refused() -> None:
    def longer(golden: dict[str, Any]) -> None:
        golden["contributions"] = np.concatenate([golden["contributions"], golden["contributions"][:1]])

    with pytest.raises(ModelRefused, match="shapes"):
        LoadedModel.load(stored(files=edited_golden(longer)))


def test_a_wrong_base_value_is_refused() -> None:
    with pytest.raises(ModelRefused, match="sums"):
        LoadedModel.load(stored(base_value=forest().trees.base_value() + 2e-9))


_LOAD_AND_ANSWER = """
import sys
from pathlib import Path

def no_pickle(event, arguments):
    if event == "pickle.find_class":
        raise AssertionError(f"unpickled {arguments}")

sys.addaudithook(no_pickle)
from staunch_model_store.model import LoadedModel
from staunch_model_store.store import ModelStore
import numpy as np

loaded = LoadedModel.load(ModelStore(Path(sys.argv[1])).read("churn", 1))
loaded.predict(np.zeros((3, 9)))
loaded.explain(np.zeros((3, 9)))
heavy = {"sklearn", "xgboost", "shap", "pandas", "onnx", "joblib", "scipy", "numba", "staunch_training"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""


def test_loading_needs_numpy_and_onnxruntime_alone_and_unpickles_nothing(store: ModelStore) -> None:
    store.publish("churn", lambda version: (a_manifest(booster()), files_of("booster")))
    command = [sys.executable, "-c", _LOAD_AND_ANSWER, str(store.root)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    assert (answer.stdout, answer.stderr) == ("[]\n", "")
