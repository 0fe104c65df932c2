"""What feature views take and give: ids, columns, signatures, batches of rows and labels."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

Id = int | str
"""A bigint, or a text or uuid key."""


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
        features_digest: `sha256:` and the hex digest of the ordered names and types.
    """

    id_type: str
    id_column: str
    uses_as_of: bool
    features: tuple[FeatureColumn, ...]
    has_eligible: bool
    features_digest: str


@dataclass(frozen=True, slots=True)
class FeatureBatch:
    """The rows of a view for the ids asked for, in their order.

    Attributes:
        values: Float64 (n, features); NaN is null. Rows not found are all NaN.
        found: Bool (n,); whether the view returned a row for the id.
        eligible: Bool (n,); whether the id belongs to the population at the as-of time.
        as_of: The moment the rows are as of; None for a view without one.
        problems: Row index -> why an eligible row must not be used: a null where the view says there is
            none, or an infinity. Empty unless the view is at fault.
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


def canonical_id(id_type: str, raw: Id) -> Id:
    """Returns an id in the one form in which the database gives it back.

    Args:
        id_type: `int64`, `text` or `uuid`.
        raw: What the caller gave.

    Raises:
        ValueError: It is no id of that type.
    """
    if id_type == "int64":
        if isinstance(raw, int) and 1 <= raw < 2**63:
            return raw
        raise ValueError(f"expected an id from 1 to 2^63 - 1, got {raw!r}")
    if not isinstance(raw, str) or not raw or "\0" in raw:
        raise ValueError(f"expected a key of one or more characters without NUL, got {raw!r}")
    if id_type == "text":
        return raw
    try:
        return str(uuid.UUID(raw))
    except ValueError:
        raise ValueError(f"expected a uuid, got {raw!r}") from None
