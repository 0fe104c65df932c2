"""Walks through a page of the docs as a reader would: writes its files, runs its commands, in their order."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.harness.waiting import wait

from staunch_local.postgres.binaries import find_binaries

ROOT = Path(__file__).parent.parent.parent
SERVE = "staunch serve\n"
_BLOCK = re.compile(
    r"(?P<skipped><!-- not run[^\n]*-->\n)?(?:`(?P<file>[\w./-]+)`:\n\n)?"
    r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_WAIT_S = 60


@dataclass(frozen=True)
class Block:
    """A fenced block: what it holds, the file it names just above, whether the reader runs it."""

    kind: str
    text: str
    file: str | None
    skipped: bool


def blocks_of(page: Path) -> list[Block]:
    """Lists the fenced blocks of a page."""
    found = _BLOCK.finditer(page.read_text())
    return [Block(m["kind"], m["text"], m["file"], bool(m["skipped"])) for m in found]


@dataclass
class Walk:
    """What came of a page.

    Attributes:
        folder: where its files were written and its commands ran.
        address: of the server that it started; it runs until the walk ends.
        outputs: what each command block printed, by its text.
        shown: what the page says that a block prints, for those that say so.
        patience_s: how long a block may take.
    """

    folder: Path
    environment: dict[str, str]
    address: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    server: subprocess.Popen[bytes] | None = None
    patience_s: float = 110

    def take(self, blocks: list[Block]) -> None:
        """Writes every file, then runs every command."""
        for block in blocks:
            if block.file:
                file = self.folder / block.file
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.text)
        last = ""
        for block in blocks:
            if block.kind == "text":
                self.shown[last] = block.text
            elif block.text == SERVE:
                self.serve()
            elif block.kind in ("sh", "python") and not block.file and not block.skipped:
                last = block.text
                script = block.text if block.kind == "sh" else f"python - <<'END'\n{block.text}END"
                self.outputs[last] = self.run(script)

    @staticmethod
    def words_of(text: str) -> set[str]:
        """The words of an output, without figures, times and paths: what is the same every time.

        Advice is left out: whether a VACUUM was thorough depends on who else was reading.
        """
        text = "\n".join(line for line in text.splitlines() if not line.startswith("advice"))
        found = set(re.findall(r"(?<![\w/.])[a-z_]{3,}(?![\w/])", text.lower()))
        return found - {"low", "medium", "high"}

    def run(self, script: str) -> str:
        """Runs commands in the reader's shell, whose exports stay; returns what they print."""
        exports = self.folder / ".exports"
        exports.touch()
        words = f". {exports}\n{script.replace('127.0.0.1:50051', self.address)}\nexport -p > {exports}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=self.patience_s,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def serve(self) -> None:
        """Starts the server and waits until it answers."""
        log = self.folder / "serve.log"
        words = f". {self.folder}/.exports; exec {SERVE}"
        with log.open("wb") as out:
            self.server = subprocess.Popen(
                ["bash", "-c", words],
                cwd=self.folder,
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        server = self.server

        def answers() -> bool:
            assert server.poll() is None, log.read_text()
            return "Ctrl-C stops" in log.read_text()

        wait(answers, _WAIT_S, log.read_text)
        self.address = re.search(r"gRPC +(\S+)", log.read_text())[1]
        self.environment["STAUNCH_SERVER"] = self.address

    def end(self) -> None:
        """Ends the server, if one runs, as Ctrl-C does."""
        if self.server is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.server.pid, signal.SIGINT)
            self.server.wait(_WAIT_S)


@pytest.fixture(scope="module")
def walk(database_factory: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Walks a page on a fresh database: `walk(page)`; `walk(page, files=folder)` has the folder's files."""
    with contextlib.ExitStack() as stack:

        def go(page: Path, files: Path | None = None) -> Walk:
            folder = tmp_path_factory.mktemp("reader")
            for file in files.iterdir() if files else ():
                (folder / file.name).symlink_to(file)
            database = database_factory(template="template1")
            addresses = {
                "STAUNCH_DATABASE_URL": database.owner_url,
                "STAUNCH_DATABASE_READER_URL": database.reader_url,
            }
            walked = Walk(folder, reader_environment() | addresses)
            stack.callback(walked.end)
            walked.take(blocks_of(page))
            return walked

        yield go


@pytest.fixture
def alone() -> Iterator[Walk]:
    """A reader who has our environment and no PostgreSQL, and has done nothing yet."""
    # Below /tmp, where the PostgreSQL that we bring can reach it as a user of its own.
    with tempfile.TemporaryDirectory(prefix="staunch-reader-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / ".venv").symlink_to(sys.prefix)
        walked = Walk(Path(folder), reader_environment())
        try:
            yield walked
        finally:
            walked.end()


def reader_environment() -> dict[str, str]:
    """A reader's: the commands on the PATH, and ports that are free."""
    path = [str(Path(sys.executable).parent), str(find_binaries().folder), os.environ["PATH"]]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STAUNCH_", "PYTEST"))}
    return kept | {
        "PATH": os.pathsep.join(path),
        "OMP_NUM_THREADS": "1",
        "STAUNCH_PORT": "0",
        "STAUNCH_METRICS_PORT": "0",
    }
