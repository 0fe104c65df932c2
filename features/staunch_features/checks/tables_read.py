"""Which tables a view and its label read, by their plans."""

from datetime import UTC, datetime

import staunch_sql
from staunch_features.postgres.pool import Database
from staunch_features.views.file import FeatureView, LabelText
from staunch_features.views.planner import planned, tables_in
from staunch_features.views.signature import SQL_TYPES
from staunch_features.views.source import FeatureSource


async def tables_read(
    database: Database, view: FeatureView, label: LabelText | None, *, timeout_s: float
) -> frozenset[str]:
    """Lists the tables, with their schemas; without those that only a function reads that is not inlined.

    Args:
        database: The reader's connections.
        view: The view.
        label: The label beside it, if there is one.
        timeout_s: How long each statement may take, in seconds.

    Raises:
        ViewError: The view or the label is at fault.
        DatabaseUnavailable: The database is away.
        TimeoutError: It took longer than that.
    """
    signature = await FeatureSource(database, view).signature(timeout_s)
    now = datetime.now(UTC)
    arguments: tuple[object, ...] = ([], now) if signature.uses_as_of else ([],)
    async with database.connection(timeout_s) as connection:
        plan = await planned(connection, view, view.statement, arguments, timeout_s=timeout_s)
        found = set(tables_in(plan))
        if label:
            sql = staunch_sql.query("views/read_labels").format(
                ids=f"{SQL_TYPES[signature.id_type]}[]", statement=label.statement
            )
            plan = await planned(connection, label, sql, ([], now, now, now), timeout_s=timeout_s)
            found.update(tables_in(plan))
    return frozenset(found)
