"""What `staunch run` and `staunch serve` share: ports, folder, database, then the workers, and back."""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from staunch_cli.printing.progress import print_step
from staunch_cli.shared.database import DatabaseUrls, embedded_database, external_urls, state_folder_lock
from staunch_features.errors import EmbeddedPostgresError, FeatureError
from staunch_server.process.http import listen
from staunch_server.process.output import unfailing_output
from staunch_server.process.ports import PortTaken, cannot_bind, held_socket, reserve
from staunch_server.process.start import refuse_unstartable, until_answered, why_away
from staunch_server.process.supervisor import Supervisor, longest_stop_s
from staunch_server.process.terminal import Terminal, closing_interrupts
from staunch_server.process.transports import Choice, choose_transport
from staunch_server.settings import Settings
from staunch_server.telemetry.logs import logs, loop_failed
from staunch_server.telemetry.stacks import dump_stacks_on_signal

if TYPE_CHECKING:
    import socket

    from staunch_cli.shared.example_customers import ExampleCustomers
    from staunch_local.postgres.server import EmbeddedPostgres

_POSTGRES_CHECK_INTERVAL_S = 1.0  # how soon a dead embedded PostgreSQL is noticed

_LOG = logging.getLogger("staunch.supervisor")
_DATABASE_LOG = logging.getLogger("staunch.database")

Prepare = Callable[[Settings, DatabaseUrls], None]
"""Makes what a server needs, once the database is there and before the workers start."""


def serve_until_stopped(settings: Settings, prepare: Prepare | None = None, *, at_home: bool = False) -> int:
    """Serves until Ctrl-C, SIGTERM or the end of the terminal; returns the exit code.

    It takes the ports first, then the folder, then the database: who comes second touches nothing.

    Args:
        settings: Of the server.
        prepare: Makes what is missing, if anything is to be made.
        at_home: Whether it is a person's own server: on loopback it takes the fast transport.
    """
    terminal = Terminal()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    dump_stacks_on_signal()
    with (
        unfailing_output(),
        logs(settings.log_format, settings.log_level),
        closing_interrupts(terminal),
    ):
        try:
            _serve(settings, prepare, terminal, at_home=at_home)
        except KeyboardInterrupt:  # or the last words were those of a step that was cut off
            print_step(
                "stopped", "interrupted; nothing is left running, and the next start finishes the work"
            )
            raise
        print_step("stopped", "nothing is left running")
    return 0


def _serve(settings: Settings, prepare: Prepare | None, terminal: Terminal, *, at_home: bool) -> None:
    refuse_unstartable(settings)
    carried_by = choose_transport(settings, at_home=at_home)
    with (
        _reserved(settings) as (settings, metrics),
        state_folder_lock(settings.state_folder),
        _serving_database(settings) as (urls, postgres),
    ):
        settings = _with_database_urls(settings, urls)
        if prepare is not None:
            prepare(settings, urls)
        asyncio.run(_supervise(settings, metrics, urls, postgres, terminal, carried_by))


@contextlib.contextmanager
def _reserved(settings: Settings) -> Iterator[tuple[Settings, "socket.socket"]]:
    """Holds the gRPC port, or Unix sockets, and listens on the metrics port while the block runs.

    It gives the settings, with the port that was free if it was to be any.

    Raises:
        PortTaken: One of them cannot be had, or both: a second server meets them together.
    """
    errors = []
    with contextlib.ExitStack() as stack:
        try:
            if settings.listen is None:
                grpc = stack.enter_context(reserve(settings.host, settings.port, "--port"))
                settings = settings.model_copy(update={"port": grpc.getsockname()[1]})
            else:
                for target in settings.targets:
                    stack.enter_context(held_socket(target))
        except PortTaken as error:
            errors.append(str(error))
        try:
            metrics = stack.enter_context(listen(settings.metrics_host, settings.metrics_port))
        except OSError as error:
            host, port = settings.metrics_host, settings.metrics_port
            errors.append(cannot_bind(host, port, error, "--metrics-port", " for metrics"))
        if errors:
            raise PortTaken("; ".join(errors))
        yield settings, metrics


@contextlib.contextmanager
def _serving_database(settings: Settings) -> Iterator[tuple[DatabaseUrls, "EmbeddedPostgres | None"]]:
    external = external_urls(settings)
    if external is not None:
        yield external, None
        return
    started = time.monotonic()
    print_step("database", f"starting PostgreSQL in {settings.state_folder / 'postgres'}")
    with embedded_database(settings) as (urls, postgres):
        print_step("", f"ready in {time.monotonic() - started:.1f} s")
        yield urls, postgres


