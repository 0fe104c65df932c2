"""Flags of a command that set the fields of `Settings`: one flag a field, its help the field's own."""

import sys
import types
import typing
from argparse import ArgumentParser, _ArgumentGroup
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from staunch_server.settings import Settings

DATABASE_SETTINGS = ("database_url", "database_reader_url", "state_folder")
"""The settings that say where the database is: what every command that needs it takes as flags."""


@dataclass(frozen=True)
class SettingsArguments:
    """The settings that were given as flags: field and value, the last of a field counts."""

    settings: Sequence[tuple[str, str | bool]]

    def load_settings(self, *, makes_views: bool = False) -> "Settings":
        """Reads the settings, flags first; raises SettingsError for a value that cannot be.

        Args:
            makes_views: Whether the folder of views need not be there, since the command makes it.
        """
        from staunch_server.settings import load_settings, setting_notes

        settings = load_settings(dict(self.settings), makes_views=makes_views)
        for note in setting_notes():
            _print_once(note)
        return settings


def add_settings(parser: ArgumentParser, *names: str) -> None:
    """Adds a flag for each named field of `Settings`; no names mean all of them.

    A flag that is not given leaves its field to the environment, the file or the default.
    """
    from staunch_server.settings import Settings

    group = parser.add_argument_group("settings", "also as STAUNCH_*; see docs/settings.md")
    for name in names or Settings.model_fields:
        add_setting(group, name, f"--{name.replace('_', '-')}", _help_text(name).replace("%", "%%"))


STORE_HELP = "Folder of published models; unset, state_folder/models."


def add_store(parser: ArgumentParser) -> None:
    """Adds --store, as `add_settings` does, without loading the settings: a caller's command has no time."""
    group = parser.add_argument_group("settings", "also as STAUNCH_*; see docs/settings.md")
    group.add_argument(
        "--store",
        dest="settings",
        default=[],
        action="append",
        type=partial(_pair, "store"),
        metavar="PATH",
        help=STORE_HELP,
    )


def add_setting(group: _ArgumentGroup, name: str, flag: str, help_text: str) -> None:
    """Adds one flag that sets the field `name` of `Settings`."""
    from staunch_server.settings import Settings

    annotation = Settings.model_fields[name].annotation
    # All these flags fill one list of pairs, so that a command's dataclass has one field for them.
    if annotation is bool:
        group.add_argument(
            flag, dest="settings", default=[], action="append_const", const=(name, True), help=help_text
        )
    else:
        group.add_argument(
            flag,
            dest="settings",
            default=[],
            action="append",
            type=partial(_pair, name),
            metavar=_metavar(annotation),
            help=help_text,
        )


def _help_text(name: str) -> str:
    """What a setting is, and its default, unless that is to do without."""
    from staunch_server.settings import Settings

    field = Settings.model_fields[name]
    description = field.description or ""
    if isinstance(field.default, bool) or "unset, " in description:
        return description
    return f"{description} (default: {'none' if field.default is None else field.default})"


@cache
def _print_once(note: str) -> None:
    """Prints a note, though a command reads the settings several times."""
    print(f"staunch: {note}", file=sys.stderr, flush=True)


def _pair(name: str, text: str) -> tuple[str, str]:
    return name, text


def _metavar(annotation: object) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        return "|".join(typing.get_args(annotation))
    if isinstance(annotation, types.UnionType):
        annotation = typing.get_args(annotation)[0]
    return {"int": "N", "float": "X", "Path": "PATH", "SecretStr": "URL"}.get(
        getattr(annotation, "__name__", ""), "TEXT"
    )
