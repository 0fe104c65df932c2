"""Scores the features that calls bring: those that come in turns of the loop close together, in one run.

There is no timer: a lone call is scored as soon as a few turns have brought no other.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np

from staunch_server.models.served import Served
from staunch_server.services.answer import Answer
from staunch_server.services.given import bad_rows
from staunch_server.types import Stages

IDLE_TURNS = 4
"""Turns of the loop without a new call, after which those that wait are scored. grpc.aio brings a call in
every second turn or so, and a run for each costs 80 µs where a row of many costs 4; a turn takes a few."""

ENOUGH_ROWS = 16
"""So many wait for no further turn."""

MOST_ROWS = 64
"""Rows of one run: it happens in the loop, so more would keep other calls waiting."""

Caller = TypeVar("Caller")


class GivenBatch(Generic[Caller]):
    """Joins the calls that bring their features, of any version.

    Args:
        take: Takes a version, a caller as it was given, and its score; or why there is none, which is a
            Refusal (FEATURE_NOT_FINITE, FEATURE_MISSING) if there is a bad value among its features. What it
            raises it is given too.
    """

    def __init__(self, take: Callable[[Served, Caller, Answer | Exception], None]) -> None:
        self._take = take
        self._waiting: dict[Served, list[tuple[bytes, Stages, Caller]]] = {}
        self._count = 0
        self._idle_turns = 0

    def ask(self, served: Served, row: bytes, stages: Stages, caller: Caller) -> None:
        """Has a row scored with those that come close to it.

        Args:
            served: The version.
            row: Its features as `request.given_bytes` reads them.
            stages: Where to write down what the run took.
            caller: Who is to have the score.
        """
        if not self._waiting:
            self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._look)
        waiting = self._waiting.get(served)
        if waiting is None:
            waiting = self._waiting[served] = []
        waiting.append((row, stages, caller))
        self._count += 1
        self._idle_turns = 0

    def _look(self) -> None:
        """Has what waits scored once no more comes, or enough has come."""
        self._idle_turns += 1
        if self._idle_turns < IDLE_TURNS and self._count < ENOUGH_ROWS:
            self._loop.call_soon(self._look)
        else:
            self._count = 0
            self._score()

    def _score(self) -> None:
        asked, self._waiting = self._waiting, {}
        for served, calls in asked.items():
            for start in range(0, len(calls), MOST_ROWS):
                self._answer(served, calls[start : start + MOST_ROWS])

    def _answer(self, served: Served, calls: Sequence[tuple[bytes, Stages, Caller]]) -> None:
        """Scores rows of one version; a bad one is refused alone."""
        started = time.monotonic()
        try:
            values = np.frombuffer(b"".join([row for row, _, _ in calls]), "<f8").reshape(len(calls), -1)
            if refused := bad_rows(served, values):
                for place, refusal in refused.items():
                    self._give(served, calls[place][2], refusal)
                good = [place for place in range(len(calls)) if place not in refused]
                values, calls = values[good], [calls[place] for place in good]
            if not calls:
                return
            probabilities = served.score_few(values).probabilities.tolist()
            flags = served.limits.flags(values)
        except Exception as error:  # of the run: nobody has an answer yet, and everybody gets this one
            for _, _, caller in calls:
                self._give(served, caller, error)
            return
        served.count(scored=len(calls), failed=0)
        took = time.monotonic() - started
        for place, (_, stages, caller) in enumerate(calls):
            stages["onnx"] = took
            self._give(
                served, caller, Answer(values[place], probabilities[place], None, flags.get(place, ()))
            )

    def _give(self, served: Served, caller: Caller, outcome: Answer | Exception) -> None:
        """Ends a wait; nothing that goes wrong there costs another caller anything."""
        try:
            self._take(served, caller, outcome)
        except Exception as error:
            self._take(served, caller, error)
