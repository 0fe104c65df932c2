"""How much can be asked of a text at once: more and more ids are tried while the time allows."""

import time
from collections.abc import Awaitable, Callable
from datetime import datetime

from staunch_features.checks.sample import draw
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.file import FeatureView
from staunch_features.views.source import FeatureSource
from staunch_features.views.types import Id

BUDGET_S = 3.0
"""How long one statement of a check may take, as far as can be foreseen."""

_GROWTH = 10
_TRIED_OFTEN = 1_000


async def ids_within_budget(
    most: int,
    run: Callable[[int], Awaitable[object]],
    *,
    budget_s: float = BUDGET_S,
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """Finds how many ids are answered for in time, by asking for one, ten, a hundred and so on.

    Args:
        most: How many there are.
        run: Asks for so many ids.
        budget_s: How long one call of it may take, in seconds.
        clock: Tells the time, in seconds.
    """
    answered, took_s = 0, 0.0
    while answered < most:
        asked = min(max(_GROWTH * answered, 1), most)
        begun = clock()
        await run(asked)
        now_s = clock() - begun
        # What an id costs is what the last step added: the rest is paid once, however many are asked for.
        each_s = max((now_s - took_s) / (asked - answered), 0)
        answered, took_s = asked, now_s
        left_s = budget_s - took_s
        if each_s * (min(_GROWTH * answered, most) - answered) > left_s:
            return _rounded_down(answered + max(int(left_s / each_s), 0))
    return most


def _rounded_down(count: int) -> int:
    """Keeps the first digit: those after it are chance."""
    unit: int = 10 ** (len(str(count)) - 1)
    return count // unit * unit


def ids_to_try_often(ids: list[Id], drawn: int) -> list[Id]:
    """The ids that tell the plan and the look-ahead, both of which ask several times.

    Args:
        ids: What `draw_in_time` gave.
        drawn: The same.
    """
    return ids[: _TRIED_OFTEN if len(ids) == drawn else max(len(ids) // 10, 1)]


async def draw_in_time(
    database: Database,
    view: FeatureView,
    moment: datetime | None,
    *,
    timeout_s: float,
    budget_s: float = BUDGET_S,
) -> tuple[list[Id], int]:
    """Draws a sample of a view's population that the view answers for in time.

    Args:
        database: The reader's connections.
        view: The view.
        moment: As of when; None for a view without as-of time.
        timeout_s: How long a statement may take at most, in seconds.
        budget_s: How long one statement should take, in seconds.

    Returns:
        The ids, and how many were drawn before those were left out that would take too long.

    Raises:
        ViewError: The view or its population is at fault.
        DatabaseUnavailable: The database is away.
        TimeoutError: A statement took longer than that.
    """
    source = FeatureSource(database, view)
    signature = await source.signature(Deadline.after(timeout_s))
    ids = await draw(database, view, signature.id_type, timeout_s=timeout_s)

    async def run(count: int) -> None:
        await source.fetch(ids[:count], moment, deadline=Deadline.after(timeout_s))

    return ids[: await ids_within_budget(len(ids), run, budget_s=budget_s)], len(ids)
