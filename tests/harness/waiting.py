"""Waits for what another task, thread or process does, by looking until it is done."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")


async def until(condition: Callable[[], object | Awaitable[object]], timeout_s: float = 10.0) -> None:
    """Waits until a condition, a function or a coroutine function, holds; fails after timeout_s seconds."""
    async with asyncio.timeout(timeout_s):
        while True:
            holds = condition()
            if await holds if inspect.isawaitable(holds) else holds:
                return
            await asyncio.sleep(0.01)


def wait(condition: Callable[[], Found], timeout_s: float = 10.0, problem: Callable[[], str] = str) -> Found:
    """Waits as `until` does where no loop runs, and returns the condition's first true value.

    Args:
        condition: Is looked at until what it returns is true.
        timeout_s: How long to look, in seconds.
        problem: Says what is wrong, once the time is over.

    Raises:
        TimeoutError: It did not come true in time.
    """
    give_up_at = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > give_up_at:
            raise TimeoutError(problem())
        time.sleep(0.01)
    return found
