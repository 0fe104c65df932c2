"""Waits for what another task, thread or process does, by looking until it is done."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], object | Awaitable[object]], timeout_s: float = 10.0) -> None:
    """Waits until a condition, a function or a coroutine function, holds; fails after timeout_s seconds."""
    async with asyncio.timeout(timeout_s):
        while True:
            holds = condition()
            if await holds if inspect.isawaitable(holds) else holds:
                return
            await asyncio.sleep(0.01)
