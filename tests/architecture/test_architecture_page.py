"""docs/architecture.md: that the classes which show a pattern are there."""

import re
from importlib import import_module
from pathlib import Path

import pytest
from tests.architecture.rooms import PACKAGES

PAGE = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()
NAMED = sorted(set(re.findall(r"`(staunch_[\w.]+)`", PAGE)))


@pytest.mark.parametrize("name", NAMED)
def test_what_the_page_names_is_there_and_says_what_it_is(name: str) -> None:
    module, _, thing = name.rpartition(".")
    try:
        found = getattr(import_module(module), thing)
    except (ImportError, AttributeError):
        found = import_module(name)
    assert found is not None
    assert not isinstance(found, type) or found.__doc__


def test_the_page_speaks_of_every_room() -> None:
    rooms = {name.removeprefix("staunch_") for name in PACKAGES} - {"staunch"}
    assert [room for room in sorted(rooms) if f"**{room}**" not in PAGE] == []


def test_every_pattern_that_we_rely_on_is_shown() -> None:
    for pattern in ("dependency injection", "repository", "factory", "observer"):
        assert re.search(rf"^\| {pattern}[^|]*\| `staunch_", PAGE, re.MULTILINE), pattern
