"""A customer who answers and one who is not eligible, found by the view of the model that answers."""

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from staunch_cli.shared.view_lookup import view_of_version
from staunch_server.settings import Settings

if TYPE_CHECKING:
    from staunch_features.postgres.pool import Database
    from staunch_features.views.file import FeatureView
    from staunch_features.views.types import Id

PATIENCE_S = 10.0
"""How long the search may take: seconds on a busy machine. A server is up by then; only its summary waits."""

_LOOKED_AT = 1000  # candidates: one statement of some ten milliseconds
_LONGEST_KEY = 40


@dataclass(frozen=True)
class ExampleCustomers:
    """Two ids to try a server with.

    Attributes:
        answering: One that has a score now; None if none was found.
        not_eligible: One that is refused as not eligible now; None if none was found.
        entity: What an id names.
        eligible: What who is eligible has or does; empty if the view does not say.
    """

    answering: "Id | None" = None
    not_eligible: "Id | None" = None
    entity: str = "customer"
    eligible: str = ""


NO_EXAMPLES = ExampleCustomers()


async def find_examples(settings: Settings, name: str, version: int, reader_url: str) -> ExampleCustomers:
    """Reads a version's view for its first candidates, as of now, as the server does.

    Gives nobody if that fails or takes long: whatever is wrong then, the server tells by itself.

    Args:
        settings: Where the store is.
        name: The model's.
        version: The number of the version.
        reader_url: The database.
    """
    from staunch_features.postgres.pool import Database

    pool = Database(reader_url, size=1)
    try:
        view = view_of_version(settings, name, version)
        async with asyncio.timeout(PATIENCE_S):
            return await _look(pool, view) if view else NO_EXAMPLES
    except Exception:  # An example is only a help.
        return NO_EXAMPLES
    finally:
        await pool.close()


async def _look(pool: "Database", view: "FeatureView") -> ExampleCustomers:
    from staunch_features.postgres.deadlines import Deadline
    from staunch_features.views.source import FeatureSource

    source = FeatureSource(pool, view)
    async with aclosing(source.population(_LOOKED_AT, timeout_s=PATIENCE_S)) as chunks:
        ids: list[Id] = await anext(chunks, [])
    rows = await source.fetch(ids, None, deadline=Deadline.after(PATIENCE_S))
    usable = rows.found.copy()
    usable[list(rows.problems)] = False
    return ExampleCustomers(
        answering=_first(key for key, is_one in zip(ids, usable & rows.eligible, strict=True) if is_one),
        not_eligible=_first(key for key, is_one in zip(ids, usable & ~rows.eligible, strict=True) if is_one),
        entity=view.entity,
        eligible=view.eligible,
    )


def _first(ids: "Iterable[Id]") -> "Id | None":
    """The first that can be typed."""
    return next((key for key in ids if isinstance(key, int) or _is_plain(key)), None)


def _is_plain(key: str) -> bool:
    return len(key) <= _LONGEST_KEY and key.isprintable() and key == key.strip() and not key.startswith("-")
