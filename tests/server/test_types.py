"""The values that pass between the stations of a prediction."""

import time
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from staunch_model_store.reference import parse_reference
from staunch_server.types import Alias, Stages, Version, timed

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True)


@given(NAMES, st.integers(1, 2**31 - 1))
def test_a_version_is_written_as_callers_write_it(name: str, number: int) -> None:
    read = parse_reference(str(Version(name, number)))
    assert (read.name, read.version, read.alias) == (name, number, None)


@given(NAMES, NAMES)
def test_an_alias_is_written_as_callers_write_it(name: str, alias: str) -> None:
    read = parse_reference(str(Alias(name, alias)))
    assert (read.name, read.version, read.alias) == (name, None, alias)


def test_the_time_of_a_step_adds_up_and_counts_when_the_step_fails() -> None:
    stages: Stages = {"sql": 1.0}
    with suppress(ZeroDivisionError), timed(stages, "sql"):
        time.sleep(0.01)
        _ = 1 / 0
    with timed(stages, "onnx"):
        pass
    assert 1.01 <= stages["sql"] < 2
    assert 0 <= stages["onnx"] < 1
