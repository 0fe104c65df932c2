"""Which values are flagged, by what the view says and by what was learned: all at once as one by one."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch_features.views.feature_doc import ANY
from staunch_model_store.manifest import Feature, LearnedValues
from staunch_server.models.limits import Limits
from staunch_server.types import Flag

NUMBERS = st.integers(-4, 4).map(float) | st.just(0.5)
ENDS = st.tuples(NUMBERS, NUMBERS).map(lambda pair: (min(pair), max(pair)))


@st.composite
def seen(draw: st.DrawFn) -> LearnedValues:
    """What was seen of a feature: nothing but nulls, a range, or a few codes."""
    null = draw(st.booleans())
    values = draw(st.lists(NUMBERS, max_size=4, unique=True).map(sorted))
    if not values:
        return LearnedValues(minimum=None, maximum=None, null=True)
    codes = tuple(values) if draw(st.booleans()) else ()
    return LearnedValues(minimum=values[0], maximum=values[-1], null=null, values=codes)


COLUMNS = st.tuples(st.none() | seen(), st.just(ANY) | ENDS, st.booleans())


def limits(columns: list[tuple[LearnedValues | None, tuple[float, float], bool]]) -> Limits:
    features = [
        Feature(name=f"f{i}", nullable=nullable, unit="", description="F.", learned=learned)
        for i, (learned, _, nullable) in enumerate(columns)
    ]
    docs = {f"f{i}": SimpleNamespace(possible=possible) for i, (_, possible, _) in enumerate(columns)}
    view: Any = SimpleNamespace(features=docs)
    return Limits(features, view)


def expected(column: tuple[LearnedValues | None, tuple[float, float], bool], value: float) -> bool | None:
    """Whether a value is impossible (True), new to the model (False) or neither (None)."""
    learned, (low, high), nullable = column
    if math.isnan(value):
        # Where the view promises that there is none, none gets here.
        return False if nullable and learned is not None and not learned.null else None
    if not low <= value <= high:
        return True
    if learned is None:
        return None
    if learned.minimum is None or learned.maximum is None or not learned.minimum <= value <= learned.maximum:
        return False
    return False if learned.values and value not in learned.values else None


@given(columns=st.lists(COLUMNS, min_size=1, max_size=6), data=st.data())
def test_many_values_at_once_are_flagged_as_each_is_by_itself(columns: Any, data: st.DataObject) -> None:
    nulls = [NUMBERS | st.just(math.nan) if nullable else NUMBERS for _, _, nullable in columns]
    rows = data.draw(st.lists(st.tuples(*nulls), max_size=5))
    values = np.array(rows, dtype=np.float64).reshape(len(rows), len(columns))
    judged = limits(columns)
    flags = judged.flags(values)
    wanted = {
        place: tuple(
            Flag(i, verdict)
            for i, (column, value) in enumerate(zip(columns, row, strict=True))
            if (verdict := expected(column, value)) is not None
        )
        for place, row in enumerate(rows)
    }
    assert flags == {place: each for place, each in wanted.items() if each}
    assert judged.beyond(values).any(axis=1).tolist() == [bool(wanted[place]) for place in range(len(rows))]


def test_the_range_that_a_value_should_have_lain_in_is_that_of_the_verdict() -> None:
    judged = limits([(LearnedValues(minimum=2.0, maximum=3.0, null=False), (0.0, math.inf), False)])
    assert judged.flags(np.array([[-5.0], [1.0], [2.5]])) == {0: (Flag(0, True),), 1: (Flag(0, False),)}
    assert judged.range_of(Flag(0, True)) == (0.0, math.inf)
    assert judged.range_of(Flag(0, False)) == (2.0, 3.0)


@pytest.mark.parametrize("value", [-1e300, 0.0, math.nan, 1e300])
def test_a_version_that_tells_nothing_flags_nothing(value: float) -> None:
    judged = limits([(None, ANY, True)])
    assert judged.flags(np.array([[value]])) == {}
