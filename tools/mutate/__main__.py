"""Runs mutants of a room against the tests of its mirror: `make mutate ROOM=model_store N=100`.

Everything happens in copies of the tree, whose packages stand before the installed ones. One run of the
mirror under coverage finds which tests run which lines; then each mutant drawn meets those tests, the
quickest file first, until one fails. A test that fails without a mutant is left out and named.
"""

import argparse
import difflib
import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from queue import SimpleQueue

from tools.mutate.copies import Copy
from tools.mutate.cover import Cover, file_of, measure
from tools.mutate.mutants import Mutant, draw, mutants_of, mutated

ROOT = Path(__file__).parents[2]

# Rooms whose promises are proved elsewhere than in their mirror alone.
_ALSO_PROVED_BY = {
    "model_store": ("tests/training/onnx",),
    "server/models": ("tests/server/services",),
}
_NOT_FOUND = 4  # pytest's exit code where a mutant changed the names of the tests
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - (.*))?$", re.MULTILINE)
_CONTROL_LIMIT_S = 1800.0
_START_LIMIT_S = 60.0  # over the tests' own time, times three: the machine may be busy


@dataclass(frozen=True)
class Result:
    """What became of one mutant.

    Attributes:
        mutant: The change that was made.
        outcome: `killed`, `timed out` or `survived`.
        by: The test that failed, if one did.
    """

    mutant: Mutant
    outcome: str
    by: str = ""


def sources_of(root: Path, room: str) -> list[Path]:
    """Returns the files of a room or module (`model_store`, `server/models/served`), relative to the root.

    Raises:
        SystemExit: There is no such room.
    """
    top, *inner = room.strip("/").split("/")
    for package in sorted((root / top).glob("staunch_*")):
        place = package.joinpath(*inner)
        found = [place.with_suffix(".py")] if inner and not place.is_dir() else sorted(place.rglob("*.py"))
        if found and all(path.is_file() for path in found):
            return [path.relative_to(root) for path in found]
    raise SystemExit(f"mutate: no room {room!r}: give a folder of the tree, as model_store or server/models")


def mirror_of(root: Path, room: str) -> list[str]:
    """Returns the folders or files of the tests of a room, relative to the root."""
    parts = room.strip("/").split("/")
    mirror = Path("tests", *parts)
    own = [] if (root / mirror).is_dir() else [str(mirror.with_name(f"test_{parts[-1]}.py"))]
    while not (root / mirror).is_dir():
        mirror = mirror.parent
    also = next((more for known, more in _ALSO_PROVED_BY.items() if room.startswith(known)), ())
    places = [*own, str(mirror), *also]
    return [place for place in dict.fromkeys(places) if (root / place).exists()]


def try_mutant(copy: Copy, mutant: Mutant, cover: Cover, test_limit_s: float) -> Result:
    """Runs the tests that can notice a mutant until one fails or hangs."""
    with copy.changed(mutant):
        for tests in cover.tests_for(mutant):
            limit_s = _START_LIMIT_S + 3 * sum(cover.durations_s[test] for test in tests)
            code, printed = _run_tests(copy, [f"--timeout={test_limit_s}", "-x"], tests, limit_s)
            if code != 0:
                return _failure(mutant, code, printed)
    return Result(mutant, "survived")


def control(copy: Copy, cover: Cover) -> Cover:
    """Runs every test as for a mutant, but without one, and leaves out what fails.

    What then fails by a mutant fails by the mutant alone, busy machines and tests of chance excepted.
    """
    _, printed = _run_tests(copy, [], list(cover.durations_s), _CONTROL_LIMIT_S)
    failed = {name for name, _ in _FAILED.findall(printed)}
    kept = {test: took_s for test, took_s in cover.durations_s.items() if test not in failed}
    return replace(cover, durations_s=kept, failed=sorted({*cover.failed, *failed}))


def _run_tests(
    copy: Copy, options: Sequence[str], tests: Sequence[str], limit_s: float
) -> tuple[int | None, str]:
    options = ["-q", "-rfE", "--tb=no", "--assert=plain", "-p", "no:faker", *options]
    code, printed = copy.pytest([*options, *tests], limit_s, PYTHONDONTWRITEBYTECODE="1")
    if code == _NOT_FOUND:
        files = dict.fromkeys(file_of(test) for test in tests)
        code, printed = copy.pytest([*options, *files], limit_s, PYTHONDONTWRITEBYTECODE="1")
    return code, printed


def _failure(mutant: Mutant, code: int | None, printed: str) -> Result:
    failed = _FAILED.search(printed)
    by, why = failed.groups() if failed else (f"exit code {code}", "")
    timed_out = code is None or (why or "").startswith("Failed: Timeout")
    return Result(mutant, "timed out" if timed_out else "killed", by)


