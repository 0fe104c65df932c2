"""What the simulated world in a database has to say to views, labels and trainings of its rows."""

from datetime import datetime
from typing import TYPE_CHECKING

from staunch_cli.shared.database import DatabaseUrls

if TYPE_CHECKING:
    from staunch_features.views.file import FeatureView, LabelText


async def end_of_world(
    urls: DatabaseUrls, view: "FeatureView", label: "LabelText | None", timeout_s: float
) -> datetime | None:
    """Returns where the simulated world ends, if view or label reads it; None if neither does.

    Args:
        urls: The database.
        view: The feature view.
        label: Its label, if there is one.
        timeout_s: How long a statement may take.
    """
    from staunch_features.checks.tables import tables_read
    from staunch_features.postgres.pool import Database
    from staunch_local.simulation.background.tables import TABLES
    from staunch_local.simulation.world import world_until

    end = await world_until(urls.owner)
    if end is None:
        return None
    reader = Database(urls.reader, size=1)
    try:
        read = await tables_read(reader, view, label, timeout_s=timeout_s)
    finally:
        await reader.close()
    return end if read & {table.name for table in TABLES.values()} else None
