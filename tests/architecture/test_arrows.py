"""Who may import whom: every import lies on an arrow of the table in `rooms.py`."""

import sys

import pytest
from tests.architecture.rooms import (
    ARROWS,
    PACKAGES,
    PROGRAMS,
    TO_COME,
    imports,
    is_front,
    modules,
    needs,
    package,
    reachable,
    room,
)

CLIENT_MAY_USE = {"google", "grpc", "staunch"}
EVERYTHING_MAY_BE_USED_BY = {"staunch_cli", "tools", "bench"}


def allowed(name: str) -> set[str]:
    """Returns the rooms that a room may import, along any number of arrows."""
    return reachable(name, lambda one: set(ARROWS[one]))


def rooms_imported(module: str) -> set[tuple[str, str | None]]:
    """Returns what a module imports of ours, each name with its room; fronts are no room and hold nothing."""
    ours = {name for name in imports(module) if package(name) in {*PACKAGES, *PROGRAMS, "tests"}}
    return {(name, room(name)) for name in ours if name not in modules() or not is_front(name)}


@pytest.mark.parametrize("name", ARROWS)
def test_a_room_imports_only_the_rooms_its_arrows_lead_to(name: str) -> None:
    wrong = {
        f"{module} -> {found}"
        for module in modules()
        if room(module) == name
        for found, target in rooms_imported(module)
        if target not in allowed(name)
    }
    assert wrong == set()


def test_every_module_lies_in_a_room() -> None:
    assert {module for module in modules() if room(module) is None and not is_front(module)} == set()


def test_the_front_of_rooms_imports_nothing() -> None:
    assert {module: imports(module) for module in modules() if is_front(module) and imports(module)} == {}


def test_every_room_of_the_table_exists_or_is_declared_to_come() -> None:
    absent = ARROWS.keys() - {room(module) for module in modules()} - {"staunch.v1"}
    assert absent - TO_COME == set()
    assert TO_COME - absent == set(), "these have come: take them out of TO_COME"


def test_no_arrows_run_in_a_circle() -> None:
    assert {name for name in ARROWS if any(name in allowed(target) for target in ARROWS[name])} == set()


def test_nobody_imports_command_tools_or_process() -> None:
    guarded = {"staunch_cli", "tools", "bench", "staunch_server.process"}
    wrong = {
        f"{module} -> {found}"
        for module in modules()
        for found, target in rooms_imported(module)
        if target in guarded - {room(module)} and room(module) not in EVERYTHING_MAY_BE_USED_BY
    }
    assert wrong == set()
    wrong = {
        f"{module} -> {found}"
        for module in modules()
        for found, target in rooms_imported(module)
        if target in guarded - {"staunch_server.process"} - {room(module)}
    }
    assert wrong == set()


def test_the_server_reaches_no_check_no_local_database_and_no_training() -> None:
    reached = {
        name
        for module in modules()
        if package(module) == "staunch_server"
        for name in reachable(module, needs)
    }
    never = (
        "staunch_features.checks",
        "staunch_features.drafts",
        "staunch_local",
        "staunch_training",
        "staunch_cli",
        "tools",
        "bench",
    )
    assert {name for name in reached if name.startswith(never)} == set()


def test_models_know_neither_transport_nor_services() -> None:
    reached = {
        target
        for module in modules()
        if room(module) == "staunch_server.models"
        for target in map(room, reachable(module, needs))
    }
    assert {one for one in reached if one and one.startswith("staunch_server.transport")} == set()
    assert "staunch_server.services" not in reached


def test_the_transport_knows_nothing_of_access_admission_and_telemetry() -> None:
    beside = {"staunch_server.access", "staunch_server.admission", "staunch_server.telemetry"}
    assert allowed("staunch_server.transport") & beside == set()


def test_the_server_takes_the_stubs_and_nothing_else_of_the_client() -> None:
    taken = {
        found
        for module in modules()
        for found in imports(module)
        if package(module) == "staunch_server" and package(found) == "staunch"
    }
    assert {found for found in taken if not found.startswith("staunch.v1") and found != "staunch"} == set()


def test_the_client_needs_only_its_declared_packages() -> None:
    needed = {
        package(name)
        for module in modules()
        # In its functions it imports what a caller has brought, by an extra of the client.
        for name in imports(module, into_functions=module != "staunch._frames")
        if room(module) == "staunch"
    }
    assert needed - sys.stdlib_module_names <= CLIENT_MAY_USE


def test_no_tool_and_no_benchmark_imports_another() -> None:
    wrong = {
        f"{module} -> {found}"
        for module in modules()
        if package(module) in PROGRAMS
        for found in needs(module)
        # A program of several modules has a folder of its own.
        if package(found) in PROGRAMS and found.split(".")[:2] != module.split(".")[:2]
    }
    assert wrong == set()


def test_no_import_runs_in_a_circle() -> None:
    graph = {module: needs(module, into_functions=False) for module in modules()}
    for module in graph:
        assert path(graph, module, module) is None, path(graph, module, module)


def path(graph: dict[str, set[str]], start: str, goal: str) -> list[str] | None:
    """Finds a way from start to goal along at least one edge."""
    waiting, seen = [[start]], set()
    while waiting:
        way = waiting.pop()
        for found in graph[way[-1]]:
            if found == goal:
                return [*way, found]
            if found not in seen:
                seen.add(found)
                waiting.append([*way, found])
    return None
