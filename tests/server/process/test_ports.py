"""Ports: held against another server, and refused in words that say what to do."""

import errno
import os
import socket
import subprocess
import sys

import pytest

from staunch_server.process.ports import PortTaken, cannot_bind, reserve


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
