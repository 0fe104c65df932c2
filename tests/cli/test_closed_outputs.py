"""Nobody need read what a server prints: terminals close, readers leave or stall, disks are full."""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.harness.processes import family
from tests.harness.waiting import wait

from staunch_cli.shared.database import DatabaseUrls, embedded_database, state_folder_lock
from staunch_server.settings import Settings

pytestmark = pytest.mark.walk

STAUNCH = (sys.executable, "-m", "staunch_cli.main")


def answers(metrics_port: int) -> bool:
    """Whether /healthz gives any answer."""
    with contextlib.suppress(urllib.error.HTTPError):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/healthz", timeout=5).close()
        except urllib.error.URLError as error:
            if not isinstance(error, urllib.error.HTTPError):
                return False
    return True


@dataclass
class Server:
    """A `staunch serve` whose output goes somewhere that a test chose."""

    process: subprocess.Popen[bytes]
    metrics_port: int

    def scrape(self) -> str:
        """What /metrics says; empty before it answers."""
        with contextlib.suppress(OSError):
            url = f"http://127.0.0.1:{self.metrics_port}/metrics"
            return str(urllib.request.urlopen(url, timeout=5).read().decode())
        return ""

    def until_ready(self) -> None:
        """Waits until its worker answers."""
        wait(lambda: "staunch_workers_ready 1.0" in self.scrape(), 60, self.scrape)

    def heals(self) -> None:
        """Kills the worker, and waits until it has been started again."""
        before = self.children()["staunch_server.process.worker"]
        os.kill(before, signal.SIGKILL)
        healed = "staunch_worker_restarts_total 1.0", "staunch_workers_ready 1.0"
        wait(lambda: all(line in self.scrape() for line in healed), 60, self.scrape)
        assert self.children()["staunch_server.process.worker"] != before

    def children(self) -> dict[str, int]:
        """The processes below it: the worker, PostgreSQL."""
        found = {}
        for pid in family(self.process.pid)[1:]:
            words = Path(f"/proc/{pid}/cmdline").read_text()
            for name in ("staunch_server.process.worker", "bin/postgres", "simulate"):
                if name in words:
                    found[name] = pid
        return found

    def ends(self, number: signal.Signals | None = signal.SIGTERM) -> int:
        """Sends a signal, and waits until it and its children are gone; returns the exit code."""
        children = self.children().values()
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(60)
        wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), 20)
        return code


Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path, simulated_world: DatabaseUrls) -> Iterator[Serve]:
    """`serve(stdout=..., stderr=...)` starts a server on an empty store; what runs at the end is killed."""
    started: list[Server] = []

    def start(
        command: str = "serve",
        *,
        before: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        **streams: object,
    ) -> Server:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            metrics_port = probe.getsockname()[1]
        settings = {
            "STAUNCH_DATABASE_READER_URL": simulated_world.reader,
            "STAUNCH_STATE_FOLDER": str(tmp_path / "state"),
            "STAUNCH_PORT": "0",
            "STAUNCH_METRICS_PORT": str(metrics_port),
        }
        process = subprocess.Popen(
            [*before, *STAUNCH, command],
            env={**os.environ, **settings, **(environment or {})},
            stdin=subprocess.DEVNULL,
            **{"start_new_session": True, **streams},  # type: ignore[call-overload]
        )
        started.append(Server(process, metrics_port))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            for pid in (*one.children().values(), one.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            one.process.wait(10)


# Leads a session of its own and opens its terminal, which so becomes the session's, as a shell of a new
# window does. A program and no `preexec_fn`: that runs in a copy of this process, with its threads' locks.
TAKE_TERMINAL = (
    "import os, sys; os.setsid(); os.close(os.open(sys.argv[1], os.O_RDWR)); "
    "os.execvp(sys.argv[2], sys.argv[2:])"
)


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """A real terminal: the side of the window, which a test closes, and the side of the programs."""
    window, programs = os.openpty()
    yield window, programs
    for side in (window, programs):
        with contextlib.suppress(OSError):
            os.close(side)


@pytest.fixture
def on_terminal(serve: Serve, terminal: tuple[int, int]) -> Callable[..., Server]:
    """Starts a server that leads the session of the terminal, and that prints there."""

    def start(command: str = "serve", before: tuple[str, ...] = (), **more: object) -> Server:
        _, programs = terminal
        lead = (sys.executable, "-c", TAKE_TERMINAL, os.ttyname(programs))
        streams = {"stdout": programs, "stderr": programs, "start_new_session": False}
        server = serve(command, before=(*lead, *before), **{**streams, **more})
        os.close(programs)
        return server

    return start


def test_a_closed_terminal_ends_the_server_in_order(on_terminal: Callable[..., Server], terminal) -> None:
    server = on_terminal()
    server.until_ready()
    os.close(terminal[0])
    assert server.ends(None) == 0


def test_a_closed_terminal_stops_the_database_too(on_terminal: Callable[..., Server], terminal) -> None:
    server = on_terminal(environment={"STAUNCH_DATABASE_READER_URL": ""})
    server.until_ready()
    assert "bin/postgres" in server.children()
    os.close(terminal[0])
    assert server.ends(None) == 0


def test_a_terminal_that_closes_while_the_database_starts_ends_the_start(
    on_terminal: Callable[..., Server], terminal
) -> None:
    server = on_terminal(environment={"STAUNCH_DATABASE_READER_URL": ""})
    wait(lambda: "bin/postgres" in server.children(), 30)
    os.close(terminal[0])
    assert server.ends(None) in (0, 130)


def test_a_terminal_that_closes_during_a_step_ends_the_step_and_the_database(
    on_terminal: Callable[..., Server], terminal
) -> None:
    own = {"STAUNCH_DATABASE_READER_URL": "", "STAUNCH_SIMULATION_CUSTOMERS": "20000"}
    server = on_terminal("run", environment=own)
    wait(lambda: {"bin/postgres", "simulate"} <= server.children().keys(), 60)
    os.close(terminal[0])
    assert server.ends(None) == 130


@pytest.mark.timeout(280)
def test_a_first_run_goes_its_whole_way_though_nobody_reads_it(serve: Serve) -> None:
    reading, writing = os.pipe()
    own = {"STAUNCH_DATABASE_READER_URL": "", "STAUNCH_SIMULATION_CUSTOMERS": "1500"}
    run = serve("run", environment=own, stdout=writing, stderr=writing)
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)
    wait(lambda: "staunch_workers_ready 1.0" in run.scrape(), 240, run.scrape)
    assert "staunch_model_info{" in run.scrape()
    run.heals()
    database = run.children()["bin/postgres"]
    os.kill(database, signal.SIGKILL)
    wait(lambda: run.children().get("bin/postgres", database) != database, 30)
    assert run.ends() == 0


