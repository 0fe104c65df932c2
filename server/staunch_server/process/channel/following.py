"""The supervisor's part in a moved alias: it has the other workers follow, and tells who does not."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol


class Member(Protocol):
    """A worker, as far as it matters here.

    Attributes:
        number: Its place among the workers.
        reads: Whether its process has begun to read the store: one that has not will read what stands there.
        ready: Set while it answers.
    """

    number: int
    reads: bool
    ready: asyncio.Event

    def say(self, *words: object) -> None:
        """Sends it a line."""


@dataclass(eq=False)
class _Asked:
    """One alias that a worker moved, and who has still to say that it follows."""

    origin: Member
    token: str
    silent: set[Member]
    refusing: set[Member] = field(default_factory=set)


class Following:
    """Keeps who has been asked to follow what.

    A worker that dies is waited for no longer: the next one of its number reads the store anew.

    Args:
        workers: All of the server.
    """

    def __init__(self, workers: Sequence[Member]) -> None:
        self._workers = workers
        self._numbers = count(1)
        self._asked: dict[str, _Asked] = {}

    def moved(self, origin: Member, token: str, wait_ms: str, alias: str) -> None:
        """Hears that a worker has moved an alias, and asks the others to follow.

        Args:
            origin: The worker; it hears `followed TOKEN` in the end, and the numbers of those who do not.
            token: Its own name for the question.
            wait_ms: How long to wait for the others, in milliseconds.
            alias: Which, "churn@champion".
        """
        number = str(next(self._numbers))
        others = {worker for worker in self._workers if worker is not origin and worker.reads}
        self._asked[number] = _Asked(origin, token, set(others))
        for worker in others:
            worker.say("follow", number, alias)
        asyncio.get_running_loop().call_later(int(wait_ms) / 1000, self._give_up, number)
        self._end_answered([number])

    def answered(self, worker: Member, number: str, how: str) -> None:
        """Hears from a worker that it follows, "yes", or that it cannot."""
        asked = self._asked.get(number)
        if asked is not None and worker in asked.silent:
            asked.silent.discard(worker)
            if how != "yes":
                asked.refusing.add(worker)
        self._end_answered([number])

    def gone(self, worker: Member) -> None:
        """Hears that the process of a worker has ended."""
        for number, asked in list(self._asked.items()):
            asked.silent.discard(worker)
            asked.refusing.discard(worker)
            if asked.origin is worker:
                del self._asked[number]
        self._end_answered(list(self._asked))

    def reload(self, origin: Member) -> None:
        """Has the others read the store again, as one of them was told to."""
        for worker in self._workers:
            if worker is not origin:
                worker.say("reload")

    def _give_up(self, number: str) -> None:
        asked = self._asked.pop(number, None)
        if asked is not None:
            # One that does not answer calls yet is not waited for: it reads again before it does.
            late = {worker for worker in asked.silent if worker.ready.is_set()}
            _answer(asked, late | asked.refusing)

    def _end_answered(self, numbers: Iterable[str]) -> None:
        for number in numbers:
            asked = self._asked.get(number)
            if asked is not None and not asked.silent:
                del self._asked[number]
                _answer(asked, asked.refusing)


def _answer(asked: _Asked, late: set[Member]) -> None:
    asked.origin.say("followed", asked.token, *sorted(worker.number for worker in late))
