"""Programs that start a PostgreSQL of ours and are killed, and what is left of them."""

import asyncio
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.harness.waiting import wait

from staunch_features.postgres.connection import connect

PARENT = """
import sys, time
from pathlib import Path
from staunch_local.postgres.server import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), settings={"fsync": "off"})
server.start()
print(server.pid, server.reader_url, flush=True)
time.sleep(600)
"""
"""A parent that starts a server in a folder, says its process id and waits to be killed."""


def ask(url: str, query: str = "SELECT 42") -> object:
    """Asks a server one thing, over a connection of its own."""

    async def answer() -> object:
        connection = await connect(url)
        value = await connection.fetchval(query)
        await connection.close()
        return value

    return asyncio.run(answer())


def start_parent(folder: Path, *, before: list[str] | None = None) -> tuple[subprocess.Popen[str], int, str]:
    """Starts a parent, and returns it with its server's process id and URL.

    Args:
        folder: Where the server lives.
        before: The words before the command, which make the parent another's.
    """
    command = [*(before or []), sys.executable, "-c", PARENT, str(folder)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd="/")
    assert parent.stdout
    pid, url = parent.stdout.readline().split()
    return parent, int(pid), url


def end_parent(parent: subprocess.Popen[str]) -> None:
    """Kills a parent by force."""
    parent.kill()
    parent.wait()
    assert parent.stdout
    parent.stdout.close()


def alive(pid: int) -> bool:
    """Returns whether a process runs; one that has ended and was not asked for is not alive."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_until_gone(pid: int, patience_s: float = 10) -> None:
    """Waits until a process has ended."""
    wait(lambda: not alive(pid), patience_s, lambda: f"process {pid} is still there")
