"""Lines go over whole, whatever the other end does, and nobody waits for it."""

import socket
import time
from collections.abc import Iterator

import pytest

from staunch_server.process.channel.lines import Lines


@pytest.fixture
def ends() -> Iterator[tuple[Lines, Lines]]:
    one, other = map(Lines, socket.socketpair())
    yield one, other
    one.close()
    other.close()


def heard(lines: Lines) -> list[str]:
    found: list[str] = []
    lines.hear(found.append)
    return found


def test_lines_come_in_order_each_way_and_none_is_two(ends: tuple[Lines, Lines]) -> None:
    one, other = ends
    one.say("moved", 7, "churn@champion")
    one.say("trouble", "of\nmany\nlines é \udce9")
    assert heard(other) == ["moved 7 churn@champion", "trouble of many lines é \\udce9"]
    other.say("noted")
    assert heard(one) == ["noted"]
    assert heard(one) == []


def test_a_peer_that_does_not_read_costs_no_time_and_little_memory_and_gets_whole_lines(
    ends: tuple[Lines, Lines],
) -> None:
    one, other = ends
    began = time.monotonic()
    for number in range(20_000):
        one.say("follow", number, "x" * 50)
    assert time.monotonic() - began < 2
    assert len(one._unsent) < 1 << 19
    found = heard(other)
    while "last" not in found:
        one.say("last")
        found += heard(other)
    followed = [line for line in found if line != "last"]
    assert {len(line.split()) for line in followed} == {3}
    assert [int(line.split()[1]) for line in followed] == list(range(len(followed)))


def test_an_end_that_is_gone_is_known_after_its_last_words(ends: tuple[Lines, Lines]) -> None:
    one, other = ends
    one.say("error it is over")
    one.close()
    found: list[str] = []
    assert other.hear(found.append) is False
    assert found == ["error it is over"]
    other.say("nobody hears this")
