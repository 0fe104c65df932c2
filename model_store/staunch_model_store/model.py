"""A loaded model version: proven by its golden rows, then predicts and explains."""

import io
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from staunch_model_store.errors import ModelRefused
from staunch_model_store.manifest import EXPLAINER_ONNX, GOLDEN_NPZ, MAX_GOLDEN_ROWS, MODEL_ONNX, Manifest
from staunch_model_store.runtime import RUNTIME_ERRORS, open_session
from staunch_model_store.store import StoredVersion

Floats = npt.NDArray[np.float64]

ADDITIVITY_TOLERANCE = 1e-9
"""The most that base value + contributions may differ from the output."""

_WHOLE_VECTORS = 8
"""Rows are scored in multiples of this. onnxruntime's Sigmoid takes what is left over after the last whole
vector, 2 to 8 numbers by processor, in another way, and its last bit may differ."""

_EXPLAINED_AT_ONCE = 8
"""Rows of one run of the explainer: more are no faster, and each holds up to 64 numbers a node. On one thread
a forest of 100 trees is fastest by twos to fours (-10 %), boosted trees by eights to sixteens."""

_HEADERS_BYTES = 1 << 16  # of the arrays in golden.npz, some hundred each

_SUMS = "sums of contributions"

_DAMAGE: tuple[type[Exception], ...] = (
    *RUNTIME_ERRORS,
    RuntimeError,
    ValueError,
    TypeError,
    IndexError,
    MemoryError,
)
# What np.load raises over damaged archives: it reads zip, zlib, a header by tokens and a shape of any size.
_BAD_ARCHIVE = (
    *(ValueError, KeyError, EOFError, OSError, RuntimeError, MemoryError, OverflowError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


@dataclass(frozen=True, slots=True)
class Scores:
    """The answers for n rows.

    Attributes:
        margins: Float64 (n,), in the output space.
        probabilities: Float64 (n,), calibrated, from 0 to 1. The same row has the same bits in any batch.
    """

    margins: Floats
    probabilities: Floats


@dataclass(frozen=True, slots=True)
class Largest:
    """The largest contributions of n rows, and what is left of each.

    Attributes:
        features: Intp (n, k), the columns of the k largest absolute contributions, ties by name.
        contributions: Float64 (n, k), those contributions.
        remainders: Float64 (n,), the sums of the others.
        errors: Float64 (n,), by how much base value, contributions and remainder together miss the output.
    """

    features: npt.NDArray[np.intp]
    contributions: Floats
    remainders: Floats
    errors: Floats

    @property
    def add_up(self) -> npt.NDArray[np.bool_]:
        """Whether each row adds up within `ADDITIVITY_TOLERANCE`, bool (n,); a NaN does not."""
        return self.errors <= ADDITIVITY_TOLERANCE


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why n rows have their outputs: `base_value + contributions.sum(axis=1)` is `outputs` within 1e-9.

    Attributes:
        contributions: Float64 (n, features), in the output space and the model's order of features.
        base_value: The mean output over the training rows.
        outputs: Float64 (n,), the model's margins: read from the model, not from the sum.
    """

    contributions: Floats
    base_value: float
    outputs: Floats

    def of_row(self, row: int) -> "Explanation":
        """Returns the explanation of one row alone."""
        one = slice(row, row + 1)
        return Explanation(self.contributions[one], self.base_value, self.outputs[one])

    def largest(self, count: int, names: Sequence[str]) -> Largest:
        """Finds the largest contributions of each row; the same row has the same ones in any batch.

        Args:
            count: How many; all if there are no more.
            names: Of the features, in the model's order.
        """
        # Sorted by name first and stably by size then: which ones are listed depends on the row alone.
        by_name = _by_name(tuple(names))
        order = by_name[np.argsort(-np.abs(self.contributions[:, by_name]), axis=1, kind="stable")]
        ordered = np.take_along_axis(self.contributions, order, axis=1)
        listed, remainders = ordered[:, :count], ordered[:, count:].sum(axis=1)
        errors = np.abs(self.base_value + listed.sum(axis=1) + remainders - self.outputs)
        return Largest(order[:, :count], listed, remainders, errors)


@lru_cache(maxsize=64)
def _by_name(names: tuple[str, ...]) -> npt.NDArray[np.intp]:
    """The columns in the order of their names; the same few versions are asked for again and again."""
    return np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.intp)


class LoadedModel:
    """One verified version, ready to answer; immutable, so that threads may share it.

    Rows are float64 (n, features) in the order of `manifest.features`; NaN means missing.

    Attributes:
        manifest: What the version says about itself.
        digest: "sha256:" and the hex digest of its manifest.json.
        has_explainer: Whether `explain` answers.
    """

    def __init__(self, stored: StoredVersion, model: "_Graph", explainer: "_Graph | None") -> None:
        self.manifest: Manifest = stored.manifest
        self.digest: str = stored.digest
        self.has_explainer: bool = explainer is not None
        self._model = model
        self._explainer = explainer

    @classmethod
    def load(cls, stored: StoredVersion) -> "LoadedModel":
        """Builds the sessions from the bytes read, checks shapes, runs every golden row, and so warms up.

        Raises:
            ModelRefused: The graphs do not load, do not fit the manifest, or compute other answers than the
                native library and shap did at training.
        """
        width = len(stored.manifest.features)
        model = _Graph(stored.files[MODEL_ONNX], MODEL_ONNX, width, ("margins", "probabilities"))
        explainer = None
        if EXPLAINER_ONNX in stored.files:
            explainer = _Graph(stored.files[EXPLAINER_ONNX], EXPLAINER_ONNX, width, ("contributions",))
        loaded = cls(stored, model, explainer)
        _check_golden(loaded, _golden_rows(stored.files[GOLDEN_NPZ], stored.manifest))
        return loaded

    def predict(self, values: Floats) -> Scores:
        """Scores rows, float64 (n, features), in one run.

        Raises:
            ValueError: Of another shape.
        """
        values = self._rows(values)
        n = len(values)
        remainder = n % _WHOLE_VECTORS
        if remainder:
            values = np.concatenate([values, np.zeros((_WHOLE_VECTORS - remainder, values.shape[1]))])
        margins, probabilities = self._model.run(values)
        return Scores(margins[:n], probabilities[:n])

    def explain(self, values: Floats) -> Explanation:
        """Scores rows, float64 (n, features), and splits each output among the features.

        Raises:
            ValueError: Of another shape, or the version has no explainer.
            ModelRefused: The contributions do not add up to the output, so something is damaged after all.
        """
        explained = self.explain_scored(values, self.predict(values).margins)
        sums = explained.base_value + explained.contributions.sum(axis=1)
        _compare(EXPLAINER_ONNX, _SUMS, sums, explained.outputs, ADDITIVITY_TOLERANCE)
        return explained

    def explain_scored(self, values: Floats, outputs: Floats) -> Explanation:
        """Splits outputs that `predict` gave; whether each row adds up is for the caller to look at.

        Args:
            values: The rows, float64 (n, features).
            outputs: Their margins, float64 (n,).

        Raises:
            ValueError: Of another shape, or the version has no explainer.
        """
        values = self._rows(values)
        if self._explainer is None:
            raise ValueError(f"{self.manifest.name}@{self.manifest.version} has no explainer")
        parts = [
            self._explainer.run(values[start : start + _EXPLAINED_AT_ONCE])[0]
            for start in range(0, max(1, len(values)), _EXPLAINED_AT_ONCE)
        ]
        return Explanation(np.concatenate(parts), self.manifest.base_value, outputs)

    def _rows(self, values: Floats) -> Floats:
        rows: Floats = np.ascontiguousarray(values, dtype=np.float64)
        width = len(self.manifest.features)
        if rows.ndim != 2 or rows.shape[1] != width:
            raise ValueError(f"expected rows of {width} features, got an array of shape {rows.shape}")
        return rows


class _Graph:
    """An ONNX graph from rows to named outputs, in a session of one thread."""

    def __init__(self, content: bytes, file: str, width: int, outputs: tuple[str, ...]) -> None:
        self._file = file
        self._outputs = outputs
        try:
            self._session = open_session(content)
            inputs = [(item.name, item.type, item.shape[1:]) for item in self._session.get_inputs()]
            named = tuple(item.name for item in self._session.get_outputs())
        except _DAMAGE as error:
            raise _refusal(file, "a graph that onnxruntime loads", str(error)) from error
        if inputs != [("features", "tensor(double)", [width])] or named != outputs:
            expected = f"float64 features (rows, {width}) -> {outputs}"
            raise _refusal(file, expected, f"{inputs} -> {named}")

    def run(self, rows: Floats) -> list[Floats]:
        """Computes the outputs for float64 rows (n, width); raises ModelRefused if the graph cannot."""
        try:
            results: list[Floats] = self._session.run(self._outputs, {"features": rows})
        except _DAMAGE as error:
            raise _refusal(self._file, "an answer for every row", str(error)) from error
        return results


@dataclass(frozen=True, slots=True)
class _Golden:
    """Rows with the answers of the native library, and of shap for the first of them."""

    values: Floats
    margins: Floats
    probabilities: Floats
    contributions: Floats


def not_adding_up(error: float) -> ModelRefused:
    """Returns what is said of a row whose contributions miss its output by `error`."""
    return _off(EXPLAINER_ONNX, _SUMS, error, ADDITIVITY_TOLERANCE)


def _refusal(what: str, expected: str, got: str) -> ModelRefused:
    return ModelRefused(f"{what}: expected {expected}, got {got[:300]}; restore the files or publish again")


def _golden_rows(content: bytes, manifest: Manifest) -> _Golden:
    """Unpacks golden.npz; raises ModelRefused unless it holds the rows that the manifest tells of."""
    width = len(manifest.features)
    try:
        _refuse_large(content, manifest.golden_rows or MAX_GOLDEN_ROWS, width)
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            golden = _Golden(
                values=arrays["values"],
                margins=arrays["margins"],
                probabilities=arrays["probabilities"],
                contributions=arrays["contributions"],
            )
    except _BAD_ARCHIVE as error:
        expected = "the arrays values, margins, probabilities and contributions"
        raise _refusal(GOLDEN_NPZ, expected, repr(error)) from error
    arrays_read = (golden.values, golden.margins, golden.probabilities, golden.contributions)
    shapes = [array.shape for array in arrays_read]
    rows, explained = _length(golden.values), _length(golden.contributions)
    is_float64 = all(array.dtype == np.float64 for array in arrays_read)
    is_fitting = shapes == [(rows, width), (rows,), (rows,), (explained, width)]
    if not (is_float64 and is_fitting and rows > 0 and explained <= rows):
        raise _refusal(GOLDEN_NPZ, f"float64 rows of {width} features with answers", f"shapes {shapes}")
    if manifest.golden_rows not in (0, rows):
        raise _refusal(GOLDEN_NPZ, f"{manifest.golden_rows} rows, as the manifest has it", f"{rows}")
    return golden


def _refuse_large(content: bytes, rows: int, width: int) -> None:
    """Refuses an archive that unpacks to more than so many rows take, a thousand times its size perhaps."""
    most = 8 * rows * (2 * width + 2) + _HEADERS_BYTES
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > most:
        raise _refusal(GOLDEN_NPZ, f"at most {most} bytes for {rows} rows", f"{unpacked}")


def _length(array: Floats) -> int:
    """Counts an array's rows; none for a single number, which has no first axis."""
    return array.shape[0] if array.ndim else 0


def _check_golden(model: LoadedModel, golden: _Golden) -> None:
    """Compares every answer for the golden rows."""
    tolerance = model.manifest.golden_tolerance
    scores = model.predict(golden.values)
    _compare(MODEL_ONNX, "margins", scores.margins, golden.margins, tolerance.output)
    _compare(MODEL_ONNX, "probabilities", scores.probabilities, golden.probabilities, tolerance.output)
    if not model.has_explainer:
        return
    if len(golden.contributions) == 0:
        raise _refusal(GOLDEN_NPZ, "contributions, for there is an explainer", "none")
    explained = model.explain(golden.values[: len(golden.contributions)]).contributions
    _compare(EXPLAINER_ONNX, "contributions", explained, golden.contributions, tolerance.contribution)


def _compare(file: str, what: str, got: Floats, expected: Floats, tolerance: float) -> None:
    """Refuses answers that are further off than `tolerance`, or not finite."""
    if got.shape != expected.shape:
        raise _refusal(file, f"{what} of shape {expected.shape}", f"{got.shape}")
    with np.errstate(invalid="ignore"):
        error = np.max(np.abs(got - expected), initial=0.0)
    if not error <= tolerance:
        raise _off(file, what, float(error), tolerance)


def _off(file: str, what: str, error: float, tolerance: float) -> ModelRefused:
    return _refusal(file, f"right {what} within {tolerance:g}", f"{error:g} off")
