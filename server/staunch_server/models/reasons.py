"""Explains the rows of chunks on threads of their own, which give way to all others of the process.

An explanation takes some ten to a thousand times a score, so a chunk of them is seconds of work. It goes in
slices of a few milliseconds: chunks take turns, and one whose time is over, or that nobody waits for any
more, stops after the slice that it is in.
"""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from staunch_model_store.model import Largest
from staunch_server.deadlines import Deadline
from staunch_server.models.served import Served
from staunch_server.types import Floats

SLICE_ROWS = 32
"""Rows of one turn: 1 ms of boosted trees, 16 of a forest; a hop between threads costs less than a tenth."""

_NICE = 10  # a tenth of the share of a thread that has none, as long as both want to run


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why some rows of a chunk, one after the other, have their outputs.

    Attributes:
        start: The first of them.
        largest: Their largest contributions; whether a row adds up is for the taker to look at.
    """

    start: int
    largest: Largest


class Explainers:
    """The threads that explain the rows of chunks, over all versions and streams of a process.

    Args:
        threads: How many.
    """

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, "reasons", initializer=_give_way)

    async def explain(
        self, served: Served, values: Floats, outputs: Floats, count: int, deadline: Deadline | None
    ) -> AsyncGenerator[Reasons, None]:
        """Explains rows slice by slice.

        Args:
            served: The version.
            values: Float64 (n, features), the rows.
            outputs: Float64 (n,), their margins.
            count: How many contributions of each row.
            deadline: Until when; None for ever.

        Raises:
            TimeoutError: The time was over before the last slice began.
            ModelRefused: The explainer cannot answer.
        """
        loop = asyncio.get_running_loop()
        for start in range(0, len(values), SLICE_ROWS):
            if deadline is not None:
                deadline.left_or_raise()
            rows = slice(start, start + SLICE_ROWS)
            work = partial(served.largest, values[rows], outputs[rows], count)
            yield Reasons(start, await loop.run_in_executor(self._threads, work))

    def close(self) -> None:
        """Ends the threads after the slices that they are in."""
        self._threads.shutdown(cancel_futures=True)


def _give_way() -> None:
    """Lowers the priority of the calling thread, where threads have one of their own."""
    if sys.platform == "linux":
        with suppress(OSError):  # forbidden here: then the threads share alike
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
