"""Loads a server with ghz by ready-made profiles; writes bench/results/ghz.md and a plot.

    make run                                               # in one terminal
    make ghz                                               # in another: each profile, two and a half minutes
    make ghz ARGS="predict-open predict-steps"             # some of them
    make ghz ARGS="predict-open -- --rps 800"              # with flags of ghz's own
    make ghz ARGS="--server 10.0.0.7:50051 my.json"        # another server, a profile of yours

Run from the top of the tree. Each profile is a file of ghz's own form, bench/ghz/*.json.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.ghz import figures, lists, page

PROFILES = Path(__file__).parent
RESULTS = PROFILES.parent / "results"
LISTS = Path(".staunch/ghz")
"""Where the profiles look for their lists, from the top of the tree."""


class Failed(Exception):
    """Something that the caller can set right; the message says how."""


def profile(name: str) -> Path:
    """Returns the file of a profile that is named, or named by its path."""
    file = Path(name) if name.endswith(".json") else PROFILES / f"{name}.json"
    if not file.is_file():
        known = ", ".join(each.stem for each in profiles())
        raise Failed(f"no profile {name}: name one of {known}, or a file that ends in .json")
    return file


def profiles() -> list[Path]:
    """Returns the files of the profiles that come with the tree."""
    return sorted(PROFILES.glob("*.json"))


def run(ghz: str, file: Path, server: str, flags: Sequence[str]) -> page.Run:
    """Runs one profile.

    Args:
        ghz: The program.
        file: The profile.
        server: Whom to load.
        flags: Of ghz's own; they win over the profile.
    """
    raw = LISTS / "reports" / f"{file.stem}.json"
    raw.parent.mkdir(parents=True, exist_ok=True)
    command = [ghz, "--config", str(file), *flags, "--format", "json", "--output", str(raw), server]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        reason = (ended.stderr or ended.stdout).strip().splitlines()
        raise Failed(f"ghz refused {file.name}: {reason[-1] if reason else f'exit code {ended.returncode}'}")
    report = json.loads(raw.read_text())
    return page.Run(file.stem, report["options"], figures.whole(report), figures.steps(report))


def write_lists(args: argparse.Namespace) -> int:
    """Asks the server whom it scores, writes the lists, and returns how many they are."""
    asked = lists.candidates(args.ids, args.customers)
    found = lists.eligible(args.server, asked) if asked else []
    if not found:
        raise Failed(
            f"none of the {len(asked):,} customers asked for has a score; name some of yours by --ids FILE"
        )
    lists.write(LISTS, found)
    print(f"{len(found):,} of {len(asked):,} customers have a score: {LISTS / lists.ELIGIBLE}", flush=True)
    return len(found)


def measure(args: argparse.Namespace, flags: Sequence[str]) -> None:
    """Runs the profiles, prints a line of each, and writes page and plot."""
    files = [profile(name) for name in args.profiles] or profiles()
    rows = write_lists(args)
    done: list[page.Run] = []
    for file in files:
        print(f"running {file.stem}", flush=True)
        done.append(run(args.ghz, file, args.server, flags))
        print(page.table(done)[-1], flush=True)
    notes = [
        f"A call of BatchPredict is a stream of {rows:,} rows, in chunks of at most {lists.CHUNK_ROWS:,}."
    ]
    notes += [f"With the flags `{' '.join(flags)}`."] if flags else []
    plot = args.out.with_suffix(".png")
    args.out.write_text(page.page(done, plot.name, notes))
    page.draw(done, plot)
    print("", *page.table(done), "", f"written: {args.out} and {plot}", sep="\n")


def main(argv: Sequence[str]) -> int:
    """Measures; returns the exit code."""
    # What follows the dashes is ghz's: argparse would take it for more profiles.
    own, flags = list(argv), []
    if "--" in own:
        own, flags = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = argparse.ArgumentParser(
        prog="make ghz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profiles", nargs="*", metavar="PROFILE", help="names, or files (default: all)")
    parser.add_argument("--server", default="127.0.0.1:50051", help="whom to load (default: %(default)s)")
    parser.add_argument(
        "--customers", type=int, default=10_000, help="ids from 1 to ask for (default: 10000)"
    )
    parser.add_argument("--ids", type=Path, help="a file of ids or keys to ask for instead, one a line")
    parser.add_argument(
        "--out", type=Path, default=RESULTS / "ghz.md", help="the page (default: %(default)s)"
    )
    parser.add_argument("--ghz", default="ghz", help="the program (default: %(default)s)")
    args = parser.parse_args(own)
    try:
        measure(args, flags)
    except (Failed, ConnectionError, OSError) as error:
        print(f"make ghz: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
