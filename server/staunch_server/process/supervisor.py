"""Starts the workers, restarts what dies, passes signals on and serves one /metrics and /healthz for all.

The supervisor imports neither grpc nor onnxruntime: it must outlive both. Workers are started by exec,
never by fork, and die with their supervisor (PDEATHSIG), so that a kill -9 leaves no orphan.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge

from staunch_features.errors import ending
from staunch_server.process.back_off import BackOff
from staunch_server.process.http import serve_metrics
from staunch_server.process.present import Present
from staunch_server.process.process_metrics import SUPERVISOR, ProcessMetrics
from staunch_server.process.terminal import Terminal
from staunch_server.process.worker_metrics import WorkerMetrics
from staunch_server.setting_names import PREFIX, SUPERVISED
from staunch_server.settings import Settings

KILL_GRACE_S = 10.0
"""By default, how long a worker may take to end beyond its drain before it is killed."""

_LAST_WORDS_S = 1.0  # how long what a worker said before its end may take to arrive

HANG_UP_S = 1.0
"""How long after a SIGHUP the terminal may still close: some shells send it first and leave then."""


ONE_STOP_S = 0.1
"""How soon after a signal to stop another is the same: `timeout`, or a shell, tells us and then our group."""


class SupervisorMetrics:
    """What a supervisor counts itself, registered in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.workers = Gauge("staunch_workers", "Workers that there are to be.", registry=registry)
        self.ready = Gauge("staunch_workers_ready", "Workers that answer.", registry=registry)
        self.restarts = Counter("staunch_worker_restarts", "Workers started again.", registry=registry)


class CannotServe(Exception):
    """What no worker gets over, found before one of them answered; the message is theirs."""


class CannotStart(Exception):
    """There is no process for a worker; the message says why not."""


