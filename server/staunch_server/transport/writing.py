"""Writing to callers who may not read."""

import asyncio
from typing import Any

from grpc import aio


async def write(message: bytes, context: aio.ServicerContext[Any, Any], within_s: float) -> Any:
    """Writes a message of a stream.

    Returns:
        None once the library has taken it, which is when the caller has room for it; or, if that has not come
        within `within_s` seconds, the task that writes on. Until it is done, grpc.aio can neither end nor
        reset the call: whoever wants to end it gives up its place, awaits the task, then sends the status.
    """
    writing = asyncio.create_task(_write(message, context))
    try:
        done, _ = await asyncio.wait({writing}, timeout=within_s)
    except asyncio.CancelledError:
        writing.cancel()
        raise
    for one in done:
        one.result()  # raises what went wrong
    return None if done else writing


async def _write(message: bytes, context: aio.ServicerContext[Any, Any]) -> None:
    await context.write(message)
