"""`make mutate` draws the same mutants again, tells the dead from the living, and leaves the tree alone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PYPROJECT = """
[tool.hatch.build]
dev-mode-dirs = ["shop"]
"""
TILL = '''"""Sells — in shops."""

import logging

_LOG = logging.getLogger(__name__)
Money = int | float
LIMIT = 10


def allowed(count: int | None = 3) -> bool:
    """Returns whether so many may be bought, 10 at most."""
    assert count is not None
    _LOG.info("asked for %d", count + 1)
    return "—" != "" and count <= LIMIT


def served(waiting: list[int]) -> int:
    """Returns how many were served, one after the other."""
    turn = 0
    while turn < len(waiting):
        turn += 1
    if turn > 1000:
        raise ValueError("too many at once: come again tomorrow")
    return turn
'''
TESTS = """
import subprocess, sys
from pathlib import Path
import staunch_shop.till as till

def test_few_are_allowed() -> None:
    assert till.allowed(1)

def test_many_are_not() -> None:
    assert not till.allowed(99)

def test_all_are_served() -> None:
    assert till.served([1, 2, 3]) == 3

def test_the_copy_is_what_runs_here_and_in_processes_started() -> None:
    tree = Path(__file__).parents[2]
    show = "import staunch_shop; print(staunch_shop.__path__[0])"
    shown = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, cwd="/").stdout
    assert Path(till.__file__).is_relative_to(tree) and Path(shown).is_relative_to(tree)

def test_that_never_passes() -> None:
    assert False
"""


BORDER, KILLED, HANGS = "count < LIMIT", "count > LIMIT", "turn -= 1"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of one room with one module, whose tests pass over a border."""
    tree = tmp_path_factory.mktemp("shop")
    for name, text in {
        "pyproject.toml": PYPROJECT,
        "shop/staunch_shop/__init__.py": "",
        "shop/staunch_shop/till.py": TILL,
        "tests/shop/test_till.py": TESTS,
    }.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    return tree


@pytest.fixture(scope="module")
def everything(shop: Path) -> str:
    return mutate(shop, "1000", "--list")


@pytest.fixture(scope="module")
def tried(shop: Path) -> str:
    """What is printed when three mutants are tried; the tree must be the same afterwards."""
    before = contents(shop)
    printed = mutate(shop, "--only", "|".join((BORDER, KILLED, HANGS)), "--limit", "2")
    assert contents(shop) == before
    return printed


def mutate(tree: Path, *arguments: str, room: str = "shop", code: int = 0) -> str:
    command = [sys.executable, "-m", "tools.mutate", room, *arguments, "--root", str(tree)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == code, ended.stderr
    return ended.stdout + ended.stderr


def contents(tree: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}


@pytest.mark.walk
def test_the_same_seed_draws_the_same_and_another_seed_others(shop: Path) -> None:
    first, again, other = (mutate(shop, "5", "--list", "--seed", seed) for seed in ("1", "1", "2"))
    assert len(re.findall("^shop/", first, re.MULTILINE)) == 5
    assert first == again
    assert first != other


@pytest.mark.walk
def test_what_people_and_type_checkers_read_is_left_alone(everything: str) -> None:
    changed = re.findall("^    -(.*)$", everything, re.MULTILINE)
    assert "LIMIT = 10" in changed
    assert not [line for line in changed if re.search("_LOG.info|assert|Money|Returns|import", line)]
    assert "int & None" not in everything
    assert "XXtoo many" not in everything


@pytest.mark.walk
def test_a_change_that_a_test_notices_dies_by_that_test(tried: str) -> None:
    assert f"{KILLED}  <- tests/shop/test_till.py::test_" in tried
    assert f"killed    shop/staunch_shop/till.py:14:27 {KILLED}" in tried


@pytest.mark.walk
def test_a_change_at_a_border_that_no_test_holds_survives_and_is_shown(tried: str) -> None:
    assert f"survived  shop/staunch_shop/till.py:14:27 {BORDER}" in tried
    assert f'    -    return "—" != "" and count <= LIMIT\n    +    return "—" != "" and {BORDER}\n' in tried


@pytest.mark.walk
def test_a_change_that_makes_a_test_hang_is_counted_apart(tried: str) -> None:
    assert "test_all_are_served" in next(line for line in tried.splitlines() if line.startswith("timed out"))
    assert "| `shop` | 3 | 1 | 1 | 1 | 67 % |" in tried


@pytest.mark.walk
def test_a_test_that_fails_by_itself_is_named_and_kills_nothing(tried: str) -> None:
    left_out = "left out, since they fail without a mutant: tests/shop/test_till.py::test_that_never_passes"
    assert left_out in tried
    assert "4 tests in" in tried


@pytest.mark.walk
def test_rooms_with_commas_between_are_drawn_each_by_itself(shop: Path, everything: str) -> None:
    assert mutate(shop, "1000", "--list", room="shop,shop/till") == everything * 2


@pytest.mark.walk
def test_a_room_that_is_not_there_is_refused(shop: Path) -> None:
    assert "no room 'cellar'" in mutate(shop, room="cellar", code=1)
