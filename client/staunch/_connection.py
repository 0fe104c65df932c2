"""Where a client calls, and how its connection behaves while it stands, breaks or goes silent."""

import ipaddress
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from types import ModuleType
from typing import Any

import grpc
import grpc.aio

ChannelOptions = Mapping[str, Any] | Sequence[tuple[str, Any]]
"""Options of a channel as gRPC takes them, ("grpc.keepalive_time_ms", 10_000), or the same as a mapping."""

USUAL_SERVER = "127.0.0.1:50051"
_IPV4 = re.compile(r"[0-9.]+:[0-9]+")
_IPV6 = re.compile(r"\[[0-9A-Fa-f:.]+(%\w+)?\]:[0-9]+")
_HOST_AND_PORT = re.compile(r"(?P<host>\[[^\[\]\s]+\]|[0-9A-Za-z._-]+):(?P<port>[0-9]{1,9})")
_AUTHORITY = re.compile("(//[^/]*)?/*")
_LAST_PORT = 65_535
_SCHEMES = ("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "vsock:", "xds:")


@dataclass(frozen=True, slots=True)
class Connection:
    """The part of a client's arguments that its channel is made of, checked.

    Attributes:
        library: `grpc` or `grpc.aio`.
        target: What gRPC is asked to reach; empty if the channel is the caller's own.
        credentials: TLS; None is in the clear.
        options: Of the channel, ours and then the caller's.
        channel: The caller's own, which we never close.
    """

    library: ModuleType
    target: str
    credentials: grpc.ChannelCredentials | None
    options: tuple[tuple[str, Any], ...]
    channel: grpc.Channel | grpc.aio.Channel | None

    @property
    def is_of_several(self) -> bool:
        """Whether calls are to be made at several addresses in turn, as far as the target tells."""
        return "," in self.target

    def open(self) -> Any:
        """Gives the caller's channel, or a new one."""
        if self.channel is not None:
            return self.channel
        if self.credentials is None:
            return self.library.insecure_channel(self.target, self.options)
        return self.library.secure_channel(self.target, self.credentials, self.options)


def connection(
    library: ModuleType,
    target: str | Sequence[str] | None,
    credentials: grpc.ChannelCredentials | None,
    options: ChannelOptions | None,
    channel: grpc.Channel | grpc.aio.Channel | None,
) -> Connection:
    """Checks a client's arguments; the client uses channels of `library`, `grpc` or `grpc.aio`.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: The target names no server, or a channel came together with what only a new one takes.
    """
    if not isinstance(credentials, grpc.ChannelCredentials | None):
        raise TypeError(
            "expected credentials as grpc.ssl_channel_credentials() gives them, "
            f"got {type(credentials).__name__}; a token goes into token="
        )
    if channel is None:
        reached = target_of(target)
        return Connection(library, reached, credentials, merged_options(options, reached), None)
    if not isinstance(channel, library.Channel):
        raise TypeError(f"expected a {library.__name__}.Channel, got a {type(channel).__module__} one")
    if target is not None or credentials is not None or options is not None:
        raise ValueError("expected a channel alone: its target, credentials and options are settled already")
    return Connection(library, "", None, (), channel)


def target_of(target: str | Sequence[str] | None) -> str:
    """Gives what gRPC is asked to reach: None is STAUNCH_SERVER, several addresses are one target.

    Raises:
        TypeError: It is neither text nor several texts.
        ValueError: It names no server, or several in a way that gRPC cannot take.
    """
    if target is None:
        try:
            return target_of(os.environ.get("STAUNCH_SERVER") or USUAL_SERVER)
        except ValueError as error:
            raise ValueError(f"STAUNCH_SERVER: {error}") from None
    if isinstance(target, str):
        if scheme := next((scheme for scheme in _SCHEMES if target.startswith(scheme)), ""):
            _check_uri(target, scheme)
            return target
        target = target.split(",")
    if not isinstance(target, Iterable) or isinstance(target, bytes | bytearray):
        raise _not_a_target(target)
    return _joined([_address(address) for address in target])


def _check_uri(target: str, scheme: str) -> None:
    """Refuses what gRPC cannot read: it finds out at the first call only, and calls that UNKNOWN."""
    rest = _AUTHORITY.sub("", target.removeprefix(scheme), count=1)
    if scheme in ("ipv4:", "ipv6:"):
        form = _IPV4 if scheme == "ipv4:" else _IPV6
        if not all(form.fullmatch(_address(address)) for address in rest.split(",")):
            raise ValueError(f"expected addresses of one family behind {scheme!r}, got {target!r}")
    elif scheme == "dns:":
        _address(rest if re.search("[^:]:[0-9]*$", rest) else f"{rest}:443")
    elif not rest:
        raise ValueError(f"expected a server behind {scheme!r}, got {target!r}")


def _joined(addresses: Sequence[str]) -> str:
    """Makes one target of several addresses; gRPC takes them as numbers only, and of one family."""
    if len(addresses) == 1:
        return addresses[0]
    addresses = [re.sub("^localhost:", "127.0.0.1:", address) for address in addresses]
    for scheme, form in ("ipv4", _IPV4), ("ipv6", _IPV6):
        if addresses and all(form.fullmatch(address) for address in addresses):
            return f"{scheme}:{','.join(addresses)}"
    raise ValueError(
        f"expected addresses that are all as 10.0.0.1:50051 or all as [::1]:50051, got {addresses}: for "
        'servers known by names, give one DNS name that lists them all, "dns:///scores.example:50051"'
    )


def _address(address: object) -> str:
    if not isinstance(address, str):
        raise _not_a_target(address)
    address = address.strip()
    found = _HOST_AND_PORT.fullmatch(address)
    if not found or not _is_host(found["host"]):
        form = '"host:port"'
        if address.count(":") > 1:
            form += ", an IPv6 address in brackets as in [::1]:50051"
        raise ValueError(f"expected {form}, got {address!r}")
    if not 1 <= int(found["port"]) <= _LAST_PORT:
        raise ValueError(f"expected a port of 1 to {_LAST_PORT}, got {address!r}")
    return address


def _is_host(host: str) -> bool:
    """Says whether it is a name, or numbers that are an address."""
    try:
        if host.startswith("["):
            ipaddress.IPv6Address(host[1:-1])
        elif not host.strip(".0123456789"):
            ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _not_a_target(given: object) -> TypeError:
    return TypeError(f'expected "host:port" or several of them, got {given!r}')


def merged_options(options: ChannelOptions | None, target: str = "") -> tuple[tuple[str, Any], ...]:
    """Gives the options of a channel to a target: ours, overridden by the caller's.

    Raises:
        TypeError: They are no pairs of a name and a value that gRPC takes.
    """
    try:
        given = dict(options or ())
    except (TypeError, ValueError):
        raise _not_options(options) from None
    if not all(isinstance(name, str) and _is_value(value) for name, value in given.items()):
        raise _not_options(options)
    return tuple({**usual_options(), **_authority(target), **given}.items())


def _authority(target: str) -> dict[str, str]:
    """Names one of several addresses as the authority: else gRPC sends the list, which no RFC allows."""
    scheme, _, addresses = target.partition(":")
    if scheme not in ("ipv4", "ipv6") or "," not in addresses:
        return {}
    return {"grpc.default_authority": re.sub("%[^]]*", "", addresses.split(",")[0])}


def _is_value(value: object) -> bool:
    """Says whether gRPC takes a value: it passes over a float without a word."""
    return isinstance(value, str | bytes) or (isinstance(value, int) and -(2**31) <= value < 2**31)


def _not_options(options: object) -> TypeError:
    return TypeError(
        'expected options as [("grpc.keepalive_time_ms", 30_000)], each value text, bytes or an integer of '
        f"32 bits, got {options!r}"
    )


def usual_options() -> dict[str, str | int]:
    """Gives the options of our channels.

    A connection may go silent without being closed: a machine loses its power, a firewall forgets. Nothing
    but a ping finds out. Whatever gRPC waits for by default is longer than any caller's patience.
    """
    return {
        "grpc.primary_user_agent": f"staunch-client/{version('staunch-client')}",
        # Pinged after 10 s of silence and given up after 5 s without an answer, with no call under way too:
        # the call that comes next shall not be the one that finds out.
        "grpc.keepalive_time_ms": 10_000,
        "grpc.keepalive_timeout_ms": 5_000,
        "grpc.http2.ping_timeout_ms": 5_000,  # else a minute, whatever keepalive_timeout_ms says
        "grpc.keepalive_permit_without_calls": 1,
        "grpc.http2.max_pings_without_data": 0,  # else two, then one a minute
        # Else all channels of a process to one target share a connection, and so its death.
        "grpc.use_local_subchannel_pool": 1,
        "grpc.lb_policy_name": "round_robin",
        # By default the library waits 1 s, then up to 120 s, before it connects again, and fails every
        # call meanwhile: our tries would all meet the same closed door.
        "grpc.initial_reconnect_backoff_ms": 50,
        "grpc.max_reconnect_backoff_ms": 500,
        # Else a name whose servers all have new addresses is asked for them after 30 s.
        "grpc.dns_min_time_between_resolutions_ms": 5_000,
        # What a connection may take to be made; else 20 s, spent on one that is silent from the start.
        "grpc.min_reconnect_backoff_ms": 5_000,
    }
