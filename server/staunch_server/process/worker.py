"""One serving process: `python -m staunch_server.process.worker` serves until SIGTERM.

Under the supervisor (STAUNCH_SUPERVISED=1) it shares the port, speaks with it over the socket of
STAUNCH_SUPERVISOR_FD and writes its metrics into the files of its number (STAUNCH_WORKER) in
PROMETHEUS_MULTIPROC_DIR; alone it serves its own /metrics and /healthz.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any

from prometheus_client import CollectorRegistry

from staunch_features.errors import FeatureError
from staunch_server.events import AnswersChanged
from staunch_server.models.registry import Registry
from staunch_server.process.channel.siblings import Siblings
from staunch_server.process.http import listen, serve_metrics
from staunch_server.process.one_format import outputs
from staunch_server.process.output import say_failure
from staunch_server.process.ports import PortTaken, held_socket
from staunch_server.process.present import Present
from staunch_server.process.process_metrics import ProcessMetrics
from staunch_server.process.server import Server, logged, serving
from staunch_server.process.start import refuse_unstartable, until_answered, why_away
from staunch_server.process.worker_metrics import write_as
from staunch_server.setting_names import is_supervised
from staunch_server.settings import Settings, SettingsError, address, load_settings
from staunch_server.telemetry.log_format import asked_log_format
from staunch_server.telemetry.logs import logs, loop_failed
from staunch_server.telemetry.repeats import flush_repeats
from staunch_server.telemetry.stacks import dump_stacks_on_signal

_LOG = logging.getLogger("staunch.worker")

_SWITCH_S = 0.0005
"""After how long a thread at work lets another in, a tenth of Python's own: each call wants the loop several
times, and waits so long for those that explain chunks (docs/performance.md, "Reasons by the thousand")."""

COLLECT_AFTER = (50_000, 20, 100)
"""After how many new objects the collector of cycles looks at the young, and after how many looks at the old:
Python's own 700 make it look several times in each batch, at calls that counting alone frees."""


def main() -> int:
    """Serves until SIGTERM; returns the exit code."""
    if is_supervised(os.environ):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it is our supervisor's to hear, and would end us
    log_format = asked_log_format()
    with outputs(log_format):
        return _main(log_format)


def _main(log_format: str) -> int:
    siblings = Siblings()
    dump_stacks_on_signal()
    try:
        siblings = Siblings.of_environment(os.environ)
        settings = load_settings()
        if not is_supervised(os.environ):  # else our supervisor has seen to it, before it had a port
            refuse_unstartable(settings)
        with (
            logs(settings.log_format, settings.log_level),
            asyncio.Runner(loop_factory=_new_loop()) as runner,
        ):
            runner.run(_serve(settings, siblings))
    except (SettingsError, FeatureError, PortTaken, OSError) as error:
        if is_supervised(os.environ) and not isinstance(error, OSError):
            siblings.say("error", str(error))
        else:
            say_failure(error, str(error), log_format)
        return 1
    return 0


async def _serve(settings: Settings, siblings: Siblings) -> None:
    asyncio.get_running_loop().set_exception_handler(loop_failed)
    sys.setswitchinterval(_SWITCH_S)
    supervised = is_supervised(os.environ)
    if "STAUNCH_WORKER" in os.environ:  # before the first metric is made
        write_as(int(os.environ["STAUNCH_WORKER"]))
    collector = CollectorRegistry()
    stopping = asyncio.Event()
    url = "" if supervised or settings.reader_url is None else settings.reader_url.get_secret_value()
    if url:
        await why_away(url)  # to be refused before a port is open; else it is asked below
    settle_memory()
    async with AsyncExitStack() as stack:
        listening = None if supervised else listen(settings.metrics_host, settings.metrics_port)
        if settings.listen is not None and not supervised:  # else our supervisor holds it
            stack.enter_context(held_socket(settings.listen))
        server = await stack.enter_async_context(
            serving(settings, collector, siblings, shared_port=supervised)
        )
        _handle_signals(stopping, server.reload, supervised=supervised)
        if listening is not None:
            collectors = (Present(collector), ProcessMetrics(lambda: {"0": os.getpid()}))
            stack.enter_context(serve_metrics(listening, collectors, server.why_not_serving))
        _report_ready(server, siblings, _where(settings, server))
        server.on_trouble = siblings.trouble
        siblings.trouble(server.why_not_serving())
        await _until_stopped(stopping, url)
        _LOG.info("stopping")


