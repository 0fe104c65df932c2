"""How well the best of all models could do: the AUC of the true hazard of the simulated world."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

import numpy as np

import staunch_sql
from staunch_features.postgres.connection import opened
from staunch_local.simulation.background.arrays import Floats

Auc: TypeAlias = Callable[[Floats, Floats], float]
"""The area under the ROC curve of labels (rows,) of 0 and 1 and scores (rows,), both float64."""


@dataclass(frozen=True)
class Ceiling:
    """What can be said of who leaves, by one who knows all that the simulation knows.

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


async def true_ceiling(owner_url: str, as_of: datetime, horizon_days: int, auc: Auc) -> Ceiling:
    """Measures the true hazard of a simulated world against who left.

    The area is handed in, so that a model and its ceiling are measured by one function.

    Args:
        owner_url: URL of the role that owns the tables; no other sees the hazards.
        as_of: The time, at least `horizon_days` before the world's `until`. With a zone.
        horizon_days: Days in which to leave.
        auc: What measures models, `staunch_training.evaluate.auc`.

    Raises:
        ValueError: Nobody left, or nobody stayed, so that there is no AUC.
        DatabaseUnavailable: The database cannot be reached.
    """
    async with opened(owner_url) as connection:
        end = as_of + timedelta(days=horizon_days)
        row = await connection.fetchrow(staunch_sql.query("simulation/outcomes"), as_of, end)
    # An aggregate over no rows is null: nobody was there.
    columns = [[] if row is None or column is None else column for column in (row or ())]
    summed, known, left = (np.array(column, dtype=np.float64) for column in columns)
    count, leavers = len(left), int(left.sum())
    if not 0 < leavers < count:
        raise ValueError(f"expected some who left and some who stayed, got {leavers} and {count - leavers}")
    return Ceiling(as_of, horizon_days, count, leavers, auc(left, summed), auc(left, known))
