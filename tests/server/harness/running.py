"""The real server on loopback, over a real store and a real database, and stubs to call it with."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grpc import aio
from prometheus_client import CollectorRegistry
from tests.harness.databases import TestDatabase
from tests.server.harness.shell import OWN_CONNECTION
from tests.server.small_models import small_files, small_manifest, small_trees, view_text

from staunch.v1.model_service_pb2_grpc import ModelServiceStub
from staunch.v1.prediction_service_pb2_grpc import PredictionServiceStub
from staunch_features.postgres.connection import Connection, opened
from staunch_model_store.manifest import Manifest
from staunch_model_store.store import ModelStore, StoredVersion
from staunch_server.process.channel.siblings import Siblings
from staunch_server.process.server import Server, serving
from staunch_server.settings import load_settings

if TYPE_CHECKING:  # The stubs of grpc.aio are there for type checkers only.
    from staunch.v1.model_service_pb2_grpc import ModelServiceAsyncStub
    from staunch.v1.prediction_service_pb2_grpc import PredictionServiceAsyncStub


@dataclass(frozen=True)
class Lock:
    """A lock on the people that is held."""

    connection: Connection

    async def waiting(self, count: int) -> bool:
        """Returns whether so many queries wait for a lock of this database."""
        sql = (
            "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database"
            " WHERE NOT granted AND datname = current_database()"
        )
        return bool(await self.connection.fetchval(sql) == count)


@dataclass(frozen=True)
class Locked:
    """Makes every query of the people wait: `async with locked() as lock: ...`."""

    database: TestDatabase

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Lock]:
        """Locks the people for the block."""
        async with opened(self.database.owner_url) as connection, connection.transaction():
            await connection.execute("LOCK TABLE public.people")
            yield Lock(connection)


@dataclass(frozen=True)
class Running:
    """A started server, a channel to it and its stubs; `stop` drains it before the test ends."""

    server: Server
    channel: aio.Channel
    prediction: "PredictionServiceAsyncStub"
    models: "ModelServiceAsyncStub"
    stop: Callable[[], Awaitable[None]]

    @property
    def target(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.server.port}"


@dataclass(frozen=True)
class Publish:
    """Publishes small models in a store: `publish("churn", base=0.0, id_type="int64", ...)`."""

    store: ModelStore

    def __call__(
        self,
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
        """Publishes the next version and points the alias at it.

        Args:
            name: The model's name.
            base: What its margins begin with; another base is another model.
            id_type: What the view takes: int64, text or uuid.
            uses_as_of: Whether the view knows time.
            alias: What points at the version; None is nothing.
            explainer: Whether it can explain.
            text: Replaces the view's SQL text.
            changes: Replace fields of the manifest.
        """
        trees = small_trees(base)
        files = small_files(trees, text or view_text(id_type, uses_as_of=uses_as_of), explainer=explainer)
        fields = {"base_value": trees.base_value()} | changes

        def build(version: int) -> tuple[Manifest, dict[str, bytes]]:
            return small_manifest(name, version, id_type, uses_as_of=uses_as_of, **fields), files

        stored = self.store.publish(name, build)
        if alias is not None:
            self.store.set_alias(name, alias, stored.manifest.version)
        return stored


@dataclass(frozen=True)
class Serve:
    """Starts real servers of a store on a database; they end with the stack."""

    stack: AsyncExitStack
    store: ModelStore
    url: str

    async def __call__(
        self,
        *,
        again_s: float = 1.0,
        warm_s: float = 0.0,
        siblings: Siblings | None = None,
        **settings: Any,
    ) -> Running:
        """Starts a server on a free port; `settings` replace the usual ones. Its connections are cold."""
        usual = {"port": 0, "store": self.store.root, "database_reader_url": self.url, "drain_s": 5.0}
        own = await self.stack.enter_async_context(AsyncExitStack())
        loaded = load_settings(usual | settings)
        server = await own.enter_async_context(
            serving(loaded, CollectorRegistry(), siblings, again_s=again_s, warm_s=warm_s)
        )
        server.reload._pause_s = 0.0  # a test may well read the store twice a second
        channel = aio.insecure_channel(f"127.0.0.1:{server.port}", options=OWN_CONNECTION)
        own.push_async_callback(channel.close)
        return Running(server, channel, PredictionServiceStub(channel), ModelServiceStub(channel), own.aclose)
