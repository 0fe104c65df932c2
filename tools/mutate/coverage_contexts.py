"""A pytest plugin for `tools.mutate`: which test ran a line, how long it took, whether it passed.

Loaded by `-p coverage_contexts` under `coverage run`, in the processes of the tests; it imports nothing of
ours. What is found is written to the file that `MUTATE_TIMES` names.
"""

import json
import os
from collections.abc import Generator
from pathlib import Path
from time import perf_counter

import pytest
from coverage import Coverage

_durations_s: dict[str, float] = {}
_failed: set[str] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Names the test to coverage while it runs, its fixtures included."""
    coverage = Coverage.current()
    began = perf_counter()
    if coverage:
        coverage.switch_context(item.nodeid)
    try:
        return (yield)
    finally:
        _durations_s[item.nodeid] = perf_counter() - began
        if coverage:
            coverage.switch_context("")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notes a test that does not pass."""
    if report.failed:
        _failed.add(report.nodeid)


def pytest_sessionfinish() -> None:
    """Writes the seconds of each test that passed."""
    passed = {name: seconds for name, seconds in _durations_s.items() if name not in _failed}
    Path(os.environ["MUTATE_TIMES"]).write_text(json.dumps({"passed": passed, "failed": sorted(_failed)}))
