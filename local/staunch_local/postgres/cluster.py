"""The data folder of the PostgreSQL that we bring along: made whole or not at all, and whose it is."""

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

import staunch_sql
from staunch_features.errors import EmbeddedPostgresError, ending
from staunch_local.postgres.binaries import Binaries
from staunch_local.postgres.privileges import NOBODY, give_away, unprivileged

SUPERUSER, OWNER, READER = "postgres", "staunch_owner", "staunch_reader"
"""The roles of a fresh cluster: who may do all, who owns the schema, who may only read it."""

DATABASE = "staunch"
"""The database of a fresh cluster; OWNER owns it."""

HOST = "127.0.0.1"
"""Where the server listens, and the only place that it lets in."""

_ACCESS = f"host all all {HOST}/32 scram-sha-256\n"
_UNFINISHED = "unfinished-"


def initialise(data: Path, binaries: Binaries, *, fsync: bool) -> None:
    """Makes the data folder under another name and renames it, so that there is none or a whole one.

    The other name is new each time: an initdb whose parent was killed still empties its own folder.

    Args:
        data: The folder to make; its parent exists.
        binaries: The programs to make it with.
        fsync: Whether to wait until the disk has it, as for data that must outlive a power cut.

    Raises:
        EmbeddedPostgresError: A program failed; its last lines are in the message.
    """
    for left_over in data.parent.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=data.parent))
    give_away(unfinished)
    passwords = {role: secrets.token_urlsafe(24) for role in (SUPERUSER, OWNER, READER)}
    words = unprivileged(NOBODY, binaries.folder / "postgres", unfinished)
    initdb = [
        binaries.path("initdb"), "-D", str(unfinished), "--username", SUPERUSER, "--auth", "trust",
        "--encoding", "UTF8", "--locale", "C", "--data-checksums", *([] if fsync else ["--no-sync"]),
    ]  # fmt: skip
    _run(words, initdb, "")
    # Single-user mode needs no network and no password: nobody can come in before the access file is ours.
    options = ["-c", "exit_on_error=on", "-c", f"fsync={'on' if fsync else 'off'}"]
    single = [binaries.path("postgres"), "--single", "-D", str(unfinished), *options, SUPERUSER]
    _run(words, single, staunch_sql.query("cluster/create_cluster").format(**passwords))
    (unfinished / "pg_hba.conf").write_text(_ACCESS)
    _write_secret(_passwords_file(unfinished), json.dumps(passwords))
    unfinished.rename(data)
    _sync_folder(data.parent)


def password_of(data: Path, role: str) -> str:
    """Returns a role's password, as it was drawn when the cluster was made.

    Raises:
        EmbeddedPostgresError: The cluster was not made by us, or is damaged.
    """
    try:
        password: str = json.loads(_passwords_file(data).read_text())[role]
    except (OSError, ValueError, KeyError) as error:
        raise _no_cluster_of_ours(data, f"no password of {role} in {_passwords_file(data).name}") from error
    return password


def _passwords_file(data: Path) -> Path:
    return data / "staunch_passwords.json"  # inside, so that data and passwords come and go together


def _write_secret(file: Path, text: str) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_data(data: Path, binaries: Binaries) -> None:
    """Raises EmbeddedPostgresError if the cluster is none, or another user's or another version's."""
    owner, user = data.stat().st_uid, os.geteuid()
    if user not in (0, owner):
        raise EmbeddedPostgresError(
            f"expected {data} to belong to user {user}, it belongs to {owner}; "
            f"run as that user, or remove {data.parent}"
        )
    try:
        written_by = int((data / "PG_VERSION").read_text())
    except (OSError, ValueError) as error:
        raise _no_cluster_of_ours(data, "no version in PG_VERSION") from error
    if written_by != binaries.major:
        raise EmbeddedPostgresError(
            f"{data} was written by PostgreSQL {written_by}, found {binaries.major} in {binaries.folder}; "
            f"install {written_by}, or remove {data.parent} to begin anew"
        )


def _no_cluster_of_ours(data: Path, got: str) -> EmbeddedPostgresError:
    return EmbeddedPostgresError(
        f"expected {data} to be the data of a PostgreSQL that Staunch made, got {got}; "
        f"remove {data.parent} to begin anew, or name another folder"
    )


def _run(words: list[str], command: list[str], text: str) -> None:
    done = subprocess.run(
        [*words, *command],
        input=text,
        capture_output=True,
        text=True,
        cwd="/",
        env=clean_environment(),
        start_new_session=True,
        check=False,
    )
    if done.returncode != 0:
        last = " / ".join((done.stderr or done.stdout).splitlines()[-6:])
        ended = f"{Path(command[0]).name} {ending(done.returncode)}"
        raise EmbeddedPostgresError(f"{ended} while PostgreSQL was initialised: {last}")


def clean_environment() -> dict[str, str]:
    """Our environment without what would change PostgreSQL's programs behind our back."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}
