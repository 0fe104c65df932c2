"""A copy of the tree, which is changed and tested in place of the work tree."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tools.mutate.mutants import Mutant, mutated


class Copy:
    """A copy of the tree that is changed and tested in place of the work tree.

    Args:
        folder: An empty folder that lives as long as the copy.
        origin: The tree to copy; hidden folders stay behind.
    """

    def __init__(self, folder: Path, origin: Path) -> None:
        self.root = folder / "tree"
        self._scratch = folder / "scratch"
        self._scratch.mkdir()
        for made in (folder, self._scratch):
            made.chmod(0o755)  # PostgreSQL runs there as another user
        shutil.copytree(origin, self.root, ignore=shutil.ignore_patterns(".*", "build", "dist"))

    def environment(self) -> dict[str, str]:
        """Returns the variables under which the copy's packages win, in processes started by tests too."""
        build = tomllib.loads((self.root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
        folders = [*(self.root / name for name in build["dev-mode-dirs"]), self.root / "client", self.root]
        path = os.pathsep.join(str(folder) for folder in (*folders, Path(__file__).parent))
        return {**os.environ, "PYTHONPATH": path, "TMPDIR": str(self._scratch), "OMP_NUM_THREADS": "1"}

    def run(self, arguments: Sequence[str], limit_s: float, **extra: str) -> tuple[int | None, str]:
        """Runs Python in the copy.

        Args:
            arguments: What follows `python`.
            limit_s: After that long it is ended, with all that it started.
            extra: Variables of its environment.

        Returns:
            The exit code, None where the time was up, and what was printed.
        """
        mark = uuid.uuid4().hex
        with tempfile.TemporaryFile("w+") as printed:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.root,
                env={**self.environment(), **extra, "STAUNCH_MUTATE": mark},
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            code: int | None = None
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(limit_s)
            _end_marked(mark)
            process.wait()
            printed.seek(0)
            return code, printed.read()

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
            if f"STAUNCH_MUTATE={mark}".encode() in (folder / "environ").read_bytes():
                os.kill(int(folder.name), signal.SIGKILL)
