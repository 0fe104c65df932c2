"""Finds features that know the answer alone.

Each feature by itself gets a small tree, fitted on the training side and measured on other customers, and on
later dates where there are dates. A tree, because a leak need not be monotone, and often it is the null that
tells (a cancellation date that only leavers have). An honest feature stays far below the limit: on the
shipped view none reaches 0.70 alone.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from staunch_training.errors import LeakFound
from staunch_training.evaluate import auc
from staunch_training.learners import adding_up_any_float32
from staunch_training.types import Floats

_DEPTH = 5
_SMALLEST_LEAF = 20  # rows


def feature_aucs(
    names: Sequence[str], values: Floats, labels: Floats, later_values: Floats, later_labels: Floats
) -> dict[str, float]:
    """The AUC that each feature reaches alone, out of time where there are dates; highest first.

    `values` (n, f) and `labels` (n,) are the training side, the later ones are measured on; NaN is a null.
    """
    found = {
        name: _auc_alone(values[:, [column]], labels, later_values[:, [column]], later_labels)
        for column, name in enumerate(names)
    }
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def refuse_leaks(
    aucs: Mapping[str, float],
    headings: Mapping[str, str],
    *,
    limit: float,
    allowed: Collection[str] = (),
    dated: bool = True,
) -> None:
    """Refuses features that know the answer alone.

    Args:
        aucs: The AUC of each feature alone, by name.
        headings: How to call them in the refusal; by its name what is not in it.
        limit: The AUC from which a feature is refused.
        allowed: The names of those that are not.
        dated: Whether they were measured on later dates.

    Raises:
        LeakFound: Some features reach the limit.
    """
    leaks = {name: found for name, found in aucs.items() if found >= limit and name not in allowed}
    if leaks:
        raise LeakFound(leaks, headings, limit, dated=dated)


@adding_up_any_float32()
def _auc_alone(values: Floats, labels: Floats, later_values: Floats, later_labels: Floats) -> float:
    if np.isnan(values).all():
        return 0.5
    tree = DecisionTreeClassifier(max_depth=_DEPTH, min_samples_leaf=_SMALLEST_LEAF, random_state=0)
    tree.fit(values, labels > 0.5)
    return auc(later_labels, tree.predict_proba(later_values)[:, -1])
