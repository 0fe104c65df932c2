"""`staunch serve`: serves the models of the store, and makes nothing."""

from typing import TYPE_CHECKING

from staunch_cli.shared.arguments import Handler
from staunch_cli.shared.serving import serve_until_stopped
from staunch_cli.shared.settings_arguments import SettingsArguments, add_settings

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch serve`."""
    parser = subparsers.add_parser(
        "serve",
        help="serve the models of the store, and make nothing",
        description="Serves the models of the store until Ctrl-C, and makes neither world nor model: what "
        "production runs.",
    )
    add_settings(parser)
    parser.set_defaults(handler=Handler(SettingsArguments, run))


def run(arguments: SettingsArguments) -> int:
    """Serves until Ctrl-C."""
    return serve_until_stopped(arguments.load_settings())
