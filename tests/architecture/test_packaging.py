"""What is built and shipped: the wheels hold each room and nothing else, and work without the tree."""

import json
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.architecture.rooms import PACKAGES, PROGRAMS, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = {package: folder for package, folder in PACKAGES.items() if package != "staunch"}
"""The rooms of the distribution `staunch-server`."""

SOURCES = {"staunch_server": ROOT, "staunch_client": ROOT / "client"}
HOLDS = {"staunch_server": ROOMS, "staunch_client": {"staunch": PACKAGES["staunch"]}}
BESIDE_THE_ROOMS = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "PKG-INFO", ".gitignore"}

IMPORT_ALL = """
import importlib, json, sys
print(json.dumps({name: importlib.import_module(name).__file__ for name in json.loads(sys.argv[1])}))
"""


@dataclass(frozen=True)
class Built:
    """What came of building the distributions.

    Attributes:
        wheels: By distribution, the wheel built from the tree.
        again: By distribution, the wheel built from the unpacked source distribution alone.
        sources: By distribution, the paths in its source distribution, without the folder all lie in.
    """

    wheels: Mapping[str, Path]
    again: Mapping[str, Path]
    sources: Mapping[str, set[str]]


def build(source: Path, target: str, into: Path) -> Path:
    """Builds a distribution offline, by the locked hatchling, and returns the file."""
    into.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(into)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (made,) = into.iterdir()
    return made


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built")
    wheels, again, sources = {}, {}, {}
    for name, source in SOURCES.items():
        wheels[name] = build(source, "wheel", folder / name / "wheel")
        with tarfile.open(build(source, "sdist", folder / name / "sdist")) as packed:
            sources[name] = {path.partition("/")[2] for path in packed.getnames()}
            # Patch releases of 3.11 differ in whether they know filters; later ones warn without.
            packed.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            packed.extractall(folder / name / "unpacked")
        (unpacked,) = (folder / name / "unpacked").iterdir()
        again[name] = build(unpacked, "wheel", folder / name / "again")
    return Built(wheels, again, sources)


