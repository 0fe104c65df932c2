"""One clock: what serves a call measures waiting by `Deadline`, and never mixes it with the loop's time."""

import ast

from tests.architecture.rooms import modules, place, tree

SERVES_CALLS = ("staunch_server", "staunch_features.postgres", "staunch_features.views")

MIXES = {
    "timeout_at": "takes the loop's time, and our deadlines are on the monotonic clock",
    "call_at": "takes the loop's time, and our deadlines are on the monotonic clock",
    "wait_for": "can hide a cancellation in Python 3.11; use `async with deadline.timeout()`",
}

OWN_TIMEOUTS = {
    "staunch_features.postgres.deadlines": "is where a deadline becomes a timeout",
    "staunch_server.transport.turns": "how long a stream may idle begins anew, or ends, within the block",
    "staunch_server.process.supervisor": "a pause between two starts: it promises nobody an end",
}
"""Who calls `asyncio.timeout` all the same; everybody else takes `deadline.timeout()`."""

RESCHEDULES = {"staunch_server.transport.guard", "staunch_server.transport.turns"}
"""Where the loop's time is asked for all the same: `asyncio.Timeout.reschedule` takes no other."""


def calls(module: str) -> list[tuple[str, str]]:
    """Lists the calls of attributes in a module: the name called, and where."""
    return [
        (node.func.attr, place(module, node))
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]


def serving() -> list[str]:
    return [module for module in modules() if module.startswith(SERVES_CALLS)]


def test_nothing_that_serves_waits_by_another_clock() -> None:
    wrong = [(where, name) for module in serving() for name, where in calls(module) if name in MIXES]
    assert wrong == []


def test_what_ends_in_time_ends_by_a_deadline() -> None:
    takers = {
        module
        for module in serving()
        for node in ast.walk(tree(module))
        if (isinstance(node, ast.Attribute) and ast.unparse(node) == "asyncio.timeout")
        or (isinstance(node, ast.ImportFrom) and "timeout" in [alias.name for alias in node.names])
    }
    assert takers == set(OWN_TIMEOUTS)


def test_the_loops_time_is_asked_only_where_the_loop_wants_it() -> None:
    asking = {
        module
        for module in serving()
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "time"
        and ast.unparse(node.func.value) != "time"  # time.time() is the wall's
    }
    assert asking == RESCHEDULES


def test_the_walls_time_measures_nothing() -> None:
    wrong = [
        place(module, node)
        for module in serving()
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "time.time"
    ]
    assert wrong == []
