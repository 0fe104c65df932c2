"""Advisory locks: one writer at a time, and who has to wait is told what for."""

import asyncio
from collections.abc import Callable
from typing import Final

import staunch_sql
from staunch_features.postgres.connection import Connection

_PATIENCE_S: Final = 1.0  # a wait shorter than this is nobody's business


async def take_lock(
    connection: Connection, query: str, command: str, progress: Callable[[str, float], None]
) -> None:
    """Waits for a lock as long as it takes; cancelling the task gives up.

    Args:
        connection: The session that is to hold it.
        query: The name of the statement that takes it.
        command: Whose end is waited for, for example ``staunch migrate``.
        progress: Told so once if it takes longer than a second.
    """
    told = f"waiting until another `{command}` on this database is done"
    timer = asyncio.get_running_loop().call_later(_PATIENCE_S, progress, told, 0.0)
    try:
        await connection.execute(staunch_sql.query(query))
    finally:
        timer.cancel()
