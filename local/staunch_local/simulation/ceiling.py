"""How well the best of all models could do: the AUC of the true hazard of the simulated world."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

import staunch_sql
from staunch_features.postgres.connection import opened
from staunch_local.simulation.background.clock import Bools, Floats


@dataclass(frozen=True)
class Ceiling:
    """What can be told of who leaves, by one who knows all that the simulation knows.

    Attributes:
        as_of: The time.
        horizon_days: Days after it in which customers leave or stay.
        customers: Those active at the time who then stayed or left of their own will.
        left: How many of them left.
        auc: The AUC of the true hazard summed over the horizon, with what happened meanwhile: no model can
            be better but by luck.
        auc_known: The AUC of the hazard of the month that the time lies in, which looks not ahead.
    """

    as_of: datetime
    horizon_days: int
    customers: int
    left: int
    auc: float
    auc_known: float


async def true_ceiling(owner_url: str, as_of: datetime, horizon_days: int) -> Ceiling:
    """Measures the true hazard of a simulated world against who left.

    Args:
        owner_url: URL of the role that owns the tables; no other sees the hazards.
        as_of: The time, at least `horizon_days` before the world's `until`. With a zone.
        horizon_days: Days in which to leave.

    Raises:
        ValueError: Nobody left, or nobody stayed, so that there is no AUC.
        DatabaseUnavailable: The database cannot be reached.
    """
    async with opened(owner_url) as connection:
        end = as_of + timedelta(days=horizon_days)
        row = await connection.fetchrow(staunch_sql.query("simulation/outcomes"), as_of, end)
    columns = [[] if row is None or column is None else column for column in (row or ())]
    risks, known, left = (np.array(column) for column in columns)
    left = left.astype(np.bool_)
    return Ceiling(
        as_of,
        horizon_days,
        len(left),
        int(left.sum()),
        area_under_curve(risks, left),
        area_under_curve(known, left),
    )


def area_under_curve(scores: Floats, positive: Bools) -> float:
    """Returns the area under the ROC curve: how often a positive has the higher score, a tie counting half.

    Args:
        scores: Float64, shape (rows,).
        positive: Bool, shape (rows,).

    Raises:
        ValueError: There are no positives, or nothing else.
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        raise ValueError(f"expected some who left and some who stayed, got {positives} and {negatives}")
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((rank[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))
