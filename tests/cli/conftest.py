"""The command as its tests run it: in this process against a scripted server, or as a process of its own."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.cli.command_process import Command
from tests.client.harness.scripted import Scripted, ScriptedServer, in_thread
from tests.harness.databases import DatabaseFactory, in_own_loop
from tests.harness.homes import Home, make_home

from staunch_cli.main import main
from staunch_cli.shared.database import DatabaseUrls
from staunch_local.simulation.world import write_world

CUSTOMERS = 1500
"""Enough to train on, few enough to simulate in a second or two."""

WORLD_UNTIL = datetime(2026, 11, 1, tzinfo=UTC)
"""Where the rows of `simulated_world` end."""

Start = Callable[..., Command]


@dataclass(frozen=True)
class CommandResult:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """The real guard over a scripted service, in a thread of its own."""
    with in_thread(ScriptedServer()) as started:
        yield started


@pytest.fixture
def service(server: ScriptedServer) -> Scripted:
    """What the guard asks: it answers as scripted, and keeps what came."""
    return server.service


@pytest.fixture
def staunch(
    server: ScriptedServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., CommandResult]:
    """Runs the command with words; it finds the scripted server by STAUNCH_SERVER."""
    monkeypatch.setenv("STAUNCH_SERVER", server.target)

    def run(*words: object) -> CommandResult:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as exited:
            code = int(exited.code or 0)
        captured = capsys.readouterr()
        return CommandResult(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def simulated_world(database_factory: DatabaseFactory) -> DatabaseUrls:
    """A database with a small simulated world; whoever writes to it leaves the world's own tables alone."""
    database = database_factory()
    in_own_loop(_write_world(database.owner_url))
    return DatabaseUrls(database.owner_url, database.reader_url)


async def _write_world(owner_url: str) -> None:
    await write_world(owner_url, customers=300, seed=7, until=WORLD_UNTIL)


@pytest.fixture
def state_folder() -> Iterator[Path]:
    """A state folder that PostgreSQL's own user can reach."""
    with tempfile.TemporaryDirectory(prefix="staunch-run-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "state"


@pytest.fixture
def home(state_folder: Path) -> Home:
    """The home of whoever starts commands by `start`."""
    return make_home(state_folder.parent / "user")


@pytest.fixture
def start(state_folder: Path, home: Home) -> Iterator[Start]:
    """Starts commands on the state folder, on free ports; what still runs at the end is killed.

    None may leave anything in the home of its user, whatever becomes of it.
    """
    started: list[Command] = []

    def start_command(*arguments: str, before: Sequence[str] = (), **environment: str) -> Command:
        defaults = {
            "STAUNCH_STATE_FOLDER": str(state_folder),
            "STAUNCH_PORT": "0",
            "STAUNCH_METRICS_PORT": "0",
            "STAUNCH_SIMULATION_CUSTOMERS": str(CUSTOMERS),
            "OMP_NUM_THREADS": "1",
        }
        variables = {**home.environment, **defaults, **environment}
        command = Command(state_folder, list(arguments), variables, before)
        started.append(command)
        return command

    yield start_command
    for command in started:
        command.close()
    assert home.left == []
    assert [line for line in home.imports if not line.startswith("1 ")] == []
