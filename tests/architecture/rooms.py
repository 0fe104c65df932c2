"""The rooms of the house, the arrows between them, and what tests read from their sources."""

import ast
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]

PACKAGES: Mapping[str, Path] = {
    "staunch": ROOT / "client/staunch",
    "staunch_sql": ROOT / "sql/staunch_sql",
    "staunch_features": ROOT / "features/staunch_features",
    "staunch_local": ROOT / "local/staunch_local",
    "staunch_model_store": ROOT / "model_store/staunch_model_store",
    "staunch_training": ROOT / "training/staunch_training",
    "staunch_server": ROOT / "server/staunch_server",
    "staunch_cli": ROOT / "cli/staunch_cli",
}
"""What the two distributions hold: one package in each folder."""

PROGRAMS: Mapping[str, Path] = {"tools": ROOT / "tools", "bench": ROOT / "bench"}
"""What we run from the tree and ship in no wheel."""

_SERVER_LEAVES = {f"staunch_server.{leaf}" for leaf in ("errors", "events", "metrics", "types", "deadlines")}
_BESIDE_THE_GUARD = {*_SERVER_LEAVES, "staunch_server.settings"}

_FEW: Mapping[str, set[str]] = {
    "staunch.v1": set(),
    "staunch": {"staunch.v1"},
    "staunch_sql": set(),
    "staunch_features.errors": set(),
    "staunch_features.postgres.deadlines": set(),
    "staunch_features.postgres": {
        "staunch_features.errors",
        "staunch_features.postgres.deadlines",
        "staunch_sql",
    },
    "staunch_features.views": {"staunch_features.postgres"},
    "staunch_features.checks": {"staunch_features.views"},
    "staunch_features.drafts": {"staunch_features.checks"},
    "staunch_local.postgres": {"staunch_features.errors", "staunch_sql"},
    "staunch_local.simulation.background": {"staunch_features.postgres"},
    "staunch_local.simulation.rows": {"staunch_local.simulation.background"},
    "staunch_local.simulation.life": {"staunch_local.simulation.rows"},
    "staunch_local.simulation": {"staunch_local.simulation.life"},
    "staunch_model_store.errors": set(),
    "staunch_model_store": {"staunch_model_store.errors"},
    "staunch_training": {"staunch_features.checks", "staunch_model_store"},
    "staunch_server.types": set(),
    # The server and the database have one clock.
    "staunch_server.deadlines": {"staunch_features.postgres.deadlines"},
    # Metrics listen to events; whoever makes something happen knows the events and no listener.
    "staunch_server.events": {"staunch_server.errors", "staunch_server.types"},
    "staunch_server.metrics": {"staunch_server.events"},
    # Of the store only the pattern of a model's name, so that a setting and a folder agree on it.
    "staunch_server.file_access": set(),
    "staunch_server.setting_names": set(),
    "staunch_server.setting_words": {"staunch_server.setting_names"},
    "staunch_server.settings": {
        "staunch_model_store",
        "staunch_server.file_access",
        "staunch_server.setting_words",
    },
    "staunch_server.errors": {"staunch_features.errors", "staunch_model_store.errors"},
    "staunch_server.statuses": {"staunch_server.errors"},
    "staunch_server.transport.seam": {*_SERVER_LEAVES, "staunch_server.statuses"},
    "staunch_server.transport": {"staunch_server.transport.seam"},
    "staunch_server.access": _BESIDE_THE_GUARD,
    "staunch_server.admission": _BESIDE_THE_GUARD,
    "staunch_server.telemetry": _BESIDE_THE_GUARD,
    "staunch_server.models": {*_SERVER_LEAVES, "staunch_features.views", "staunch_model_store"},
    "staunch_server.services": {"staunch_server.models", "staunch_server.transport.seam", "staunch.v1"},
}

_ALL = {*_FEW, "staunch_server.process"}

