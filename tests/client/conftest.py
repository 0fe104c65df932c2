"""What the clients' tests share; the parts are in `harness/`.

- `server` and its `service`: the real guard over a scripted service, and beside it the shipped fake, which is
  held to the same tests;
- `toy`: the fake, made to fail as networks do;
- `either`, `either_with`: each client in turn, connected to `server`; `connect`: to any;
- `own_channel`: one to `server` that the caller made.
"""

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import grpc
import grpc.aio
import pytest
from tests.client.harness.either import Connect, EitherClient
from tests.client.harness.faked import FakedServer, FakedService
from tests.client.harness.scripted import Scripted, ScriptedServer
from tests.client.harness.toy import Toy, ToyServer

from staunch import AsyncClient, Client

Server = ScriptedServer | FakedServer


@pytest.fixture(params=[ScriptedServer, FakedServer], ids=["guard", "fake"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """The real guard over a scripted service, in the loop of the test; then the fake that users have."""
    made: Server = request.param()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def service(server: Server) -> Scripted | FakedService:
    """What the guard asks: it is told what to answer, and keeps what came."""
    return server.service


@pytest.fixture
def toy_server() -> Iterator[ToyServer]:
    """A server by hand that fails as networks do."""
    made = ToyServer()
    yield made
    made.toy.released.set()
    made.stop()


@pytest.fixture
def toy(toy_server: ToyServer) -> Toy:
    """What that server is told and has seen."""
    return toy_server.toy


KINDS = {"Client": (Client, False), "AsyncClient": (AsyncClient, False)}
JOINING = {"Client-joining": (Client, True), "AsyncClient-joining": (AsyncClient, True)}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a test with each client in turn; one of `predict` also with such as join calls."""
    chosen = any("connect" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "connect" in metafunc.fixturenames and not chosen:
        kinds = KINDS | (JOINING if '"predict"' in inspect.getsource(metafunc.function) else {})
        metafunc.parametrize("connect", kinds.values(), ids=kinds.keys(), indirect=True)


@pytest.fixture
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Connects a client: `connect(target, **settings)`; closes them at the end."""
    made = Connect(*request.param)
    yield made
    for client in made.made:
        await client.close()


@pytest.fixture
async def own_channel(connect: Connect, server: Server) -> AsyncIterator[Any]:
    """A channel that the caller made, of the kind that the client takes."""
    library = grpc if connect.kind is Client else grpc.aio
    channel: Any = library.insecure_channel(server.target)
    yield channel
    closing = channel.close()
    if closing is not None:
        await closing


@pytest.fixture
def either(connect: Connect, server: Server) -> EitherClient:
    """Each client in turn."""
    return connect(server.target)


@pytest.fixture
def either_with(connect: Connect, server: Server) -> Callable[..., EitherClient]:
    """Makes each client in turn with settings of the test's own."""
    return partial(connect, server.target)


@pytest.fixture
def toy_with(connect: Connect, toy_server: ToyServer) -> Callable[..., EitherClient]:
    """Makes each client in turn with settings of the test's own, connected to the toy."""
    return partial(connect, toy_server.target)
