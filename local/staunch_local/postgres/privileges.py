"""Whom PostgreSQL runs as: us, or an unprivileged user with one right at most where we are root.

PostgreSQL refuses to run as root. Who starts us as root mostly does so below a home of 0700, and that is
closed to the unprivileged user; there it keeps the one capability that it takes.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from staunch_features.errors import EmbeddedPostgresError

NOBODY = 65534
"""The user and group id that the server gets when we are root."""

# Enters the data folder and runs the program, as the kernel lets the user do both. No `test -x`: some shells
# answer it by the modes they see.
_TRY = 'cd "$1" && exec "$2" --version'

# What root itself needs, by the kernel's numbers: a root of a container may lack any of them.
_NEEDED = {"CHOWN": 0, "DAC_OVERRIDE": 1, "KILL": 5, "SETGID": 6, "SETUID": 7}

# From the smallest on. The first passes through folders and reads; the root of a container may lack it.
_RIGHTS = ("dac_read_search", "dac_override")

_WAY_OUT = "run as an ordinary user, or set STAUNCH_DATABASE_URL to a PostgreSQL that runs"


def check_rights() -> None:
    """Raises EmbeddedPostgresError if we are a root who lacks what it takes to run another user's server."""
    if os.geteuid() != 0:
        return
    if _setpriv() is None:
        raise EmbeddedPostgresError(
            "expected setpriv (of the package util-linux) on the PATH when run as root, found none: "
            f"install it, {_WAY_OUT}"
        )
    status = Path("/proc/self/status").read_text()
    held = int(re.findall(r"^CapEff:\s*(\w+)$", status, re.MULTILINE)[0], 16)
    lacking = [name for name, number in _NEEDED.items() if not held >> number & 1]
    if lacking:
        raise EmbeddedPostgresError(
            f"expected root with the capabilities {', '.join(_NEEDED)}, to run PostgreSQL as another user; "
            f"this one lacks {', '.join(lacking)}: let the container keep them, {_WAY_OUT}"
        )


def _setpriv() -> str | None:
    return shutil.which("setpriv") if sys.platform == "linux" else None


def give_away(folder: Path) -> None:
    """Gives a folder to NOBODY if we are root; does nothing otherwise.

    Raises:
        EmbeddedPostgresError: This root may not.
    """
    if os.geteuid() != 0:
        return
    try:
        os.chown(folder, NOBODY, NOBODY)
    except OSError as error:  # a user namespace without that id, a network disk that squashes root
        raise EmbeddedPostgresError(
            f"root cannot give {folder} to user {NOBODY}, whom PostgreSQL runs as ({error.strerror}); "
            f"choose another folder with STAUNCH_STATE_FOLDER, {_WAY_OUT}"
        ) from error


def unprivileged(uid: int, program: Path, folder: Path) -> list[str]:
    """Returns the words to put before a command: it dies with us and, if we are root, runs as `uid`.

    The kernel interrupts the program when the *thread* that started it ends, so start from the main
    thread. Without `setpriv` (not on Linux) the list is empty; `check_rights` has refused a root without.

    Args:
        uid: The user and group id to run as when we are root; of no effect otherwise.
        program: A program that knows `--version`. What is run must be reached like this one.
        folder: The folder it works in, which is that user's. Where program or folder lie below one that is
            closed to the user, such as root's home, the command keeps the right to pass through it.

    Raises:
        EmbeddedPostgresError: We are root, and cannot run the program there as that user.
    """
    setpriv = _setpriv()
    if setpriv is None:
        return []
    dying = [setpriv, "--pdeathsig", "INT"]
    if os.geteuid() != 0:
        return [*dying, "--"]
    become = ["--reuid", str(uid), "--regid", str(uid), "--clear-groups"]
    problems = []
    for right in ([], *map(_keeping, _RIGHTS)):
        words = [*dying, *become, *right, "--"]
        problem = _problem(words, program, folder)
        if problem is None:
            return words
        problems.append(problem)
    raise EmbeddedPostgresError(
        f"root cannot run {program} in {folder} as user {uid}: {' / '.join(dict.fromkeys(problems))}; "
        f"choose a folder that others may pass through, give root the capability SETPCAP, {_WAY_OUT}"
    )


def _keeping(right: str) -> list[str]:
    """The words of setpriv that keep one capability.

    `access(2)`, by which PostgreSQL looks for its own programs, ignores the capabilities of whoever is not
    root unless no_setuid_fixup is set.
    """
    return ["--securebits", "+no_setuid_fixup", "--inh-caps", f"+{right}", "--ambient-caps", f"+{right}"]


def _problem(words: list[str], program: Path, folder: Path) -> str | None:
    """What keeps the program from being run behind these words, None if nothing does."""
    command = [*words, "/bin/sh", "-c", _TRY, "sh", str(folder), str(program)]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[0]
