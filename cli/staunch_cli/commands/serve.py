"""`staunch serve`: serves the models of the store, and makes nothing."""

from typing import TYPE_CHECKING

from staunch_cli.shared.serving import serve_until_stopped
from staunch_cli.shared.settings_flags import add_settings, settings_of

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch serve`."""
    parser = subparsers.add_parser("serve", help="serve the models of the store, and make nothing")
    add_settings(parser)
    parser.set_defaults(run=run)


def run(args: "Namespace") -> int:
    """Serves until Ctrl-C."""
    return serve_until_stopped(settings_of(args))
