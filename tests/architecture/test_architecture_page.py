"""docs/architecture.md: that the classes which show a pattern are there."""

import re
from importlib import import_module
from pathlib import Path

import pytest
from tests.architecture.rooms import ARROWS, PACKAGES

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


def layers() -> dict[str, int]:
    """The rooms of the drawing by their lines, 0 at the top."""
    drawing = PAGE.split("<!-- layers")[1].split("```")[1].strip("\n").splitlines()
    rooms = [re.split(r" {2,}", line[:55].strip()) for line in drawing]
    return {package(room): line for line, names in enumerate(rooms) for room in names}


def package(room: str) -> str:
    """The package of a room as the page calls it."""
    first, _, rest = room.partition(".")
    if room == "staunch.v1" or first in ("tools", "bench"):
        return room
    name = "staunch" if first == "client" else f"staunch_{first}"
    return f"{name}.{rest}" if rest else name


def layer(room: str) -> int | None:
    """The line of the room with the longest prefix; None for the small ones that are not drawn."""
    drawn = [name for name in layers() if room == name or room.startswith(f"{name}.")]
    return layers()[max(drawn, key=len)] if drawn else None


def test_a_room_uses_only_rooms_of_lower_lines() -> None:
    assert len(layers()) == 20
    upwards = [
        f"{room} -> {used}"
        for room, uses in ARROWS.items()
        for used in uses
        if (above := layer(room)) is not None and (below := layer(used)) is not None
        if above > below or (above == below and layer_name(room) != layer_name(used))
    ]
    assert upwards == []


def layer_name(room: str) -> str:
    return max((name for name in layers() if room == name or room.startswith(f"{name}.")), key=len)
