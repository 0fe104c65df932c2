"""Explains rows of single calls: those that come while others are explained go together, in one run.

There is no timer, as in the coalescer: a lone row is explained at once. A thread for each would cost a call
twice what its explanation does.
"""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np

from staunch_model_store.model import Explanation
from staunch_server.types import Floats

MOST_ROWS = 32
"""Rows of one run: what comes behind them waits for so many."""

Explain = Callable[[Floats], Awaitable[Explanation]]
"""Explains rows, float64 (n, features); whether each adds up is for those who asked to look at."""


class Explaining:
    """Joins the callers who want a row of one version explained, one run at a time.

    Args:
        explain: Explains rows.
    """

    def __init__(self, explain: Explain) -> None:
        self._explain = explain
        self._waiting: list[tuple[Floats, asyncio.Future[Explanation]]] = []
        self._running: asyncio.Task[None] | None = None

    async def ask(self, row: Floats) -> Explanation:
        """Explains one row, float64 (features,); who is cancelled while it waits is not explained.

        Raises:
            ModelStoreError: As the run does.
        """
        future: asyncio.Future[Explanation] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, future))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                taken, self._waiting = self._waiting[:MOST_ROWS], self._waiting[MOST_ROWS:]
                await self._answer([(row, future) for row, future in taken if not future.done()])
        finally:
            self._running = None

    async def _answer(self, asked: list[tuple[Floats, asyncio.Future[Explanation]]]) -> None:
        if not asked:
            return
        try:
            explained = await self._explain(np.stack([row for row, _ in asked]))
        except Exception as error:  # of the run: it is everybody's
            for _, future in asked:
                if not future.done():
                    future.set_exception(error)
            return
        for place, (_, future) in enumerate(asked):
            if not future.done():
                future.set_result(explained.of_row(place))
