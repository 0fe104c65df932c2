"""What feature views take and give: ids, columns, signatures, batches of rows and labels."""

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

Id = int | str
"""A bigint, or a text or uuid key."""

SQL_TYPES = {"int64": "bigint", "text": "text", "uuid": "uuid"}
"""The key types a view may have: our name -> SQL's."""


@dataclass(frozen=True, slots=True)
class FeatureColumn:
    """One feature as the database returns it.

    Attributes:
        name: The column's name.
        type: `number`, a float64.
        nullable: Whether null is a value like others.
        unit: The unit, empty for a plain number.
        description: What it means, in one sentence.
    """

    name: str
    type: str
    nullable: bool
    unit: str
    description: str


@dataclass(frozen=True, slots=True)
class ViewSignature:
    """What a feature view takes and gives.

    Attributes:
        id_type: `int64`, `text` or `uuid`.
        id_column: The name of the first column.
        uses_as_of: Whether the text has a second parameter, the as-of time.
        features: The feature columns in the statement's order.
        has_eligible: Whether the text returns `_eligible`; without it every row is eligible.
        has_why: Whether the text returns `_why`, which says of who is not eligible why not.
        features_digest: `sha256:` and the hex digest of the ordered names and types.
    """

    id_type: str
    id_column: str
    uses_as_of: bool
    features: tuple[FeatureColumn, ...]
    has_eligible: bool
    has_why: bool
    features_digest: str


@dataclass(frozen=True, slots=True)
class FeatureBatch:
    """The rows of a view for the ids asked for, in their order.

    Attributes:
        values: Float64 (n, features); NaN is null. Rows not found are all NaN.
        found: Bool (n,); whether the view returned a row for the id.
        eligible: Bool (n,); whether the id belongs to the population at the as-of time.
        as_of: The moment the rows are as of; None for a view without one.
        problems: Row index -> why a row must not be used (`rules.value_problem`): a null where the view says
            there is none, an infinity, a number too large, or a null `_eligible`. Empty unless the view is at
            fault.
    """

    values: NDArray[np.float64]
    found: NDArray[np.bool_]
    eligible: NDArray[np.bool_]
    as_of: datetime | None
    problems: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LabelBatch:
    """The labels of the ids asked for, in their order.

    Attributes:
        known: Bool (n,); False where the label says nothing, such a row is left out.
        values: Bool (n,); the label, False where not known.
        groups: Who is behind each id, for keeping one person on one side of a split; None if the label
            has no `_group`.
    """

    known: NDArray[np.bool_]
    values: NDArray[np.bool_]
    groups: list[str | None]