class Worker:
    """One worker, through all its lives: its process, and what the supervisor knows of it.

    Args:
        number: Its place among the workers, from 0; kept when its process dies and is started again.

    Attributes:
        process: The present one, or the last.
        ready: Set while it answers.
        has_answered: Whether it ever did, in this life or one before.
        serves: The versions that it served when it began to, and their aliases, with commas between.
        trouble: Why no version answers, in its own words; empty while one does.
        error: What it said it cannot get over; empty if nothing.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: asyncio.subprocess.Process | None = None
        self.ready = asyncio.Event()
        self.has_answered = False
        self.serves: dict[str, str] = {}
        self.trouble = ""
        self.error = ""
        self._end_signal: signal.Signals | None = None
        self._to_reload = False

    async def run(self, environment: dict[str, str]) -> int:
        """Starts the process, waits for its end and returns its exit code; `ready` is set in between.

        Raises:
            CannotStart: The process cannot be started.
            Exception: It has ended, and what it said cannot be understood.
        """
        self.trouble = self.error = ""
        try:
            self.process, read_end = await self._start(environment)
        except Exception as error:
            raise CannotStart(error) from error
        if self._end_signal is not None:  # while it was being started
            self._signal(self._end_signal)
        listening = asyncio.create_task(self._listen(read_end))
        try:
            code = await self.process.wait()
            heard, _ = await asyncio.wait([listening], timeout=_LAST_WORDS_S)
            for each in heard:
                each.result()
            return code
        finally:
            self.ready.clear()
            listening.cancel()

    @staticmethod
    async def _start(environment: dict[str, str]) -> tuple[asyncio.subprocess.Process, int]:
        """Starts the process; returns it and the end of a pipe at which it is heard."""
        read_end, write_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *bound_to_us(signal.SIGTERM),
                sys.executable,
                "-m",
                "staunch_server.process.worker",
                env=environment | {"STAUNCH_READY_FD": str(write_end)},
                pass_fds=(write_end,),
                stdin=asyncio.subprocess.DEVNULL,
            )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)  # it is the worker's alone, so that its death ends the pipe
        return process, read_end

    async def _listen(self, read_end: int) -> None:
        """Hears what a worker says, a line each, until it ends.

        `ready NAME@VERSION=ALIAS,ALIAS ...` once it answers, `trouble WHY` when it has no version that does,
        an empty WHY when it has, and `error WHY` if it ends of what it cannot get over.
        """
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", 0)
        )
        try:
            while line := (await reader.readline()).decode().rstrip("\n"):
                self._hear(*line.partition(" ")[::2])
        finally:
            transport.close()

    def _hear(self, kind: str, text: str) -> None:
        if kind == "trouble":
            self.trouble = text
        elif kind == "error":
            self.error = text
        elif kind == "ready":
            pairs = (word.partition("=") for word in text.split())
            self.serves = {name: aliases for name, _, aliases in pairs}
            self.ready.set()
            self.has_answered = True
            if self._to_reload:
                self.reload()

    def end(self, number: signal.Signals) -> None:
        """Ends the process by a signal; one that is just being started gets it then."""
        self._end_signal = number
        self._signal(number)

    def reload(self) -> None:
        """Has the process read the store again, once it answers: before, SIGHUP would end it."""
        self._to_reload = not self.ready.is_set()
        if self.ready.is_set():
            self._signal(signal.SIGHUP)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)


class Supervisor:
    """Runs the workers of one server until it is told to stop.

    Args:
        settings: The settings that every worker gets as its environment.
        metrics_folder: Where the workers leave their metrics; emptied at the start.
        report: Prints a line for whoever watches; what it raises changes nothing.
        kill_grace_s: How long a worker may take to end beyond its drain before it is killed.
        terminal: Whose end means to stop; by default the one of now.
    """

    def __init__(
        self,
        settings: Settings,
        metrics_folder: Path,
        report: Callable[[str], None],
        *,
        kill_grace_s: float = KILL_GRACE_S,
        terminal: Terminal | None = None,
    ) -> None:
        self._settings = settings
        self._terminal = terminal or Terminal()
        self._patience_s = settings.drain_wait_s + settings.drain_s + kill_grace_s
        self._print = report
        self._metrics = WorkerMetrics(metrics_folder, self._report)
        self._workers = [Worker(number) for number in range(settings.workers)]
        self._stopping = asyncio.Event()
        self._signalled_s = -ONE_STOP_S
        self._failure: Exception | None = None
        self._own = CollectorRegistry()
        self._counts = SupervisorMetrics(self._own)
        self._counts.workers.set(settings.workers)
        self._counts.ready.set_function(lambda: sum(worker.ready.is_set() for worker in self._workers))
        # What one scrape holds: what we count, what the kernel says, what the workers left in their folder.
        self._collectors = (self._own, ProcessMetrics(self._process_ids), Present(self._metrics))

    @property
    def serves(self) -> dict[str, str]:
        """The versions that answer, as NAME@VERSION, and their aliases, with commas between."""
        return dict(sorted(pair for worker in self._workers for pair in worker.serves.items()))

    def why_not_serving(self) -> str:
        """Why we are not well: we stop, a worker does not answer, or no version in one does; else empty."""
        if self._stopping.is_set():
            return "stopping"
        starting = sum(not worker.ready.is_set() for worker in self._workers)
        if starting:
            return f"workers being started: {starting} of {len(self._workers)}"
        return "; ".join(sorted({worker.trouble for worker in self._workers if worker.trouble}))

    def fail(self, error: Exception) -> None:
        """Stops, and has `run` raise an error of which no time heals us; the first that comes counts."""
        self._failure = self._failure or error
        if not self._stopping.is_set():
            self._end_workers(signal.SIGTERM)

    async def run(self, metrics: socket.socket, on_ready: Callable[["Supervisor"], Awaitable[None]]) -> None:
        """Serves until SIGINT, SIGTERM or the terminal's end, then drains the workers.

        Args:
            metrics: The listening socket of /metrics and /healthz.
            on_ready: Called once, when every worker answers.

        Raises:
            CannotServe: A worker ended of what it cannot get over, and none has answered yet.
            Exception: What `fail` was given.
        """
        self._metrics.clear()
        self._handle_signals()
        with serve_metrics(metrics, self._collectors, self.why_not_serving):
            keeping = [asyncio.create_task(self._keep(worker)) for worker in self._workers]
            announcing = asyncio.create_task(self._announce(on_ready))
            await self._stopping.wait()
            announcing.cancel()
            await self._drain(keeping)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Begins to stop; a second call ends the workers at once."""
        at_once = self._stopping.is_set()
        self._end_workers(signal.SIGKILL if at_once else signal.SIGTERM)
        self._report("stopping at once" if at_once else "stopping; calls in progress are answered")

    def _end_workers(self, number: signal.Signals) -> None:
        self._stopping.set()
        for worker in self._workers:
            worker.end(number)

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signalled)
        # Not the loop's: at its end that sets the default, and a closed terminal may signal twice.
        wake = partial(loop.call_soon_threadsafe, self._hung_up)
        signal.signal(signal.SIGHUP, lambda _number, _frame: None if loop.is_closed() else wake())
        self._stop_without_terminal()

    def _signalled(self) -> None:
        now = time.monotonic()
        if now >= self._signalled_s + ONE_STOP_S:
            self._signalled_s = now
            self.stop()

    def _hung_up(self) -> None:
        """Has the workers read the store again; but if the terminal is gone, or goes now, stops."""
        self._stop_without_terminal()
        asyncio.get_running_loop().call_later(HANG_UP_S, self._stop_without_terminal)
        if not self._stopping.is_set():
            for worker in self._workers:
                worker.reload()

    def _stop_without_terminal(self) -> None:
        if self._terminal.closed and not self._stopping.is_set():
            self.stop()

    def _report(self, line: str) -> None:
        with contextlib.suppress(Exception):  # Telling never decides about doing.
            self._print(line)

    def _process_ids(self) -> dict[str, int]:
        processes = {str(worker.number): worker.process for worker in self._workers}
        living = {
            number: process.pid
            for number, process in processes.items()
            if process is not None and process.returncode is None
        }
        return {SUPERVISOR: os.getpid(), **living}

    async def _announce(self, on_ready: Callable[["Supervisor"], Awaitable[None]]) -> None:
        for worker in self._workers:
            await worker.ready.wait()
        await on_ready(self)

    async def _keep(self, worker: Worker) -> None:
        """Keeps one worker running, with back-off, until we stop."""
        back_off = BackOff()
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                ended = ending(await worker.run(self._environment(worker)))
            except CannotStart as error:
                ended = f"could not be started ({error})"
            except Exception as error:  # Whatever it is, the worker is needed.
                ended = f"ended and was not understood ({error})"
            self._forget_gauges(worker)
            if worker.error and not any(each.has_answered for each in self._workers):
                self.fail(CannotServe(worker.error))
            if self._stopping.is_set():
                return
            pause_s = back_off.after(time.monotonic() - started)
            self._counts.restarts.inc()
            why = f" ({worker.error})" if worker.error else ""
            self._report(f"worker {worker.number} {ended}{why}; starting it again in {pause_s:.1f} s")
            with contextlib.suppress(TimeoutError):  # a pause that a stop cuts short
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()

    def _forget_gauges(self, worker: Worker) -> None:
        try:
            self._metrics.worker_died(worker.number)
        except Exception as error:
            self._report(f"the gauges of worker {worker.number} stay as it left them: {error}")

    def _socket_of(self, worker: Worker) -> dict[str, str]:
        """The setting that gives a worker its own Unix socket; a port they share."""
        if self._settings.listen is None:
            return {}
        return {f"{PREFIX}LISTEN": self._settings.targets[worker.number]}

    async def _drain(self, keeping: list[asyncio.Task[None]]) -> None:
        """Waits for the workers to drain, and kills those that do not end."""
        _, late = await asyncio.wait(keeping, timeout=self._patience_s)
        for worker in self._workers:  # those that have ended get nothing
            worker.end(signal.SIGKILL)
        if late:
            self._report("a worker did not end in time and was killed")
            await asyncio.wait(late)

    def _environment(self, worker: Worker) -> dict[str, str]:
        return (
            dict(os.environ)
            | self._settings.environment()
            | {
                SUPERVISED: "1",
                "STAUNCH_WORKER": str(worker.number),
                **self._socket_of(worker),
                "PROMETHEUS_MULTIPROC_DIR": str(self._metrics.folder),
                "OMP_NUM_THREADS": "1",
            }
        )


def bound_to_us(number: signal.Signals) -> tuple[str, ...]:
    """The words before a command that make the kernel signal it when we die, where util-linux is there."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", number.name.removeprefix("SIG"), "--") if setpriv else ()
