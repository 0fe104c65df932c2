"""Printing neither raises nor keeps anyone waiting: on pipes, full disks and closed descriptors."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from staunch_server.process.output import FLUSH_S, Output, say_failure


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe of one page."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    yield reading, writing
    for end in (reading, writing):
        try:
            os.close(end)
        except OSError:
            continue


def test_what_is_printed_arrives_in_order_and_whole(pipe: tuple[int, int]) -> None:
    output = Output(pipe[1])
    for number in range(20):
        print("line", number, "é", file=output, flush=True)
    assert os.read(pipe[0], 4096).decode().splitlines() == [f"line {number} é" for number in range(20)]


def test_what_the_encoding_lacks_is_escaped() -> None:
    reading, writing = os.pipe()
    print("é", file=Output(writing, "ascii"), flush=True)
    assert os.read(reading, 100) == b"\\xe9\n"
    os.close(reading)
    os.close(writing)


def test_a_reader_that_has_left_raises_nothing(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    output = Output(pipe[1])
    for _ in range(3):
        print("line", file=output, flush=True)


def test_a_reader_that_stalls_is_waited_for_once_and_gets_the_rest_when_it_reads_again(
    pipe: tuple[int, int],
) -> None:
    output = Output(pipe[1])
    started = time.monotonic()
    for number in range(2000):
        print(f"{number:99}", file=output, flush=True)
    assert time.monotonic() - started < 10 * FLUSH_S
    read = b""
    while read.count(b"\n") < 400:  # not all of them: what is kept has its limit
        read += os.read(pipe[0], 4096)
    assert read.split() == [b"%d" % number for number in range(len(read.split()))]
    while b"the end" not in read:
        print("the end", file=output, flush=True)
        read += os.read(pipe[0], 4096)
    assert b" 1999" not in read


@pytest.mark.timeout(20)
def test_whoever_prints_in_the_middle_of_printing_waits_for_nobody() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    output, interrupted = Output(nowhere), list[int]()

    def finalizer(number: int, _frame: object) -> None:  # a signal comes as garbage is collected: anywhere
        interrupted.append(output.write("from within\n"))

    before = signal.signal(signal.SIGVTALRM, finalizer)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.001, 0.001)
    try:
        while len(interrupted) < 20:
            output.write("line\n")
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        os.close(nowhere)


def test_a_full_disk_is_tried_again_with_each_line(tmp_path: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    output = Output(full)
    print("lost", file=output, flush=True)
    there = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    os.dup2(there, full)  # as if somebody had made room
    print("kept", file=output, flush=True)
    assert (tmp_path / "log").read_text() == "kept\n"
    os.close(full)
    os.close(there)


def test_a_descriptor_that_somebody_made_non_blocking_is_waited_for(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    os.write(pipe[1], b"x" * 4096)
    output = Output(pipe[1])
    print("line", file=output)
    read = b""
    while not read.endswith(b"\n"):
        read += os.read(pipe[0], 4096)
    assert read == b"x" * 4096 + b"line\n"


def test_an_unfailing_process_ends_with_its_own_code_whatever_became_of_its_output() -> None:
    code = (
        "import sys, logging\n"
        "from staunch_server.process.output import unfailing_output\n"
        "with unfailing_output():\n"
        "    logging.basicConfig(level=10)\n"
        "    for _ in range(100): print('line', flush=True); logging.info('line')\n"
        "    raise SystemExit(7)"
    )
    with open("/dev/full", "wb") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=full, check=False, timeout=30)
    assert done.returncode == 7


def test_closed_standard_streams_are_held_by_the_null_device() -> None:
    code = (
        "import os\n"
        "from staunch_server.process.output import hold_standard_streams\n"
        "hold_standard_streams()\n"
        "print('nowhere')\n"
        "file = open('/dev/zero')\n"
        "held = {os.readlink(f'/proc/self/fd/{number}') for number in range(3)}\n"
        "os._exit(file.fileno() > 2 and held == {'/dev/null'})"
    )
    shell = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", code]
    assert subprocess.run(shell, check=False, timeout=30).returncode == 1


def test_what_ends_a_command_is_said_in_lines_that_no_terminal_obeys(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say_failure(ValueError(), 'got "\x1b[31m\r\u202e"\nand é', "")
    assert capsys.readouterr().err == 'staunch: got "\\x1b[31m\\r\\u202e"\nand é\n'
