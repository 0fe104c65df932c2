"""Who may import whom, what nobody may import, how functions look: read from the source, never run."""

import ast
import statistics
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = {
    "staunch": ROOT / "client/staunch",
    "staunch_sql": ROOT / "sql/staunch_sql",
    "staunch_features": ROOT / "features/staunch_features",
    "staunch_local": ROOT / "local/staunch_local",
    "staunch_model_store": ROOT / "model_store/staunch_model_store",
    "staunch_training": ROOT / "training/staunch_training",
    "staunch_server": ROOT / "server/staunch_server",
    "staunch_cli": ROOT / "cli/staunch_cli",
}
ARROWS = {
    "staunch": set(),
    "staunch_sql": set(),
    "staunch_features": {"staunch_sql"},
    "staunch_local": {"staunch_features", "staunch_sql"},
    "staunch_model_store": set(),
    "staunch_training": {"staunch_features", "staunch_model_store"},
    "staunch_server": {"staunch", "staunch_features", "staunch_model_store"},
    "staunch_cli": set(ROOMS) - {"staunch_cli"},
}
CLIENT_MAY_USE = {"google", "grpc", "staunch"}
HEAVY = {"sklearn", "xgboost", "shap", "pandas", "onnx", "joblib", "scipy", "matplotlib", "numba"}
UNPICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
LONGEST_FUNCTION = 60
LONGEST_FILE = 400


@cache
def modules() -> dict[str, Path]:
    """Every module of every room by its dotted name; generated stubs are left out."""
    found = {}
    for room, folder in ROOMS.items():
        for file in sorted(folder.rglob("*.py")):
            parts = (room, *file.relative_to(folder).with_suffix("").parts)
            if parts[:2] != ("staunch", "v1"):
                found[".".join(parts).removesuffix(".__init__")] = file
    return found


@cache
def tree(module: str) -> ast.Module:
    text, file = modules()[module].read_text(), str(modules()[module])
    try:
        return ast.parse(text, filename=file)
    except SystemError:
        # "AST constructor recursion depth mismatch": a fault of CPython 3.11's own count of depth
        # (python/cpython#106905). Nothing in the text can cause it, and the next try is clean.
        return ast.parse(text, filename=file)


def for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def walk(node: ast.AST, *, into_functions: bool) -> Iterator[ast.AST]:
    """Walks a tree without what is there for type checkers only."""
    yield node
    if for_types_only(node) or (isinstance(node, FUNCTIONS) and not into_functions):
        return
    for child in ast.iter_child_nodes(node):
        yield from walk(child, into_functions=into_functions)


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def imports(module: str, *, into_functions: bool = True) -> set[str]:
    """The dotted names a module imports; of `from a import b` both `a` and `a.b`."""
    found: set[str] = set()
    for node in walk(tree(module), into_functions=into_functions):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_only_the_rooms_its_arrows_lead_to(name):
    wrong = {
        f"{module} -> {room(found)}"
        for module in modules()
        for found in imports(module)
        if room(module) == name and room(found) in ROOMS.keys() - ARROWS[name] - {name}
    }
    assert wrong == set()


def test_the_server_takes_the_stubs_and_nothing_else_of_the_client():
    taken = {
        found
        for module in modules()
        for found in imports(module)
        if room(module) == "staunch_server" and room(found) == "staunch"
    }
    assert {found for found in taken if not found.startswith("staunch.v1") and found != "staunch"} == set()


def test_the_client_needs_only_its_declared_packages():
    import sys

    needed = {room(found) for module in modules() for found in imports(module) if room(module) == "staunch"}
    assert needed - sys.stdlib_module_names <= CLIENT_MAY_USE


def test_only_training_and_the_command_import_what_trains():
    wrong = {
        f"{module} -> {found}"
        for module in modules()
        for found in imports(module)
        if room(found) in HEAVY and room(module) not in {"staunch_training", "staunch_cli"}
    }
    assert wrong == set()


def test_only_the_world_imports_faker():
    users = {module for module in modules() if "faker" in {room(found) for found in imports(module)}}
    assert {module for module in users if not module.startswith("staunch_local.simulation.")} == set()


