"""Whom PostgreSQL runs as: below folders closed to others, as root, as a container's root, as anybody."""

import os
import pwd
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.local.postgres.parents import ask, end_parent, start_parent, wait_until_gone

from staunch_features.errors import EmbeddedPostgresError
from staunch_local.postgres.binaries import find_binaries
from staunch_local.postgres.privileges import NOBODY, unprivileged

_AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

_READ_SEARCH, _OVERRIDE, _NOTHING = 1 << 2, 1 << 1, 0

# What a root in a container of Docker's has unless told otherwise.
_DOCKER = [
    "chown",
    "dac_override",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "net_bind_service",
    "net_raw",
    "sys_chroot",
    "mknod",
    "audit_write",
    "setfcap",
]


def _status(pid: int, line: str) -> str:
    return re.findall(rf"^{line}:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[0]


def _rights(pid: int) -> int:
    return int(_status(pid, "CapEff"), 16)


def _root_with(capabilities: list[str]) -> list[str]:
    """The words before a command that make it run as a root who has these capabilities and no other."""
    return ["setpriv", "--bounding-set", ",".join(["-all", *(f"+{name}" for name in capabilities)]), "--"]


def _refused(state_folder: Path, *before: str, **environment: str) -> str:
    """Starts a server as whoever the words before it make it, and returns the one line of its refusal."""
    free = ["--port", "0", "--metrics-port", "0", "--state-folder", str(state_folder)]
    command = [*before, sys.executable, "-m", "staunch_cli.main", "serve", *free]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("STAUNCH_")}
    done = subprocess.run(command, env=ours | environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    return done.stderr


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder of 0700, as root's home and pytest's folders are."""
    with tempfile.TemporaryDirectory(prefix="staunch-closed-") as folder:
        assert Path(folder).stat().st_mode & 0o777 == 0o700
        yield Path(folder)


@pytest.fixture
def programs_below(closed: Path, monkeypatch) -> Path:
    """The programs as an environment below the closed folder has them: only who passes it comes to them."""
    programs = closed / "bin"
    programs.symlink_to(find_binaries().folder)
    monkeypatch.setenv("STAUNCH_POSTGRES_BIN", str(programs))
    return programs


# Below a folder that is closed to others ----------------------------------------------------------


@pytest.mark.usefixtures("programs_below")
def test_programs_and_data_below_a_closed_folder_work_from_the_first_start_on(embedded, closed):
    server = embedded(closed)
    server.start()
    assert ask(server.reader_url) == 42
    if os.geteuid() == 0:
        assert _status(server.pid, "Uid") == str(NOBODY)
        assert _rights(server.pid) == _READ_SEARCH
    server.stop()
    server.start()
    assert ask(server.owner_url) == 42


@pytest.mark.usefixtures("programs_below")
def test_programs_alone_below_a_closed_folder_work(embedded, used):
    server = embedded(used)
    server.start()
    assert ask(server.reader_url) == 42
    assert _rights(server.pid) == (_READ_SEARCH if os.geteuid() == 0 else _NOTHING)


@pytest.mark.usefixtures("programs_below")
def test_below_a_closed_folder_no_server_outlives_a_parent_killed_by_force(used):
    used.chmod(0o700)
    parent, pid, url = start_parent(used / "postgres")
    assert ask(url) == 42
    end_parent(parent)
    wait_until_gone(pid)


def test_a_deep_folder_with_blanks_behind_a_link_works_with_a_umask_that_closes_all(embedded, closed):
    deep = closed / 'it\'s a "place"' / "…".join("deep" for _ in range(30))
    (closed / "link").symlink_to(deep)
    before = os.umask(0o077)
    try:
        deep.mkdir(parents=True)
        server = embedded(closed / "link")
        server.start()
    finally:
        os.umask(before)
    assert ask(server.reader_url) == 42


def test_data_that_was_moved_and_linked_to_is_reached_through_both_folders(embedded, used, closed):
    used.chmod(0o700)
    data, elsewhere = used / "postgres" / "data", closed / "data"
    server = embedded(used)
    server.start()
    server.stop()
    data.rename(elsewhere)
    data.symlink_to(elsewhere)
    try:
        server.start()
        assert ask(server.reader_url) == 42
        server.stop()
    finally:
        data.unlink()
        elsewhere.rename(data)


@_AS_ROOT
def test_as_root_it_runs_as_nobody_below_a_home_that_only_its_owner_may_read(embedded, used):
    used.chmod(0o700)
    server = embedded(used)
    server.start()
    assert ask(server.reader_url) == 42
    status = Path(f"/proc/{server.pid}/status").read_text()
    assert f"Uid:\t{NOBODY}\t" in status


@_AS_ROOT
def test_as_root_it_gets_no_special_right_where_the_folder_is_open(embedded, used):
    if not all(above.stat().st_mode & 0o001 for above in find_binaries().folder.resolve().parents):
        pytest.skip("the programs themselves lie below a folder closed to others")
    used.chmod(0o755)
    server = embedded(used)
    server.start()
    status = Path(f"/proc/{server.pid}/status").read_text()
    assert "CapEff:\t0000000000000000" in status


@_AS_ROOT
def test_programs_that_only_root_may_run_are_run_with_the_wider_right(closed):
    program = closed / "postgres"
    program.write_text("#!/bin/sh\n")
    os.chown(closed, NOBODY, NOBODY)
    for mode, kept in ((0o700, "+dac_override"), (0o711, "+dac_read_search"), (0o755, None)):
        program.chmod(mode)
        words = unprivileged(NOBODY, program, closed)
        assert {word for word in words if word.startswith("+dac")} == ({kept} if kept else set())


# Who starts it ------------------------------------------------------------------------------------


@_AS_ROOT
def test_the_root_of_a_container_has_the_wider_right_alone_and_it_serves(used):
    used.chmod(0o700)
    parent, pid, url = start_parent(used / "postgres", before=_root_with(_DOCKER))
    assert ask(url) == 42
    assert _rights(pid) == _OVERRIDE
    end_parent(parent)
    wait_until_gone(pid)


@_AS_ROOT
@pytest.mark.parametrize(
    ("lacking", "expected"),
    [
        (_DOCKER, "lacks CHOWN, DAC_OVERRIDE, KILL, SETGID, SETUID"),
        (["setuid"], "lacks SETUID:"),
        (["kill", "dac_override"], "lacks DAC_OVERRIDE, KILL:"),
        (["setpcap"], "give root the capability SETPCAP"),
    ],
)
def test_a_root_that_lacks_a_capability_reads_which_one_in_one_line(closed, lacking, expected):
    root = _root_with([name for name in _DOCKER if name not in lacking])
    refusal = _refused(closed / "state", *root)
    assert expected in refusal
    assert "set STAUNCH_DATABASE_URL" in refusal


def test_a_root_of_a_namespace_with_one_user_reads_that_it_cannot_become_another(closed):
    alone = ("unshare", "--user", "--map-root-user")
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this kernel lets us make no namespaces")
    refusal = _refused(closed / "state", *alone)
    assert re.search(rf"root cannot give .* to user {NOBODY}.*run as an ordinary user", refusal)


def test_without_setpriv_root_reads_what_to_install_and_others_need_none(embedded, closed, monkeypatch):
    if os.geteuid() == 0:
        refusal = _refused(closed / "state", PATH="/nowhere")
        assert re.fullmatch(r"staunch: expected setpriv .*util-linux.*install it.*\n", refusal)
    else:
        monkeypatch.setenv("PATH", "/nowhere")
        server = embedded(closed)
        server.start()
        assert ask(server.reader_url) == 42


@_AS_ROOT
def test_a_root_that_lacks_a_capability_reads_so_where_the_data_stand_and_not_that_they_are_broken(used):
    used.chmod(0o755)
    parent, _, _ = start_parent(used / "postgres")
    end_parent(parent)
    root = _root_with([name for name in _DOCKER if name != "dac_override"])
    assert "lacks DAC_OVERRIDE:" in _refused(used, *root)


def _become(uid: int) -> list[str]:
    """The words before a command that make it another user's."""
    words = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "--"]
    reach = [*words, sys.executable, "-c", "import staunch_local.postgres.server"]
    if subprocess.run(reach, cwd="/", capture_output=True, check=False).returncode:
        pytest.skip("this Python lies where only its owner can run it")
    return words


