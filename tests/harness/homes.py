"""Homes of users who read that nothing is left outside one folder, and what programs do there."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TAKEN_FOR_CI = [
    "CI",
    "TF_BUILD",
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "CIRCLECI",
    "TRAVIS",
    "JENKINS_URL",
    "CODEBUILD_BUILD_ID",
    "BUILDKITE",
    "TEAMCITY_VERSION",
    "APPVEYOR",
    "BITBUCKET_BUILD_NUMBER",
]
"""By these onnxruntime knows a machine of nobody's, and keeps still: a user has none of them."""

_SAY_WHERE = ("MPLCONFIGDIR", "ORT_DISABLE_TELEMETRY", "NUMBA_CACHE_DIR", "PYTHONPATH")

_SPY = '''
import os, sys

class Spy:
    """Writes down each import of onnxruntime: how telemetry stood then, and in which program."""

    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            with open(os.environ["TEST_SPY"], "a") as file:
                print(os.environ.get("ORT_DISABLE_TELEMETRY"), *sys.orig_argv[1:], file=file)

sys.meta_path.insert(0, Spy())
'''

# As fontconfig's does whose system-wide cache is old, or not its user's to write.
_FC_LIST = """#!/bin/sh
mkdir -p "${XDG_CACHE_HOME:-$HOME/.cache}/fontconfig"
"""


@dataclass(frozen=True)
class Home:
    """A home in a folder, and beside it the spy that says what programs import.

    Attributes:
        folder: The home; empty as long as nobody leaves anything.
        environment: What a program runs with that runs there: no machine's name of continuous integration,
            no word on where caches go, and a lister of fonts that leaves a cache.
    """

    folder: Path
    environment: Mapping[str, str]

    @property
    def left(self) -> list[str]:
        """What was left in it."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))

    @property
    def imports(self) -> list[str]:
        """One line an import of onnxruntime: what ORT_DISABLE_TELEMETRY was, and the words of the program."""
        file = Path(self.environment["TEST_SPY"])
        return file.read_text().splitlines() if file.exists() else []


def make_home(beside: Path) -> Home:
    """Makes an empty home in a folder."""
    home, spy, programs = (beside / name for name in ("home", "spy", "programs"))
    for folder in (home, spy, programs):
        folder.mkdir(parents=True)
    (spy / "sitecustomize.py").write_text(_SPY)
    (programs / "fc-list").write_text(_FC_LIST)
    (programs / "fc-list").chmod(0o755)
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in (*_TAKEN_FOR_CI, *_SAY_WHERE) and not name.startswith("XDG_")
    }
    ours = {
        "HOME": str(home),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(spy),
        "TEST_SPY": str(spy / "imports"),
    }
    return Home(home, kept | ours)
