"""One serving process: `python -m staunch_server.process.worker` serves until SIGTERM.

Under the supervisor (STAUNCH_SUPERVISED=1) it shares the port, says through STAUNCH_READY_FD that it answers
and writes its metrics into the files of its number (STAUNCH_WORKER) in PROMETHEUS_MULTIPROC_DIR; alone it
serves its own /metrics and /healthz.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

from prometheus_client import CollectorRegistry

from staunch_server.models.registry import Registry
from staunch_server.process.http import listen, serve_metrics
from staunch_server.process.output import unfailing_output
from staunch_server.process.server import Server, logged, serving
from staunch_server.process.worker_metrics import write_as
from staunch_server.settings import Settings, SettingsError, load_settings, refuse_open_bind

_LOG = logging.getLogger("staunch.worker")


def main() -> int:
    """Serves until SIGTERM; returns the exit code."""
    if _supervised():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it can be heeded: it would end us
    with unfailing_output():
        return _main()


def _main() -> int:
    try:
        settings = load_settings()
        refuse_open_bind(settings)
        logging.basicConfig(
            level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        with asyncio.Runner(loop_factory=_new_loop()) as runner:
            runner.run(_serve(settings))
    except (SettingsError, OSError) as error:
        print(f"staunch: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(settings: Settings) -> None:
    supervised = _supervised()
    if "STAUNCH_WORKER" in os.environ:  # before the first metric is made
        write_as(int(os.environ["STAUNCH_WORKER"]))
    collector = CollectorRegistry()
    stopping = asyncio.Event()
    async with AsyncExitStack() as stack:
        listening = None if supervised else listen(settings.metrics_host, settings.metrics_port)
        server = await stack.enter_async_context(serving(settings, collector, shared_port=supervised))
        _handle_signals(stopping, server.registry, supervised=supervised)
        if listening is not None:
            stack.enter_context(serve_metrics(listening, lambda: [collector], server.healthy))
        _report_ready(server)
        await stopping.wait()
        _LOG.info("stopping")


def _handle_signals(stopping: asyncio.Event, registry: Registry, *, supervised: bool) -> None:
    loop = asyncio.get_running_loop()
    reloading: set[asyncio.Task[None]] = set()

    def stop() -> None:
        if stopping.is_set():
            os._exit(1)  # The second signal is immediate: no drain, no clean-up.
        stopping.set()

    def reload() -> None:
        task = asyncio.create_task(logged(registry.reload()))
        reloading.add(task)
        task.add_done_callback(reloading.discard)

    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGHUP, reload)
    # Ctrl-C reaches the whole group: the supervisor hears it too and passes it on as SIGTERM.
    loop.add_signal_handler(signal.SIGINT, (lambda: None) if supervised else stop)


def _report_ready(server: Server) -> None:
    """Writes the one line that the supervisor waits for: `ready NAME@VERSION=ALIAS,ALIAS ...`."""
    registry = server.registry
    ready = {name: ",".join(registry.answers_for(name)) for name in registry.ready()}
    names = ", ".join(f"{name} ({aliases})" for name, aliases in ready.items())
    _LOG.info("serving %s on port %d", names or "no model yet", server.port)
    if "STAUNCH_READY_FD" in os.environ:
        with suppress(OSError), os.fdopen(int(os.environ["STAUNCH_READY_FD"]), "wb") as pipe:
            pipe.write(" ".join(["ready", *map("=".join, ready.items())]).encode() + b"\n")


def _supervised() -> bool:
    return os.environ.get("STAUNCH_SUPERVISED") == "1"


def _new_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The maker of event loops: uvloop where it exists, for 5 to 24 % more calls."""
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
