"""docs/world.md says what the code does."""

import re
from pathlib import Path

from staunch_local.simulation.background.market import LEAVING_SEASON
from staunch_local.simulation.life.hazard import FADING, REASONS
from staunch_local.simulation.life.people import BLOCK

_PAGE = (Path(__file__).parents[3] / "docs/world.md").read_text()


def test_the_page_shows_every_reason_with_its_weights():
    shown = re.findall(r"^\| ([a-z_]+) \| (\S+) \| (\S+) \| (.+) \|$", _PAGE, re.MULTILINE)
    assert shown == [
        (name, str(reason.before), str(reason.after), reason.unit) for name, reason in REASONS.items()
    ]


def test_the_page_tells_how_reasons_fade_and_seasons_weigh():
    told = re.search(
        r"failed payments (\S+), price rises (\S+), tickets (\S+), ratings (\S+), outages (\S+)\.", _PAGE
    )
    assert told is not None
    assert [float(value) for value in told.groups()] == list(FADING.values())
    assert f"from {LEAVING_SEASON.min()} to {LEAVING_SEASON.max()}, highest in August" in _PAGE
    assert LEAVING_SEASON.argmax() == 7
    assert f"blocks of {BLOCK:,}" in _PAGE
