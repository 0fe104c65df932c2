"""A PostgreSQL of the tests' own, to be stopped and frozen, and a store whose disk hangs."""

import threading
from contextlib import AbstractContextManager

import pytest
from tests.harness.databases import count_connections
from tests.harness.processes import frozen

from staunch_local.postgres.cluster import READER
from staunch_local.postgres.server import EmbeddedPostgres
from staunch_model_store.store import ModelStore


class Fragile:
    """A PostgreSQL with the people in it, to be mistreated.

    Args:
        server: What runs it.
    """

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.server = server

    @property
    def url(self) -> str:
        """The reader's URL."""
        return self.server.reader_url

    def frozen(self) -> AbstractContextManager[None]:
        """Stops every process of it for the block."""
        return frozen(self.server.pid)

    async def connections(self, condition: str = "true") -> int:
        """Returns how many connections it holds of the reader's."""
        return await count_connections(self.server, f"usename = '{READER}' AND {condition}")


def hanging_store(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Has all that is read of a store hang until the event is set."""
    back = threading.Event()
    for name in ("names", "versions", "aliases", "resolve", "manifest_bytes", "read"):
        monkeypatch.setattr(ModelStore, name, lambda *_: back.wait(30))
    return back
