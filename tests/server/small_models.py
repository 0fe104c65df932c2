"""Small people, a small view of them and a small model, with answers that a test can compute by itself."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from staunch_features.views.signature import features_digest
from staunch_features.views.types import FeatureColumn
from staunch_model_store import manifest as written
from staunch_model_store.runtime import open_session
from staunch_training import golden
from staunch_training.onnx import explainer as onnx_explainer
from staunch_training.onnx import model as onnx_model
from staunch_training.trees import TreeEnsemble

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
PEOPLE = 200
SQL_TYPES = {"int64": "bigint", "text": "text", "uuid": "uuid"}
COLUMNS = {"int64": "id", "text": "key", "uuid": "uid"}

# Person i: a = i mod 10; b is null for each seventh, else (i mod 3) / 2; not active each eleventh; known
# since i hours after the epoch.
TABLE = f"""
CREATE TABLE public.people (id bigint PRIMARY KEY, key text UNIQUE, uid uuid UNIQUE, a float8, b float8,
    active boolean, since timestamptz);
INSERT INTO public.people
SELECT i, 'key-' || i, ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid, i % 10,
    CASE WHEN i % 7 <> 0 THEN (i % 3) / 2.0 END, i % 11 <> 0,
    timestamptz '2026-01-01 00:00Z' + i * interval '1 hour'
FROM generate_series(1, {PEOPLE}) AS i;
GRANT SELECT ON public.people TO PUBLIC;
"""

_VIEW = """/* staunch
description = "What is known of a person."
entity = "person"
population = "SELECT {column} FROM public.people ORDER BY 1"

[features]
a = {{ unit = "CAD", description = "The a.", source = ["people.a"], window = "", null = "{null}" }}
b = {{ unit = "", description = "The b.", source = ["people.b"], window = "", null = "not known" }}
hours = {{ unit = "hours", description = "How long.", source = ["people.since"], null = "never" }}
*/
SELECT people.{column}, people.a, people.b, {hours}::float8 AS hours, people.active AS _eligible
FROM unnest($1::{type}[]) AS asked (id)
JOIN public.people AS people ON people.{column} = asked.id{where}
"""


# After a view's text: a second row for one id.
TWICE = """UNION ALL
SELECT {id}::bigint, 1::float8, 1::float8, date_part('epoch', $2::timestamptz)::float8, true
WHERE {id} = ANY ($1::bigint[])
"""


def view_text(id_type: str = "int64", *, uses_as_of: bool = True, null: str = "never") -> str:
    hours = "date_part('epoch', $2::timestamptz - people.since) / 3600" if uses_as_of else "1"
    where = "\nWHERE people.since <= $2::timestamptz" if uses_as_of else ""
    return _VIEW.format(column=COLUMNS[id_type], type=SQL_TYPES[id_type], hours=hours, where=where, null=null)


def small_trees(base: float) -> TreeEnsemble:
    """base + (a <= 5 ? -1 : 1) + (b <= 0.5 or null ? (hours <= 100 ? -0.5 : 0.25) : 0.75)."""
    return TreeEnsemble(
        features=3,
        feature=np.array([0, -1, -1, 1, 2, -1, -1, -1]),
        threshold=np.array([5.0, 0, 0, 0.5, 100.0, 0, 0, 0]),
        left=np.array([1, -1, -1, 4, 5, -1, -1, -1]),
        right=np.array([2, -1, -1, 7, 6, -1, -1, -1]),
        missing_left=np.array([True, False, False, True, True, False, False, False]),
        value=np.array([0, -1.0, 1.0, 0, 0, -0.5, 0.25, 0.75]),
        cover=np.array([10.0, 6, 4, 10, 6, 3, 3, 4]),
        roots=np.array([0, 3]),
        base=float(base),
    )


def person(i: int, hours: float) -> tuple[float, float, float]:
    """The features of person i so many hours after they became known, NaN for null."""
    return float(i % 10), float("nan") if i % 7 == 0 else (i % 3) / 2, hours


def hours_known(i: int, moment: datetime) -> float:
    """How long person i has been known at a moment, in hours."""
    return (moment - EPOCH).total_seconds() / 3600 - i


def expected_margin(values: tuple[float, float, float], base: float = 0.0) -> float:
    a, b, hours = values
    second = 0.75 if b > 0.5 else (-0.5 if hours <= 100 else 0.25)
    return base + (-1 if a <= 5 else 1) + second


def stamp(when: datetime) -> Timestamp:
    """Returns a moment as it travels."""
    made = Timestamp()
    made.FromDatetime(when)
    return made


def sigmoid(margin: float) -> float:
    return float(1 / (1 + np.exp(-margin)))


PEOPLE_COLUMNS = tuple(
    FeatureColumn(name=name, type="number", nullable=name == "b", unit=unit, description=f"The {name}.")
    for name, unit in (("a", "CAD"), ("b", ""), ("hours", "hours"))
)


def small_manifest(
    name: str,
    version: int,
    id_type: Any,
    *,
    uses_as_of: bool,
    columns: Sequence[FeatureColumn] = PEOPLE_COLUMNS,
    **changes: Any,
) -> written.Manifest:
    """The manifest of a small model; `columns` are its features, `changes` replace its fields."""
    fields: dict[str, Any] = {
        "name": name,
        "version": version,
        "view": "people",
        "label": "people",
        "id_type": id_type,
        "uses_as_of": uses_as_of,
        "features": tuple(
            written.Feature(name=c.name, nullable=c.nullable, unit=c.unit, description=c.description)
            for c in columns
        ),
        "features_digest": features_digest(columns),
        "create_time": EPOCH,
        "horizon_days": 90,
        "training": written.Training(
            learner="by_hand", parameters={}, seed=0, splits=(), gap_days=0, library_versions={}
        ),
        "metrics": (
            written.Metric(name="auc", value=0.8, lower=0.75, upper=0.85),
            written.Metric(name="log_loss", value=0.3),
        ),
        "compared": (),
        "declared_margins": {},
        "thresholds": written.Thresholds(medium=0.3, high=0.7, costs={"offer": 40.0}),
        "output_space": "LOG_ODDS",
        "calibration": written.Calibration(a=1.0, b=0.0),
        "golden_tolerance": written.GoldenTolerance(output=1e-12, contribution=1e-9),
        "files": {},
    }
    return written.Manifest(**(fields | changes))


def small_files(trees: TreeEnsemble, text: str, *, explainer: bool = True) -> dict[str, bytes]:
    values = np.array([person(i, i) for i in range(1, 60)])
    margins = trees.margin(values)
    files = {
        written.FEATURES_SQL: text.encode(),
        written.MODEL_ONNX: onnx_model.export(trees, "LOG_ODDS"),
    }
    contributions = np.zeros((0, 3))
    if explainer:
        files[written.EXPLAINER_ONNX] = onnx_explainer.export(trees)
        session = open_session(files[written.EXPLAINER_ONNX])
        contributions = session.run(["contributions"], {"features": values})[0]
    probabilities = 1 / (1 + np.exp(-margins))
    files[written.GOLDEN_NPZ] = golden.dump(values, margins, probabilities, contributions)
    return files
