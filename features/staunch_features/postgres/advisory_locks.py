"""Advisory locks: one writer at a time, and who has to wait is told what for."""

import asyncio

import staunch_sql
from staunch_features.postgres.connection import Connection
from staunch_features.postgres.progress import Progress

PATIENCE_S = 1.0
"""A wait shorter than this is nobody's business."""


async def take_lock(
    connection: Connection,
    query: str,
    command: str,
    progress: Progress,
    *,
    patience_s: float = PATIENCE_S,
) -> None:
    """Waits for a lock as long as it takes; cancelling the task gives up.

    Args:
        connection: The session that is to hold it.
        query: The name of the statement that takes it.
        command: Whose end is waited for, for example `staunch migrate`.
        progress: Told so once if it takes longer than `patience_s`.
        patience_s: How long a wait is nobody's business, in seconds.
    """
    message = f"waiting until another `{command}` on this database is done"
    timer = asyncio.get_running_loop().call_later(patience_s, progress, message, 0.0)
    try:
        await connection.execute(staunch_sql.query(query))
    finally:
        timer.cancel()
