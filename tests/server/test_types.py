"""The values that pass between the stations of a prediction."""

from hypothesis import given
from hypothesis import strategies as st

from staunch_model_store.store import parse_reference
from staunch_server.types import Alias, Version

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True)


@given(NAMES, st.integers(1, 2**31 - 1))
def test_a_version_is_written_as_callers_write_it(name: str, number: int) -> None:
    read = parse_reference(str(Version(name, number)))
    assert (read.name, read.version, read.alias) == (name, number, None)


@given(NAMES, NAMES)
def test_an_alias_is_written_as_callers_write_it(name: str, alias: str) -> None:
    read = parse_reference(str(Alias(name, alias)))
    assert (read.name, read.version, read.alias) == (name, None, alias)
