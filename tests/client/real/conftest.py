"""The clients against the real server: real database, real model, as the server's own tests start it."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.client.harness.either import Connect, EitherClient
from tests.server.conftest import people as people
from tests.server.conftest import publish as publish
from tests.server.conftest import serve as serve
from tests.server.conftest import store as store
from tests.server.harness.running import Publish, Running, Serve


@pytest.fixture
async def running(publish: Publish, serve: Serve) -> Running:
    """A server with the model churn@1."""
    publish()
    return await serve()


@pytest.fixture
def either(connect: Connect, running: Running) -> EitherClient:
    """Each client in turn, connected to the server."""
    return connect(running.target)


@pytest.fixture
def either_of(connect: Connect) -> Callable[..., EitherClient]:
    """Connects each client in turn to a server of the test's own."""

    def make(running: Running, **settings: Any) -> EitherClient:
        return connect(running.target, **settings)

    return make
