"""The command, run in this process against the toy server of the client's tests."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from tests.client.conftest import Toy, ToyServer

from staunch_cli.main import main


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