@_AS_ROOT
def test_an_ordinary_user_needs_no_root(folder):
    os.chown(folder, NOBODY, NOBODY)
    become = _become(NOBODY)
    parent, pid, url = start_parent(folder / "postgres", before=become)
    assert ask(url) == 42
    end_parent(parent)
    wait_until_gone(pid)


@_AS_ROOT
def test_what_a_user_made_root_can_run_and_the_user_again(embedded, folder):
    uid = pwd.getpwnam("daemon").pw_uid  # initdb wants a user that has a name
    os.chown(folder, uid, uid)
    become = _become(uid)
    parent, pid, _ = start_parent(folder / "postgres", before=become)
    end_parent(parent)
    wait_until_gone(pid)
    server = embedded(folder)
    server.start()
    assert Path(f"/proc/{server.pid}").stat().st_uid == uid
    server.stop()
    parent, pid, url = start_parent(folder / "postgres", before=become)
    assert ask(url) == 42
    end_parent(parent)
    wait_until_gone(pid)


def test_words_that_lead_nowhere_say_why(closed):
    if os.geteuid() != 0:
        assert unprivileged(NOBODY, closed / "postgres", closed)[-1:] in (["--"], [])
        return
    os.chown(closed, NOBODY, NOBODY)
    with pytest.raises(EmbeddedPostgresError, match=r"root cannot run .*/postgres in .*not found"):
        unprivileged(NOBODY, closed / "postgres", closed)
