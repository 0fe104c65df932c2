"""What `pip install ./client` gives, in an environment that has nothing else."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.client.harness.scripted import ScriptedServer, in_thread

import staunch

CLIENT = Path(__file__).parents[2] / "client"
PUBLIC_MODULES = (
    *("_results", "_errors", "_retry", "_client", "_async_client"),
    *("_packed/_rows", "_packed/_schema"),
)


def test_every_announced_name_can_be_imported():
    namespace: dict[str, object] = {}
    exec("from staunch import *", namespace)
    assert set(staunch.__all__) <= namespace.keys()
    assert staunch.__all__ == sorted(staunch.__all__)
    assert set(dir(staunch)) == set(staunch.__all__)


def test_every_public_class_of_the_package_is_announced():
    found = set()
    for module in PUBLIC_MODULES:
        tree = ast.parse((CLIENT / "staunch" / f"{module}.py").read_text())
        found |= {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    public = {name for name in found if not name.startswith("_")}
    assert public - {"Tries", "RetryLog", "RowFailed"} == set(staunch.__all__)


def test_the_version_is_that_of_the_distribution():
    assert staunch.__version__ == importlib.metadata.version("staunch-client")
    assert staunch.__version__ == tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]["version"]


def test_a_name_that_is_not_announced_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        staunch.Nothing  # noqa: B018


def test_importing_the_stubs_loads_no_client_and_importing_the_package_no_grpc():
    code = (
        "import sys, staunch; assert 'grpc' not in sys.modules and 'google' not in sys.modules;"
        "import staunch.v1.prediction_service_pb2;"
        "assert not [name for name in sys.modules if name.startswith('staunch._')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """The guard over a scripted service, for processes of their own to call."""
    with in_thread(ScriptedServer()) as started:
        yield started


@pytest.fixture(scope="module")
def empty_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the client's wheel and the packages it declares, and nothing else.

    The packages are borrowed from the tests' environment, so that no network is needed.
    """
    folder = tmp_path_factory.mktemp("client")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = ["wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), str(CLIENT)]
    subprocess.run([*pip, *build], check=True)
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    wheel = next(folder.glob("*.whl"))
    install = ["--python", str(python), "install", "-q", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([*pip, *install], check=True)
    borrow(declared_packages(), next((folder / "venv" / "lib").glob("python*")) / "site-packages")
    return python


def declared_packages() -> set[str]:
    """Gives what the client declares and what that needs in turn, as installed here."""
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]
    waiting = [re.split(r"[<>=~!; ]", line)[0] for line in project["dependencies"]]
    assert waiting == ["grpcio", "protobuf", "googleapis-common-protos"]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        found.add(name)
        needs = importlib.metadata.requires(name) or []
        waiting += {re.split(r"[<>=~!;\[( ]", line)[0] for line in needs if "extra" not in line} - found
    return found


def borrow(packages: set[str], into: Path) -> None:
    """Links the files of installed packages into another environment."""
    for package in packages:
        for file in importlib.metadata.files(package) or []:
            if file.parts[0] == ".." or file.suffix == ".pyc":
                continue
            link = into / file
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file.locate())


@pytest.mark.walk
def test_an_empty_environment_gets_both_clients_and_types(empty_environment):
    code = (
        "import importlib.util, pathlib, staunch; from staunch import Client, AsyncClient;"
        "assert 'site-packages' in staunch.__file__;"
        "assert pathlib.Path(staunch.__file__).with_name('py.typed').exists();"
        "assert not importlib.util.find_spec('numpy')"
    )
    subprocess.run([empty_environment, "-I", "-c", code], check=True)


@pytest.mark.walk
def test_an_empty_environment_can_call(empty_environment, server):
    code = f"from staunch import Client; print(Client('{server.target}').predict(42).probability)"
    told = subprocess.run([empty_environment, "-I", "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout == "0.25\n"


def test_the_readme_of_the_client_names_what_it_promises(server):
    text = (CLIENT / "README.md").read_text()
    for name in staunch.__all__:
        if name not in {"Feature", "Metric", "FieldViolation", "ErrorDetails"}:
            assert name in text, f"client/README.md does not tell of {name}"


def test_the_example_of_a_users_test_passes(tmp_path):
    text = (CLIENT / "README.md").read_text()
    (example,) = [one for one in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "def test_" in one]
    (tmp_path / "test_example.py").write_text(example)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.walk
def test_an_empty_environment_has_the_fake(empty_environment):
    code = (
        "from staunch import Client; from staunch.testing import FakeServer\n"
        "with FakeServer() as server, Client(server.target) as client:\n"
        "    print(client.predict(42).probability)"
    )
    told = subprocess.run([empty_environment, "-I", "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout == "0.25\n"


def test_the_examples_of_the_readme_run(server):
    text = (CLIENT / "README.md").read_text()
    for example in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        code = example.replace("127.0.0.1:50051", server.target)
        subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True)
