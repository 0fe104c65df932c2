"""The metrics that workers leave in files, by prometheus-client's multiprocess mode.

A file belongs to a worker's number and not to its process id: a worker that is started again goes on in the
files of its predecessor, so no count is lost with a life, and no life leaves a file behind.
"""

import contextlib
import os
import shutil
import struct
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client import Metric, values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from staunch_server.settings import SettingsError

_USED = struct.Struct("i")  # what each file begins with: how many of its bytes are in use
_HEADER_BYTES = 8
_DAMAGE = (OSError, RuntimeError, ValueError, TypeError, AttributeError, struct.error)
"""What prometheus-client raises on the way through a damaged file: it checks little."""


def write_as(worker_number: int) -> None:
    """Has every metric that is made from now on write into the files of this worker.

    A metric looks `values.ValueClass` up when it is made. At its import prometheus-client puts there, if
    PROMETHEUS_MULTIPROC_DIR is set, one that names its files by the process id.
    """
    values.ValueClass = values.MultiProcessValue(lambda: worker_number)  # type: ignore[no-untyped-call]


class WorkerMetrics(Collector):
    """Adds up what all workers counted, dead or alive.

    Args:
        folder: Where the workers leave their files; no other server may have it.
        report: Takes a line when a file is set aside.
    """

    def __init__(self, folder: Path, report: Callable[[str], None]) -> None:
        self.folder = folder
        self._report = report
        self._reading = threading.Lock()  # A scrape is a thread's: no file may go while it reads.

    def clear(self) -> None:
        """Makes the folder, empty.

        Raises:
            SettingsError: What stands there cannot be removed.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            self.folder.mkdir(parents=True)
        except FileExistsError as error:
            raise SettingsError(
                f"expected {self.folder.absolute()} to be a folder that can be emptied, got what cannot be "
                "removed: remove it, or choose another folder with --state-folder (STAUNCH_STATE_FOLDER)"
            ) from error
        if os.geteuid() == 0:  # or whose folder it is could not empty it, once root has run there
            around = self.folder.parent.stat()
            with contextlib.suppress(OSError):  # a root who may not give away
                os.chown(self.folder, around.st_uid, around.st_gid)

    def collect(self) -> Iterable[Metric]:
        """Reads the files; one that is damaged is set aside first."""
        with self._reading:
            # To look closely at a file is to read it twice, which a scrape does only where one leads nowhere.
            try:
                return _merged(self._sound_files(_is_passable))
            except _DAMAGE:
                return _merged(self._sound_files(_is_sound))

    def worker_died(self, number: int) -> None:
        """Makes the files fit for the next life of a worker; to be called before that begins.

        What its gauges said ends with it. A damaged file is set aside, or the successor would die of it too.

        Raises:
            OSError: A file can be neither removed nor renamed.
        """
        with self._reading:
            mark_process_dead(number, path=str(self.folder))  # type: ignore[no-untyped-call]
            self._sound_files(_is_sound)

    def _sound_files(self, is_sound: Callable[[Path], bool]) -> list[str]:
        """Sets the damaged files aside and returns the others; one that has just been made is empty."""
        files = [file for file in sorted(self.folder.glob("*.db")) if file.stat().st_size > 0]
        # Looked at twice, since a worker may have been writing into it at the first look.
        damaged = [file for file in files if not is_sound(file) and not is_sound(file)]
        for file in damaged:
            file.replace(file.with_name(f"{file.name}.damaged"))
            self._report(f"{file} is damaged, so its counts begin anew; it was renamed to .db.damaged")
        return [str(file) for file in files if file not in damaged]


def _merged(files: list[str]) -> list[Metric]:
    return list(MultiProcessCollector.merge(files))  # type: ignore[no-untyped-call]


def _is_passable(file: Path) -> bool:
    """Whether whoever reads the file comes to its end; what stands in it may still have no meaning."""
    try:
        with file.open("rb") as opened:
            (used,) = _USED.unpack(opened.read(_USED.size))
        if used != 0 and not _HEADER_BYTES <= used <= file.stat().st_size:
            return False
        last = 0
        for *_, position in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
            if position <= last:  # A negative length leads back, and would be followed for ever.
                return False
            last = position
    except _DAMAGE:
        return False
    return True


def _is_sound(file: Path) -> bool:
    """Whether a scrape can read the file, and a worker that is started again can go on in it."""
    if not _is_passable(file):
        return False
    try:
        _merged([str(file)])
    except _DAMAGE:
        return False
    return True
