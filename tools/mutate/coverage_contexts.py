"""A pytest plugin for `make mutate`: which test runs which line, how long it takes, whether it passes.

Loaded by `-p coverage_contexts` in the process of the tests, before anything of ours. `MUTATE_SOURCES` names
the folders whose lines count; `MUTATE_FOUND` and `MUTATE_LINES` the files for what is found.
"""

import json
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import pytest
from coverage import Coverage

_PYTESTS_OWN = ("pytest", "_pytest", "coverage", "xdist", "execnet", "faker", "_hypothesis")
_NOT_BEFORE_A_FORK = ("grpc", "pygrpc_native")  # they keep threads and locks

_coverage = Coverage(
    data_file=os.environ["MUTATE_LINES"],
    config_file=False,
    source=os.environ["MUTATE_SOURCES"].split(os.pathsep),
)
_coverage.start()
_names = [""]
_durations_s: dict[str, float] = {}
_failed: set[str] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Names the test to coverage while it runs, its own fixtures included."""
    began = perf_counter()
    try:
        with _named(item.nodeid):
            return (yield)
    finally:
        _durations_s[item.nodeid] = perf_counter() - began


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Names to coverage those who share a fixture while it is made: a file of tests, or "" for all."""
    if fixturedef.scope == "function":
        return (yield)
    with _named(request.node.nodeid.partition("::")[0] if fixturedef.scope in ("class", "module") else ""):
        return (yield)


@contextmanager
def _named(name: str) -> Iterator[None]:
    _names.append(name)
    _coverage.switch_context(name)
    try:
        yield
    finally:
        _names.pop()
        _coverage.switch_context(_names[-1])


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notes a test that does not pass."""
    if report.failed:
        _failed.add(report.nodeid)


def pytest_sessionfinish() -> None:
    """Writes the seconds of each test that passed, and the libraries that were loaded."""
    _coverage.stop()
    _coverage.save()
    passed = {name: seconds for name, seconds in _durations_s.items() if name not in _failed}
    found = {"passed": passed, "failed": sorted(_failed), "libraries": sorted(_libraries())}
    Path(os.environ["MUTATE_FOUND"]).write_text(json.dumps(found))


def _libraries() -> Generator[str, None, None]:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if "site-packages" in file and not name.startswith((*_PYTESTS_OWN, *_NOT_BEFORE_A_FORK)):
            yield name
