"""A whole server for the tests of this folder: tiny real models, a small real table, real gRPC."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from grpc import aio
from prometheus_client import CollectorRegistry
from tests.server.small_models import TABLE, filled, small_files, small_manifest, small_trees, view_text

from staunch.v1.model_service_pb2_grpc import ModelServiceStub
from staunch.v1.prediction_service_pb2_grpc import PredictionServiceStub
from staunch_features.postgres.connection import connect
from staunch_model_store import manifest as written
from staunch_model_store.store import ModelStore, StoredVersion
from staunch_server.process.server import Server, serving
from staunch_server.settings import Settings


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """An empty store."""
    return ModelStore(tmp_path / "models")


Publish = Callable[..., StoredVersion]


@pytest.fixture
def publish(store: ModelStore) -> Publish:
    """Publishes a small model: `publish("churn", base=0.0, id_type="int64", alias="champion", ...)`."""

    def make(
        name: str = "churn",
        *,
        base: float = 0.0,
        id_type: str = "int64",
        uses_as_of: bool = True,
        alias: str | None = "champion",
        explainer: bool = True,
        text: str | None = None,
        **changes: Any,
    ) -> StoredVersion:
        trees = small_trees(base)
        files = small_files(trees, text or view_text(id_type, uses_as_of=uses_as_of), explainer=explainer)
        fields = {"base_value": trees.base_value()} | changes

        def build(version: int) -> tuple[written.Manifest, dict[str, bytes]]:
            return small_manifest(name, version, id_type, uses_as_of=uses_as_of, **fields), files

        stored = store.publish(name, build)
        if alias is not None:
            store.set_alias(name, alias, stored.manifest.version)
        return stored

    return make


@pytest.fixture(scope="session")
def people(database_factory: Callable[..., Any]) -> Any:
    """A database with the table of people; read only, so that every test may share it."""
    return filled(database_factory(), TABLE)


@pytest.fixture
def locked(people: Any) -> Callable[[], AbstractAsyncContextManager[None]]:
    """`async with locked():` makes every query of the people wait."""

    @asynccontextmanager
    async def lock() -> AsyncIterator[None]:
        connection = await connect(people.owner_url)
        async with connection.transaction():
            await connection.execute("LOCK TABLE public.people")
            yield
        await connection.close()

    return lock


@dataclass(frozen=True)
class Live:
    """A started server, a channel to it and its stubs."""

    server: Server
    channel: aio.Channel
    prediction: PredictionServiceStub
    models: ModelServiceStub


@pytest.fixture
async def serve(people: Any, store: ModelStore) -> AsyncIterator[Callable[..., Awaitable[Live]]]:
    """Starts servers of the store on the people: `await serve(max_batch_rows=4)`; stops them at the end."""
    async with AsyncExitStack() as stack:

        async def start(**fields: Any) -> Live:
            given = {"port": 0, "store": store.root, "database_reader_url": people.reader_url, "drain_s": 0.0}
            server = await stack.enter_async_context(
                serving(Settings(**(given | fields)), CollectorRegistry())
            )
            channel = await stack.enter_async_context(aio.insecure_channel(f"127.0.0.1:{server.port}"))
            return Live(server, channel, PredictionServiceStub(channel), ModelServiceStub(channel))

        yield start
