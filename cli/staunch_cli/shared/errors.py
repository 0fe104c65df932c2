"""What a command says instead of a traceback."""

import os
from pathlib import Path


class CommandError(Exception):
    """A command cannot do what it was asked for; the message is one line that says what to do."""


def cannot_write(path: Path, error: OSError) -> CommandError:
    """Says of a file that the user named why it cannot be written, and what to do.

    Args:
        path: The file as the user gave it, whatever name it is written under at first.
        error: What the system said.
    """
    from staunch_server.file_access import whose

    hint = whose(path if path.exists() else path.parent, error)
    if not hint and not path.parent.is_dir():
        hint = f": make the folder {path.parent}, or choose another place"
    return CommandError(
        f"expected {path} to be a file that can be written, got {system_message(error)}"
        f"{hint or ': choose another place'}"
    )


def cannot_read(path: str, error: OSError) -> CommandError:
    """Says of a file that the user named why it cannot be read, and what to do."""
    from staunch_server.file_access import whose

    hint = whose(Path(path), error) or ": name another"
    return CommandError(f"expected {path} to be a file that can be read, got {system_message(error)}{hint}")


def system_message(error: OSError) -> str:
    """Returns what the system said of a file, in its own words."""
    return f'"{os.strerror(error.errno)}"' if error.errno else str(error)
