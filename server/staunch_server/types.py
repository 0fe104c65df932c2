"""The values that pass from one station of a prediction to the next."""

import enum
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Id = int | str
"""A bigint, or a text or uuid key, in canonical form."""

Floats = NDArray[np.float64]
"""Numbers; the shape stands where they are named, and NaN is null."""

Overrides = tuple[tuple[int, float], ...]
"""Columns to replace in a live row, and their values; NaN is null."""


Stages = dict[str, float]
"""What steps of a call took, in seconds: "queue", "sql", "onnx", "explain", "why", as far as they came."""


@contextmanager
def timed(stages: Stages, name: str) -> Iterator[None]:
    """Adds what the block takes to a step of a call, also if it fails."""
    started = time.monotonic()
    try:
        yield
    finally:
        stages[name] = stages.get(name, 0.0) + time.monotonic() - started


NoService = Literal["empty", "unreadable", "refused"]
"""Why no version answers: the store is empty or unreadable, or what its aliases point at is refused."""


WorkSaved = Literal["read", "score", "query"]
"""What nobody waits for any more: a row that is not read, one that is read and not scored, a query."""


class Version(NamedTuple):
    """One version of a model; as text "churn@3"."""

    name: str
    number: int

    def __str__(self) -> str:
        return f"{self.name}@{self.number}"


class Alias(NamedTuple):
    """An alias of a model; as text "churn@champion"."""

    name: str
    alias: str

    def __str__(self) -> str:
        return f"{self.name}@{self.alias}"


class Flag(NamedTuple):
    """A value that a model is asked about and did not learn from.

    Attributes:
        column: Of the feature.
        is_impossible: Whether the view says that there is no such value; else it is only new to the model.
    """

    column: int
    is_impossible: bool


class Row(NamedTuple):
    """What became of one caller's customer. A tuple, as `events.CallEnded` is.

    Attributes:
        found: Whether the view has a row.
        eligible: Whether the row belongs to the population; only such rows are scored.
        problem: Why a row was not scored that should have been; empty if it was.
        as_of: The moment it was read as of, UTC.
        values: Float64 (features,), overrides applied, NaN is null.
        probability: 0 to 1; NaN if not scored.
        flags: The values that the model did not learn from; empty if not scored.
    """

    found: bool
    eligible: bool
    problem: str
    as_of: datetime
    values: Floats
    probability: float = float("nan")
    flags: tuple[Flag, ...] = ()


class RiskBand(enum.IntEnum):
    """The class of action of a probability."""

    UNSPECIFIED = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """What a process does with a version, in words.

    Attributes:
        state: READY answers; REFUSED answers with an error, for the version or its view is unfit.
        reason: The ErrorInfo reason of a refused version, else empty.
        message: What is wrong with it and how to mend it, else empty.
        digest: Of the manifest in memory, `sha256:` and hex; empty if it is not loaded.
        let_go: Whether nothing has needed the version since: this is what was seen of it last.
    """

    state: Literal["STORED", "LOADING", "READY", "REFUSED"] = "STORED"
    reason: str = ""
    message: str = ""
    digest: str = ""
    let_go: bool = False
