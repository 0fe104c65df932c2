"""How well the best of all models could do, by the same measure as every model."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from staunch_local.simulation.ceiling import true_ceiling
from staunch_training.evaluate import auc

_DATES = [datetime(2024, 6, 1, tzinfo=UTC) + timedelta(days=61 * i) for i in range(13)]


async def test_the_ceiling_leaves_something_to_learn_and_something_to_chance(world_database: Any) -> None:
    ceilings = [await true_ceiling(world_database.owner_url, as_of, 90, auc) for as_of in _DATES]
    assert 0.80 <= np.mean([ceiling.auc for ceiling in ceilings]) <= 0.88
    assert 0.72 <= np.mean([ceiling.auc_known for ceiling in ceilings]) <= 0.84
    assert 0.05 <= sum(ceiling.left for ceiling in ceilings) / sum(c.customers for c in ceilings) <= 0.09
    assert all(1500 <= ceiling.customers <= 2600 for ceiling in ceilings)


async def test_a_day_when_nobody_was_there_has_no_ceiling(world_database: Any) -> None:
    with pytest.raises(ValueError, match="expected some who left and some who stayed"):
        await true_ceiling(world_database.owner_url, datetime(1990, 1, 1, tzinfo=UTC), 90, auc)
