"""Finds the database a command works on: the external one of the settings, or the embedded one.

One process at a time owns the embedded PostgreSQL of a state folder: the holder of `lock` there. It
starts the database, leaves its addresses in `database.json` (readable by its owner only) and stops it.
Other commands in the same folder use those addresses.

The servers make a database, `staunch run` and `serve`. Any other command works on one that is there, or says
where it looked.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from staunch_cli.shared.errors import CommandError, system_message
from staunch_server.file_access import whose
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
        CommandError: It cannot be made or written to.
    """
    with _opened_lock(folder) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateFolderBusy(
                f"another staunch runs in {folder}: stop it, or choose another folder with --state-folder"
            ) from None
        lock.truncate(0)
        print(os.getpid(), file=lock, flush=True)
        yield


def _opened_lock(folder: Path) -> TextIO:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / "lock").open("a")
    except OSError as error:
        raise CommandError(
            f"expected {folder.absolute()} to be a state folder that can be written, got "
            f"{system_message(error)}{whose(folder / 'lock', error) or ': choose another'} with "
            "--state-folder (STAUNCH_STATE_FOLDER)"
        ) from error


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

    postgres = EmbeddedPostgres(_postgres_folder(settings.state_folder))
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

    An embedded one that runs already is used as it stands; else it runs while the block does. None is made.

    Raises:
        StateFolderBusy: Another command is just starting or ending the embedded database.
        CommandError: There is no database, or the state folder cannot be used.
    """
    external = external_urls(settings)
    if external is not None:
        yield external
        return
    refuse_absent_database(settings)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(state_folder_lock(settings.state_folder))
        except StateFolderBusy:
            yield _running_urls(settings.state_folder)
            return
        yield stack.enter_context(embedded_database(settings))[0]


def refuse_absent_database(settings: Settings) -> None:
    """Refuses to go on without a database, and makes nothing: no folder, no file.

    Raises:
        CommandError: The settings name none and the state folder holds none.
    """
    if external_urls(settings) is not None:
        return
    folder = settings.state_folder.absolute()
    try:
        got = "" if _holds_postgres(folder) or _is_held(folder) else _what_is_at(folder)
    except OSError as error:
        got = f"{system_message(error)}{whose(folder, error)}"
    if got:
        raise CommandError(
            f"expected the database of a `staunch run` in the state folder {folder}, got {got}: "
            "name its state folder with --state-folder (STAUNCH_STATE_FOLDER), or your own database with "
            "--database-reader-url (STAUNCH_DATABASE_READER_URL) and --database-url (STAUNCH_DATABASE_URL); "
            "`staunch run` makes one"
        )


def _holds_postgres(folder: Path) -> bool:
    from staunch_local.postgres.server import is_initialised

    return is_initialised(_postgres_folder(folder))


def _is_held(folder: Path) -> bool:
    """Whether another command holds the state folder: its database may be about to be made."""
    try:
        with (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (FileNotFoundError, NotADirectoryError):
        return False
    return False


def _what_is_at(folder: Path) -> str:
    if folder.is_dir():
        return "a folder without one"
    return "a file" if folder.exists() else "no such folder"


def _postgres_folder(state_folder: Path) -> Path:
    return state_folder / "postgres"


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