# The command ----------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws, tries and prints."""
    asked = _parser().parse_args(arguments)
    root = Path(asked.root).resolve()
    rooms = asked.rooms.split(",")
    texts = {str(path): (root / path).read_text() for room in rooms for path in sources_of(root, room)}
    drawn = {room: _drawn(root, room, texts, asked) for room in rooms}
    if asked.list:
        print(*(_shown(texts, mutant) for room in rooms for mutant in drawn[room]), sep="\n")
        return
    results = _try_all(root, drawn, asked)
    print(_report(texts, results))


def _drawn(root: Path, room: str, texts: Mapping[str, str], asked: argparse.Namespace) -> list[Mutant]:
    paths = [str(path) for path in sources_of(root, room)]
    every = [mutant for path in paths for mutant in mutants_of(path, texts[path])]
    if asked.only:
        return [mutant for mutant in every if re.search(asked.only, str(mutant))]
    drawn = draw(every, asked.count, asked.seed)
    if not asked.list:
        print(f"{room}: {len(drawn)} of {len(every)} mutants, seed {asked.seed}", flush=True)
    return drawn


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.mutate", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "rooms", help="folders or modules with commas between: model_store,server/models/served"
    )
    parser.add_argument("count", type=int, nargs="?", default=100, help="how many mutants to draw of each")
    parser.add_argument("--seed", type=int, default=1, help="what the draw depends on")
    parser.add_argument("--jobs", type=int, default=2, help="how many are tried at once, at most 2")
    parser.add_argument("--list", action="store_true", help="shows what is drawn and runs nothing")
    parser.add_argument(
        "--only", default="", help="tries the mutants whose name this regular expression finds"
    )
    parser.add_argument("--limit", type=float, default=30.0, help="seconds that one test may take")
    parser.add_argument("--root", default=str(ROOT), help="the tree")
    return parser


def _try_all(
    root: Path, drawn: Mapping[str, Sequence[Mutant]], asked: argparse.Namespace
) -> dict[str, list[Result]]:
    jobs = max(1, min(asked.jobs, 2))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mutate-")))
        # The tests' PostgreSQL runs as another user if we are root, and mkdtemp's folder is closed to it.
        folder.chmod(0o755)
        cover, copies = _prepared(stack, folder, root, list(drawn), jobs)
        # Each copy is lent to one mutant at a time, since a mutant is written into its files.
        free: SimpleQueue[Copy] = SimpleQueue()
        for copy in copies:
            free.put(copy)

        def try_one(mutant: Mutant, of_room: Cover) -> Result:
            copy = free.get()
            try:
                result = try_mutant(copy, mutant, of_room, asked.limit)
            finally:
                free.put(copy)
            print(f"{result.outcome:9} {mutant}  <- {result.by}", flush=True)
            return result

        pool = stack.enter_context(ThreadPoolExecutor(jobs))
        results = {
            room: pool.map(try_one, mutants, repeat(replace(cover, places=mirror_of(root, room))))
            for room, mutants in drawn.items()
        }
        return {room: list(of_room) for room, of_room in results.items()}


def _prepared(
    stack: ExitStack, folder: Path, root: Path, rooms: Sequence[str], jobs: int
) -> tuple[Cover, list[Copy]]:
    mirror = list(dict.fromkeys(place for room in rooms for place in mirror_of(root, room)))
    with Copy(folder / "measured", root) as measured:
        cover = measure(measured, mirror, [path for room in rooms for path in sources_of(root, room)])
    copies = [
        stack.enter_context(Copy(folder / str(number), measured.root, cover.libraries))
        for number in range(jobs)
    ]
    cover = control(copies[0], cover)
    print(f"{len(cover.durations_s)} tests in {sum(cover.durations_s.values()):.0f} s", flush=True)
    if cover.failed:
        print("left out, since they fail without a mutant:", *cover.failed, flush=True)
    return cover, copies


def _report(texts: Mapping[str, str], results: Mapping[str, Sequence[Result]]) -> str:
    rows = [
        "",
        "| room | drawn | killed | timed out | survived | killed of drawn |",
        "|---|---|---|---|---|---|",
    ]
    for room, of_room in results.items():
        counts = Counter(result.outcome for result in of_room)
        share = 100 * (1 - counts["survived"] / max(1, len(of_room)))
        numbers = (len(of_room), *(counts[outcome] for outcome in ("killed", "timed out", "survived")))
        rows.append(f"| `{room}` | {' | '.join(map(str, numbers))} | {share:.0f} % |")
    every = [result for of_room in results.values() for result in of_room]
    survivors = [_shown(texts, result.mutant) for result in every if result.outcome == "survived"]
    return "\n".join([*rows, "", *survivors])


def _shown(texts: Mapping[str, str], mutant: Mutant) -> str:
    source = texts[mutant.path]
    before, after = source.splitlines(), mutated(source, mutant).splitlines()
    changes = list(difflib.unified_diff(before, after, n=0, lineterm=""))[3:]
    return "\n".join([str(mutant), *(f"    {line}" for line in changes)])


if __name__ == "__main__":
    main()
