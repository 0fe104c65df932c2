"""The URL of a database: what is wrong with one, said before anybody is asked, and without its password."""

import configparser
import difflib
import os
import re
import shlex
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from staunch_features.errors import DatabaseUrlInvalid

_FORM = "postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE"

_FILES = ("passfile", "sslcert", "sslkey", "sslrootcert", "sslcrl")
_WORDS = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "primary", "standby", "prefer-standby", "read-write", "read-only"),
    "sslnegotiation": ("postgres", "direct"),
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer"),
    "client_encoding": ("UTF8", "utf8", "UTF-8", "utf-8", "auto"),
}
_PASSED_OVER = (
    *("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
    *("tcp_user_timeout", "channel_binding", "gssencmode", "client_encoding"),
)
"""What consoles of hosts write for libpq, and what we do in our own way: limits of time, always UTF-8."""

_PARAMETERS = (
    *_FILES,
    *_WORDS,
    *_PASSED_OVER,
    *("host", "port", "dbname", "database", "user", "password", "service", "options", "application_name"),
    *("sslpassword", "ssl_min_protocol_version", "ssl_max_protocol_version", "krbsrvname", "gsslib"),
)
"""What a URL may hold; anything else the driver would send to the server as a setting."""

_HINTS = {"ssl": "write sslmode=require"}


def place(url: str) -> str:
    """Where a URL points, without the role and its password, whatever is wrong with the URL."""
    if "://" not in url:  # such as host=… password=…
        return "the database"
    return "the database at " + url.rpartition("@")[2].rpartition("//")[2].partition("?")[0].strip()


def parameter(url: str, name: str) -> str | None:
    """Returns what a readable URL, its service or the environment says of a parameter; None if nothing."""
    given = dict(parse_qsl(urlsplit(url).query))
    if name in given:
        return given[name]
    section = _service(given.get("service"))
    if section is not None and name in section:
        return section[name]
    return os.environ.get({"target_session_attrs": "PGTARGETSESSIONATTRS"}.get(name, f"PG{name.upper()}"))


def for_driver(url: str) -> str:
    """Returns a readable URL without what the driver would take for settings of the session."""
    start, mark, query = url.partition("?")
    kept = [pair for pair in query.split("&") if pair.partition("=")[0] not in _PASSED_OVER]
    return start + mark + "&".join(kept)


def check_url(url: str, reserved: Collection[str]) -> None:
    """Checks all of a URL that can be known before a server is asked.

    Args:
        url: Of a database.
        reserved: The settings of a session that a URL may not make.

    Raises:
        DatabaseUrlInvalid: It cannot be meant; the message quotes neither role nor password.
    """
    problem = next(_problems(url, reserved), None)
    if problem is not None:
        raise DatabaseUrlInvalid(f"cannot read the URL of {place(url)}: {problem}")


def _problems(url: str, reserved: Collection[str]) -> Iterator[str]:
    # From the outside in: what a later part yields may rest on an earlier part's being well.
    scheme, found, _ = url.partition("://")
    if not found or scheme not in ("postgresql", "postgres"):
        begins = f" in place of {scheme}://" if found and re.fullmatch(r"[a-z0-9+]{1,20}", scheme) else ""
        yield f"expected {_FORM}{begins}"
    if re.search(r"[\s\x00-\x1f]", url):
        yield "it holds a blank; write one within it as %20"
    try:
        parts = urlsplit(url)
        given = parse_qsl(parts.query, strict_parsing=True) if parts.query else []
    except ValueError:  # its text quotes the part, which may be the password
        yield f"expected {_FORM}; write / ? # [ ] @ within a password as %2F %3F %23 %5B %5D %40"
        return
    # Else what is printed of a host might be the password.
    if parts.fragment or "@" in parts.path + parts.query or parts.netloc.count("@") > 1:
        yield f"expected {_FORM}; write / ? # [ ] @ within a password as %2F %3F %23 %5B %5D %40"
    yield from _of_hosts(parts.netloc.rpartition("@")[2])
    for name, value in given:
        yield from _of_parameter(name, value, reserved)
    authority = parameter(url, "sslrootcert") or _in_home(".postgresql/root.crt")
    mode = parameter(url, "sslmode") or ""
    if mode.startswith("verify-") and not os.access(authority, os.R_OK):
        yield f"sslmode={mode} wants sslrootcert=FILE with the server's authority, found none in {authority}"


def _of_hosts(hosts: str) -> Iterator[str]:
    for host in hosts.split(",") if hosts else []:
        port = re.fullmatch(r"(?:\[[^\]]*\]|[^:\[\]]*)(?::([^:]*))?", host)
        if port is None:
            yield f"expected HOST:PORT, with an IPv6 address in [ ], got {host}"
        elif port[1] is not None:
            yield from _of_port(port[1])
        if host.startswith(":") or not host:
            yield "a host is empty"


def _of_port(port: str) -> Iterator[str]:
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        yield f"expected a port from 1 to 65535, got {port or 'none'}"


def _of_parameter(name: str, value: str, reserved: Collection[str]) -> Iterator[str]:
    if name not in _PARAMETERS:
        near = difflib.get_close_matches(name, _PARAMETERS, n=1, cutoff=0.8)
        hint = _HINTS.get(name, "leave it out; a setting of the session goes into options=-c%20NAME=VALUE")
        yield f"{name} is no parameter that our driver reads: {f'did you mean {near[0]}?' if near else hint}"
    if name in _WORDS and value not in _WORDS[name]:
        yield f"expected {name} to be one of {', '.join(_WORDS[name])}, got {value}"
    if name == "channel_binding" and value == "require":
        yield (
            "channel_binding=require asks for what our driver has not: leave it out; sslmode=verify-full "
            "with sslrootcert=FILE proves whose server it is"
        )
    if name == "port":
        for port in value.split(","):
            yield from _of_port(port)
    if name == "options":
        yield from _of_options(value, reserved)
    yield from _of_file(name, value)


def _of_file(name: str, value: str) -> Iterator[str]:
    if name in _FILES and not os.access(value, os.R_OK):
        yield f"expected {name} to name a file that can be read, got {value}"
    if name == "service" and _service(value) is None:
        yield f"expected the service {value} in {_service_file()}, found none"


def _of_options(options: str, reserved: Collection[str]) -> Iterator[str]:
    try:
        words = " ".join(shlex.split(options))
    except ValueError:
        yield "expected options such as -c%20NAME=VALUE"
        return
    for name in re.findall(r"(?:-c\s*|--)([\w.-]+)=", words):
        if name.lower().replace("-", "_") in {setting.lower() for setting in reserved}:
            yield f"its options set {name}, which Staunch sets for each session itself; leave it out"


def _service(name: str | None) -> configparser.SectionProxy | None:
    """The section of a service, where the driver looks for it; None of no service without a look."""
    if name is None:
        return None
    services = configparser.ConfigParser()
    try:
        services.read(_service_file())
    except configparser.Error:
        return None
    return services[name] if services.has_section(name) else None


def _service_file() -> Path:
    named = os.environ.get("PGSERVICEFILE")
    return Path(named) if named else _in_home(".pg_service.conf")


def _in_home(name: str) -> Path:
    """A file in the home of the user; whom a container's image does not know may have none."""
    # Path.home() would raise then.
    return Path(os.path.expanduser("~"), name)
