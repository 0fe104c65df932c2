"""A command that fails as its argument says: what `main` makes of a failure is tested with it."""

from argparse import ArgumentParser, _SubParsersAction
from dataclasses import dataclass
from importlib import import_module

from staunch_cli.shared.arguments import Handler


@dataclass(frozen=True)
class FailArguments:
    """How to fail: the name of a built-in exception, or of a module to import."""

    how: str


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch fail`."""
    parser = subparsers.add_parser("fail")
    parser.add_argument("how")
    parser.set_defaults(handler=Handler(FailArguments, run))


def run(arguments: FailArguments) -> int:
    """Raises what was asked for."""
    if arguments.how == "ZeroDivisionError":
        raise ZeroDivisionError
    if arguments.how == "KeyboardInterrupt":
        raise KeyboardInterrupt
    if arguments.how.startswith("/"):
        open(arguments.how).close()
    import_module(arguments.how)
    return 0
