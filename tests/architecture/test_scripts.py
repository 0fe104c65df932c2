"""The scripts: each says what it is for, is looked at by shellcheck, and is where people are told it is."""

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from tests.architecture.rooms import ROOT

SCRIPTS = sorted([*(ROOT / "scripts").iterdir(), *(ROOT / ".ci").iterdir()])
SPEAK_OF_SCRIPTS = ("Makefile", "CONTRIBUTING.md", "README.md", ".ci/run", "scripts/check")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_says_what_it_is_for_and_stops_at_the_first_failure(script: Path) -> None:
    first, *others = script.read_text().splitlines()
    assert first in ("#!/bin/sh", "#!/usr/bin/env bash")
    assert others[0].startswith("# ")
    assert "set -eu" in script.read_text()


def test_the_check_looks_at_every_script() -> None:
    check = (ROOT / "scripts/check").read_text()
    assert {f"{script.parent.name}/*" for script in SCRIPTS} <= set(re.findall(r"\S+", check))


def test_every_script_that_is_named_is_there() -> None:
    texts = [(ROOT / name).read_text() for name in SPEAK_OF_SCRIPTS]
    named = {name for text in texts for name in re.findall(r"((?:\bscripts|\.ci)/[\w-]+)", text)}
    assert len(named) >= 5
    assert {name for name in named if not (ROOT / name).is_file()} == set()


def test_continuous_integration_runs_what_people_run() -> None:
    commands = (ROOT / ".ci/run").read_text().splitlines()
    assert "make check" in commands
    assert commands[-1] == "make test"


@pytest.fixture
def slow_tree(tmp_path: Path) -> Path:
    """A tree with the installer, and programs on the PATH that do nothing, the install slowly."""
    for name in ("scripts/install", "requirements/run.txt", "pyproject.toml", "client/pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    programs = {
        "python3": """case "$*" in
            *venv*) mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
            *install*) /bin/sleep 0.3 ;;
        esac""",
        "sleep": "exec /bin/sleep 0.05",
    }
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def test_an_install_that_takes_long_says_every_ten_seconds_that_it_lives_and_leaves_nothing(
    slow_tree: Path,
) -> None:
    environment = {"PATH": f"{slow_tree / 'bin'}:/usr/bin:/bin"}
    command = ["sh", "scripts/install", "run"]
    begun = time.monotonic()
    done = subprocess.run(
        command, cwd=slow_tree, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    # The end of the output is the end of all who write to it.
    assert time.monotonic() - begun < 30
    lines = done.stdout.splitlines()
    assert lines[0].startswith("staunch: installing the packages of requirements/run.txt into .venv (once")
    assert lines[1:4] == [f"staunch: still installing, {seconds} s" for seconds in (10, 20, 30)]
    again = subprocess.run(
        command, cwd=slow_tree, env=environment, capture_output=True, text=True, check=True
    )
    assert again.stdout == ""
