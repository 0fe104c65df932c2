"""Makes a version of what was trained and puts it into the store, whole or not at all."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import cast

import numpy as np

from staunch_features.views.file import FeatureView, LabelText
from staunch_model_store import manifest as written
from staunch_model_store.model import LoadedModel
from staunch_model_store.store import ModelStore, StoredVersion
from staunch_training import golden
from staunch_training.costs import Costs
from staunch_training.dataset import Dataset
from staunch_training.learners import library_versions
from staunch_training.onnx import explainer as onnx_explainer
from staunch_training.onnx import model as onnx_model
from staunch_training.selection import MARGINS, Candidate
from staunch_training.split import SIDES, Side
from staunch_training.trees import TreeEnsemble
from staunch_training.types import Floats

LABEL_SQL = "label.sql"
"""The label's text lies beside the features', so that a version holds all that it was trained with."""

# What is asked of contributions, in output space: they are computed in float64 by shap and by us.
_CONTRIBUTION_TOLERANCE = 1e-6

# A feature with labels and more values than these is a quantity of which some values have names.
_MOST_CODES = 1000


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Release:
    """What is to be published: the picked candidate, where it came from and how it did on the test side."""

    name: str
    view: FeatureView
    label: LabelText
    dataset: Dataset
    candidate: Candidate
    metrics: tuple[written.Metric, ...]
    compared: tuple[written.Compared, ...]
    costs: Costs
    seed: int


def publish(store: ModelStore, release: Release) -> StoredVersion:
    """Exports the candidate, loads it as a server would, golden rows included, and publishes it if that
    holds.

    Raises:
        ModelRefused: The export does not answer as the native library and shap do; nothing is published.
        NameInvalid: Of the model.
    """
    calibration = release.candidate.calibration
    trees = release.candidate.learned.trees.calibrated(calibration.a, calibration.b)
    inputs = golden.golden_inputs(
        trees, _shuffled_columns(release.dataset.sides["test"].values, release.seed)
    )
    files = {
        written.FEATURES_SQL: release.view.text.encode(),
        LABEL_SQL: release.label.text.encode(),
        written.MODEL_ONNX: onnx_model.export(trees, calibration.space),
        written.EXPLAINER_ONNX: onnx_explainer.export(trees),
        written.GOLDEN_NPZ: _golden_rows(release, inputs),
    }
    return store.publish(
        release.name,
        lambda version: (_manifest(release, trees, version, len(inputs)), files),
        verify=LoadedModel.load,
    )


def point_alias(store: ModelStore, name: str, alias: str, version: int, *, move: bool) -> bool:
    """Points `alias` at the version if it points nowhere yet, or wherever it points if `move`; says whether.

    Raises:
        NameInvalid: Of the alias.
        AliasMoved: Another process set it meanwhile.
    """
    current = store.aliases(name).get(alias, 0)
    if current and not move:
        return False
    store.set_alias(name, alias, version, expected=current)
    return True


def _golden_rows(release: Release, values: Floats) -> bytes:
    """Inputs with the answers of the native library and of shap: the exported files have no say in them."""
    learned, calibration = release.candidate.learned, release.candidate.calibration
    outputs = learned.outputs(values)
    return golden.dump(
        values,
        calibration.margins(outputs),
        calibration.probabilities(outputs),
        calibration.a * learned.contributions(values),
    )


def _shuffled_columns(values: Floats, seed: int) -> Floats:
    """The rows (n, features) with each column shuffled by itself: real values, but no customer's row."""
    return np.random.default_rng(seed).permuted(values, axis=0)


def _manifest(release: Release, trees: TreeEnsemble, version: int, golden_rows: int) -> written.Manifest:
    # `files` stays empty: the store fills in the digests of what it writes.
    signature, calibration = release.dataset.signature, release.candidate.calibration
    calibrated = calibration.space == "LOG_ODDS"
    return written.Manifest(
        name=release.name,
        version=version,
        view=release.view.name,
        label=release.label.name,
        id_type=cast(written.IdType, signature.id_type),
        uses_as_of=signature.uses_as_of,
        id_column=signature.id_column,
        features=_features(release),
        features_digest=signature.features_digest,
        create_time=datetime.now(UTC),
        horizon_days=release.label.horizon_days,
        training=_training(release),
        metrics=release.metrics,
        compared=release.compared,
        declared_margins=MARGINS,
        thresholds=_thresholds(release.costs),
        base_value=trees.base_value(),
        output_space=calibration.space,
        calibration=written.Calibration(a=calibration.a, b=calibration.b) if calibrated else None,
        golden_tolerance=_tolerance(release.candidate),
        golden_rows=golden_rows,
        files={},
    )


def _features(release: Release) -> tuple[written.Feature, ...]:
    learned_from = release.dataset.sides["train"].values
    return tuple(
        written.Feature(
            name=column.name,
            nullable=column.nullable,
            unit=column.unit,
            description=column.description,
            learned=_learned(
                learned_from[:, place], is_coded=bool(release.view.features[column.name].labels)
            ),
        )
        for place, column in enumerate(release.dataset.signature.features)
    )


def _learned(values: Floats, *, is_coded: bool) -> written.LearnedValues:
    """What the model sees of a feature, float64 (rows,), when it learns."""
    some = values[~np.isnan(values)]
    codes = np.unique(some).tolist() if is_coded else []
    return written.LearnedValues(
        minimum=float(some.min()) if len(some) else None,
        maximum=float(some.max()) if len(some) else None,
        null=len(some) < len(values),
        values=tuple(codes) if len(codes) <= _MOST_CODES else (),
    )


def _training(release: Release) -> written.Training:
    plan = release.dataset.plan
    return written.Training(
        learner=release.candidate.learned.name,
        parameters=release.candidate.learned.parameters,
        seed=release.seed,
        splits=tuple(_split(release.dataset, side) for side in SIDES),
        gap_days=plan.clear_days() if plan else 0,
        library_versions=library_versions(),
    )


def _split(dataset: Dataset, side: Side) -> written.DataSplit:
    rows = dataset.sides[side]
    return written.DataSplit(
        name=side,
        as_of_times=dataset.plan.dates(side) if dataset.plan else (),
        rows=len(rows.ids),
        positives=int(rows.labels.sum()),
    )


def _thresholds(costs: Costs) -> written.Thresholds:
    medium, high = costs.thresholds()
    return written.Thresholds(medium=medium, high=high, costs=_costs(costs))


def _costs(costs: Costs) -> Mapping[str, float]:
    return {name: float(value) for name, value in asdict(costs).items()}


def _tolerance(candidate: Candidate) -> written.GoldenTolerance:
    """What rounding in the native library may do to an output, carried through the calibration's slope."""
    scale = max(1.0, abs(candidate.calibration.a))
    return written.GoldenTolerance(
        output=candidate.learned.precision * scale, contribution=_CONTRIBUTION_TOLERANCE * scale
    )
