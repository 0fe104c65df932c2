"""The clients against the real server: real database, real model, as the server's own tests start it."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.client.conftest import EitherClient
from tests.server.conftest import people as people
from tests.server.conftest import publish as publish
from tests.server.conftest import serve as serve
from tests.server.conftest import store as store
from tests.server.harness.running import Publish, Running, Serve

from staunch import AsyncClient, Client


@pytest.fixture
async def running(publish: Publish, serve: Serve) -> Running:
    """A server with the model churn@1."""
    publish()
    return await serve()


@pytest.fixture(params=[Client, AsyncClient])
async def either(request: pytest.FixtureRequest, running: Running) -> AsyncIterator[EitherClient]:
    """Each client in turn, connected to the server."""
    made = EitherClient(request.param(f"127.0.0.1:{running.server.port}"))
    yield made
    await made.close()


@pytest.fixture(params=[Client, AsyncClient])
async def either_of(request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., EitherClient]]:
    """Connects each client in turn to a server of the test's own."""
    made: list[EitherClient] = []

    def connect(running: Running, **settings: Any) -> EitherClient:
        made.append(EitherClient(request.param(f"127.0.0.1:{running.server.port}", **settings)))
        return made[-1]

    yield connect
    for client in made:
        await client.close()
