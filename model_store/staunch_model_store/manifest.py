"""The manifest of a model version: what it is, how it was made, and the digests that prove its files."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from staunch_model_store import records

FORMAT = 1
"""The only format of manifest.json that this code reads and writes."""

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
"""What names of models and aliases match in full; such a name is never mistaken for a version number."""

MAX_HORIZON_DAYS = 36_500
"""The furthest that a label looks ahead: a hundred years, as the header of a view has it."""

MAX_FILES_BYTES = (2 << 30) - 1
"""The most that all files of a version may hold together: what a single ONNX file may."""

MAX_GOLDEN_ROWS = 10_000
"""The most golden rows: each is computed whenever the version is loaded."""

MAX_GOLDEN_TOLERANCE = 0.01
"""The widest tolerance of golden rows: one that is wider would let another model pass for this one."""

MANIFEST_JSON = "manifest.json"
MANIFEST_SHA256 = "manifest.sha256"
FEATURES_SQL = "features.sql"
MODEL_ONNX = "model.onnx"
EXPLAINER_ONNX = "explainer.onnx"
GOLDEN_NPZ = "golden.npz"

IdType = Literal["int64", "text", "uuid"]
OutputSpace = Literal["LOG_ODDS", "PROBABILITY"]

_VIEW_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")  # it names a file, and stands in errors
_TIGHT = f"numbers from 0 to {MAX_GOLDEN_TOLERANCE}"
_FILE_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedValues:
    """What the model saw of a feature in the rows that it learned from.

    Attributes:
        minimum: The least value; None if all were missing.
        maximum: The greatest value; None if all were missing.
        null: Whether it was missing in some.
        values: Of a feature whose values have labels, those that it had, in ascending order; else empty.
    """

    minimum: float | None
    maximum: float | None
    null: bool
    values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One input of the model, in the model's order.

    Attributes:
        name: As the view's column is called.
        type: What the value is; a number is a float64.
        nullable: Whether the value may be missing (NaN).
        unit: For example "CAD" or "days"; empty for a plain number.
        description: What it means, in one sentence.
        learned: What the model saw of it; None in a version that was published before this was told.
    """

    name: str
    type: Literal["number"] = "number"
    nullable: bool
    unit: str
    description: str
    learned: LearnedValues | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One measure on held-out rows; `lower` and `upper` bound its 95 % interval, None if not estimated."""

    name: str
    value: float
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What the version was compared with ("prevalence", "logistic_regression", ...) and how that did."""

    name: str
    metrics: tuple[Metric, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSplit:
    """One part of the training data.

    Attributes:
        name: "train", "validation" or "test".
        as_of_times: The moments its rows were read as of; empty for a table without dates.
        rows: How many rows.
        positives: How many of them have the label.
    """

    name: str
    as_of_times: tuple[datetime, ...]
    rows: int
    positives: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How the version was fitted.

    Attributes:
        learner: For example "random_forest" or "xgboost".
        parameters: The learner's settings that differ from its defaults.
        seed: Of every draw of the training.
        splits: The parts of the data, in order of time.
        gap_days: Days between the outcome windows of one part and the first moment of the next.
        library_versions: Package name to version.
    """

    learner: str
    parameters: Mapping[str, float | int | str]
    seed: int
    splits: tuple[DataSplit, ...]
    gap_days: int
    library_versions: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The probabilities from which a score is MEDIUM and HIGH, and the costs (CAD) they follow from.

    A probability that equals a threshold is in the higher band. 0 <= medium <= high <= 1.
    """

    medium: float
    high: float
    costs: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Platt's affine map (Platt 1999) from the trees' output f: log-odds = a * f + b."""

    a: float
    b: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenTolerance:
    """The most that golden rows may be off, in the output space: from 0 to MAX_GOLDEN_TOLERANCE.

    Attributes:
        output: Of margins and probabilities; XGBoost adds up in float32, so its answers need about 1e-5.
        contribution: Of each contribution.
    """

    output: float
    contribution: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """The lower-case hex SHA-256 and the size of a file of the version."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything about one model version but its weights.

    Attributes:
        name: The model's name.
        version: 1 or more.
        view: The feature view's name; its text is the file features.sql.
        label: The label text's name.
        id_type: The type of the view's ids.
        uses_as_of: Whether the view reads an as-of time.
        id_column: How the view calls its key; empty in a version that was published before this was told.
        features: The inputs, in the model's order.
        features_digest: "sha256:" digest of the ordered names and types, as the view's signature gives it.
        create_time: When the version was made, UTC.
        horizon_days: How far the label looks ahead; 0 for a table without dates.
        training: How it was fitted.
        metrics: Measures on held-out time.
        compared: The other models it was measured against, on the same rows.
        declared_margins: By metric name, the difference declared beforehand to be no difference.
        thresholds: Of the risk bands; None if none were set.
        base_value: The mean output over the training rows, by the covers of the trees, in output_space.
        output_space: The space of margins and contributions.
        calibration: None if the trees' output is used as it is.
        golden_tolerance: How far golden rows may be off.
        files: Name to digest and size; filled in by the store when it publishes.
        golden_rows: How many rows golden.npz holds; 0 in a version that was published before this was told.
    """

    name: str
    version: int
    view: str
    label: str
    id_type: IdType
    uses_as_of: bool
    features: tuple[Feature, ...]
    features_digest: str
    create_time: datetime
    horizon_days: int
    training: Training
    metrics: tuple[Metric, ...]
    compared: tuple[Compared, ...]
    declared_margins: Mapping[str, float]
    thresholds: Thresholds | None
    base_value: float
    output_space: OutputSpace
    calibration: Calibration | None
    golden_tolerance: GoldenTolerance
    files: Mapping[str, FileEntry]
    id_column: str = ""
    golden_rows: int = 0

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names the inputs in the model's order."""
        return tuple(feature.name for feature in self.features)

    @property
    def view_sha256(self) -> str:
        """Gives the hex SHA-256 of the feature text stored with the version."""
        return self.files[FEATURES_SQL].sha256

    @classmethod
    def parse(cls, raw: bytes) -> "Manifest":
        """Reads a manifest.json.

        Raises:
            ModelRefused: It is no JSON, of another format, or a field is missing, unknown or wrong.
        """
        content = records.json_object(raw)
        if content.pop("format", None) != FORMAT:
            raise records.refusal(
                "format", str(FORMAT), "another", "use the release of Staunch that published it"
            )
        manifest: Manifest = records.decode(cls, content, "manifest")
        _check(manifest)
        return manifest

    def dump(self) -> bytes:
        """Writes the manifest.json: the same manifest always gives the same bytes."""
        content = {"format": FORMAT} | records.encode(self)
        return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _check(manifest: Manifest) -> None:
    """Refuses what the types alone do not: names, digests and the files that every version has."""
    rules: tuple[tuple[str, bool, str], ...] = (
        ("name", NAME.fullmatch(manifest.name) is not None, NAME.pattern),
        ("version", manifest.version >= 1, "1 or more"),
        ("view", _VIEW_NAME.fullmatch(manifest.view) is not None, _VIEW_NAME.pattern),
        ("features", 0 < len(manifest.features) == len(set(manifest.feature_names)), "distinct names"),
        ("features", all(_is_ordered(f.learned) for f in manifest.features if f.learned), "values in order"),
        ("horizon_days", 0 <= manifest.horizon_days <= MAX_HORIZON_DAYS, f"0 to {MAX_HORIZON_DAYS}"),
        ("create_time", manifest.create_time.tzinfo is not None, "a time with its offset"),
        ("files", set(manifest.files) >= {FEATURES_SQL, MODEL_ONNX, GOLDEN_NPZ}, "text, model, golden rows"),
        ("files", all(_FILE_NAME.fullmatch(name) for name in manifest.files), _FILE_NAME.pattern),
        ("files", all(_SHA256.fullmatch(entry.sha256) for entry in manifest.files.values()), _SHA256.pattern),
        ("files", not {MANIFEST_JSON, MANIFEST_SHA256} & set(manifest.files), "none that proves the others"),
        ("files", _is_bounded(manifest.files.values()), f"0 to {MAX_FILES_BYTES} bytes together"),
        ("golden_rows", 0 <= manifest.golden_rows <= MAX_GOLDEN_ROWS, f"0 to {MAX_GOLDEN_ROWS}"),
        ("thresholds", _in_order(manifest.thresholds), "0 <= medium <= high <= 1"),
        ("golden_tolerance", _is_tight(manifest.golden_tolerance), _TIGHT),
    )
    for where, holds, expected in rules:
        if not holds:
            raise records.refusal(where, expected, repr(getattr(manifest, where))[:200])


def _is_ordered(learned: LearnedValues) -> bool:
    """Tells whether it can have been seen: both ends or none, and the least first."""
    ends = [end for end in (learned.minimum, learned.maximum) if end is not None]
    return len(ends) != 1 and ends == sorted(ends) and list(learned.values) == sorted(set(learned.values))


def _is_bounded(entries: Collection[FileEntry]) -> bool:
    """Tells whether all files fit into memory at once, where a load holds them."""
    sizes = [entry.size_bytes for entry in entries]
    return min(sizes, default=0) >= 0 and sum(sizes) <= MAX_FILES_BYTES


def _in_order(thresholds: Thresholds | None) -> bool:
    return thresholds is None or 0 <= thresholds.medium <= thresholds.high <= 1


def _is_tight(tolerance: GoldenTolerance) -> bool:
    """Tells whether golden rows still prove something: a wide tolerance would let any model pass."""
    return all(0 <= value <= MAX_GOLDEN_TOLERANCE for value in (tolerance.output, tolerance.contribution))
