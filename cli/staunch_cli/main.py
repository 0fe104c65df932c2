"""The command `staunch`: its tree, and what failures look like.

Each sub-command lives in a module that is imported only when that sub-command is asked for, so that
`staunch predict` loads no training library and a broken extra breaks nothing else.
"""

import contextlib
import errno
import os
import sys
from argparse import SUPPRESS, Action, ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from staunch_cli.shared.arguments import CommandParser

INTERRUPTED = 130  # as a shell says of a process that Ctrl-C ended
NOBODY_READS = 141  # as a shell says of one that SIGPIPE ended


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
        ("view", "draft, check and show a feature view"),
        ("psql", "open psql on the database"),
        ("predict", "score one customer"),
        ("explain", "score one customer and say why"),
        ("models", "list and show models, move aliases, reload"),
        ("score", "score many customers into a file"),
        ("top", "show what a server does just now"),
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
        "staunch_server.process.supervisor.CannotServe",
        "staunch_server.process.ports.PortTaken",
        "staunch_training.errors.TrainingError",
    }
)
"""The exceptions whose message is all that a user needs; by name, since importing them loads every room."""


EXTRAS: Mapping[str, frozenset[str]] = {
    "train": frozenset({"matplotlib", "numba", "onnx", "shap", "sklearn", "xgboost"}),
    "local": frozenset({"faker"}),
    "tracing": frozenset({"opentelemetry"}),
}
"""The modules that only an extra of ours brings, by the extra: what is absent is named with its cure."""


def main(words: Sequence[str] | None = None, commands: Mapping[str, Command] = COMMANDS) -> int:
    """Runs one sub-command and returns the exit code.

    It is 0 for done, 1 for failed, 2 for misused, 130 for interrupted, 141 if the output's reader has left.

    Args:
        words: What was typed after `staunch`; None for the words of this process.
        commands: The sub-commands by name.
    """
    try:
        from staunch_server.process.output import hold_standard_streams

        hold_standard_streams()
        words = sys.argv[1:] if words is None else words
        log_format = _log_format(words)
        with _outputs(log_format):
            return _guarded(lambda: _flushed(_run(words, commands)), log_format)
    except KeyboardInterrupt:  # before or after what is guarded
        return INTERRUPTED


def _log_format(words: Sequence[str]) -> str:
    """The format of the lines that a server and its steps print; empty for other commands."""
    from staunch_server.setting_names import is_supervised

    if not is_supervised(os.environ) and words[:1] not in (["run"], ["serve"]):
        return ""
    from staunch_server.telemetry.log_format import asked_log_format

    return asked_log_format(words)


def _outputs(log_format: str) -> contextlib.AbstractContextManager[None]:
    """What a command prints by: lines of one format, and what never fails in a step of `staunch run`.

    A step does its work whether or not somebody reads what it prints.
    """
    from staunch_server.setting_names import is_supervised

    if log_format == "json" or is_supervised(os.environ):
        from staunch_server.process.one_format import outputs

        return outputs(log_format)
    return contextlib.nullcontext()


def _run(words: Sequence[str], commands: Mapping[str, Command]) -> int:
    try:
        parsed = command_parser(words[0] if words else "", commands).parse_args(words)
    except SystemExit as exited:  # after --help, --version or a usage line
        return int(exited.code or 0)
    code: int = parsed.handler(parsed)
    return code


def _flushed(code: int) -> int:
    sys.stdout.flush()
    return code


def _guarded(work: Callable[[], int], log_format: str) -> int:
    """Does the work of a command, and says what went wrong as a user needs it."""
    from staunch_server.process.output import let_go_of, say_failure

    try:
        return work()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        return NOBODY_READS
    except Exception as error:  # the outermost guard; what it does not know it raises again
        line = _message_for_user(error)
        if line is None:
            raise
        say_failure(error, line, log_format)
        return 1
    finally:  # or the interpreter would meet at its end what could not be written, and change the exit code
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                let_go_of(stream)


def _message_for_user(error: Exception) -> str | None:
    """What a user needs to know of an error; None if that is the traceback."""
    if isinstance(error, ModuleNotFoundError):
        module = (error.name or "").partition(".")[0]
        extras = (extra for extra, modules in EXTRAS.items() if module in modules)
        return next((_missing_extra(module, extra) for extra in extras), None)
    if isinstance(error, OSError) and error.errno in _CANNOT_PRINT and error.filename is None:
        return f"cannot write what is printed: {os.strerror(error.errno)}"
    if isinstance(error, OSError) and error.filename is not None:
        return _about_a_file(error)
    return str(error) if is_expected(error) else None


def _about_a_file(error: OSError) -> str:
    """What a user needs to know of a file that could not be used, whoever met it."""
    from staunch_server.file_access import whose

    file = error.filename if isinstance(error.filename, str) else os.fsdecode(error.filename)
    return f'cannot use {file}: "{os.strerror(error.errno or 0)}"{whose(Path(file), error)}'


_CANNOT_PRINT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


def _missing_extra(module: str, extra: str) -> str:
    hint = f"pip install 'staunch-server[{extra}]'"
    return f"{module} is not installed: this command needs the extra `{extra}`, {hint}"


def is_expected(error: BaseException) -> bool:
    """Says whether the message is all that a user needs: ours, or about a file the user named."""
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    return bool(names & EXPECTED) or (isinstance(error, OSError) and error.filename is not None)


_VERSION = "print the version and end"


class _PrintVersion(Action):
    """Prints our version; what knows it takes a tenth of a second to import, so only whoever asks pays."""

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: object, option_string: str | None = None
    ) -> None:
        """Prints it and ends."""
        from importlib.metadata import version

        print(f"staunch {version('staunch-server')}")
        parser.exit()


def command_parser(chosen: str, commands: Mapping[str, Command] = COMMANDS) -> ArgumentParser:
    """Builds the tree; only the chosen branch is imported and complete."""
    parser = CommandParser(prog="staunch", description="Churn scores by customer id, with exact reasons.")
    parser.add_argument("--version", action=_PrintVersion, nargs=0, default=SUPPRESS, help=_VERSION)
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in commands.items():
        if name == chosen:
            import_module(command.module).add(subparsers)
        else:
            subparsers.add_parser(name, help=command.summary, add_help=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
