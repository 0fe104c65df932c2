"""The command `staunch`: its tree, and what failures look like.

Each sub-command lives in a module that is imported only when that sub-command is asked for, so that
`staunch predict` loads no training library and a broken extra breaks nothing else.
"""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import NamedTuple

INTERRUPTED = 130  # as a shell says of a process that Ctrl-C ended


class Command(NamedTuple):
    """A sub-command.

    Attributes:
        module: The module to import when it is asked for; its `add` registers the parser and sets its
            `handler`, a `Handler`.
        summary: One line for `staunch --help`.
    """

    module: str
    summary: str


_COMMANDS_PACKAGE = "staunch_cli.commands"

COMMANDS: Mapping[str, Command] = {
    name: Command(f"{_COMMANDS_PACKAGE}.{name}", summary)
    for name, summary in (
        ("run", "make what is missing, then serve"),
        ("serve", "serve the models of the store, and make nothing"),
        ("migrate", "bring the tables of the database up to date"),
        ("simulate", "write the simulated world, or the days since"),
        ("train", "train a model on a view and publish it"),
        ("view", "check and show a feature view"),
        ("predict", "score one customer"),
        ("explain", "score one customer and say why"),
        ("models", "list and show models, move aliases, reload"),
        ("score", "score many customers into a file"),
    )
}
"""The sub-commands by name, each in the module of its name."""

EXPECTED = frozenset(
    {
        "staunch._errors.StaunchError",
        "staunch_cli.shared.errors.CommandError",
        "staunch_cli.shared.database.StateFolderBusy",
        "staunch_cli.commands.run.StepFailed",
        "staunch_features.errors.FeatureError",
        "staunch_model_store.errors.ModelStoreError",
        "staunch_server.settings.SettingsError",
        "staunch_server.process.supervisor.PortTaken",
        "staunch_training.errors.TrainingError",
    }
)
"""The exceptions whose message is all that a user needs; by name, since importing them loads every room."""


EXTRAS: Mapping[str, frozenset[str]] = {
    "train": frozenset({"matplotlib", "numba", "onnx", "shap", "sklearn", "xgboost"}),
    "local": frozenset({"faker"}),
}
"""The modules that only an extra of ours brings, by the extra: what is absent is named with its cure."""


def main(words: Sequence[str] | None = None, commands: Mapping[str, Command] = COMMANDS) -> int:
    """Runs one sub-command and returns the exit code: 0 done, 1 failed, 2 misused, 130 interrupted.

    Args:
        words: What was typed after `staunch`; None for the words of this process.
        commands: The sub-commands by name.
    """
    words = sys.argv[1:] if words is None else words
    parsed = command_parser(words[0] if words else "", commands).parse_args(words)
    try:
        code: int = parsed.handler(parsed)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has left, as `head` does. What is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # the outermost guard; what it does not know it raises again
        line = _message_for_user(error)
        if line is None:
            raise
        print(f"staunch: {line}", file=sys.stderr)
        return 1
    return code


def _message_for_user(error: Exception) -> str | None:
    """What a user needs to know of an error; None if that is the traceback."""
    if isinstance(error, ModuleNotFoundError):
        module = (error.name or "").partition(".")[0]
        extras = (extra for extra, modules in EXTRAS.items() if module in modules)
        return next((_missing_extra(module, extra) for extra in extras), None)
    return str(error) if is_expected(error) else None


def _missing_extra(module: str, extra: str) -> str:
    hint = f"pip install 'staunch-server[{extra}]'"
    return f"{module} is not installed: this command needs the extra `{extra}`, {hint}"


def is_expected(error: BaseException) -> bool:
    """Says whether the message is all that a user needs: ours, or about a file the user named."""
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    return bool(names & EXPECTED) or (isinstance(error, OSError) and error.filename is not None)


def command_parser(chosen: str, commands: Mapping[str, Command] = COMMANDS) -> ArgumentParser:
    """Builds the tree; only the chosen branch is imported and complete."""
    parser = ArgumentParser(prog="staunch", description="Churn scores by customer id, with exact reasons.")
    parser.add_argument("--version", action="version", version=f"staunch {version('staunch-server')}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in commands.items():
        if name == chosen:
            import_module(command.module).add(subparsers)
        else:
            subparsers.add_parser(name, help=command.summary, add_help=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
