"""Says by the plan alone, before anything runs, which big tables each call reads from beginning to end.

Which columns an index should have, the plan does not say: conditions hide in expressions, sub-queries and
joins. So the table and its size are named, and the rest is left to who knows it.
"""

from collections.abc import Iterable
from typing import Any

from staunch_features.checks.tables import Table, find_table
from staunch_features.postgres.connection import Connection
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.file import FeatureView, LabelText
from staunch_features.views.planner import nodes_in, planned_for_any
from staunch_features.views.signature import check_label, label_sql
from staunch_features.views.sql_text import quoted
from staunch_features.views.types import SQL_TYPES, ViewSignature

BIG_TABLE_ROWS = 10_000
"""From so many rows on a table is named: reading a smaller one whole costs nothing."""


async def index_advice(
    database: Database,
    view: FeatureView,
    signature: ViewSignature,
    label: LabelText | None,
    *,
    timeout_s: float,
) -> tuple[str, ...]:
    """Asks for the plans of a view and its label, runs neither, and names each big table read whole.

    Args:
        database: The reader's connections.
        view: The view.
        signature: Its signature.
        label: The label beside it, if there is one.
        timeout_s: How long each question may take, in seconds.

    Returns:
        One note a table, those of the view first.

    Raises:
        ViewError: The view or the label is at fault.
        DatabaseUnavailable: The database is away.
    """
    # The generic plan is the same for any ids at any moment.
    ids, moment = f"'{{}}'::{SQL_TYPES[signature.id_type]}[]", "'2000-01-01Z'::timestamptz"
    async with database.connection(Deadline.after(timeout_s)) as connection:
        values = [ids, moment] if signature.uses_as_of else [ids]
        plans = [await planned_for_any(connection, view, view.statement, values, timeout_s=timeout_s)]
        if label is not None:
            sql = label_sql(label, signature.id_type)
            await check_label(connection, label, sql, signature.id_type, deadline=Deadline.after(timeout_s))
            values = [ids, moment, moment, moment]
            plans.append(await planned_for_any(connection, label, sql, values, timeout_s=timeout_s))
        return whole_table_notes(await _read_whole(connection, plans, timeout_s))


def whole_table_notes(tables: Iterable[Table]) -> tuple[str, ...]:
    """Writes one note for each big table; the partitions of a table count together.

    Args:
        tables: Those that are read whole, each once.
    """
    rows: dict[str, float] = {}
    for table in tables:
        rows[table.root] = rows.get(table.root, 0) + table.rows
    return tuple(
        f"{root} has about {count:,.0f} rows and is read whole by each call: an index on the columns that "
        "its rows are found by, mostly the id and the time, would help"
        for root, count in rows.items()
        if count >= BIG_TABLE_ROWS
    )


async def _read_whole(connection: Connection, plans: list[Any], timeout_s: float) -> list[Table]:
    names = [
        f"{quoted(node['Schema'])}.{quoted(node['Relation Name'])}"
        for plan in plans
        for node in nodes_in(plan)
        if node["Node Type"] == "Seq Scan"
    ]
    tables = [await find_table(connection, name, timeout_s=timeout_s) for name in dict.fromkeys(names)]
    return [table for table in tables if table is not None]
