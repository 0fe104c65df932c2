"""The PostgreSQL that Staunch brings along: initialised, started, recovered and stopped.

It listens on a free port of the loopback, lives in one folder, and dies with the process that started
it. Starting and stopping take the operating system and PostgreSQL's own programs, no driver.
"""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from staunch_features.errors import EmbeddedPostgresError, ending
from staunch_local.postgres.binaries import Binaries, find_binaries
from staunch_local.postgres.cluster import (
    DATABASE,
    HOST,
    OWNER,
    READER,
    check_data,
    clean_environment,
    initialise,
    password_of,
)
from staunch_local.postgres.memory import shared_buffers
from staunch_local.postgres.privileges import check_rights, unprivileged

_START_S = 60.0  # crash recovery of a big world included
# How it is ended, and what it gets for each before the next; the last checkpoint is in the first.
_ENDS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
LONGEST_STOP_S = sum(patience_s for _, patience_s in _ENDS)
"""The seconds that a stop takes at most."""
_LOCK_PATIENCE_S = 1.0
_POLL_S = 0.01

PATH_LIMIT_BYTES = 900
"""A folder's longest path: PostgreSQL cuts the path of a file of its own off at 1,024."""

LOG_LIMIT_BYTES = 10_000_000
"""A log that is longer when the server starts begins anew."""

# What we ask of the server beyond its defaults. Two cores and a laptop's memory in mind.
_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "listen_addresses": HOST,
        "unix_socket_directories": "",  # a socket's path must stay below 100 bytes; TCP always works
        "max_connections": "60",
        "max_wal_size": "2GB",
        "wal_level": "minimal",  # no replica follows it; a simulated world loads in four fifths of the time
        "max_wal_senders": "0",
        "wal_compression": "on",
        "checkpoint_timeout": "15min",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "cluster_name": "staunch",
    }
)


