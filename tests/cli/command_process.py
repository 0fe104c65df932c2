"""Runs the command as a person would: as a process of its own, in a session like a terminal's."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.harness.waiting import wait

from staunch import Client, Score, StaunchError

WAIT_S = 90.0
"""How long a test waits for a line; a whole first run takes a fraction of it."""


class Command:
    """A `staunch` command that runs, and what it has printed so far."""

    def __init__(
        self,
        folder: Path,
        arguments: list[str],
        environment: Mapping[str, str],
        before: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self._environment = environment
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 -- lives as long as we do
        self.process = subprocess.Popen(
            [*before, sys.executable, "-m", "staunch_cli.main", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def output(self) -> str:
        """All that was printed."""
        self._log.flush()
        return Path(f"/proc/self/fd/{self._log.fileno()}").read_text()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Waits until the output holds the pattern."""

        def look() -> re.Match[str] | None:
            ended = self.process.poll() is not None
            found = re.search(pattern, self.output)
            assert found or not ended, missing()
            return found

        def missing() -> str:
            return f"no {pattern!r} in:\n{self.output}"

        found = wait(look, WAIT_S, missing)
        assert found
        return found

    def port(self) -> int:
        """Waits until the server answers and returns its gRPC port."""
        self.wait_for("Ctrl-C stops")
        return int(self.wait_for(r"gRPC +127\.0\.0\.1:(\d+)")[1])

    def beside(self, *words: str) -> tuple[int, str]:
        """Runs another command beside a server, and calls it; returns exit code and all that was printed."""
        environment = {**self._environment, "STAUNCH_SERVER": f"127.0.0.1:{self.port()}"}
        done = subprocess.run(
            [sys.executable, "-m", "staunch_cli.main", *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
        )
        return done.returncode, done.stdout + done.stderr

    def metrics_url(self) -> str:
        """The address of /metrics."""
        return self.wait_for(r"http://127\.0\.0\.1:\d+/metrics")[0]

    def press_ctrl_c(self) -> int:
        """Interrupts the whole group, as a terminal does, and returns the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(WAIT_S)

    def kill(self) -> None:
        """Kills the command alone, as kill -9 of its process id does."""
        self.process.kill()
        self.process.wait(WAIT_S)

    def kill_eldest(self, name: str) -> None:
        """Kills the eldest process of that name, waiting until there is one."""

        def named() -> list[int]:
            return [pid for pid, words in self.processes().items() if name in words]

        found = wait(named, 60, lambda: f"no process {name}: {self.processes()}")
        os.kill(min(found), signal.SIGKILL)

    def close(self) -> None:
        """Ends what is left of it by force."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._log.close()

    def processes(self) -> dict[int, str]:
        """Every process that works on our folder, by its id: ours by their environment, PostgreSQL's too."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if str(self.folder).encode() in words:
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        found.pop(os.getpid(), None)
        return found

    def none_left(self) -> bool:
        """Waits until no process of the folder is left; returns whether that came true in time."""
        with contextlib.suppress(TimeoutError):
            return wait(lambda: not self.processes(), 30)
        return False


def first_scored_id(client: Client) -> int:
    """The first id that can be scored."""
    return next(int(row.customer) for row in client.batch_predict(range(1, 200)) if isinstance(row, Score))


def wait_until(condition: Callable[[], bool]) -> None:
    """Waits until the condition holds; an error of the client means not yet."""

    def holds() -> bool:
        with contextlib.suppress(StaunchError):
            return condition()
        return False

    wait(holds, 60)