def test_a_shell_that_signals_first_and_leaves_then_ends_the_server(
    on_terminal: Callable[..., Server], terminal
) -> None:
    # As zsh does, and bash with huponexit: nothing is signalled once the terminal is gone.
    before = (sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:], process_group=0)")
    shell = on_terminal(before=before)
    shell.until_ready()
    (server,) = family(shell.process.pid)[1:]
    os.kill(server, signal.SIGHUP)
    time.sleep(0.2)
    os.close(terminal[0])
    wait(lambda: not Path(f"/proc/{server}").exists(), 30)


def test_a_hangup_with_the_terminal_still_there_reads_the_store_again(
    on_terminal: Callable[..., Server], terminal
) -> None:
    server = on_terminal()
    server.until_ready()
    server.process.send_signal(signal.SIGHUP)
    time.sleep(1.5)
    assert server.process.poll() is None
    server.heals()
    assert server.ends() == 0


def test_a_hangup_without_a_terminal_reads_the_store_again(serve: Serve) -> None:
    server = serve(stdout=subprocess.DEVNULL)
    server.until_ready()
    server.process.send_signal(signal.SIGHUP)
    time.sleep(1.5)
    assert answers(server.metrics_port)
    assert server.ends() == 0


def test_under_nohup_it_outlives_the_terminal_heals_and_can_be_stopped(
    on_terminal: Callable[..., Server], terminal, tmp_path: Path
) -> None:
    log = (tmp_path / "log").open("wb")
    server = on_terminal(before=("nohup",), stdout=log, stderr=log)
    server.until_ready()
    os.close(terminal[0])
    server.process.send_signal(signal.SIGHUP)
    time.sleep(1.5)
    assert server.process.poll() is None
    server.heals()
    assert server.ends() == 0