ARROWS: Mapping[str, set[str]] = {
    **_FEW,
    "staunch_server.process": {room for room in _FEW if room.startswith("staunch_server.")},
    "staunch_cli": _ALL,
    "tools": _ALL,
    "bench": _ALL,
}
"""Each room and the rooms that it may import, as the plan of the house draws them. An arrow is transitive:
who may import a room may import what that room may. A module lies in the room of the longest prefix."""

TO_COME = {"staunch_server.access"}
"""Rooms whose place is kept and whose first module is still to be written."""

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def modules() -> dict[str, Path]:
    """Returns every module of every room by its dotted name; generated stubs are left out."""
    found = {}
    for package, folder in {**PACKAGES, **PROGRAMS}.items():
        for file in sorted(folder.rglob("*.py")):
            parts = (package, *file.relative_to(folder).with_suffix("").parts)
            if parts[:2] != ("staunch", "v1"):
                found[".".join(parts).removesuffix(".__init__")] = file
    return found


def shipped() -> dict[str, Path]:
    """Returns the modules of the packages, without the programs."""
    return {module: file for module, file in modules().items() if package(module) in PACKAGES}


def place(module: str, node: ast.AST) -> str:
    """Returns file and line of a node, as an editor opens it."""
    return f"{modules()[module].relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


@cache
def tree(module: str) -> ast.Module:
    """Parses a module."""
    return parsed(modules()[module].read_text())


def parsed(text: str) -> ast.Module:
    """Parses a text."""
    try:
        return ast.parse(text)
    except SystemError:
        # "AST constructor recursion depth mismatch": a fault of CPython 3.11's own count of depth
        # (python/cpython#106905). Nothing in the text can cause it, and the next try is clean.
        return ast.parse(text)


def walk(node: ast.AST, *, into_functions: bool) -> Iterator[ast.AST]:
    """Walks a tree without what is there for type checkers only."""
    yield node
    if _for_types_only(node) or (isinstance(node, FUNCTIONS) and not into_functions):
        return
    for child in ast.iter_child_nodes(node):
        yield from walk(child, into_functions=into_functions)


def _for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


@cache
def imports(module: str, *, into_functions: bool = True) -> frozenset[str]:
    """Returns the dotted names a module imports; of `from a import b` both `a` and `a.b`."""
    found: set[str] = set()
    for node in walk(tree(module), into_functions=into_functions):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def needs(module: str, *, into_functions: bool = True) -> set[str]:
    """Returns our own modules that a module imports.

    A package's own `__init__` is run before its modules; that edge says nothing about who needs whom.
    """
    found = imports(module, into_functions=into_functions) & modules().keys()
    return {name for name in found if name != module and not module.startswith(f"{name}.")}


def package(name: str) -> str:
    """Returns the top-level package of a dotted name."""
    return name.partition(".")[0]


def room(name: str) -> str | None:
    """Returns the room of a dotted name: the longest prefix that the table knows; None without one."""
    while name and name not in ARROWS:
        name = name.rpartition(".")[0]
    return name or None


def is_front(module: str) -> bool:
    """Returns whether a module is the `__init__` of a package that itself holds rooms."""
    return modules()[module].name == "__init__.py" and room(module) is None


def reachable(start: str, edges: Callable[[str], set[str]]) -> set[str]:
    """Returns all that can be reached from a start along edges, the start included."""
    seen, waiting = {start}, [start]
    while waiting:
        new = edges(waiting.pop()) - seen
        seen |= new
        waiting += new
    return seen


def functions(module: str) -> Iterator[Function]:
    """Yields every function of a module, methods and inner ones too."""
    return (node for node in ast.walk(tree(module)) if isinstance(node, FUNCTIONS))


def body_lines(function: Function) -> int:
    """Returns the lines of a function, its docstring not counted."""
    docstring = function.body[0] if ast.get_docstring(function) else None
    apart = docstring.end_lineno - docstring.lineno + 1 if docstring and docstring.end_lineno else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - apart
