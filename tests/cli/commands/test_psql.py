"""`staunch psql`: on a database of one's own, on the one of `staunch run`, and where there is none."""

import os
import signal
import subprocess
import sys
import time

import pytest

from staunch_cli.shared.database import embedded_database, state_folder_lock
from staunch_server.settings import Settings


def psql(*words: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `staunch psql` to its end as a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STAUNCH_", "PG"))}
    return subprocess.run(
        [sys.executable, "-m", "staunch_cli.main", "psql", *words],
        env=kept | environment,
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def own(database) -> dict[str, str]:
    """The settings that name a database of one's own."""
    return {"STAUNCH_DATABASE_URL": database.owner_url, "STAUNCH_DATABASE_READER_URL": database.reader_url}


ROLE = ("--", "-Atc", "SELECT current_user, current_setting('transaction_read_only')")


def test_the_owner_is_who_opens_it_and_the_reader_only_reads(own):
    assert psql(*ROLE, **own).stdout == "staunch_owner|off\n"
    assert psql("--reader", *ROLE, **own).stdout == "staunch_reader|on\n"
    refused = psql("--reader", "--", "-c", "CREATE TABLE public.x ()", **own)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "read-only transaction" in refused.stderr


def test_it_is_psql_as_it_always_is(own, tmp_path):
    script = tmp_path / "a script.sql"
    script.write_text("SELECT 6 * 7")
    assert psql("--", "-At", "-f", str(script), **own).stdout == "42\n"
    assert psql("--", "-At", text="SELECT 'piped';\n", **own).stdout == "piped\n"
    assert psql("--", "-v", "ON_ERROR_STOP=1", text="SELECT nothing;\n", **own).returncode == 3
    assert "psql (PostgreSQL)" in psql("--", "--version", **own).stdout


@pytest.mark.parametrize("named", [None, "/somewhere/else"])
def test_what_was_typed_is_kept_in_the_state_folder_unless_the_user_says_where(own, tmp_path, named):
    state = tmp_path / "state"
    theirs = {"PSQL_HISTORY": named} if named else {}
    words = ("--state-folder", str(state), "--", "-c", "\\! echo $PSQL_HISTORY $LESSHISTFILE")
    assert psql(*words, **own, **theirs).stdout == f"{named or state / 'caches' / 'psql_history'} -\n"
    assert (state / "caches").is_dir()


def test_no_password_stands_on_a_command_line(own, database):
    seen = psql("--", "-c", "\\! tr '\\000' ' ' < /proc/$PPID/cmdline", **own).stdout
    assert "--dbname postgresql://staunch_owner@127.0.0.1" in seen
    password = database.owner_url.partition("owner:")[2].partition("@")[0]
    assert len(password) > 20
    assert password not in seen


def test_the_database_of_run_is_opened_while_it_runs_and_after(state_folder):
    settings = Settings(state_folder=state_folder)
    given = {"STAUNCH_STATE_FOLDER": str(state_folder), "PGHOST": "nowhere.invalid", "PGSSLMODE": "require"}
    with state_folder_lock(state_folder), embedded_database(settings):
        assert psql(*ROLE, **given).stdout == "staunch_owner|off\n"
        psql("--", "-c", "CREATE TABLE public.kept AS SELECT 42 AS a", **given)
    assert psql("--", "-Atc", "SELECT a FROM kept", **given).stdout == "42\n"
    assert psql("--reader", *ROLE, **given).stdout == "staunch_reader|on\n"


def test_ctrl_c_is_psqls_own(own):
    words = ["--", "-c", "\\echo ready", "-c", "SELECT pg_sleep(50)"]
    process = subprocess.Popen(
        [sys.executable, "-m", "staunch_cli.main", "psql", *words],
        env=os.environ | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    # The query may not have begun; pressed before it does, Ctrl-C changes nothing.
    while process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.5)
    assert "canceling statement due to user request" in process.stdout.read()
    assert process.returncode == 1


def test_where_there_is_no_program_one_line_says_what_to_install(own, tmp_path):
    empty = {"STAUNCH_POSTGRES_BIN": str(tmp_path), "PATH": str(tmp_path)}
    result = psql(**own, **empty)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("staunch: expected psql, PostgreSQL's own client, found none in")
    assert result.stderr.count("\n") == 1


def test_a_url_that_cannot_be_read_is_one_line_without_the_password():
    result = psql(STAUNCH_DATABASE_URL="me:secret@here/db")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "expected postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE" in result.stderr
    assert "secret" not in result.stderr
