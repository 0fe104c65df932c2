from pathlib import Path
from typing import Any

import numpy as np
import pytest

from staunch_model_store.manifest import Manifest
from staunch_model_store.model import LoadedModel
from staunch_model_store.store import ModelStore
from staunch_training.calibrate import FittedCalibration
from staunch_training.costs import Costs
from staunch_training.dataset import Dataset, ExtractSettings, extract
from staunch_training.learners import Learned, LearnerName, fit
from staunch_training.publish import Release, publish
from staunch_training.selection import Candidate
from staunch_training.types import Floats

CASES: tuple[tuple[LearnerName, FittedCalibration], ...] = (
    ("random_forest", FittedCalibration("PROBABILITY")),
    ("random_forest", FittedCalibration("LOG_ODDS", 4.5, -2.5)),
    ("xgboost", FittedCalibration("LOG_ODDS", 0.9, -0.1)),
)


async def _dataset(shop: Any) -> Dataset:
    view, label = shop.flat_view(), shop.flat_label()
    settings = ExtractSettings(seed=3, max_customers=2000, timeout_s=60)
    return await extract(shop.source(view), label, None, settings, lambda stage, done: None)


def _published(
    shop: Any, tmp_path: Path, dataset: Dataset, learned: Learned, space: FittedCalibration
) -> LoadedModel:
    store = ModelStore(tmp_path)
    release = Release(
        name="flat",
        view=shop.flat_view(),
        label=shop.flat_label(),
        dataset=dataset,
        candidate=Candidate(learned, 0.0, space),
        metrics=(),
        compared=(),
        costs=Costs(),
        seed=3,
    )
    return LoadedModel.load(store.read("flat", publish(store, release).manifest.version))


@pytest.mark.parametrize(("name", "calibration"), CASES)
async def test_a_published_version_answers_as_the_native_library_and_shap(
    shop: Any, tmp_path: Path, name: LearnerName, calibration: FittedCalibration
) -> None:
    dataset = await _dataset(shop)
    rows, values = dataset.sides["train"], dataset.sides["test"].values
    learned = fit(name, rows.values, rows.labels, seed=3)
    model = _published(shop, tmp_path, dataset, learned, calibration)
    scores, explained = model.predict(values), model.explain(values)
    outputs = learned.outputs(values)
    np.testing.assert_allclose(scores.margins, calibration.margins(outputs), atol=1e-5)
    np.testing.assert_allclose(scores.probabilities, calibration.probabilities(outputs), atol=1e-5)
    shap = calibration.a * learned.contributions(values)
    np.testing.assert_allclose(explained.contributions, shap, atol=1e-6)
    sums = explained.base_value + explained.contributions.sum(axis=1)
    np.testing.assert_allclose(sums, scores.margins, atol=1e-9)
    _says_its_space(model.manifest, calibration)
    _says_what_it_learned_from(model.manifest, rows.values)


def _says_its_space(manifest: Manifest, calibration: FittedCalibration) -> None:
    assert manifest.output_space == calibration.space
    if calibration.space == "PROBABILITY":
        assert manifest.calibration is None
    else:
        assert manifest.calibration is not None
        assert (manifest.calibration.a, manifest.calibration.b) == (calibration.a, calibration.b)


def _says_what_it_learned_from(manifest: Manifest, values: Floats) -> None:
    """Tells of each feature of the rows that were fitted, and of no others."""
    for place, feature in enumerate(manifest.features):
        some = values[:, place][~np.isnan(values[:, place])]
        assert feature.learned is not None
        assert (feature.learned.minimum, feature.learned.maximum) == (some.min(), some.max())
        assert feature.learned.null == (len(some) < len(values))
        assert feature.learned.values == (tuple(np.unique(some)) if feature.name == "visits" else ())
