"""Lines that repeat: the first is told, the others are counted, and each is counted once."""

import threading

from tests.harness.clock import Clock
from tests.harness.waiting import wait

from staunch_server.telemetry.repeats import Repeats, flush_repeats


def test_nothing_is_lost_and_nothing_told_twice_by_many_threads() -> None:
    told: list[int] = []
    repeats = Repeats[str](lambda _, count: told.append(count), every_s=0.01)

    def take() -> None:
        for number in range(2000):
            count = repeats.take(number % 3, "line")
            if count is not None:
                told.append(count + 1)

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
    assert told == [("third", 2)]


def test_what_was_counted_when_the_process_ends_is_told() -> None:
    told: list[tuple[str, int]] = []
    repeats = Repeats[str](lambda line, count: told.append((line, count)))
    for line in ("first", "second"):
        repeats.take("a", line)
    flush_repeats()
    flush_repeats()
    assert told == [("second", 1)]


def test_lines_of_endless_kinds_are_all_told_and_cost_no_endless_memory() -> None:
    repeats = Repeats[str](lambda line, count: None, clock=Clock(1.0))
    assert all(repeats.take(kind, "line") == 0 for kind in range(3000))
    assert len(repeats._seen) <= 1000
    repeats.flush()
    assert not repeats._seen
