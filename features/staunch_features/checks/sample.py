"""A fair sample of a view's population: what is said of it can be said of all."""

import staunch_sql
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.file import FeatureView
from staunch_features.views.population import population_cast
from staunch_features.views.rules import can_be_asked_sql, check_population, refuse_nulls
from staunch_features.views.sql_errors import view_errors
from staunch_features.views.types import Id

SAMPLE_IDS = 10_000
"""How many ids speak for all."""


async def draw(
    database: Database, view: FeatureView, id_type: str, *, most: int = SAMPLE_IDS, timeout_s: float
) -> list[Id]:
    """Draws ids by a hash of themselves: each is as likely to be drawn, and the same ones are each time.

    Args:
        database: The reader's connections.
        view: The view.
        id_type: The type of its ids.
        most: How many; a smaller population is drawn whole.
        timeout_s: How long the database may take, in seconds.

    Raises:
        ViewError: The population's SQL is at fault, or it holds what no call can ask for, or an id twice.
        DatabaseUnavailable: The database is away.
        TimeoutError: It took longer than that.
    """
    deadline = Deadline.after(timeout_s)
    async with database.connection(deadline) as connection:
        sql = staunch_sql.query("checks/sample_population").format(
            cast=await population_cast(connection, view, id_type, deadline),
            bad=f"NOT {can_be_asked_sql(id_type, 'listed.id')}",
            statement=view.population,
            most=most,
        )
        with view_errors(view, sql):
            rows = await connection.fetch(sql, timeout=timeout_s)
    # The bad ones come first, however large the population.
    ids: list[Id] = [row["id"] for row in rows]
    refuse_nulls(view, ids)
    check_population(view, id_type, ids, [row["id"] for row in rows if row["times"] > 1])
    return ids
