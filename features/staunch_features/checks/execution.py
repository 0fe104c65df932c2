"""How the database goes about a feature view: which tables by which index, how much it reads."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import staunch_sql
from staunch_features.postgres.connection import Connection
from staunch_features.views.file import FeatureView
from staunch_features.views.sql_errors import view_errors
from staunch_features.views.sql_text import quoted
from staunch_features.views.types import SQL_TYPES, ViewSignature

_STATEMENT = "staunch_plan"


@dataclass(frozen=True, slots=True)
class Scan:
    """One way in which a plan reads a table.

    Attributes:
        table: The table with its schema.
        kind: PostgreSQL's name of it, for example `Index Only Scan`.
        index: The index used; None for a scan of the whole table.
        rows: How many rows came out of it.
        heap_fetches: How many of them had to be looked up in the table although the index had them.
        sql: The table as it stands in SQL.
    """

    table: str
    kind: str
    index: str | None
    rows: int
    heap_fetches: int
    sql: str = ""


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """One execution of a view, as EXPLAIN (ANALYZE, BUFFERS) tells it.

    Attributes:
        ids: How many ids were asked for.
        scans: The tables read, each scan once.
        blocks: Blocks of 8 KiB read, from memory or disk.
        planning_ms: Time to find the generic plan, which a connection pays once.
        execution_ms: Time to run it.
        text: The plan as PostgreSQL prints it.
    """

    ids: int
    scans: tuple[Scan, ...]
    blocks: int
    planning_ms: float
    execution_ms: float
    text: str


async def explain(
    connection: Connection,
    view: FeatureView,
    signature: ViewSignature,
    ids: Sequence[int | str],
    as_of: datetime | None,
    *,
    timeout_s: float,
) -> QueryPlan:
    """Runs a view and reports its generic plan, the one that serving uses.

    Args:
        connection: A connection with `plan_cache_mode=force_generic_plan`, as all of ours have.
        view: The view.
        signature: Its signature.
        ids: Canonical ids.
        as_of: The moment; None for a view without one.
        timeout_s: How long each of the statements may take, in seconds.

    Raises:
        ViewError: The view is at fault.
    """
    values = await _literals(connection, signature, ids, as_of, timeout_s)
    execute = f"EXECUTE {_STATEMENT}({', '.join(values)})"
    with view_errors(view, view.statement):
        await connection.execute(f"PREPARE {_STATEMENT} AS {view.statement}", timeout=timeout_s)
        try:
            # The first execution plans and warms the caches, the second is the one that counts.
            await connection.execute(execute, timeout=timeout_s)
            lines = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {execute}", timeout=timeout_s)
            measured = f"EXPLAIN (ANALYZE, BUFFERS, VERBOSE, FORMAT JSON) {execute}"
            (root,) = json.loads(await connection.fetchval(measured, timeout=timeout_s))
        finally:
            await connection.execute(f"DEALLOCATE {_STATEMENT}", timeout=timeout_s)
    return QueryPlan(
        ids=len(ids),
        scans=tuple(_scans(root["Plan"])),
        blocks=root["Plan"]["Shared Hit Blocks"] + root["Plan"]["Shared Read Blocks"],
        planning_ms=root["Planning Time"],
        execution_ms=root["Execution Time"],
        text="\n".join(line[0] for line in lines),
    )


async def _literals(
    connection: Connection,
    signature: ViewSignature,
    ids: Sequence[int | str],
    as_of: datetime | None,
    timeout_s: float,
) -> list[str]:
    """Writes the parameters as SQL: EXECUTE takes no others. The database does the quoting."""
    sql_type = SQL_TYPES[signature.id_type]
    quote = staunch_sql.query("checks/quote_ids").format(type=sql_type)
    values = [f"{await connection.fetchval(quote, list(ids), timeout=timeout_s)}::{sql_type}[]"]
    if signature.uses_as_of and as_of is not None:
        values.append(f"'{as_of.isoformat()}'::timestamptz")
    return values


def _scans(node: dict[str, Any]) -> Iterator[Scan]:
    if "Relation Name" in node:
        yield Scan(
            table=f"{node['Schema']}.{node['Relation Name']}",
            kind=node["Node Type"],
            index=node.get("Index Name"),
            rows=round(node["Actual Rows"] * node["Actual Loops"]),
            heap_fetches=node.get("Heap Fetches", 0),
            sql=f"{quoted(node['Schema'])}.{quoted(node['Relation Name'])}",
        )
    for child in node.get("Plans", ()):
        yield from _scans(child)
