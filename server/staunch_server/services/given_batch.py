"""Scores the features that calls bring: those that come in one turn of the event loop together, in one run.

Nothing is waited for: a lone call is scored in the turn after its own.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from staunch_server.models.served import Served
from staunch_server.services.answer import Answer
from staunch_server.services.given import bad_rows
from staunch_server.types import Stages

MOST_ROWS = 64
"""Rows of one run: it happens in the loop, so more would keep other calls waiting."""

Take = Callable[[Answer | Exception], None]
"""Takes the score of a row, or why it has none."""


class _Waiting(NamedTuple):
    """A call: its row, as `request.given_bytes` reads it, what its steps took, what takes its score."""

    row: bytes
    stages: Stages
    take: Take

    def give(self, outcome: Answer | Exception) -> None:
        """Ends the wait; nothing that goes wrong there costs another caller anything."""
        try:
            self.take(outcome)
        except Exception as error:
            self.take(error)


class GivenBatch:
    """Joins the calls that bring their features, of any version."""

    def __init__(self) -> None:
        self._waiting: dict[Served, list[_Waiting]] = {}

    def ask(self, served: Served, row: bytes, stages: Stages, take: Take) -> None:
        """Has a row scored with those that come in the same turn.

        Args:
            served: The version.
            row: Its features, little-endian float64 in the version's order.
            stages: Where to write down what the run took.
            take: Takes the score; or FEATURE_NOT_FINITE, FEATURE_MISSING if there is a bad value among them.
        """
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._score)
        self._waiting.setdefault(served, []).append(_Waiting(row, stages, take))

    def _score(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for served, calls in waiting.items():
            for start in range(0, len(calls), MOST_ROWS):
                _answer(served, calls[start : start + MOST_ROWS])


def _answer(served: Served, calls: Sequence[_Waiting]) -> None:
    """Scores rows of one version; a bad one is refused alone."""
    started = time.monotonic()
    try:
        values = np.frombuffer(b"".join([call.row for call in calls]), "<f8").reshape(len(calls), -1)
        if refused := bad_rows(served, values):
            for place, refusal in refused.items():
                calls[place].give(refusal)
            good = [place for place in range(len(calls)) if place not in refused]
            values, calls = values[good], [calls[place] for place in good]
        if not calls:
            return
        probabilities = served.score_few(values).probabilities.tolist()
        flags = served.limits.flags(values)
    except Exception as error:  # of the run: nobody has an answer yet, and everybody gets this one
        for call in calls:
            call.give(error)
        return
    served.count(scored=len(calls), failed=0)
    took = time.monotonic() - started
    for place, call in enumerate(calls):
        call.stages["onnx"] = took
        call.give(Answer(values[place], probabilities[place], None, flags.get(place, ())))
