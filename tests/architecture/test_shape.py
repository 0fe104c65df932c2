"""How large things are: folders, chains of imports, files, functions; and that each module has its tests."""

import ast
import statistics
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest
from tests.architecture.rooms import (
    ARROWS,
    ROOT,
    body_lines,
    functions,
    modules,
    needs,
    package,
    parsed,
    place,
    reachable,
    shipped,
    tree,
)
from tests.architecture.tested_elsewhere import TESTED_ELSEWHERE

WIDEST_FOLDER = 15
DEEPEST_ROOM = 9
DEEPER = {
    # A simulated month is a chain by nature: what leaves, bills or asks acts on a life that was drawn
    # before it, from a market, from names, from rules.
    "staunch_local.simulation": 13,
}
LONGEST_FUNCTION = 60
LONGEST_FILE = 400
LONGER_FILES: Mapping[str, str] = {
    "bench/features.py": "one report, written from top to bottom: each part measures what a page of it shows",
    "client/staunch/_client.py": "each method with all of its documentation, to which the async one refers",
    "client/staunch/_results.py": "the values that calls return, one after the other: no logic to split",
}
"""Files above the limit, each with the reason why it is one."""


def hall(module: str) -> str:
    """Returns the folder whose depth a module counts for, with all folders inside it.

    It is the folder below a package if that is a room of the table, else the package: the simulation is one
    with its three rooms, training one with its writers of ONNX.
    """
    folder = ".".join(module.split(".")[:2])
    is_room = folder in ARROWS and modules()[folder].name == "__init__.py"
    return folder if is_room else package(module)


@cache
def longest_chain(module: str) -> tuple[str, ...]:
    """Returns the longest chain of imports from a module that stays in its room."""
    inside = [name for name in needs(module) if hall(name) == hall(module)]
    return (module, *max((longest_chain(name) for name in inside), key=len, default=()))


def test_no_folder_holds_more_modules_than_a_person_overlooks() -> None:
    folders: dict[Path, int] = {}
    for file in modules().values():
        folders[file.parent] = folders.get(file.parent, 0) + (file.name != "__init__.py")
    assert {str(folder.relative_to(ROOT)): n for folder, n in folders.items() if n > WIDEST_FOLDER} == {}


def test_no_chain_of_imports_in_a_room_is_long() -> None:
    wrong = {
        " > ".join(chain)
        for chain in map(longest_chain, modules())
        if len(chain) > DEEPER.get(hall(chain[0]), DEEPEST_ROOM)
    }
    assert wrong == set()


@pytest.mark.parametrize("name", DEEPER)
def test_a_declared_exception_is_as_deep_as_it_says(name: str) -> None:
    assert max(len(longest_chain(module)) for module in modules() if hall(module) == name) == DEEPER[name]


def mirror(module: str) -> Path:
    """Returns the test file of a module: of `client/staunch/_batch.py`, `tests/client/test_batch.py`."""
    file = modules()[module].relative_to(ROOT)
    # Below the folder of a distribution stands its one package, which the tests do not repeat.
    folders = (file.parts[0], *file.parts[2:-1]) if module in shipped() else file.parts[:-1]
    return ROOT.joinpath("tests", *folders, f"test_{file.stem.lstrip('_')}.py")


def test_each_module_has_a_test_file_of_its_name_or_a_line_in_the_list() -> None:
    testable = {
        module
        for module, file in modules().items()
        if file.name != "__init__.py" and package(module) != "bench"
    }
    without = {module for module in testable if not mirror(module).exists()}
    assert without - TESTED_ELSEWHERE.keys() == set(), (
        "write the test file, or say which tests hold the module"
    )
    assert TESTED_ELSEWHERE.keys() - without == set(), (
        "these have a test file now, or are gone: take the line out"
    )


def test_each_line_of_the_list_names_a_test_file_and_a_reason() -> None:
    lines = TESTED_ELSEWHERE.items()
    assert {module for module, held in lines if not (ROOT / "tests" / held.file).is_file()} == set()
    assert {module for module, held in lines if not held.reason} == set()


def uses(file: Path) -> set[str]:
    """Returns what a test file imports by itself, its fixtures or its helpers, and what it runs by name."""
    conftests = {folder / "conftest.py" for folder in file.parents if folder.is_relative_to(ROOT / "tests")}
    found, waiting = set[str](), [file, *(one for one in conftests if one.is_file())]
    while waiting:
        text = waiting.pop().read_text()
        for line in ast.walk(parsed(text)):
            if isinstance(line, ast.ImportFrom) and line.module:
                names = {line.module, *(f"{line.module}.{alias.name}" for alias in line.names)} - found
                helpers = (
                    ROOT / f"{name.replace('.', '/')}.py" for name in names if package(name) == "tests"
                )
                found |= names
                waiting += [helper for helper in helpers if helper.is_file()]
            elif isinstance(line, ast.Constant) and isinstance(line.value, str):
                found.add(f"{line.value}.__main__")  # `python -m` in a process of its own
    return found


def test_the_tests_named_in_the_list_use_the_module() -> None:
    wrong = {
        f"{module}: {held.file} does not use {held.through or module}"
        for module, held in TESTED_ELSEWHERE.items()
        if (held.through or module) not in uses(ROOT / "tests" / held.file)
    }
    assert wrong == set()


def test_a_module_through_which_another_is_tested_uses_it() -> None:
    wrong = {
        f"{held.through} does not use {module}"
        for module, held in TESTED_ELSEWHERE.items()
        if held.through and module not in reachable(held.through, needs_in_package)
    }
    assert wrong == set()


def needs_in_package(module: str) -> set[str]:
    """Returns what a module imports of its own package, and what beside it it runs by the file's name."""
    texts = {node.value for node in ast.walk(tree(module)) if isinstance(node, ast.Constant)}
    beside = {name for name in modules() if name.rpartition(".")[0] == module.rpartition(".")[0]}
    run = {name for name in beside if {name.rpartition(".")[2], f"{name.rpartition('.')[2]}.py"} & texts}
    return run | {name for name in needs(module) if package(name) == package(module)}


def lengths() -> dict[str, int]:
    """Returns the lines of every function, its docstring not counted."""
    return {
        f"{place(module, node)} {node.name}": body_lines(node)
        for module in modules()
        for node in functions(module)
    }


def test_no_function_is_longer_than_a_screen() -> None:
    assert {name: lines for name, lines in lengths().items() if lines > LONGEST_FUNCTION} == {}


def test_functions_are_short_as_a_rule() -> None:
    lines = sorted(lengths().values())
    assert statistics.median(lines) <= 8
    assert lines[int(len(lines) * 0.9)] <= 20


def test_each_file_is_short_or_declared() -> None:
    counts = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in modules().values()}
    longer = {file for file, lines in counts.items() if lines > LONGEST_FILE}
    assert longer - LONGER_FILES.keys() == set(), "split it, or declare why it is one"
    assert LONGER_FILES.keys() - longer == set(), "these are short now, or are gone: take the line out"


def test_files_are_short_as_a_rule() -> None:
    counts = sorted(len(file.read_text().splitlines()) for file in modules().values())
    assert counts[int(len(counts) * 0.9)] <= 300
