"""The churn view says what its descriptions say: every feature recomputed by loops over the rows."""

import math
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.features.churn.histories import DAY, MOMENTS, History, histories, write
from tests.features.churn.reference import features, label

from staunch_features.postgres.deadlines import Deadline
from staunch_features.views.source import outcome_window

moments = st.sampled_from(MOMENTS)


async def assert_equals_reference(churn, some: list[History], t) -> None:
    signature = await churn.source.signature(Deadline.after(5))
    batch = await churn.source.fetch(
        [history.customer_id for history in some], t, deadline=Deadline.after(60)
    )
    assert not batch.problems
    for row, history in enumerate(some):
        expected = features(history, t, churn.rules)
        assert batch.found[row] == (expected is not None)
        if expected is None:
            continue
        assert batch.eligible[row] == bool(expected.pop("_eligible"))
        names = [column.name for column in signature.features]
        assert set(names) == set(expected)
        got = dict(zip(names, batch.values[row], strict=True))
        wrong = {
            name: (got[name], value)
            for name, value in expected.items()
            if not (
                math.isnan(got[name])
                if value is None
                else got[name] == pytest.approx(value, rel=1e-9, abs=1e-7)
            )
        }
        assert not wrong, history


@given(st.data(), moments)
@settings(max_examples=2 * settings.default.max_examples)
async def test_every_feature_equals_the_reference(churn, data, t):
    some = data.draw(st.lists(histories(t), min_size=1, max_size=3))
    await write(churn.owner, *some)
    await assert_equals_reference(churn, some, t)
    await assert_equals_reference(churn, some, t - data.draw(st.integers(0, 500)) * DAY)


@given(st.data(), moments, st.integers(0, 40))
async def test_every_label_equals_the_reference(churn, data, t, earlier_days):
    some = data.draw(st.lists(histories(t, most_events=0), min_size=1, max_size=6))
    await write(churn.owner, *some)
    t = t - earlier_days * DAY
    opens, closes = outcome_window(churn.label, t)
    assert closes - opens == timedelta(days=90)
    batch = await churn.source.labels(churn.label, [history.customer_id for history in some], t)
    for row, history in enumerate(some):
        expected = label(history, opens, closes, t)
        assert (batch.known[row], batch.values[row]) == (expected is not None, bool(expected)), history
