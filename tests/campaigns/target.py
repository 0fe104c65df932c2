"""A whole server to mistreat: PostgreSQL, supervisor and workers of this program's own, on loopback."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.campaigns.oracle import Oracle
from tests.cli.command_process import Command
from tests.harness.databases import execute, own_folder, own_postgres
from tests.harness.processes import family
from tests.harness.relays import Relay, relay_to
from tests.server.harness.running import Publish
from tests.server.small_models import PEOPLE, TABLE

from staunch_local.postgres.server import EmbeddedPostgres
from staunch_model_store.store import ModelStore

BASES = {1: 0.0, 2: 0.5}
"""The versions that are published, and what their margins begin with."""

WORKERS = 2


@dataclass
class Target:
    """A server that runs.

    Attributes:
        transport: How it serves.
        postgres: Its database.
        relay: What stands between the two.
        store: Its versions.
        command: The supervisor.
        port: Of gRPC.
        metrics_url: Of /metrics.
    """

    transport: str
    postgres: EmbeddedPostgres
    relay: Relay
    store: ModelStore
    command: Command
    port: int
    metrics_url: str

    @property
    def address(self) -> str:
        """Where callers find it."""
        return f"127.0.0.1:{self.port}"

    @property
    def metrics_port(self) -> int:
        """The port of /metrics."""
        return urlsplit(self.metrics_url).port or 0

    @property
    def oracle(self) -> Oracle:
        """Who knows what it must answer."""
        return Oracle(PEOPLE, BASES)

    @property
    def supervisor(self) -> int:
        """The process id of the supervisor."""
        return self.command.process.pid

    def workers(self) -> list[int]:
        """Returns the process ids of the workers."""
        return [pid for pid in family(self.supervisor)[1:] if "process.worker" in _words(pid)]

    def backends(self) -> list[int]:
        """Returns the process ids of the database's sessions of the reader."""
        return [pid for pid in family(self.postgres.pid)[1:] if "staunch_reader" in _words(pid)]

    def memory_bytes(self) -> int:
        """Returns the resident memory of the largest worker."""
        pages = (int(_read(f"/proc/{pid}/statm").split()[1]) for pid in self.workers())
        return max(pages, default=0) * os.sysconf("SC_PAGE_SIZE")

    def alive(self) -> bool:
        """Says whether supervisor and all workers run."""
        return self.command.process.poll() is None and len(self.workers()) == WORKERS


def _words(pid: int) -> str:
    return _read(f"/proc/{pid}/cmdline").replace("\0", " ")


def _read(path: str) -> str:
    with suppress(OSError):
        return Path(path).read_text(errors="replace")
    return ""


@asynccontextmanager
async def started(transport: str, **environment: str) -> AsyncIterator[Target]:
    """Runs a server of two versions over a database of people for the block.

    Args:
        transport: How it serves: aio or native.
        environment: More settings, as `STAUNCH_MAX_CALLS="8"`.
    """
    with _database() as postgres, own_folder("campaign") as folder:
        store = ModelStore(folder / "state" / "models")
        for version, base in BASES.items():
            assert Publish(store)(base=base).manifest.version == version
        async with relay_to(postgres.port) as relay:
            url = postgres.reader_url.replace(f":{postgres.port}/", f":{relay.port}/")
            command = Command(
                folder / "state",
                ["serve"],
                {**os.environ, **_settings(folder, transport, url), **environment},
            )
            try:
                port = await asyncio.to_thread(command.port)
                yield Target(transport, postgres, relay, store, command, port, command.metrics_url())
            finally:
                command.process.send_signal(signal.SIGTERM)
                with suppress(Exception):
                    await asyncio.to_thread(command.process.wait, 30)
                command.close()


@contextmanager
def _database() -> Iterator[EmbeddedPostgres]:
    with own_postgres("campaign", shared_buffers="32MB") as postgres:
        execute(postgres.owner_url, TABLE)
        yield postgres


def _settings(folder: Path, transport: str, url: str) -> dict[str, str]:
    return {
        "STAUNCH_TRANSPORT": transport,
        "STAUNCH_WORKERS": str(WORKERS),
        "STAUNCH_PORT": "0",
        "STAUNCH_METRICS_PORT": "0",
        "STAUNCH_STATE_FOLDER": str(folder / "state"),
        "STAUNCH_DATABASE_READER_URL": url,
        "STAUNCH_STORE_POLL_S": "1",
        "OMP_NUM_THREADS": "1",
    }
