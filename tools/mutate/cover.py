"""Which tests run which lines, and so can notice a mutant."""

import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coverage import CoverageData
from tools.mutate.copies import Copy
from tools.mutate.mutants import Mutant

_MEASURING_LIMIT_S = 1800.0


@dataclass(frozen=True)
class Cover:
    """Which tests run which lines.

    Attributes:
        durations_s: How long each test of the mirror took, those excepted that failed.
        tests_by_line: The tests that run a line, by file and line; a file of tests stands for a fixture that
            these share, "" for the imports and for what all share.
        failed: The tests that failed without a mutant.
        places: The folders of the tests, the mirror first.
        libraries: The modules of others that the tests load.
    """

    durations_s: Mapping[str, float]
    tests_by_line: Mapping[str, Mapping[int, Sequence[str]]]
    failed: Sequence[str]
    places: Sequence[str]
    libraries: Sequence[str]

    def tests_for(self, mutant: Mutant) -> list[list[str]]:
        """Returns the tests that can notice a mutant, place by place: its module's own file, then the quick.

        These are the tests that run its lines, and all that share a fixture which does. What runs while
        modules are imported may be noticed by any test.
        """
        by_line = self.tests_by_line.get(mutant.path, {})
        running = {
            name for line in range(mutant.span[0], mutant.span[2] + 1) for name in by_line.get(line, ())
        }
        can_notice = [
            test
            for test in self.durations_s
            if test in running or file_of(test) in running or "" in running or not running
        ]
        costs: dict[str, float] = defaultdict(float)
        for test in can_notice:
            costs[file_of(test)] += self.durations_s[test]
        own = f"test_{Path(mutant.path).stem}.py"

        def order(test: str) -> tuple[bool, bool, float, str, float]:
            file = file_of(test)
            is_own = Path(file).name == own
            # What is only imported by a test is noticed last.
            return not is_own, test not in running, costs[file], file, self.durations_s[test]

        can_notice.sort(key=order)
        by_place = [[test for test in can_notice if file_of(test).startswith(place)] for place in self.places]
        return [tests for tests in by_place if tests]


def measure(copy: Copy, mirror: Sequence[str], sources: Sequence[Path]) -> Cover:
    """Runs the mirror once, without a mutant, to learn which tests run which lines.

    Raises:
        SystemExit: No test passes.
    """
    lines, found = copy.root / ".lines", copy.root / ".found"
    folders = os.pathsep.join(sorted({str(copy.root / path.parent) for path in sources}))
    arguments = ["-q", "--tb=short", "-p", "coverage_contexts", *mirror]
    variables = {"MUTATE_SOURCES": folders, "MUTATE_LINES": str(lines), "MUTATE_FOUND": str(found)}
    code, printed = copy.pytest(arguments, _MEASURING_LIMIT_S, **variables)
    report = json.loads(found.read_text()) if found.exists() else {"passed": {}}
    if not report["passed"]:
        raise SystemExit(f"mutate: the tests do not pass without a mutant (exit code {code}):\n{printed}")
    stored = CoverageData(str(lines))
    stored.read()
    by_line = {str(path): stored.contexts_by_lineno(str(copy.root / path)) for path in sources}
    return Cover(report["passed"], by_line, report["failed"], mirror, report["libraries"])


def file_of(test: str) -> str:
    """Returns the file of a test, as pytest names both."""
    return test.partition("::")[0]