@pytest.mark.parametrize("which", ["stdout", "stderr", "both"])
def test_a_reader_that_left_neither_stops_it_from_healing_nor_from_ending(serve: Serve, which: str) -> None:
    reading, writing = os.pipe()
    names = ("stdout", "stderr") if which == "both" else (which,)
    server = serve(**dict.fromkeys(names, writing))
    os.close(writing)
    os.read(reading, 1)  # as `head -1` does
    os.close(reading)
    server.until_ready()
    server.heals()
    assert server.ends() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_reader_that_reads_no_more_neither_stops_it_from_healing_nor_from_ending(
    serve: Serve, number: signal.Signals
) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, b"x" * 4096)  # full: each further write waits
    server = serve(stdout=writing, stderr=writing)
    server.until_ready()
    server.heals()
    assert server.ends(number) == 0
    os.close(reading)
    os.close(writing)


def test_a_full_disk_under_its_log_neither_stops_it_from_healing_nor_from_ending(serve: Serve) -> None:
    with open("/dev/full", "wb") as full:
        server = serve(stdout=full, stderr=full)
        server.until_ready()
        server.heals()
        assert server.ends() == 0


@pytest.mark.parametrize("closing", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_neither_stop_it_from_healing_nor_from_ending(serve: Serve, closing: str) -> None:
    server = serve(before=("/bin/sh", "-c", f'exec "$@" {closing}', "sh"))
    server.until_ready()
    for number in range(3):  # no socket or file of ours has the place of a closed one
        target = os.readlink(f"/proc/{server.process.pid}/fd/{number}")
        assert not target.startswith("socket:"), f"{number} -> {target}"
        assert "lock" not in target
    server.heals()
    assert server.ends() == 0


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a pipeline; its own exit code goes to stderr as `code N`."""
    return subprocess.run(
        ["/bin/bash", "-c", command],
        env=os.environ | {"STAUNCH": " ".join(STAUNCH), "PYTHONUNBUFFERED": ""} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("words", ["models", "--help", "predict 42", "predict --help"])
def test_a_command_whose_reader_leaves_ends_as_by_sigpipe(server, words: str) -> None:
    done = shell(f"{{ $STAUNCH {words}; echo code $? >&2; }} | true", STAUNCH_SERVER=server.target)
    assert done.stderr == "code 141\n"


def test_a_command_that_cannot_print_says_so_and_fails(server) -> None:
    done = shell("$STAUNCH models >/dev/full", STAUNCH_SERVER=server.target)
    assert done.returncode == 1
    assert done.stderr == "staunch: cannot write what is printed: No space left on device\n"


@pytest.mark.parametrize("closing", [">&-", ">&- 2>&-", "2>/dev/full"])
def test_a_command_without_outputs_does_its_work(server, closing: str) -> None:
    done = shell(f"$STAUNCH models {closing}", STAUNCH_SERVER=server.target)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_error_that_cannot_be_printed_is_still_an_exit_code() -> None:
    done = shell("$STAUNCH models --server 127.0.0.1:1 --timeout 1 2>/dev/full")
    assert (done.returncode, done.stderr) == (1, "")


def test_a_command_whose_reader_leaves_stops_the_database_that_it_started(state_folder: Path) -> None:
    with state_folder_lock(state_folder), embedded_database(Settings(state_folder=state_folder)):
        pass  # a database that a run has left
    done = shell(
        "{ $STAUNCH migrate; echo code $? >&2; } | true",
        STAUNCH_STATE_FOLDER=str(state_folder),
    )
    assert done.stderr == "code 141\n"
    left = [
        entry
        for entry in Path("/proc").glob("[0-9]*/cmdline")
        if str(state_folder) in entry.read_text(errors="replace")
    ]
    assert left == []
