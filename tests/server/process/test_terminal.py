"""A terminal that is closed ends the start of a server; what a nohup protects has none."""

import subprocess
import sys

import pytest

CODE = """
import os, signal, sys
from staunch_server.process.terminal import Terminal, closing_interrupts
if sys.argv[1] == "nohup":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
pid, window = os.forkpty()
if pid:
    os.read(window, 1)
    os.close(window)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
terminal = Terminal()
try:
    with closing_interrupts(terminal):
        os.kill(os.getpid(), signal.SIGHUP)
        os.write(1, b"there")
        signal.sigtimedwait([], 2)
        os._exit(10 + terminal.closed)
except KeyboardInterrupt:
    os.kill(os.getpid(), signal.SIGHUP)
    os._exit(20 + terminal.closed)
"""


@pytest.mark.parametrize(("how", "code"), [("plain", 21), ("nohup", 10)])
def test_only_a_closed_terminal_that_is_not_outlived_interrupts_and_only_once(how: str, code: int) -> None:
    done = subprocess.run([sys.executable, "-c", CODE, how], check=False, timeout=30)
    assert done.returncode == code


def test_without_a_terminal_a_hangup_does_nothing() -> None:
    code = CODE.replace("pid, window = os.forkpty()\nif pid:", "os.setsid()\nif False:")
    done = subprocess.run(
        [sys.executable, "-c", code, "plain"], check=False, timeout=30, stdout=subprocess.PIPE
    )
    assert done.returncode == 10


def test_a_sighup_that_is_ignored_stays_so_in_what_is_started() -> None:
    code = (
        "import os, signal, subprocess, sys\n"
        "from staunch_server.process.terminal import Terminal, closing_interrupts\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with closing_interrupts(Terminal()):\n"
        "    subprocess.run([sys.executable, '-c', 'import os; os.kill(os.getpid(), 1)'], check=True)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0
