"""What ends the start of a server, because no time heals it, before anything is opened or started."""

import asyncio
import importlib.util
import resource
import socket
from collections.abc import Callable, Mapping

from staunch_features.errors import DatabaseRefused, DatabaseUnavailable, DatabaseUrlInvalid
from staunch_features.postgres.connection import OUR_SETTINGS, connect, hang_up
from staunch_features.postgres.url import check_url
from staunch_server.process.transports import choose_transport
from staunch_server.setting_names import PREFIX
from staunch_server.settings import Settings, SettingsError, refuse_missing_store, refuse_open_bind

TRY_S = 3.0
"""How long one try to reach the database may take."""

AGAIN_S = 1.0
"""The pause between two tries."""

_OF_A_PROCESS = 64  # its libraries, files, pipes and the listening sockets, and some to spare
_OF_EACH_WORKER = 4  # in the supervisor: a pipe, a process, and those that start it


def refuse_unstartable(settings: Settings) -> None:
    """Raises SettingsError or DatabaseUrlInvalid for what can never become right.

    Folders that are named and cannot be read, URLs that cannot be meant, hosts that have no address or may
    not be bound, a transport that cannot be had there, traces without what sends them, too few descriptors.
    """
    refuse_open_bind(settings)
    choose_transport(settings)
    _refuse_missing_tracing(settings)
    refuse_missing_store(settings)
    for name in ("database_url", "database_reader_url"):
        _refuse_url(settings, name)
    for name in ("metrics_host",) if settings.listen else ("host", "metrics_host"):
        _refuse_host(settings, name)
    allow_descriptors(needed_descriptors(settings))


def _refuse_missing_tracing(settings: Settings) -> None:
    if settings.traces != "off" and importlib.util.find_spec("opentelemetry") is None:
        raise SettingsError(
            f"traces is {settings.traces!r}: expected OpenTelemetry to be installed; "
            "install staunch-server[tracing], or leave traces off."
        )


async def why_away(url: str) -> str:
    """Asks a database once whether it takes us; returns why it does not answer, empty if it does.

    Raises:
        DatabaseRefused, DatabaseUrlInvalid, DatabaseTooOld: It never will, unless somebody changes it or us.
    """
    try:
        connection = await connect(url, timeout_s=TRY_S, read_only=True)
    except (DatabaseRefused, DatabaseUrlInvalid):
        raise
    except DatabaseUnavailable as error:
        return str(error)
    await hang_up(connection)
    return ""


async def until_answered(
    url: str, report_away: Callable[[str], None], report_back: Callable[[str], None]
) -> None:
    """Asks a database again and again until it answers; errors as `why_away`.

    Once it has, no refusal ends a server any more: it had been right.

    Args:
        url: Of the database.
        report_away: Takes a line when it is away, or away for another reason.
        report_back: Takes a line when it is there after that.
    """
    last = ""
    while why := await why_away(url):
        if why != last:
            report_away(f"{why}; it is asked again until it answers")
        last = why
        await asyncio.sleep(AGAIN_S)
    if last:
        report_back("the database answers now")


def needed_descriptors(settings: Settings) -> Mapping[str, int]:
    """Returns how many file descriptors a serving process needs at most, by what for."""
    return {
        "calls, each on a connection of its own": settings.max_calls,
        "streams": settings.max_streams,
        "database connections": settings.interactive_connections + settings.batch_connections + 1,
        "the process itself": _OF_A_PROCESS + _OF_EACH_WORKER * settings.workers,
    }


def allow_descriptors(needed: Mapping[str, int]) -> None:
    """Raises the limit of file descriptors to what is allowed at most, if fewer than are needed are now.

    Raises:
        SettingsError: What is allowed at most is too few.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = sum(needed.values())
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    if hard != resource.RLIM_INFINITY and hard < count:
        parts = ", ".join(f"{number:,} for {what}" for what, number in needed.items())
        raise SettingsError(
            f"expected at least {count:,} file descriptors ({parts}), got {hard:,}: raise the limit "
            "(`ulimit -n`, LimitNOFILE= of systemd, --ulimit nofile= of Docker), or lower max_calls"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (count if hard == resource.RLIM_INFINITY else hard, hard))


def _refuse_url(settings: Settings, name: str) -> None:
    url = getattr(settings, name)
    if url is None:
        return
    try:
        check_url(url.get_secret_value(), OUR_SETTINGS)
    except DatabaseUrlInvalid as error:
        raise SettingsError(f"{PREFIX}{name.upper()}: {error}") from None


def _refuse_host(settings: Settings, name: str) -> None:
    host = getattr(settings, name)
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no name of a host"
        raise SettingsError(
            f"{name} is {host!r}: expected an address of this machine or a name of one, got {why!r}."
        ) from None
