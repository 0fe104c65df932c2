"""The command as its tests run it: in this process against a toy server, or as a process of its own."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cli.command_process import Command
from tests.client.conftest import Toy, ToyServer

from staunch_cli.main import main

CUSTOMERS = 1500
"""Enough to train on, few enough to simulate in a second or two."""

Start = Callable[..., Command]


@dataclass(frozen=True)
class Told:
    """What a command said."""

    code: int
    out: str
    err: str


@pytest.fixture
def server() -> Iterator[ToyServer]:
    """A toy server of the test's own."""
    made = ToyServer()
    yield made
    made.toy.released.set()
    made.stop()


@pytest.fixture
def toy(server: ToyServer) -> Toy:
    """What the server is told and has seen."""
    return server.toy


@pytest.fixture
def staunch(
    server: ToyServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Told]:
    """Runs the command with words; it finds the toy server by STAUNCH_SERVER."""
    monkeypatch.setenv("STAUNCH_SERVER", server.target)

    def run(*words: object) -> Told:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as left:
            code = int(left.code or 0)
        said = capsys.readouterr()
        return Told(code, said.out, said.err)

    return run


@pytest.fixture
def state_folder() -> Iterator[Path]:
    """A state folder that PostgreSQL's own user can reach."""
    with tempfile.TemporaryDirectory(prefix="staunch-run-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "state"


@pytest.fixture
def start(state_folder: Path) -> Iterator[Start]:
    """Starts commands on the state folder, on free ports; what still runs at the end is killed."""
    started: list[Command] = []

    def begin(*arguments: str, **environment: str) -> Command:
        defaults = {
            "STAUNCH_STATE_FOLDER": str(state_folder),
            "STAUNCH_PORT": "0",
            "STAUNCH_METRICS_PORT": "0",
            "STAUNCH_SIMULATION_CUSTOMERS": str(CUSTOMERS),
            "OMP_NUM_THREADS": "1",
        }
        command = Command(state_folder, list(arguments), defaults | environment)
        started.append(command)
        return command

    yield begin
    for command in started:
        command.close()
