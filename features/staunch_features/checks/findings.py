"""What `view check` finds out about a feature view."""

from dataclasses import dataclass
from datetime import datetime

from staunch_features.checks.execution import QueryPlan
from staunch_features.checks.look_ahead import Probe
from staunch_features.checks.untried import Untried
from staunch_features.errors import ViewError
from staunch_features.views.file import FeatureView
from staunch_features.views.types import FeatureColumn, ViewSignature


@dataclass(frozen=True, slots=True)
class ColumnCheck:
    """One feature over the sampled eligible rows.

    Attributes:
        column: The feature.
        nulls: How many of the rows hold null.
        rows: How many rows there are.
    """

    column: FeatureColumn
    nulls: int
    rows: int


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a number of ids takes, from sending the query to having the matrix.

    Attributes:
        ids: How many ids.
        median_ms: The median time.
    """

    ids: int
    median_ms: float


@dataclass(frozen=True, slots=True)
class LabelCheck:
    """What a label says of the sampled eligible ids at the probed moment.

    Attributes:
        as_of: The moment; None for a label without dates.
        rows: How many ids were asked.
        known: Of how many the label says something.
        true: For how many it is true.
    """

    as_of: datetime | None
    rows: int
    known: int
    true: int


@dataclass(frozen=True, slots=True)
class ViewCheck:
    """All that was found.

    Attributes:
        view: The view.
        signature: What it takes and gives.
        as_of: The moment it was run as of; None for a view without one.
        found: How many of the sampled ids have a row.
        eligible: How many of them belong to the population.
        columns: The features with their nulls.
        plan: The plan for up to 1,000 ids.
        timings: For 1, 100 and 10,000 ids, or as many as there are.
        probes: One for each table with declared time columns that could be tried.
        untried: What could not be tried, and why.
        not_probed: The tables read for which no time column is declared.
        label: What the label says; None without one.
        errors: What must be mended before the view is used.
        advice: What would make it faster or safer.
    """

    view: FeatureView
    signature: ViewSignature
    as_of: datetime | None
    found: int
    eligible: int
    columns: tuple[ColumnCheck, ...]
    plan: QueryPlan
    timings: tuple[Timing, ...]
    probes: tuple[Probe, ...]
    untried: tuple[Untried, ...]
    not_probed: tuple[str, ...]
    label: LabelCheck | None
    errors: tuple[ViewError, ...]
    advice: tuple[str, ...]
