"""What the planner says of a statement without running it."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from staunch_features.blame import blame
from staunch_features.database import Connection
from staunch_features.view import FeatureView, LabelText


async def planned(
    connection: Connection,
    text: FeatureView | LabelText,
    sql: str,
    arguments: Sequence[object],
    *,
    timeout_s: float,
) -> Any:
    """Asks for a statement's plan; database views and inlined functions are spread out in it.

    Args:
        connection: Where to ask.
        text: Whom to blame.
        sql: The text's statement, perhaps with something around it.
        arguments: One for each parameter; none is null, since the planner drops what a null decides.
        timeout_s: How long it may take, in seconds.

    Raises:
        ViewError: The statement is at fault.
    """
    explain = f"EXPLAIN (VERBOSE, FORMAT JSON) {sql}"
    with blame(text, explain):
        return json.loads(await connection.fetchval(explain, *arguments, timeout=timeout_s))


def strings_in(plan: Any) -> Iterator[str]:
    """Lists all that a plan says, its expressions among it."""
    if isinstance(plan, str):
        yield plan
    for part in plan.values() if isinstance(plan, dict) else plan if isinstance(plan, list) else ():
        yield from strings_in(part)
