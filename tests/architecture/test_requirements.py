"""The locks: one version of everything, hashes, no address."""

import re
from pathlib import Path

import pytest

LOCKS = sorted((Path(__file__).parents[2] / "requirements").glob("*.txt"))
APART = {"stubs.txt"}
"""Installed into an environment of its own, so its pins may differ."""

SHARED = [lock for lock in LOCKS if lock.name not in APART]


def pins(lock: Path) -> set[str]:
    """The pins of a lock with their markers, without hashes."""
    return {line.rstrip("\\ ") for line in lock.read_text().splitlines() if re.match(r"[a-z0-9]", line)}


def test_there_are_locks() -> None:
    assert {lock.name for lock in LOCKS} == {"dev.txt", "run.txt", "serve.txt", "stubs.txt"}


def test_the_folder_holds_locks_and_what_they_are_made_of_only() -> None:
    assert {path.suffix for path in LOCKS[0].parent.iterdir()} == {".in", ".txt"}
    assert {path.stem for path in LOCKS[0].parent.glob("*.in")} <= {lock.stem for lock in LOCKS}


@pytest.mark.parametrize(
    "lock", [lock for lock in LOCKS if lock.name not in APART], ids=lambda lock: lock.name
)
def test_every_lock_pins_what_the_development_lock_pins(lock: Path) -> None:
    # The markers may differ: a smaller set needs a package on fewer platforms.
    development = {pin.split(" ;")[0] for pin in pins(LOCKS[0])}
    assert {pin.split(" ;")[0] for pin in pins(lock)} <= development


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_pin_has_a_hash_and_no_lock_holds_an_address(lock: Path) -> None:
    text = lock.read_text()
    assert text.count("==") <= text.count("--hash=sha256:")
    assert "://" not in text
