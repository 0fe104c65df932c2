"""Several `staunch serve` as behind a proxy: each has a port and a state folder of its own, all one store."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.processes import family
from tests.harness.waiting import until

from staunch_server.process.channel.child import bound_to_us

_READY_S = 60.0


@dataclass(eq=False)
class OneServer:
    """One `staunch serve`, which may be stopped and started again.

    Attributes:
        folder: Its state folder, where what it printed is left too.
        environment: Its settings.
        port: Where it serves.
        metrics_port: Where it says that it is well.
        process: The present one, or the last.
    """

    folder: Path
    environment: dict[str, str]
    port: int = field(default_factory=lambda: free_port())
    metrics_port: int = field(default_factory=lambda: free_port())
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Starts it and waits until it is well."""
        self.folder.mkdir(exist_ok=True)
        own = {"PORT": self.port, "METRICS_PORT": self.metrics_port, "STATE_FOLDER": self.folder}
        environment = self.environment | {f"STAUNCH_{name}": str(value) for name, value in own.items()}
        with (self.folder / "said.log").open("ab") as said:
            self.process = await asyncio.create_subprocess_exec(
                *bound_to_us(signal.SIGTERM), sys.executable, "-m", "staunch_cli.main", "serve",
                env=environment, stdout=said, stderr=said, start_new_session=True,
            )  # fmt: skip
        await until(self._is_well, _READY_S)

    async def stop(self) -> None:
        """Stops it by SIGTERM and waits until it has ended."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        assert await asyncio.wait_for(self.process.wait(), 60) == 0, self.said()

    async def kill_workers(self) -> None:
        """Ends its workers by SIGKILL and waits until it is well again."""
        assert self.process is not None
        killed = family(self.process.pid)[1:]
        for worker in killed:
            os.kill(worker, signal.SIGKILL)
        supervisor = self.process.pid
        await until(lambda: not {*killed} & {*family(supervisor)})
        await until(self._is_well, _READY_S)

    def said(self) -> str:
        """Returns all that it has printed."""
        return (self.folder / "said.log").read_text()

    async def _is_well(self) -> bool:
        assert self.process is not None
        assert self.process.returncode is None, self.said()
        return await asyncio.to_thread(self._asked)

    def _asked(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/healthz", timeout=5) as page:
                return bool(page.status == 200)
        except OSError:
            return False


@asynccontextmanager
async def fleet(count: int, folder: Path, environment: dict[str, str]) -> AsyncIterator[Sequence[OneServer]]:
    """Runs so many servers for the block.

    Args:
        count: How many.
        folder: Where their state folders go.
        environment: The settings that they share.
    """
    # What the tests themselves are told is no setting of a server.
    settings = {n: v for n, v in os.environ.items() if not n.startswith("STAUNCH_")} | environment
    servers = [OneServer(folder / f"server-{number}", settings) for number in range(count)]
    try:
        await asyncio.gather(*(server.start() for server in servers))
        yield servers
    finally:
        running = [one for one in servers if one.process is not None and one.process.returncode is None]
        await asyncio.gather(*(server.stop() for server in running))


def free_port() -> int:
    """Returns a port that nobody holds."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
