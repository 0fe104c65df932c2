"""A real server for the programs that measure one."""

import pytest
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
