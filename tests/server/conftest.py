"""What the server's tests share; the parts are in `harness/`.

- `shell`: the guard around two handlers on a real transport, without database or model;
- `serve`: the real server, on loopback, with a real database of people;
- `publish`: versions of a real small model in the test's store;
- `make`: the same as served versions, without a server or a database.
"""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.harness.databases import DatabaseFactory, TestDatabase, execute, own_postgres
from tests.server.harness.collector import Collector
from tests.server.harness.outages import Fragile
from tests.server.harness.promises import broken_promises
from tests.server.harness.running import Locked, Publish, Serve
from tests.server.harness.served import MakeServed
from tests.server.harness.shell import TRANSPORTS, StartShell
from tests.server.small_models import TABLE

from staunch_model_store.store import ModelStore
from staunch_server.errors import Refusal
from staunch_server.statuses import shortened


@pytest.fixture(autouse=True)
def every_refusal_keeps_its_promises(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Holds each refusal that the server makes in any test to the table of reasons and to the contract."""
    make, broken = Refusal.__init__, list[str]()

    def making(self: Refusal, *args: Any, **named: Any) -> None:
        make(self, *args, **named)
        by = sys._getframe(1).f_code
        # What tests make up themselves promises nothing, and neither does what is cut of it.
        if "/staunch_server/" in by.co_filename and by is not shortened.__code__:
            broken.extend(broken_promises(self))

    monkeypatch.setattr(Refusal, "__init__", making)
    yield
    assert broken == []


@pytest.fixture(params=sorted(TRANSPORTS))
def transport_name(request: pytest.FixtureRequest) -> str:
    """Runs a test on each transport."""
    return str(request.param)


@pytest.fixture
async def shell(transport_name: str) -> AsyncIterator[StartShell]:
    """Starts guarded shells: `await shell(predict=..., batch=..., max_calls=...)`; closes them at the end."""
    async with AsyncExitStack() as stack:
        yield StartShell(stack, TRANSPORTS[transport_name])


@pytest.fixture(scope="session")
def people(database_factory: DatabaseFactory) -> TestDatabase:
    """A database with the table of people; read only, so that every test may share it."""
    made = database_factory()
    execute(made.owner_url, TABLE)
    return made


@pytest.fixture
def locked(people: TestDatabase) -> Locked:
    """`async with locked():` makes every query of the people wait."""
    return Locked(people)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """An empty store."""
    return ModelStore(tmp_path / "models")


@pytest.fixture
def publish(store: ModelStore) -> Publish:
    """Publishes a small model: `publish("churn", base=0.0, id_type="int64", alias="champion", ...)`."""
    return Publish(store)


@pytest.fixture
def make(publish: Publish) -> MakeServed:
    """Makes a served version of a small real model; nothing of it reads a database."""
    return MakeServed(publish)


@pytest.fixture
async def serve(people: TestDatabase, store: ModelStore) -> AsyncIterator[Serve]:
    """Starts servers of the store on the people: `await serve(max_batch_rows=4)`; drains them at the end."""
    async with AsyncExitStack() as stack:
        yield Serve(stack, store, people.reader_url)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    collector = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    yield collector
    collector.close()


@pytest.fixture(scope="session")
def _fragile() -> Iterator[Fragile]:
    with own_postgres("fragile", shared_buffers="32MB") as server:
        execute(server.owner_url, TABLE)
        yield Fragile(server)


@pytest.fixture
def fragile(_fragile: Fragile) -> Fragile:
    """The fragile PostgreSQL, running."""
    if not _fragile.server.running:
        _fragile.server.start()
    return _fragile