def test_the_command_imports_rooms_only_when_a_sub_command_runs():
    wrong = {
        f"{module} -> {found}"
        for module in (
            "staunch_cli.main",
            "staunch_cli.commands.predict",
            "staunch_cli.commands.explain",
            "staunch_cli.commands.models",
        )
        for found in imports(module, into_functions=False)
        if room(found) in ROOMS and room(found) != "staunch_cli"
    }
    assert wrong == set()


def test_nothing_that_serves_or_trains_unpickles():
    wrong = {
        f"{module} -> {found}"
        for module in modules()
        for found in imports(module)
        if room(found) in UNPICKLES
    }
    assert wrong == set()


def test_numpy_never_loads_pickles():
    for module in modules():
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                told = isinstance(node.value, ast.Constant) and node.value.value is False
                assert told, f"{module}:{node.value.lineno}: allow_pickle may only be False"


def test_no_import_runs_in_a_circle():
    graph = {
        module: {found for found in imports(module, into_functions=False) if found in modules()} - {module}
        for module in modules()
    }
    # A package's own __init__ is run before its modules; that edge says nothing about who needs whom.
    for module, needs in graph.items():
        graph[module] = {found for found in needs if not module.startswith(f"{found}.")}
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


def public(
    node: ast.Module | ast.ClassDef,
) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for child in node.body:
        if isinstance(child, (*FUNCTIONS, ast.ClassDef)) and not child.name.startswith("_"):
            yield child
            if isinstance(child, ast.ClassDef):
                yield from public(child)


def test_every_public_name_says_what_it_is():
    silent = [
        f"{modules()[module].relative_to(ROOT)}:{node.lineno} {node.name}"
        for module in modules()
        for node in public(tree(module))
        if not ast.get_docstring(node) and not is_overload(node)
    ]
    assert silent == []


def is_overload(node: ast.AST) -> bool:
    return any("overload" in ast.unparse(one) for one in getattr(node, "decorator_list", ()))


def test_every_module_says_what_it_is_for():
    assert [module for module in modules() if not ast.get_docstring(tree(module))] == []


def lengths() -> dict[str, int]:
    """The lines of every function, its docstring not counted."""
    found = {}
    for module in modules():
        for node in ast.walk(tree(module)):
            if isinstance(node, FUNCTIONS):
                said = node.body[0] if ast.get_docstring(node) else None
                told = said.end_lineno - said.lineno + 1 if said and said.end_lineno else 0
                lines = (node.end_lineno or node.lineno) - node.lineno + 1 - told
                found[f"{modules()[module].relative_to(ROOT)}:{node.lineno} {node.name}"] = lines
    return found


def test_no_function_is_longer_than_a_screen():
    assert {name: lines for name, lines in lengths().items() if lines > LONGEST_FUNCTION} == {}


def test_functions_are_short_as_a_rule():
    lines = sorted(lengths().values())
    assert statistics.median(lines) <= 8
    assert lines[int(len(lines) * 0.9)] <= 30


def test_files_are_short_as_a_rule():
    counts = sorted(len(file.read_text().splitlines()) for file in modules().values())
    assert counts[int(len(counts) * 0.9)] <= LONGEST_FILE


def test_sql_lives_in_sql_files():
    speaks_of = (" FROM ", " INTO ", " TABLE ", " ROLE ", " DATABASE ", " VIEW ", " SET ")
    begins = ("SELECT ", "INSERT ", "UPDATE ", "DELETE ", "CREATE ", "ALTER ", "DROP ", "WITH ")
    found = [
        f"{modules()[module].relative_to(ROOT)}:{node.lineno}"
        for module in modules()
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.lstrip().startswith(begins)
        and any(word in node.value for word in speaks_of)
        and not is_docstring(module, node)
    ]
    assert found == []


def is_docstring(module: str, node: ast.Constant) -> bool:
    return any(
        isinstance(holder, (ast.Module, ast.ClassDef, *FUNCTIONS))
        and holder.body
        and isinstance(holder.body[0], ast.Expr)
        and holder.body[0].value is node
        for holder in ast.walk(tree(module))
    )


@pytest.mark.parametrize("file", sorted((ROOMS["staunch_sql"]).rglob("*.sql")), ids=lambda file: file.name)
def test_every_sql_text_begins_with_what_it_is_for(file):
    assert file.read_text().lstrip().startswith(("--", "/*"))