def _with_database_urls(settings: Settings, urls: DatabaseUrls) -> Settings:
    """The settings with the addresses of the database, for the workers and the steps."""
    from pydantic import SecretStr

    owner, reader = SecretStr(urls.owner), SecretStr(urls.reader)
    return settings.model_copy(update={"database_url": owner, "database_reader_url": reader})


def holds_models(settings: Settings) -> bool:
    """Whether an alias of the store points at a version: what a server loads when it starts."""
    return any(settings.model_folder.glob("*/aliases.json"))


async def _supervise(
    settings: Settings,
    metrics: "socket.socket",
    urls: DatabaseUrls,
    postgres: "EmbeddedPostgres | None",
    terminal: Terminal,
    carried_by: Choice,
) -> None:
    """Runs the workers until told to stop, and keeps the embedded PostgreSQL alive beside them."""
    from staunch_cli.printing.server_summary import server_summary

    started = time.monotonic()
    asyncio.get_running_loop().set_exception_handler(loop_failed)

    async def announce(supervisor: Supervisor) -> None:
        # Not before the workers answer, so that every call that the summary shows works at once.
        print_step("server", f"ready in {time.monotonic() - started:.1f} s\n")
        port = metrics.getsockname()[1]
        stop_s = longest_stop_s(settings) + _stop_of_database_s(postgres)
        if settings.log_format == "json":  # for a program; whoever reads the rest of it reads the docs
            where = f"{', '.join(settings.targets)}, metrics on port {port}"
            how = f"{carried_by.name}, {carried_by.why}"
            serves = ", ".join(supervisor.serves) or "no model yet"
            text = "serving %s on %s, transport %s; a stop takes at most %g s"
            _LOG.info(text, serves, where, how, stop_s)
            return
        examples = await _examples(settings, supervisor.serves, urls.reader)
        summary = server_summary(
            settings,
            port,
            supervisor.serves,
            examples,
            carried_by=carried_by,
            longest_stop_s=stop_s,
            embedded=urls.embedded,
            has_models=holds_models(settings),
        )
        print(summary, flush=True)

    supervisor = Supervisor(
        settings.model_copy(update={"transport": carried_by.name}),
        settings.state_folder / "metrics",
        _report,
        terminal=terminal,
    )
    # Beside the workers: our own database is kept alive, another's is asked until it has answered once.
    if postgres is not None:
        watch = asyncio.create_task(_restart_if_gone(postgres))
    else:
        await why_away(urls.reader)  # to be refused before a worker starts; else it is asked beside them
        watch = asyncio.create_task(_fail_if_refused(supervisor, urls.reader))
    try:
        await supervisor.run(metrics, announce)
    finally:
        watch.cancel()


def _stop_of_database_s(postgres: "EmbeddedPostgres | None") -> float:
    """The seconds that the embedded PostgreSQL may take to end after the workers; 0 if there is none."""
    if postgres is None:
        return 0.0
    from staunch_local.postgres.server import LONGEST_STOP_S

    return LONGEST_STOP_S


async def _examples(settings: Settings, serves: Mapping[str, str], reader_url: str) -> "ExampleCustomers":
    """Finds whom the calls of the summary can ask about."""
    from staunch_cli.printing.how_to_call import champion_to_show
    from staunch_cli.shared.example_customers import NO_EXAMPLES, find_examples

    shown = champion_to_show(settings, serves)
    return await find_examples(settings, *shown, reader_url) if shown else NO_EXAMPLES


def _report(line: str) -> None:
    """Logs what a supervisor tells: that it stops as it was told to, or that something is wrong."""
    _LOG.log(logging.INFO if line.startswith("stopping") else logging.WARNING, "%s", line)


async def _fail_if_refused(supervisor: Supervisor, url: str) -> None:
    """Ends the server if a database that has been away since the start refuses us once it is there."""
    try:
        await until_answered(url, _DATABASE_LOG.warning, _DATABASE_LOG.info)
    except FeatureError as error:
        supervisor.fail(error)


async def _restart_if_gone(postgres: "EmbeddedPostgres") -> None:
    """Starts the embedded PostgreSQL again if it died; says so and goes on trying if it will not start.

    It is started from this thread, since the kernel ends a child when the thread that made it ends.
    """
    while True:
        await asyncio.sleep(_POSTGRES_CHECK_INTERVAL_S)
        if postgres.running:
            continue
        try:
            postgres.start()
        except (EmbeddedPostgresError, OSError) as error:
            _DATABASE_LOG.error("PostgreSQL is gone and cannot be started, which is tried again: %s", error)
        else:
            _DATABASE_LOG.warning("PostgreSQL was gone and was started again")
