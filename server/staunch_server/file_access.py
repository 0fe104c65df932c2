"""What to say of a file or folder that cannot be used as somebody named it."""

import errno
import os
import pwd
from pathlib import Path

_WORDS = {errno.ENOENT: "none", errno.ENOTDIR: "a file", errno.EISDIR: "a folder"}


def found(error: OSError) -> str:
    """Returns what stands in place of what was expected: "none", "a file", or what the system said."""
    return _WORDS.get(error.errno or 0, f'"{os.strerror(error.errno or 0)}"')


def why_unreadable(file: Path) -> str:
    """Returns why a file that is there by name has no text for us; empty if it has."""
    try:
        file.read_text("utf-8")
    except UnicodeDecodeError:
        return "what is no text"
    except OSError as error:
        is_link = isinstance(error, FileNotFoundError) and os.path.islink(file)
        return "a link to none" if is_link else f"{found(error)}{whose(file, error)}"
    return ""


def whose(path: Path, error: OSError) -> str:
    """Returns whose it is that keeps us out, and what to do, behind a colon; empty if nothing is seen to.

    Args:
        path: What was to be read or written.
        error: What the system said.
    """
    if error.errno not in (errno.EACCES, errno.EPERM):
        return ""
    closed = _closed(path.absolute())
    if os.access(closed, os.R_OK | os.W_OK | (os.X_OK if closed.is_dir() else 0)):
        return ""
    owner, us = _user(closed.stat().st_uid), _user(os.geteuid())
    if owner == us:
        return f": {closed} is yours, and its mode does not let you; change it (chmod), or name another"
    return f": {closed} belongs to {owner}, and this runs as {us}; run it as {owner}, or name another"


def _closed(path: Path) -> Path:
    """The first folder on the way that lets us not through; else the last that is there."""
    for folder in (*reversed(path.parents), path):
        if not folder.exists():  # of one that we may look into
            return folder.parent
        if folder.is_dir() and not os.access(folder, os.X_OK):
            return folder
    return path


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"
