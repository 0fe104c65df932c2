"""The event seam: who listens hears everything in order, and can break nothing."""

import logging

import pytest

from staunch_server.events import LoadEnded, Signal
from staunch_server.types import Version

EVENT = LoadEnded(Version("churn", 3), "ready")


def test_all_listeners_hear_each_event_in_the_order_in_which_they_came() -> None:
    signal, heard = Signal[LoadEnded](), list[tuple[int, LoadEnded]]()
    signal.subscribe(lambda event: heard.append((1, event)))
    signal.subscribe(lambda event: heard.append((2, event)))
    signal.emit(EVENT)
    signal.emit(EVENT)
    assert heard == [(1, EVENT), (2, EVENT)] * 2


def test_a_listener_that_fails_stops_neither_the_others_nor_what_happened(
    caplog: pytest.LogCaptureFixture,
) -> None:
    signal, heard = Signal[LoadEnded](), list[LoadEnded]()

    def fails(_: LoadEnded) -> None:
        raise RuntimeError("a listener's own fault")

    signal.subscribe(fails)
    signal.subscribe(heard.append)
    with caplog.at_level(logging.ERROR, logger="staunch.events"):
        signal.emit(EVENT)
    assert heard == [EVENT]
    assert "a listener of LoadEnded failed" in caplog.text
    assert "a listener's own fault" in caplog.text


def test_an_event_without_listeners_is_nobodys_business() -> None:
    Signal[LoadEnded]().emit(EVENT)
