"""Finds the database a command works on: the external one of the settings, or the embedded one.

One process at a time owns the embedded PostgreSQL of a state folder: the holder of `lock` there. It
starts the database, leaves its addresses in `database.json` (readable by its owner only) and stops it.
Other commands in the same folder use those addresses.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from staunch_server.settings import Settings

if TYPE_CHECKING:
    from staunch_local.postgres.server import EmbeddedPostgres


class StateFolderBusy(Exception):
    """Another command holds the state folder; the message says what to do."""


@dataclass(frozen=True)
class DatabaseUrls:
    """Where the database is, for its two roles."""

    owner: str = field(repr=False)
    """Migrates and simulates."""
    reader: str = field(repr=False)
    """Reads the schema `staunch` and nothing else."""
    embedded: bool = False
    """True if the database is ours and runs in the state folder."""


@contextlib.contextmanager
def state_folder_lock(folder: Path) -> Iterator[None]:
    """Holds the state folder while the block runs, our process id in its `lock`; a kill -9 lets go of it.

    Raises:
        StateFolderBusy: Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateFolderBusy(
                f"another staunch runs in {folder}: stop it, or choose another folder with --state-folder"
            ) from None
        lock.truncate(0)
        print(os.getpid(), file=lock, flush=True)
        yield


def external_urls(settings: Settings) -> DatabaseUrls | None:
    """The database that the settings name, or None: then the embedded one serves."""
    owner = settings.database_url or settings.database_reader_url
    reader = settings.reader_url
    if owner is None or reader is None:
        return None
    return DatabaseUrls(owner.get_secret_value(), reader.get_secret_value())


@contextlib.contextmanager
def embedded_database(settings: Settings) -> Iterator[tuple[DatabaseUrls, "EmbeddedPostgres"]]:
    """Runs the embedded PostgreSQL while the block runs, and gives it too; the state folder must be held.

    The addresses stand in `database.json` meanwhile, so that other commands find them.
    """
    from staunch_local.postgres.server import EmbeddedPostgres

    postgres = EmbeddedPostgres(settings.state_folder / "postgres")
    postgres.start()
    address_file = settings.state_folder / "database.json"
    try:
        urls = DatabaseUrls(postgres.owner_url, postgres.reader_url, embedded=True)
        _write_private(address_file, json.dumps(asdict(urls)))
        yield urls, postgres
    finally:
        address_file.unlink(missing_ok=True)
        postgres.stop()


@contextlib.contextmanager
def database(settings: Settings) -> Iterator[DatabaseUrls]:
    """The database of the settings, for one command.

    An embedded one that runs already is used as it stands; else it runs while the block does.

    Raises:
        StateFolderBusy: Another command is just starting or ending the embedded database.
    """
    external = external_urls(settings)
    if external is not None:
        yield external
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(state_folder_lock(settings.state_folder))
        except StateFolderBusy:
            yield _running_urls(settings.state_folder)
            return
        yield stack.enter_context(embedded_database(settings))[0]


def _running_urls(folder: Path) -> DatabaseUrls:
    try:
        return DatabaseUrls(**json.loads((folder / "database.json").read_text()))
    except FileNotFoundError:
        raise StateFolderBusy(
            f"another staunch works in {folder}, and not with the PostgreSQL that lives there: set "
            "STAUNCH_DATABASE_URL as it was for that one, or try again in a moment if it is just starting"
        ) from None


def _write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner may read, and replaces the old one in one step."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)
