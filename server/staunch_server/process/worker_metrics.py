"""The metrics that workers leave in files: those of the living one by one, those of the dead in one pair."""

import shutil
import struct
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

_SUMMED = ("counter", "histogram")
"""The kinds whose values outlive a worker; those of our gauges end with it."""


class WorkerMetrics(Collector):
    """Adds up the files of a folder that prometheus-client's multiprocess mode writes.

    Without `bury` a worker that dies again and again leaves files for every scrape to read; with them removed
    the counters would go back.

    Args:
        folder: Where the workers leave their files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._burying = threading.Lock()  # A scrape is a thread's, and must not see a value in two files.

    def clear(self) -> None:
        """Makes the folder, empty."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def collect(self) -> Iterable[Metric]:
        """Reads what all workers counted, dead or alive."""
        with self._burying:
            files = [str(file) for file in self.folder.glob("*.db")]
            return list(MultiProcessCollector.merge(files))  # type: ignore[no-untyped-call]

    def bury(self, pid: int) -> None:
        """Adds what a dead worker counted to what all the dead did, and removes its files; OSError."""
        with self._burying:
            mark_process_dead(pid, path=str(self.folder))  # type: ignore[no-untyped-call]
            for kind in _SUMMED:
                left = self.folder / f"{kind}_{pid}.db"
                if left.exists():
                    _add(left, self.folder / f"{kind}_dead.db")
                    left.unlink()


def _add(file: Path, to: Path) -> None:
    total = MmapedDict(str(to))  # type: ignore[no-untyped-call]
    for key, value in _values(file):
        sum_so_far, _ = total.read_value(key)  # type: ignore[no-untyped-call]
        total.write_value(key, sum_so_far + value, 0.0)  # type: ignore[no-untyped-call]
    total.close()  # type: ignore[no-untyped-call]


def _values(file: Path) -> Iterator[tuple[str, float]]:
    """The values of a file, up to where it is damaged: its writer may have been killed in the middle."""
    try:
        for key, value, _, _ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
            yield key, value
    except (RuntimeError, struct.error, UnicodeDecodeError):
        return