@pytest.fixture(scope="module")
def empty_python(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the two wheels, and others' packages by a path.

    A folder that a .pth file names is searched, while .pth files within it are not read: the development
    environment lends its libraries that way, but not the tree, which it knows by such files only.
    """
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    wheels = map(str, built.wheels.values())
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, *wheels], check=True, capture_output=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))
    return python


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as packed:
        return set(packed.namelist())


def files_of(name: str) -> set[str]:
    """Returns the files of a distribution's packages as they should lie in its wheel."""
    return {
        str(file.relative_to(folder.parent))
        for folder in HOLDS[name].values()
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


@pytest.mark.walk
@pytest.mark.parametrize("name", SOURCES)
def test_a_wheel_holds_each_file_of_its_rooms_and_nothing_else(built: Built, name: str) -> None:
    packed = {path for path in names(built.wheels[name]) if ".dist-info/" not in path}
    assert packed == files_of(name)


@pytest.mark.walk
def test_the_wheels_hold_every_sql_text_and_say_that_they_are_typed(built: Built) -> None:
    packed = set[str]().union(*map(names, built.wheels.values()))
    sql = PACKAGES["staunch_sql"]
    assert {str(file.relative_to(sql.parent)) for file in sql.rglob("*.sql")} <= packed
    assert {f"{package}/py.typed" for package in PACKAGES} <= packed


@pytest.mark.walk
def test_the_wheels_hold_no_tools_scripts_tests_or_benchmarks(built: Built) -> None:
    packed = set[str]().union(*map(names, built.wheels.values()))
    never = {*PROGRAMS, "scripts", "tests", "docs", "examples", "protos", "requirements", ".ci"}
    assert {path for path in packed if never & set(Path(path).parts)} == set()
    assert {path for path in packed if Path(path).name.startswith(("test_", "conftest"))} == set()


@pytest.mark.walk
@pytest.mark.parametrize("name", SOURCES)
def test_a_wheel_carries_the_licence(built: Built, name: str) -> None:
    with zipfile.ZipFile(built.wheels[name]) as packed:
        (path,) = (path for path in packed.namelist() if path.endswith(".dist-info/licenses/LICENSE"))
        assert packed.read(path) == (ROOT / "LICENSE").read_bytes()
        metadata = packed.read(path.replace("licenses/LICENSE", "METADATA")).decode()
    assert "\nLicense-Expression: Apache-2.0\n" in metadata


def test_the_licence_is_the_whole_of_apache_2_and_ours() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert "The Staunch authors" in text


@pytest.mark.walk
@pytest.mark.parametrize("name", SOURCES)
def test_a_source_distribution_is_enough_to_build_the_same_wheel(built: Built, name: str) -> None:
    with zipfile.ZipFile(built.wheels[name]) as one, zipfile.ZipFile(built.again[name]) as other:
        assert set(one.namelist()) == set(other.namelist())
        assert [path for path in one.namelist() if one.read(path) != other.read(path)] == []


@pytest.mark.walk
@pytest.mark.parametrize("name", SOURCES)
def test_a_source_distribution_holds_nothing_else(built: Built, name: str) -> None:
    folders = {f"{folder.parent.relative_to(SOURCES[name])}/" for folder in HOLDS[name].values()} - {"./"}
    rooms = tuple(folders or {f"{package}/" for package in HOLDS[name]})
    assert {path for path in built.sources[name] if not path.startswith(rooms)} <= BESIDE_THE_ROOMS


@pytest.mark.walk
def test_every_module_imports_from_the_wheels_alone(built: Built, empty_python: Path) -> None:
    modules = sorted(
        path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        for wheel in built.wheels.values()
        for path in names(wheel)
        if path.endswith(".py")
    )
    assert len(modules) > 100
    # -I: neither the folder we stand in nor PYTHONPATH helps to find a module.
    command = [str(empty_python), "-I", "-c", IMPORT_ALL, json.dumps(modules)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    found = json.loads(done.stdout.splitlines()[-1])
    home = empty_python.parents[1]
    assert {name: file for name, file in found.items() if not Path(file).is_relative_to(home)} == {}


@pytest.mark.walk
def test_the_command_runs_from_the_wheels_alone(empty_python: Path) -> None:
    command = [str(empty_python.with_name("staunch")), "--version"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd="/")
    assert done.stdout.split() == ["staunch", PROJECT["project"]["version"]]


@pytest.mark.walk
def test_tools_and_tests_cannot_be_imported_there(empty_python: Path) -> None:
    for name in (*PROGRAMS, "tests"):
        command = [str(empty_python), "-I", "-c", f"import {name}"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert f"No module named '{name}'" in done.stderr


def test_each_list_of_rooms_names_the_rooms_of_the_tree() -> None:
    tree = {str(file.parent.relative_to(ROOT)) for file in ROOT.glob("*/staunch_*/__init__.py")}
    folders = {path.partition("/")[0] for path in tree}
    assert {str(folder.relative_to(ROOT)) for folder in ROOMS.values()} == tree
    hatch, ruff, mypy = (PROJECT["tool"][tool] for tool in ("hatch", "ruff", "mypy"))
    assert set(hatch["build"]["targets"]["wheel"]["packages"]) == tree
    assert set(hatch["build"]["dev-mode-dirs"]) == folders
    sources = {path.removeprefix("/") for path in hatch["build"]["targets"]["sdist"]["include"]}
    assert sources - BESIDE_THE_ROOMS == folders
    assert set(ruff["src"]) == folders | {"client", "tests"}
    assert set(mypy["mypy_path"].split(":")) == folders | {"client", "."}
    checked = {package for package in mypy["packages"] if not package.startswith("tests")}
    assert checked == {*PACKAGES, *PROGRAMS}


def test_both_distributions_have_one_version_and_one_licence() -> None:
    client = tomllib.loads((ROOT / "client/pyproject.toml").read_text())
    for key in ("version", "requires-python", "license", "license-files", "authors"):
        assert client["project"][key] == PROJECT["project"][key]
    assert (ROOT / "client/LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
