"""The scripts: each says what it is for, is looked at by shellcheck, and is where people are told it is."""

import re
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
