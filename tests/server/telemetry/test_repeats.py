"""Lines that repeat: the first is told, the others are counted, and each is counted once."""

import threading
import weakref

import pytest
from tests.harness.clock import Clock
from tests.harness.waiting import wait

from staunch_server.telemetry.repeats import EVERY_S, Repeats, flush_repeats


def test_nothing_is_lost_and_nothing_told_twice_by_many_threads() -> None:
    told: list[int] = []
    repeats = Repeats[str](lambda _, count: told.append(1 + count), every_s=0.01)

    def take() -> None:
        for number in range(2000):
            count = repeats.take(number % 3, "line")
            if count is not None:
                told.append(1 + count)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    repeats.flush()
    assert sum(told) == 8000


def test_the_last_of_the_lines_that_were_counted_is_told_at_the_end_of_their_interval() -> None:
    told: list[tuple[str, int]] = []
    repeats = Repeats[str](lambda line, count: told.append((line, count)), every_s=0.2)
    assert [repeats.take("a", line) for line in ("first", "second", "third")] == [0, None, None]
    wait(lambda: told, 5)
    assert told == [("third", 1)]


def test_a_line_that_was_told_a_moment_ago_is_counted_though_the_count_of_others_ends() -> None:
    clock, told = Clock(1.0), list[tuple[str, int]]()
    repeats = Repeats[str](lambda line, count: told.append((line, count)), clock=clock)
    assert [repeats.take("early", line) for line in ("1", "2", "3")] == [0, None, None]
    clock.now_s += EVERY_S / 2
    assert repeats.take("late", "4") == 0
    clock.now_s += EVERY_S / 2
    repeats._report_older(EVERY_S)
    assert told == [("3", 1)]
    assert repeats.take("late", "5") is None
    assert repeats.take("early", "6") is None


def test_what_was_counted_when_the_process_ends_is_told() -> None:
    told: list[tuple[str, int]] = []
    repeats = Repeats[str](lambda line, count: told.append((line, count)))
    for line in ("first", "second"):
        repeats.take("a", line)
    flush_repeats()
    flush_repeats()
    assert told == [("second", 0)]


def test_lines_of_endless_kinds_are_all_told_and_cost_no_endless_memory() -> None:
    clock = Clock(1.0)
    repeats = Repeats[str](lambda line, count: None, clock=clock)
    assert all(repeats.take(kind, "line") == 0 for kind in range(3000))
    assert len(repeats._seen) <= 1000
    clock.now_s += EVERY_S
    assert [repeats.take("an outage", "line") for _ in range(2)] == [0, None]
    for _ in range(2):  # the first tells the outage, which is counted on
        repeats.flush()
    assert not repeats._seen


def test_a_line_that_went_out_is_not_kept() -> None:
    class Line:
        """What a call was refused by, and all that this holds."""

    repeats = Repeats[Line](lambda _, __: None)
    lines = [Line(), Line()]
    assert [repeats.take("a", line) for line in lines] == [0, None]
    repeats.flush()
    held = [weakref.ref(line) for line in lines]
    del lines
    assert [one() for one in held] == [None, None]


@pytest.mark.timeout(20)
def test_a_finalizer_that_logs_while_a_line_is_taken_waits_for_nobody() -> None:
    told: list[int | None] = []
    repeats = Repeats[str](lambda _, count: told.append(count))

    class Key:
        """Found out to be garbage, or to have some, in the middle of it."""

        def __hash__(self) -> int:
            told.append(repeats.take("finalizer", "a task was lost"))
            return 1

    told.append(repeats.take(Key(), "line"))
    assert told == [0, None, 0]  # two lines, and the finalizer's once more, for keys are hashed twice


def test_a_thread_that_cannot_be_started_loses_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int]] = []
    repeats = Repeats[str](lambda line, count: told.append((line, count)), every_s=0.1)

    def no_room(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", no_room)
        assert [repeats.take("a", line) for line in ("1", "2")] == [0, None]
    assert repeats.take("a", "3") is None
    wait(lambda: told, 5)
    assert told == [("3", 1)]
