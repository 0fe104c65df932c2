"""Which transport carries the calls, and why: what `transport` auto means, and where native is refused."""

import importlib.util
from dataclasses import dataclass

from staunch_server.settings import Settings, SettingsError


@dataclass(frozen=True, slots=True)
class Choice:
    """A transport, and why it is that.

    Attributes:
        name: "aio" or "native".
        why: The end of a line that begins with its name.
    """

    name: str
    why: str


def choose_transport(settings: Settings, *, at_home: bool = False) -> Choice:
    """Returns what carries the calls.

    Args:
        settings: Of the server.
        at_home: Whether it is a person's own server, that of `staunch run`.

    Raises:
        SettingsError: What is asked for cannot be had, or must not be without another word.
    """
    if settings.transport == "auto":
        return _auto(settings, at_home=at_home)
    if settings.transport == "native":
        _refuse_native(settings)
    return Choice(settings.transport, "as STAUNCH_TRANSPORT asks")


def _auto(settings: Settings, *, at_home: bool) -> Choice:
    """Takes native where nobody reaches it who could misuse what it leaves open, and aio elsewhere."""
    trusted = _trusted(settings, at_home=at_home)
    if not trusted:
        return Choice("aio", "since callers reach its port; native is faster behind a proxy")
    if settings.max_connection_age_s:
        return Choice("aio", "since max_connection_age_s is set, and native closes no connection by age")
    if not _installed():
        return Choice("aio", "since pygrpc-native, the faster one, is not installed")
    return Choice("native", trusted)


def _trusted(settings: Settings, *, at_home: bool) -> str:
    """Why all who reach the server can be trusted with native; empty if they cannot."""
    if settings.listen is not None:
        return "since this user alone reaches the Unix socket"
    if settings.behind_proxy:
        return "since a proxy alone reaches its port (STAUNCH_BEHIND_PROXY)"
    if at_home and not settings.is_open:
        return "since this machine alone reaches its port"
    return ""


def _refuse_native(settings: Settings) -> None:
    if not _installed():
        raise SettingsError(f"{NOT_INSTALLED}.")
    if settings.max_connection_age_s:
        raise SettingsError(
            "max_connection_age_s is set: expected 0, for the native transport closes none by age."
        )
    if settings.is_open and not settings.behind_proxy and not settings.expose_to_bombs_and_resets:
        raise SettingsError(
            f"transport is 'native' and host is {settings.host!r}: expected auto or aio where callers reach "
            "the port, since one message of 1 MB can take 2 GB of memory, and calls that are cancelled can "
            "end those beside them. Put a proxy in front that refuses such (docker/envoy) and say so with "
            "--behind-proxy, serve on a socket by --listen, or allow it with --expose-to-bombs-and-resets."
        )


NOT_INSTALLED = (
    "transport is 'native': expected pygrpc-native to be installed; "
    "install staunch-server[native], or choose aio"
)
"""What ends a start without the library that is asked for."""


def _installed() -> bool:
    """Whether the library is there, without importing it: a supervisor holds no gRPC."""
    return importlib.util.find_spec("pygrpc_native") is not None
