"""A fair sample of a view's population: what is said of it can be said of all."""

from itertools import pairwise

import staunch_sql
from staunch_features.errors import ViewError
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.file import FeatureView
from staunch_features.views.header import header_line
from staunch_features.views.signature import MAX_KEY_BYTES, SQL_TYPES
from staunch_features.views.sql_errors import view_errors
from staunch_features.views.types import Id, canonical_id

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
        ViewError: The population's SQL is at fault, or it holds a null or an id twice.
        DatabaseUnavailable: The database is away.
        TimeoutError: It took longer than that.
    """
    sql = staunch_sql.query("checks/sample_population").format(
        cast=f"::{SQL_TYPES[id_type]}" + ("::text" if id_type == "uuid" else ""),
        statement=view.population,
        most=most,
    )
    async with database.connection(Deadline.after(timeout_s)) as connection:
        with view_errors(view, sql):
            rows = await connection.fetch(sql, timeout=timeout_s)
    ids: list[Id] = [row["id"] for row in rows]
    if None in ids:
        raise _population_error(view, "a null", "add WHERE ... IS NOT NULL to it")
    # What is there twice has one hash, and so stands side by side.
    duplicates = [one for one, other in pairwise(ids) if one == other]
    if duplicates:
        raise _population_error(
            view, f"{duplicates[0]!r} more than once", "SELECT DISTINCT, or read a table of one row an id"
        )
    for each in ids:
        if problem := _why_refused(id_type, each):
            raise _population_error(view, f"{each!r}", f"leave out what no call can ask for: {problem}")
    return ids


def _why_refused(id_type: str, key: Id) -> str:
    """Why the server would refuse an id; empty if it takes it."""
    if isinstance(key, str) and len(key.encode()) > MAX_KEY_BYTES:
        return f"expected a key of 1 to {MAX_KEY_BYTES} bytes, got {len(key.encode())}"
    try:
        canonical_id(id_type, key)
    except ValueError as error:
        return str(error)
    return ""


def _population_error(view: FeatureView, got: str, hint: str) -> ViewError:
    return ViewError(
        file=view.file,
        line=header_line(view.text, "population"),
        message=f"expected the population to list each id once, got {got}",
        hint=hint,
    )
