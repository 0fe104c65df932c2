"""Every SQL text of Staunch, by name."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent

MIGRATIONS_FOLDER = _HERE / "migrations"
"""The files `NNNN_name.sql`, applied in the order of their numbers."""

QUERIES_FOLDER = _HERE / "queries"
"""The statements that `query` finds by name."""

FEATURES_FOLDER = _HERE / "features"
"""The feature views that we ship, one file each."""

LABELS_FOLDER = _HERE / "labels"
"""The label texts beside them, one file for each view of the same name."""

SCHEMA_FILE = _HERE / "schema.sql"
"""The dump of a migrated database: what all migrations together amount to."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step from one schema to the next: plain SQL, applied in one transaction, never edited.

    Attributes:
        version: The number its file name begins with, from 1 without gaps.
        name: The rest of the file name, such as `schema`.
        sql: The whole text.
        sha256: The hexadecimal digest of the text's bytes.
    """

    version: int
    name: str
    sql: str
    sha256: str


@cache
def query(name: str) -> str:
    """Returns the text of `queries/NAME.sql`, such as `views/read_labels`; raises FileNotFoundError."""
    return (QUERIES_FOLDER / f"{name}.sql").read_text(encoding="utf-8")


def migrations(folder: Path = MIGRATIONS_FOLDER) -> tuple[Migration, ...]:
    """Returns the migrations of a folder in order.

    Raises:
        ValueError: A number is missing or there twice.
    """
    found = tuple(_read(file) for file in sorted(folder.glob("*.sql")))
    numbers = [migration.version for migration in found]
    if numbers != list(range(1, len(found) + 1)):
        raise ValueError(f"expected migrations numbered 1, 2, 3, … in {folder}, got {numbers}")
    return found


def _read(file: Path) -> Migration:
    raw = file.read_bytes()
    number, _, name = file.stem.partition("_")
    return Migration(int(number), name, raw.decode(), hashlib.sha256(raw).hexdigest())
