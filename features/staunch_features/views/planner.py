"""What the planner says of a statement without running it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from staunch_features.postgres.connection import Connection
from staunch_features.views.file import FeatureView, LabelText
from staunch_features.views.sql_errors import view_errors

_STATEMENT = "staunch_planned"


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
        text: Whose text is at fault.
        sql: The text's statement, perhaps with something around it.
        arguments: One for each parameter; none is null, since the planner drops what a null decides.
        timeout_s: How long it may take, in seconds.

    Raises:
        ViewError: The statement is at fault.
    """
    explain = f"EXPLAIN (VERBOSE, FORMAT JSON) {sql}"
    with view_errors(text, explain):
        return json.loads(await connection.fetchval(explain, *arguments, timeout=timeout_s))


async def planned_for_any(
    connection: Connection,
    text: FeatureView | LabelText,
    sql: str,
    values: Sequence[str],
    *,
    timeout_s: float,
) -> Any:
    """Asks for the generic plan of a statement, the one that serves any ids at any moment.

    Args:
        connection: A connection with `plan_cache_mode=force_generic_plan`, as all of ours have.
        text: Whose text is at fault.
        sql: The text's statement, perhaps with something around it.
        values: One for each parameter, written as SQL; they change nothing.
        timeout_s: How long each step may take, in seconds.

    Raises:
        ViewError: The statement is at fault.
    """
    explain = f"EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE {_STATEMENT}({', '.join(values)})"
    with view_errors(text, sql):
        await connection.execute(f"PREPARE {_STATEMENT} AS {sql}", timeout=timeout_s)
        try:
            return json.loads(await connection.fetchval(explain, timeout=timeout_s))
        finally:
            await connection.execute(f"DEALLOCATE {_STATEMENT}", timeout=timeout_s)


def strings_in(plan: Any) -> Iterator[str]:
    """Lists all that a plan says, its expressions among it."""
    if isinstance(plan, str):
        yield plan
    for part in _parts(plan):
        yield from strings_in(part)


def nodes_in(plan: Any) -> Iterator[Mapping[str, Any]]:
    """Lists the nodes of a plan, from the top."""
    if isinstance(plan, dict) and "Node Type" in plan:
        yield plan
    for part in _parts(plan):
        yield from nodes_in(part)


def tables_in(plan: Any) -> Iterator[str]:
    """Lists the tables that a plan reads, with their schemas, each as often as it is read."""
    for node in nodes_in(plan):
        if "Relation Name" in node:
            yield f"{node['Schema']}.{node['Relation Name']}"


def _parts(plan: Any) -> Iterable[Any]:
    if isinstance(plan, dict):
        return plan.values()
    return plan if isinstance(plan, list) else ()
