"""The command's tree and its failures."""

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from staunch_cli.main import COMMANDS, EXPECTED, EXTRAS, Command, is_expected, main
from staunch_cli.shared.errors import CommandError
from staunch_server.errors import Reason, Refusal

HEAVY = ("grpc", "numpy", "pydantic", "asyncpg", "onnxruntime", "sklearn", "tqdm", "pyarrow")


def fail(how: str) -> int:
    """Runs a command that fails, as `tests/cli/failing_command.py` says."""
    return main(["fail", how], {"fail": Command("tests.cli.failing_command", "fails")})


def test_help_lists_every_command(staunch):
    result = staunch("--help")
    assert result.code == 0
    for name, command in COMMANDS.items():
        assert name in result.out
        assert command.summary in result.out


def test_help_and_the_commands_of_a_caller_load_nothing_heavy():
    for words in (["--help"], ["predict", "--help"], ["explain", "--help"], ["models", "--help"]):
        code = (
            "import sys\nfrom staunch_cli.main import main\n"
            f"try: main({words!r})\nexcept SystemExit: pass\n"
            f"assert not [name for name in {HEAVY!r} if name in sys.modules]"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("words", [[], ["dance"], ["predict"], ["predict", "42", "--dance"]])
def test_misuse_is_exit_code_2_with_a_usage_line(staunch, words):
    result = staunch(*words)
    assert result.code == 2
    assert "usage: staunch" in result.err


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_expected_exception_exists(name):
    module, _, kind = name.rpartition(".")
    assert issubclass(getattr(import_module(module), kind), Exception)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CommandError("choose another"), True),
        (FileNotFoundError(2, "none", "a.csv"), True),
        (OSError(2, "none"), False),
        (ValueError("a fault of ours"), False),
    ],
)
def test_an_error_of_ours_or_about_a_named_file_needs_no_traceback(error, expected):
    assert is_expected(error) == expected


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_shows_its_help(staunch, name):
    result = staunch(name, "--help")
    assert result.code == 0
    assert f"usage: staunch {name}" in result.out


def test_a_refusal_is_one_line_and_exit_code_1(staunch, service):
    service.script.append(Refusal(Reason.CUSTOMER_NOT_FOUND, "as told"))
    result = staunch("predict", 42)
    assert (result.code, result.out) == (1, "")
    assert result.err == "staunch: CUSTOMER_NOT_FOUND: as told\n"


def test_no_server_is_one_line_that_says_what_to_do(staunch):
    result = staunch("predict", 42, "--server", "127.0.0.1:1", "--timeout", "2")
    assert result.code == 1
    assert result.err.startswith("staunch: nothing answers at 127.0.0.1:1: start it with `staunch run`")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("/nowhere/file", 'cannot use /nowhere/file: "No such file or directory"'),
        ("/etc", 'cannot use /etc: "Is a directory"'),
    ],
)
def test_a_file_that_nobody_met_with_words_is_named_in_ours(capsys, file, said):
    assert fail(file) == 1
    assert capsys.readouterr().err == f"staunch: {said}\n"


def test_what_was_not_expected_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        fail("ZeroDivisionError")


@pytest.mark.parametrize(("module", "extra"), [("matplotlib", "train"), ("faker", "local")])
def test_a_package_of_an_absent_extra_is_one_line_that_names_the_extra(capsys, monkeypatch, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    assert fail(module) == 1
    assert capsys.readouterr().err == (
        f"staunch: {module} is not installed: this command needs the extra `{extra}`, "
        f"pip install 'staunch-server[{extra}]'\n"
    )


def test_the_named_extras_are_declared_and_their_modules_are_not_always_there():
    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert EXTRAS.keys() <= declared["optional-dependencies"].keys()
    for extra, modules in EXTRAS.items():
        brought = " ".join(declared["optional-dependencies"][extra]).replace("scikit-learn", "sklearn")
        assert all(module in brought for module in modules)
        assert not any(module in " ".join(declared["dependencies"]) for module in modules - {"onnx"})


def test_a_module_that_is_missing_for_another_reason_keeps_its_traceback():
    with pytest.raises(ModuleNotFoundError):
        fail("staunch_nowhere")


def test_ctrl_c_is_exit_code_130_and_silent(capsys):
    assert (fail("KeyboardInterrupt"), capsys.readouterr().err) == (130, "")


def test_what_is_done_is_exit_code_0(staunch):
    assert staunch("predict", 42).code == 0
    assert fail("json") == 0


def test_a_reader_that_leaves_ends_the_command_quietly(server):
    words = f"{sys.executable} -m staunch_cli.main models list --server {server.target}"
    result = subprocess.run(
        ["/bin/sh", "-c", f"{{ {words}; echo code $? >&2; }} | true"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr
