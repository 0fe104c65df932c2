"""Text for people: what `staunch view new` chose and wrote, and the commands that come next."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from staunch_cli.printing.formatting import facts

if TYPE_CHECKING:
    from staunch_features.drafts.catalogue import Column
    from staunch_features.drafts.draft import Drafted

_URLS = ("database_url", "database_reader_url")


def draft_report(drafted: "Drafted", files: Sequence[Path]) -> str:
    """Says which columns were taken for what, and which were left out."""
    draft = drafted.draft
    key = draft.key
    unusable = f"; {key.left_out:,} rows without a key that a call can name" if key.left_out else ""
    time = draft.clock.time
    share = f"{drafted.true:,} of {drafted.known:,} rows looked at, {drafted.true / drafted.known:.1%}"
    share += ", have one at all" if time else ""
    lines = [
        ("table", f"{draft.relation.sql}, {key.rows:,} rows"),
        ("key", f"{key.column.name}: {key.why}{unusable}"),
        ("label", f"{draft.answer.words}: {share} ({draft.answer.why})"),
        ("time", _time(time) if time else ""),
        *(("wrote", str(file)) for file in files),
    ]
    counts = f"{len(draft.features)} feature{'s' if len(draft.features) > 1 else ''}"
    if not draft.left_out:
        return f"{facts(lines)}\n\n{counts}"
    left_out = [f"  {name}: {why}" for name, why in draft.left_out]
    return "\n".join([facts(lines), "", f"{counts}; left out:", *left_out])


def _time(time: "Column") -> str:
    zone = "" if time.type == "timestamptz" else "; it tells no zone and is read as UTC"
    return f"a row is known from its {time.name} on{zone}"


def next_commands(
    name: str, folder: Path, settings: Sequence[tuple[str, str | bool]], *, exported: bool
) -> str:
    """Lists the commands that come next, as they can be typed.

    Args:
        name: The view's.
        folder: The folder of views.
        settings: The settings that were given as flags, which the next commands need too.
        exported: Whether the other commands find the folder by themselves.
    """
    given = dict(settings)
    flags = "".join(
        f" --{field.replace('_', '-')} {shlex.quote(str(given[field]))}"
        for field in ("state_folder", "views")
        if field in given
    )
    # A URL may hold a password, which is not repeated.
    flags += "".join(f" --{field.replace('_', '-')} URL" for field in _URLS if field in given)
    lines = ["", "Read both, make them yours, then"]
    if not exported:
        lines.append(f"  export STAUNCH_VIEWS={shlex.quote(str(folder.resolve()))}")
    lines += [f"  staunch view check {name}{flags}", f"  staunch train --view {name}{flags}"]
    return "\n".join(lines)
