"""Bars of text: colours and blocks only where they can be shown."""

import io

import pytest

from staunch_cli.printing.canvas import PLAIN_WIDTH, TextCanvas


def test_colour_is_for_terminals_that_want_it(monkeypatch):
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\033[31m" in TextCanvas(Terminal()).bar(1.0, 4)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033" not in TextCanvas(Terminal()).bar(1.0, 4)


def test_where_nobody_can_widen_it_a_canvas_has_80_columns():
    assert TextCanvas(io.StringIO()).width == PLAIN_WIDTH == 80


@pytest.mark.parametrize(
    ("share", "drawn"),
    [
        (1.0, "    |####"),
        (-0.5, "  ##|"),
        (0.001, "    |#"),
        (-0.001, "   #|"),
        (0.0, "    |"),
        (2.0, "    |####"),
    ],
)
def test_a_bar_grows_from_the_axis_and_never_vanishes_but_at_zero(share, drawn):
    canvas = TextCanvas(io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert canvas.bar(share, 4) == drawn
