"""Flags of a command that set the fields of `Settings`: one flag a field, its help the field's own."""

import types
import typing
from argparse import ArgumentParser, Namespace

from staunch_server.settings import Settings, load_settings

DATABASE_FLAGS = ("database_url", "database_reader_url", "state_folder")
"""The settings that say where the database is: what every command that needs it takes as flags."""


def add_settings(parser: ArgumentParser, *names: str) -> None:
    """Adds a flag for each named field of `Settings`; no names mean all of them.

    A flag that is not given leaves its field to the environment, the file or the default.
    """
    group = parser.add_argument_group("settings", "also as STAUNCH_*; see docs/settings.md")
    for name in names or Settings.model_fields:
        field = Settings.model_fields[name]
        flag, text = f"--{name.replace('_', '-')}", (field.description or "").replace("%", "%%")
        if field.annotation is bool:
            group.add_argument(flag, action="store_const", const=True, help=text)
        else:
            group.add_argument(flag, metavar=_metavar(field.annotation), help=text)


def settings_of(args: Namespace) -> Settings:
    """The settings with the flags of a command; raises SettingsError for a value that cannot be."""
    return load_settings({name: getattr(args, name, None) for name in Settings.model_fields})


def _metavar(annotation: object) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        return "|".join(typing.get_args(annotation))
    if isinstance(annotation, types.UnionType):
        annotation = typing.get_args(annotation)[0]
    return {"int": "N", "float": "X", "Path": "PATH", "SecretStr": "URL"}.get(
        getattr(annotation, "__name__", ""), "TEXT"
    )