class EmbeddedPostgres:
    """A PostgreSQL server in a folder of its own.

    Call `start` from the main thread: the server is interrupted when the thread that started it ends.

    Args:
        folder: Where it lives; made on first use.
        port: The TCP port on 127.0.0.1; 0 takes a free one and keeps to it while it stays free.
        settings: Server settings that override ours, as in `postgresql.conf`.
    """

    def __init__(self, folder: Path, port: int = 0, *, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder.resolve()
        self._wanted_port = port
        self._settings = {**_SETTINGS, **(settings or {})}
        self._data = _data_folder(self.folder)
        self._lock: BinaryIO | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    # Who and where ----------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The TCP port; 0 before the first start."""
        return self._port

    @property
    def pid(self) -> int | None:
        """The process id of the server, None when it is not running."""
        return self._process.pid if self._process and self.running else None

    @property
    def running(self) -> bool:
        """Whether the server that we started has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def owner_url(self) -> str:
        """The URL for migrations and the simulated world. It holds a password."""
        return self.url_for(DATABASE, OWNER)

    @property
    def reader_url(self) -> str:
        """The URL for serving and training. It holds a password."""
        return self.url_for(DATABASE, READER)

    def url_for(self, database: str, role: str) -> str:
        """Returns the URL of any database for one of the three roles. It holds a password."""
        return f"postgresql://{role}:{password_of(self._data, role)}@{HOST}:{self._port}/{database}"

    # Life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Makes the server answer, whatever state its folder was left in; does nothing if it runs.

        Starts again what died since, too. Initialises the folder on first use or after an interrupted
        initialisation, ends a server that an earlier process left running there, and recovers from a crash.

        Raises:
            EmbeddedPostgresError: Another process uses the folder, its path is too long, the port is taken,
                the data belongs to another version or user, we are a root who cannot become another, or the
                server ends while starting; the log's last lines are in the message.
        """
        if self.running:
            return
        self.stop()  # what is left of one that died
        _check_length(self.folder)
        check_rights()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.folder / "lock")
        try:
            self._start_locked()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops the server: open transactions are rolled back, everything is written. Does nothing twice."""
        if self._process is not None and self.running:  # else its process id may be another's by now
            _end(self._process.pid, self._has_ended)
        self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _start_locked(self) -> None:
        binaries = find_binaries()
        if not self._data.exists():
            initialise(self._data, binaries, fsync=self._settings.get("fsync") != "off")
        check_data(self._data, binaries)
        _end_orphan(self._data)
        port_file = self.folder / "port"
        give_up_at = time.monotonic() + _START_S
        while True:
            self._port = _choose_port(self._wanted_port, port_file)
            self._process = self._launch(binaries)
            if self._wait_until_ready(give_up_at):
                break
            if not self._worth_another_try() or time.monotonic() > give_up_at:
                ended = ending(self._process.returncode)
                raise EmbeddedPostgresError(f"PostgreSQL {ended} while starting: {self._log_tail()}")
            time.sleep(10 * _POLL_S)
        port_file.write_text(f"{self._port}\n")

    def _launch(self, binaries: Binaries) -> subprocess.Popen[bytes]:
        words = unprivileged(self._data.stat().st_uid, binaries.folder / "postgres", self._data)
        wanted = {"shared_buffers": shared_buffers(self._data), **self._settings}
        settings = [f"--{name}={value}" for name, value in wanted.items()]
        server = [binaries.path("postgres"), "-D", str(self._data), f"--port={self._port}", *settings]
        with open_log(self.folder / "log") as log:
            return subprocess.Popen(
                [*words, *server],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=clean_environment(),
                start_new_session=True,  # or Ctrl-C would stop it before its clients
            )

    def _wait_until_ready(self, give_up_at: float) -> bool:
        while self.running:
            if _status(self._data, self.pid) == "ready":
                return True
            if time.monotonic() > give_up_at:
                raise EmbeddedPostgresError(
                    f"PostgreSQL is not ready after {_START_S:.0f} s: {self._log_tail()}"
                )
            time.sleep(_POLL_S)
        return False

    def _worth_another_try(self) -> bool:
        """Whether time heals it: another took our free port, or backends of a killed server still end."""
        tail = self._log_tail()
        return (self._wanted_port == 0 and "could not bind" in tail) or "shared memory block" in tail

    def _has_ended(self) -> bool:
        return not self.running

    def _log_tail(self) -> str:
        lines = (self.folder / "log").read_text(errors="replace").splitlines()
        return " / ".join(lines[-6:])


# The folder -------------------------------------------------------------------------------------


def is_initialised(folder: Path) -> bool:
    """Returns whether an `EmbeddedPostgres` of this folder has data to start with; touches nothing."""
    return _data_folder(folder).is_dir()


def _data_folder(folder: Path) -> Path:
    return folder / "data"


def _check_length(folder: Path) -> None:
    length = len(os.fsencode(folder))
    if length > PATH_LIMIT_BYTES:
        raise EmbeddedPostgresError(
            f"expected a folder for PostgreSQL whose path has at most {PATH_LIMIT_BYTES} bytes, {folder} has "
            f"{length}; choose another with STAUNCH_STATE_FOLDER"
        )


def _locked(file: Path) -> BinaryIO:
    """Opens a file that only one process holds; the lock ends with the process."""
    try:
        lock = file.open("ab")
    except PermissionError as error:
        raise EmbeddedPostgresError(
            f"{file.parent} belongs to another user; run as that one, or remove it"
        ) from error
    if not _flocked(lock):
        lock.close()
        raise EmbeddedPostgresError(
            f"expected {file.parent} to be free, but another Staunch runs its PostgreSQL there; stop that one"
        )
    return lock


def _flocked(lock: BinaryIO) -> bool:
    """Takes the lock, if its holder is not alive.

    A holder that was killed just after it forked leaves a child with a copy of the lock until that execs.
    """
    give_up_at = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_at:
                return False
            time.sleep(_POLL_S)
        else:
            return True


def open_log(file: Path) -> BinaryIO:
    """Opens a log to be written on at its end; one of more than LOG_LIMIT_BYTES is emptied."""
    too_long = file.exists() and file.stat().st_size > LOG_LIMIT_BYTES
    return file.open("wb" if too_long else "ab")


# The port ---------------------------------------------------------------------------------------


def _choose_port(wanted: int, file: Path) -> int:
    """Returns the wanted port, or the kept one, or a free one; raises if the wanted one is taken."""
    if wanted:
        if not _is_free(wanted):
            raise EmbeddedPostgresError(f"expected port {wanted} to be free for PostgreSQL; it is taken")
        return wanted
    with contextlib.suppress(FileNotFoundError, ValueError):
        kept = int(file.read_text())
        if _is_free(kept):
            return kept
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as PostgreSQL itself binds
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


# The process ------------------------------------------------------------------------------------


def _pid_file_lines(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _status(data: Path, pid: int | None) -> str:
    """What the server says of itself: line 8 of its pid file, as pg_ctl reads it."""
    lines = _pid_file_lines(data)
    return lines[7].strip() if len(lines) > 7 and lines[0] == str(pid) else ""


def _end_orphan(data: Path) -> None:
    """Ends the server that a killed process left in this folder, and forgets one that is gone.

    We hold the folder's lock, so whoever started it is gone. A process id that now belongs to another
    program is not touched: only its mention goes, which would keep PostgreSQL from starting.
    """
    lines, ours = _pid_file_lines(data), f" -D {data} "
    if lines and lines[0].isdecimal():  # a crash of the machine may leave the file empty or torn
        pid = int(lines[0])
        if ours in _command_of(pid):
            _end(pid, lambda: ours not in _command_of(pid))
    (data / "postmaster.pid").unlink(missing_ok=True)


def _command_of(pid: int) -> str:
    """The command line of a living process, empty if there is none."""
    if not Path("/proc/self").exists():
        listing = ["/bin/ps", "-o", "command=", "-p", str(pid)]
        return subprocess.run(listing, capture_output=True, text=True, check=False).stdout
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _end(pid: int, has_ended: Callable[[], bool]) -> None:
    """Ends a server: politely, then at once, then by force. A frozen one is woken first."""
    for number, patience_s in _ENDS:
        for each in (number, signal.SIGCONT):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, each)
        give_up_at = time.monotonic() + patience_s
        while time.monotonic() < give_up_at:
            if has_ended():
                return
            time.sleep(_POLL_S)
