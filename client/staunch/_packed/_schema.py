"""The features of a model in its order, and what packs values in that order."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

from staunch import _arguments as arguments
from staunch._packed import _columns as columns
from staunch._packed._rows import PackedRow, PackedRows, features_digest
from staunch._results import Model


@dataclass(frozen=True, slots=True)
class FeatureSchema:
    """The features of a model in its order: packs values, so that no name travels with them.

        schema = FeatureSchema.of(client.get_model("churn"))
        client.predict(features=schema.pack({"tenure_days": 400, ...}), model="churn")
        for row in client.batch_predict(schema.pack_rows(frame), model="churn"): ...

    Make it once and keep it. A version of other features refuses what was packed by it (`InvalidRequest`,
    reason FEATURES_MISMATCH): then ask `get_model` again. Categories and booleans are the numbers that the
    view makes of them: `Feature.labels` says which.

    Attributes:
        names: The features, in the model's order.
        digest: `Model.features_digest`; computed from the names if it is not given.
    """

    names: tuple[str, ...]
    digest: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.names, str) or not self.names:
            raise ValueError(f"expected the names of one or more features, got {self.names!r}")
        object.__setattr__(self, "names", tuple(arguments.text("a feature", name) for name in self.names))
        if not self.digest:
            object.__setattr__(self, "digest", features_digest(self.names))

    @classmethod
    def of(cls, model: Model) -> "FeatureSchema":
        """Returns the schema of a version.

        Args:
            model: What `get_model` gave; `list_models` tells no features.

        Raises:
            ValueError: It tells none.
        """
        if not model.features:
            raise ValueError(f"expected {model.reference} as get_model gives it, got one without features")
        return cls(tuple(feature.name for feature in model.features), model.features_digest)

    def pack(self, values: Mapping[str, Any] | Sequence[Any], customer: int | str = 0) -> PackedRow:
        """Packs one row.

        Args:
            values: A value for each feature: by name (a dict, a pandas Series) or in the order of `names` (a
                list, a numpy array). None and NaN are missing values.
            customer: What a batch shall call the row in its answer.

        Raises:
            TypeError: They are no such thing, or a value is neither a number nor None.
            ValueError: A feature is absent, unknown or beyond every float.
        """
        return PackedRow(self._packed(values), self.digest, customer)

    def pack_rows(self, rows: Any, customers: Iterable[Any] | None = None) -> PackedRows:
        """Packs many rows.

        Args:
            rows: A pandas DataFrame, or an Arrow Table or RecordBatch, of which the columns of the features
                are taken by name and others left; a numpy array (rows, features) in the order of `names`; or
                an iterable of what `pack` takes.
            customers: An id for each row, int, str or UUID, by which the answers call them.

        Raises:
            TypeError: As in `pack`, or a column holds other than numbers.
            ValueError: As in `pack`; or there are not as many customers as rows.
        """
        packed = columns.packed(rows, self.names)
        if packed is None:
            packed = b"".join([self._packed(row) for row in columns.rows_of(rows)])
        made = PackedRows(packed, self.digest, len(self.names))
        if customers is None:
            return made
        named = columns.customers(customers)
        if len(named) != len(made):
            raise ValueError(f"expected a customer for each of {len(made)} rows, got {len(named)}")
        return PackedRows(packed, self.digest, len(self.names), named)

    def _packed(self, values: Mapping[str, Any] | Sequence[Any]) -> bytes:
        if isinstance(values, Mapping) or hasattr(values, "keys"):
            given = arguments.features("features", values)
            if given.keys() != set(self.names):
                raise ValueError(_difference(self.names, given))
            ordered: Iterable[float | None] = [given[name] for name in self.names]
        else:
            ordered = columns.in_order(values, self.names)
        return struct.pack(f"<{len(self.names)}d", *[nan if value is None else value for value in ordered])


def _difference(names: Sequence[str], given: Mapping[str, object]) -> str:
    absent = [name for name in names if name not in given]
    unknown = [name for name in given if name not in set(names)]
    found = [
        f"{what}: {', '.join(some[:5])}" for what, some in (("absent", absent), ("unknown", unknown)) if some
    ]
    return f"expected each of {len(names)} features and no other, got {'; '.join(found)}"
