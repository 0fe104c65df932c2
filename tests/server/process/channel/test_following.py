"""Whoever moved an alias hears when all who answer follow, who does not, and never waits for the dead."""

import asyncio

import pytest
from tests.harness.waiting import until

from staunch_server.process.channel.following import Following

ALIAS = "churn@champion"


class Worker:
    """A worker that says nothing by itself."""

    def __init__(self, number: int, *, ready: bool = True) -> None:
        self.number = number
        self.reads = True
        self.ready = asyncio.Event()
        self.told: list[str] = []
        if ready:
            self.ready.set()

    def say(self, *words: object) -> None:
        self.told.append(" ".join(map(str, words)))


@pytest.fixture
async def workers() -> list[Worker]:
    return [Worker(number) for number in range(4)]


async def test_all_others_are_asked_and_then_it_is_told(workers: list[Worker]) -> None:
    following = Following(workers)
    following.moved(workers[2], "5", "5000", ALIAS)
    others = [workers[0], workers[1], workers[3]]
    assert [worker.told for worker in others] == [[f"follow 1 {ALIAS}"]] * 3
    for worker in others:
        assert workers[2].told == []
        following.answered(worker, "1", "yes")
        following.answered(worker, "1", "yes")
    assert workers[2].told == ["followed 5"]


async def test_who_says_no_and_who_says_nothing_are_named(workers: list[Worker]) -> None:
    following = Following(workers)
    following.moved(workers[0], "1", "50", ALIAS)
    following.answered(workers[3], "1", "no")
    following.answered(workers[1], "1", "yes")
    await until(lambda: workers[0].told)
    assert workers[0].told == ["followed 1 2 3"]
    following.answered(workers[2], "1", "yes")  # too late, and nobody is told twice
    following.answered(workers[2], "99", "yes")
    assert workers[0].told == ["followed 1 2 3"]


async def test_the_dead_are_not_waited_for_and_nothing_is_told_to_the_next_life(
    workers: list[Worker],
) -> None:
    following = Following(workers)
    following.moved(workers[0], "1", "5000", ALIAS)
    following.moved(workers[1], "1", "30", ALIAS)
    for worker in workers[2:]:
        for number in ("1", "2"):
            following.answered(worker, number, "yes")
    following.gone(workers[1])
    assert workers[0].told == [f"follow 2 {ALIAS}", "followed 1"]
    following.answered(workers[0], "2", "yes")
    await asyncio.sleep(0.05)
    assert workers[1].told == [f"follow 1 {ALIAS}"]


async def test_one_that_has_not_begun_to_read_is_not_asked_and_one_that_does_not_answer_yet_not_named(
    workers: list[Worker],
) -> None:
    workers[1].reads = False
    workers[2].ready.clear()
    following = Following(workers)
    following.moved(workers[0], "1", "30", ALIAS)
    following.answered(workers[3], "1", "yes")
    await until(lambda: workers[0].told)
    assert workers[0].told == ["followed 1"]
    assert (workers[1].told, workers[2].told) == ([], [f"follow 1 {ALIAS}"])


async def test_a_worker_alone_is_told_at_once() -> None:
    alone = Worker(0)
    Following([alone]).moved(alone, "1", "5000", ALIAS)
    assert alone.told == ["followed 1"]


async def test_several_moves_at_once_are_answered_each(workers: list[Worker]) -> None:
    following = Following(workers)
    for token in range(50):
        following.moved(workers[token % 2], str(token), "5000", ALIAS)
    for number in range(1, 51):
        for worker in workers:
            following.answered(worker, str(number), "yes")
    told = [one for worker in workers[:2] for one in worker.told if one.startswith("followed")]
    assert sorted(told) == sorted(f"followed {token}" for token in range(50))


async def test_a_reload_is_passed_on_to_the_others(workers: list[Worker]) -> None:
    Following(workers).reload(workers[1])
    assert [worker.told for worker in workers] == [["reload"], [], ["reload"], ["reload"]]