def settle_memory() -> None:
    """Has the collector of cycles leave alone what is there by now, and look seldom at what comes.

    To be called once all modules are there and no model is: modules stay as long as the process, and to look
    through them again costs each call a tenth (docs/performance.md, "What a call costs"); models go, and what
    is in cycles with them must go too.
    """
    gc.collect()  # else what is garbage by now would be kept for ever
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


async def _until_stopped(stopping: asyncio.Event, url: str) -> None:
    """Waits for a signal; unless a database that has been away since the start refuses us once it is there.

    Args:
        stopping: Set by a signal.
        url: Of the database; empty if the supervisor asks it.

    Raises:
        DatabaseRefused, DatabaseTooOld: It does.
    """
    stop = asyncio.create_task(stopping.wait())
    asking = asyncio.create_task(until_answered(url, _LOG.warning, _LOG.info) if url else stopping.wait())
    try:
        await asyncio.wait({asking, stop}, return_when=asyncio.FIRST_COMPLETED)
        if asking.done():
            asking.result()
        await stop
    finally:
        asking.cancel()
        stop.cancel()


def _handle_signals(
    stopping: asyncio.Event, read_again: Callable[[], Coroutine[Any, Any, object]], *, supervised: bool
) -> None:
    loop = asyncio.get_running_loop()
    dump_stacks_on_signal(loop)
    reloading: set[asyncio.Task[None]] = set()

    def stop() -> None:
        # Told twice by whoever signals all processes at once (systemd, a group): our supervisor passes it on.
        if stopping.is_set() and not supervised:
            flush_repeats()
            sys.stderr.flush()
            os._exit(1)  # The second signal is immediate: no drain, no clean-up.
        stopping.set()

    def reload() -> None:
        task = asyncio.create_task(logged(read_again()))
        reloading.add(task)
        task.add_done_callback(reloading.discard)

    loop.add_signal_handler(signal.SIGTERM, stop)
    if not supervised:  # else our supervisor hears it, and tells us over the channel
        loop.add_signal_handler(signal.SIGHUP, reload)
    # Ctrl-C reaches the whole group: the supervisor hears it too and passes it on as SIGTERM.
    loop.add_signal_handler(signal.SIGINT, (lambda: None) if supervised else stop)


def _where(settings: Settings, server: Server) -> str:
    """Where gRPC is served, by what, and why by that, unless our supervisor says so."""
    why = "" if is_supervised(os.environ) else f", {server.carried_by.why}"
    target = settings.listen or address(settings.host, server.port)
    return f"{target}, transport {server.carried_by.name}{why}"


def _report_ready(server: Server, siblings: Siblings, where: str) -> None:
    """Says what answers, and from then on in the log when something else does."""
    ready = _answering(server.registry)
    _LOG.info("serving %s on %s", _in_words(ready), where)
    siblings.say("ready", *map("=".join, ready.items()))

    def changed(_event: AnswersChanged) -> None:
        nonlocal ready
        before, ready = ready, _answering(server.registry)
        if ready != before:
            _LOG.info("serving %s now, before %s", _in_words(ready), _in_words(before))

    server.events.answers_changed.subscribe(changed)


def _answering(registry: Registry) -> dict[str, str]:
    """The versions that answer for an alias, and these, with commas between."""
    aliases = {name: ",".join(registry.answers_for(name)) for name in registry.ready()}
    return {name: each for name, each in aliases.items() if each}


def _in_words(answering: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({aliases})" for name, aliases in answering.items()) or "no model yet"


def _new_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The maker of event loops: uvloop where it exists, for 5 to 24 % more calls."""
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
