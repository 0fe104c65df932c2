"""Ports: held against another server, and refused in words that say what to do."""

import errno
import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from staunch_server.process.ports import PortTaken, cannot_bind, held_socket, reserve


def test_a_reserved_port_refuses_others_and_lets_our_workers_in():
    with reserve("127.0.0.1", 0, "--port") as held:
        port = held.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"cannot use 127\.0\.0\.1:{port}.*--port"):
            reserve("127.0.0.1", port, "--port")


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.EADDRINUSE, "(Address already in use): stop what runs there or choose another with --port"),
        (errno.EACCES, "(Permission denied): ports below 1024 are for root; choose another with --port"),
        (errno.EADDRNOTAVAIL, "no such address is on this machine; choose another with --host"),
    ],
)
def test_each_reason_has_its_own_advice_and_the_address_can_be_copied(number, hint):
    assert cannot_bind("::1", 80, OSError(number, "x"), "--port").endswith(hint)
    assert cannot_bind("::1", 80, OSError(number, "x"), "--port").startswith("cannot use [::1]:80 (")


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(PortTaken, match=r"192\.0\.2\.1:0 .*choose another with --host"):
        reserve("192.0.2.1", 0, "--port")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give the right away")
def test_a_port_for_root_is_refused_to_who_may_not_have_it():
    with socket.socket() as free:  # one below 1024 that nobody has
        port = next(port for port in range(1000, 1024) if free.connect_ex(("127.0.0.1", port)) != 0)
    code = (
        "from staunch_server.process.ports import *\n"
        f"try: reserve('127.0.0.1', {port}, '--port')\nexcept PortTaken as error: print(error)"
    )
    words = ["setpriv", "--bounding-set", "-all", sys.executable, "-c", code]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "ports below 1024 are for root" in said or said == ""  # a machine may open them to all


def listening_at(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def test_a_held_socket_refuses_others_before_a_worker_listens_there_and_leaves_nothing(tmp_path: Path):
    target = f"unix:{tmp_path}/s"
    with held_socket(target):
        with pytest.raises(PortTaken, match=rf"^cannot use {target}: a server is there; stop it or choose"):
            held_socket(target).__enter__()
        listening_at(tmp_path / "s").close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_server_left_is_removed_and_a_live_one_is_refused(tmp_path: Path):
    target, path = f"unix:{tmp_path}/s", tmp_path / "s"
    (tmp_path / "s.lock").touch()
    listening_at(path).close()
    assert path.is_socket()
    with held_socket(target):
        assert not path.exists()
    with listening_at(path):
        with pytest.raises(PortTaken, match="a server is there"):
            held_socket(target).__enter__()
        assert path.is_socket()
    assert [file.name for file in tmp_path.iterdir()] == ["s"]


def test_one_that_is_too_busy_to_answer_is_alive(tmp_path: Path):
    path = tmp_path / "s"
    with listening_at(path) as listener:
        listener.listen(0)
        with socket.socket(socket.AF_UNIX) as waiting:
            waiting.connect(str(path))
            with pytest.raises(PortTaken, match="a server is there"):
                held_socket(f"unix:{path}").__enter__()


def test_what_is_no_socket_is_never_removed(tmp_path: Path):
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "link").symlink_to("mine")
    for name in ("mine", "link"):
        with pytest.raises(PortTaken, match="what is there is no socket; remove it or choose another"):
            held_socket(f"unix:{tmp_path}/{name}").__enter__()
    assert (tmp_path / "mine").read_text() == "precious"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link", "mine"]


def test_a_folder_that_is_not_there_is_named_by_what_is_expected(tmp_path: Path):
    with pytest.raises(
        PortTaken, match=r"\(No such file or directory\): expected a folder that this user can"
    ):
        held_socket(f"unix:{tmp_path}/none/s").__enter__()


def test_a_lock_that_its_holder_removed_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lock, real = tmp_path / "s.lock", fcntl.flock

    def removed_meanwhile(file: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        lock.unlink()
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", removed_meanwhile)
    with held_socket(f"unix:{tmp_path}/s"), pytest.raises(PortTaken):
        held_socket(f"unix:{tmp_path}/s").__enter__()
    assert list(tmp_path.iterdir()) == []
