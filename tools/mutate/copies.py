"""A copy of the tree, which is changed and tested in place of the work tree."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.mutate.mutants import Mutant, mutated

_MARK = "STAUNCH_MUTATE"


class Copy:
    """A copy of the tree, and a process in it that runs pytest as often as asked.

    Args:
        folder: Where it is made; the folder must live as long as the copy.
        origin: The tree to copy; hidden files stay behind.
        libraries: The modules that are loaded once, for all runs.
    """

    def __init__(self, folder: Path, origin: Path, libraries: Sequence[str] = ()) -> None:
        self.root = folder / "tree"
        self._scratch = folder / "scratch"
        self._printed = folder / "printed"
        self._scratch.mkdir(parents=True)
        for made in (folder, self._scratch):
            made.chmod(0o755)  # PostgreSQL runs there as another user
        shutil.copytree(origin, self.root, ignore=shutil.ignore_patterns(".*", "build", "dist"))
        (folder / "libraries").write_text(json.dumps(list(libraries)))
        self._runs = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forking.py")), str(folder / "libraries")],
            cwd=self.root,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runs.kill()
        self._runs.communicate()

    def _environment(self) -> dict[str, str]:
        # Before the installed packages, in the processes that tests start too.
        build = tomllib.loads((self.root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
        folders = [*(self.root / name for name in build["dev-mode-dirs"]), self.root / "client", self.root]
        path = os.pathsep.join(str(folder) for folder in (*folders, Path(__file__).parent))
        return {**os.environ, "PYTHONPATH": path, "TMPDIR": str(self._scratch), "OMP_NUM_THREADS": "1"}

    def pytest(self, arguments: Sequence[str], limit_s: float, **variables: str) -> tuple[int | None, str]:
        """Runs pytest in the copy.

        Args:
            arguments: What follows `pytest`.
            limit_s: After that long it is ended, with all that it started.
            variables: Added to its environment.

        Returns:
            The exit code, None where the time was up, and what was printed.
        """
        mark = uuid.uuid4().hex
        request = {
            "arguments": list(arguments),
            "printed": str(self._printed),
            "variables": {**variables, _MARK: mark},
            "limit_s": limit_s,
        }
        assert self._runs.stdin is not None
        assert self._runs.stdout is not None
        print(json.dumps(request), file=self._runs.stdin, flush=True)
        code: int | None = json.loads(self._runs.stdout.readline())
        _end_marked(mark)
        return code, self._printed.read_text(errors="replace")

    @contextmanager
    def changed(self, mutant: Mutant) -> Iterator[None]:
        """Makes the change for as long as the block lasts."""
        path = self.root / mutant.path
        original = path.read_text()
        path.write_text(mutated(original, mutant))
        try:
            yield
        finally:
            path.write_text(original)


def _end_marked(mark: str) -> None:
    # By a mark in their environment: servers that tests start lead sessions of their own.
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{_MARK}={mark}".encode() in (folder / "environ").read_bytes():
                os.kill(int(folder.name), signal.SIGKILL)
