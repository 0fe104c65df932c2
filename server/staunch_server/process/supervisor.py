"""Starts the workers, restarts what dies, passes signals on and serves one /metrics and /healthz for all.

The supervisor imports neither grpc nor onnxruntime: it must outlive both. Workers are started by exec,
never by fork, and die with their supervisor (PDEATHSIG), so that a kill -9 leaves no orphan.
"""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge

from staunch_features.errors import ending
from staunch_server.process.back_off import BackOff
from staunch_server.process.channel.child import CannotStart, Child
from staunch_server.process.channel.following import Following
from staunch_server.process.http import serve_metrics
from staunch_server.process.present import Present
from staunch_server.process.process_metrics import SUPERVISOR, ProcessMetrics
from staunch_server.process.terminal import Terminal
from staunch_server.process.worker_metrics import WorkerMetrics
from staunch_server.setting_names import PREFIX, SUPERVISED
from staunch_server.settings import Settings
from staunch_server.telemetry.stacks import dump_stacks_on_signal, log_tasks

KILL_GRACE_S = 10.0
"""By default, how long a worker may take to end beyond its drain, pools and all, before it is killed."""

HANG_UP_S = 1.0
"""How long after a SIGHUP the terminal may still close: some shells send it first and leave then."""


ONE_STOP_S = 0.1
"""How soon after a signal to stop another is the same: `timeout`, or a shell, tells us and then our group."""


def longest_stop_s(settings: Settings, kill_grace_s: float = KILL_GRACE_S) -> float:
    """Returns the seconds after which a worker that was told to stop has ended, or is killed."""
    return settings.drain_wait_s + settings.drain_s + kill_grace_s


class SupervisorMetrics:
    """What a supervisor counts itself, registered in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.workers = Gauge("staunch_workers", "Workers that there are to be.", registry=registry)
        self.ready = Gauge("staunch_workers_ready", "Workers that answer.", registry=registry)
        self.restarts = Counter("staunch_worker_restarts", "Workers started again.", registry=registry)


class CannotServe(Exception):
    """What no worker gets over, found before one of them answered; the message is theirs."""


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
        self._patience_s = longest_stop_s(settings, kill_grace_s)
        self._print = report
        self._metrics = WorkerMetrics(metrics_folder, self._report)
        self._workers = [Child(number, self._heard) for number in range(settings.workers)]
        self._following = Following(self._workers)
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
        dump_stacks_on_signal(loop, self._dump)
        # Not the loop's: at its end that sets the default, and a closed terminal may signal twice.
        wake = partial(loop.call_soon_threadsafe, self._hung_up)
        signal.signal(signal.SIGHUP, lambda _number, _frame: None if loop.is_closed() else wake())
        self._stop_without_terminal()

    def _dump(self) -> None:
        """Tells our own tasks, and has each worker tell what it does."""
        log_tasks()
        for worker in self._workers:
            worker.dump()

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
                worker.say("reload")

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

    async def _keep(self, worker: Child) -> None:
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
            self._following.gone(worker)
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

    def _heard(self, worker: Child, kind: str, words: list[str]) -> None:
        """Takes what a worker says to the others; what nobody understands has no effect."""
        if kind == "moved":
            self._following.moved(worker, *words)
        elif kind == "followed":
            self._following.answered(worker, *words)
        elif kind == "reload":
            self._following.reload(worker)

    def _forget_gauges(self, worker: Child) -> None:
        try:
            self._metrics.worker_died(worker.number)
        except Exception as error:
            self._report(f"the gauges of worker {worker.number} stay as it left them: {error}")

    def _socket_of(self, worker: Child) -> dict[str, str]:
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

    def _environment(self, worker: Child) -> dict[str, str]:
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
