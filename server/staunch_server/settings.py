"""The one settings object: flags, STAUNCH_* variables, secrets files and a TOML file."""

import errno
import ipaddress
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from staunch_model_store.manifest import NAME
from staunch_server.file_access import found, whose, why_unreadable
from staunch_server.setting_names import (
    PREFIX,
    is_of_a_service,
    is_supervised,
    misspelt,
    misspelt_files,
    passed_over,
)
from staunch_server.setting_words import SOCKET_ADDRESS, line_of

AccessLog = Literal["off", "errors", "all"]
"""Which calls have a line of their own in the log: none, those without an answer, or answered ones too."""


class SettingsError(ValueError):
    """A setting has a value that it cannot have; the text is one line for each."""


class Sourced(BaseSettings):
    """What is read from the sources that settings have."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Orders the sources: the first that has a value wins."""
        if isinstance(env_settings, EnvSettingsSource):
            variables = env_settings.env_vars
            env_settings.env_vars = {n: v for n, v in variables.items() if not is_of_a_service(n, v)}
        if is_supervised(os.environ):  # all is in there; and files may change or go while a server runs
            return init_settings, env_settings
        secrets = SecretsSettingsSource(settings_cls, secrets_dir=os.environ.get(_SECRETS))
        return init_settings, env_settings, secrets, TomlConfigSettingsSource(settings_cls, _config())


class Settings(Sourced):
    """Every setting of the server and of `staunch run`, with unit and default; read once at the start.

    STAUNCH_CONFIG names a TOML file (default: staunch.toml here, if any) whose keys are the field names.
    A file named staunch_database_url in the folder STAUNCH_SECRETS sets that field, and so on.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    database_url: SecretStr | None = Field(
        None, description="Your PostgreSQL (15 or newer), as its owner; unset, `staunch run` brings one."
    )
    database_reader_url: SecretStr | None = Field(
        None, description="The same as the reader, which may only SELECT; unset, database_url is used."
    )
    views: Path | None = Field(None, description="Folder of your own features/ and labels/; searched first.")
    state_folder: Path = Field(
        Path(".staunch"), description="Folder of the embedded PostgreSQL and of models."
    )
    store: Path | None = Field(None, description="Folder of published models; unset, state_folder/models.")
    default_model: str = Field(
        "churn", pattern=f"^{NAME.pattern}$", description="The model that answers a request which names none."
    )

    listen: str | None = Field(
        None,
        pattern=f"^{SOCKET_ADDRESS}$",
        description="unix:PATH serves gRPC on a Unix socket that this user alone reaches, and on no port; "
        "several workers have one each, PATH.0, PATH.1 and so on; unset, host and port are used.",
    )
    host: str = Field("127.0.0.1", description="Address that serves gRPC.")
    port: int = Field(50051, ge=0, le=65535, description="Port that serves gRPC; 0 takes a free one.")
    metrics_host: str = Field("127.0.0.1", description="Address that serves /metrics and /healthz.")
    metrics_port: int = Field(9464, ge=0, le=65535, description="Port of /metrics and /healthz; 0 is any.")
    insecure_bind: bool = Field(
        False, description="Allows addresses other than loopback, without TLS or authentication."
    )
    reflection: Literal["auto", "on", "off"] = Field(
        "auto", description="Server reflection; auto is on while bound to loopback."
    )
    transport: Literal["auto", "aio", "native"] = Field(
        "auto",
        description="aio is grpc.aio, the reference; native is pygrpc-native, the fast one; auto is native "
        "on a Unix socket, behind a proxy, and on loopback by `staunch run`, else aio (docs/transports.md).",
    )
    behind_proxy: bool = Field(
        False, description="Says that nobody but a proxy reaches the port, such as that of docker/envoy."
    )
    expose_to_bombs_and_resets: bool = Field(
        False,
        description="Allows transport native on an open port, where one message can take all memory and "
        "calls that are cancelled end those beside them.",
    )
    workers: int = Field(1, ge=1, le=256, description="Serving processes.")

    interactive_connections: int = Field(
        2,
        ge=1,
        le=100,
        description="Database connections of a worker for Predict and Explain; it has one more beside them.",
    )
    batch_connections: int = Field(
        2, ge=1, le=100, description="Database connections of a worker for BatchPredict."
    )
    max_batch_rows: int = Field(32, ge=1, le=10_000, description="Most rows that joined calls share.")
    max_calls: int = Field(
        128, ge=1, le=100_000, description="Unary calls in progress in a worker; one more is OVERLOADED."
    )
    max_waiting_calls: int = Field(
        256,
        ge=1,
        le=100_000,
        description="Calls that may wait till a worker takes them up; more are CANCELLED; aio only.",
    )
    max_streams: int = Field(16, ge=1, le=10_000, description="BatchPredict streams in progress in a worker.")
    stream_idle_s: float = Field(
        300.0,
        ge=0,
        description="Seconds until a stream is ended whose caller owes the next message; 0 is never.",
    )
    answer_wait_s: float = Field(
        10.0, gt=0, le=3600, description="Seconds until a stream is ended whose caller takes no answer."
    )
    max_connection_streams: int = Field(
        100, ge=1, le=10_000, description="Calls in progress on one connection (HTTP/2 streams)."
    )
    max_connection_age_s: float = Field(
        0.0, ge=0, description="Seconds until a connection must come again; 0 is never; aio only."
    )
    default_deadline_s: float = Field(
        10.0,
        gt=0,
        le=3600,
        description="Seconds that a unary call without a deadline may take, and any query of joined calls.",
    )
    batch_timeout_s: float = Field(
        30.0, gt=0, le=3600, description="Seconds that the query of one BatchPredict chunk may take."
    )
    named_versions: int = Field(
        4,
        ge=0,
        le=1000,
        description="Versions kept loaded because a request named them, though no alias points at them.",
    )
    store_poll_s: float = Field(
        1.0, gt=0, le=3600, description="Seconds between looks for moved aliases and at views that fail."
    )
    model_service: Literal["off", "read", "all"] = Field(
        "all",
        description="How much of ModelService there is: all; read, without what changes aliases or reads the "
        "store again; off, none of it. What there is not is UNIMPLEMENTED.",
    )
    view_check_s: float = Field(
        2.0, gt=0, le=3600, description="Seconds that the database may take to prepare a view."
    )
    view_look_s: float = Field(
        10.0,
        ge=0,
        le=3600,
        description="Seconds that a view may go unread before it is run for nobody, to see whether it works.",
    )
    drain_wait_s: float = Field(
        0.0, ge=0, le=3600, description="Seconds from NOT_SERVING to refusing; above a balancer's interval."
    )
    drain_s: float = Field(
        30.0, ge=0, le=3600, description="Seconds that calls in progress get to end when stopping."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="What is logged.")
    log_format: Literal["text", "json"] = Field(
        "text", description="json makes every line that is printed one JSON object; text is for people."
    )
    access_log: AccessLog = Field(
        "off", description="A log line a call: for none, for those without an answer, or for answers too."
    )
    access_log_share: float = Field(
        1.0, ge=0, le=1, description="Share of the answered calls that get a line when access_log is all."
    )
    traces: Literal["off", "otlp"] = Field(
        "off",
        description="otlp sends a span of each call to where OTEL_EXPORTER_OTLP_ENDPOINT says, by the extra "
        "`tracing` (docs/operations.md).",
    )

    simulate: bool = Field(False, description="Writes simulated rows into an external database too.")
    simulation_customers: int | None = Field(
        None,
        ge=1,
        description="Customers of a new simulated world; unset, 10,000, or those of the one that stands.",
    )
    simulation_seed: int | None = Field(
        None, ge=0, description="Seed of a new simulated world; unset, ours, or that of the one that stands."
    )

    @field_validator("views", "state_folder", "store", mode="before")
    @classmethod
    def _refuse_empty_path(cls, value: object) -> object:
        if value == "":  # it would be taken for the folder of now, and comes of `--store "$UNSET"`
            raise ValueError("expected a folder; leave it out for the default")
        return value

    @property
    def model_folder(self) -> Path:
        """The folder of the published models."""
        return self.store if self.store is not None else self.state_folder / "models"

    @property
    def reader_url(self) -> SecretStr | None:
        """The URL that serving and training connect with; None if neither URL is set."""
        return self.database_reader_url or self.database_url

    @property
    def reflects(self) -> bool:
        """Whether server reflection is on."""
        return not self.is_open if self.reflection == "auto" else self.reflection == "on"

    @property
    def is_open(self) -> bool:
        """Whether others than this machine may reach gRPC."""
        return self.listen is None and not is_loopback(self.host)

    @property
    def targets(self) -> list[str]:
        """Where gRPC is served, as gRPC writes it: one address, or a Unix socket for each worker."""
        if self.listen is None:
            return [address(self.host, self.port)]
        if self.workers == 1:
            return [self.listen]
        return [f"{self.listen}.{number}" for number in range(self.workers)]

    def environment(self) -> dict[str, str]:
        """The STAUNCH_* variables that make these settings again in another process, secrets included."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {PREFIX + name.upper(): _text(value) for name, value in values.items() if value is not None}


def load_settings(flags: Mapping[str, Any] | None = None, *, makes_views: bool = False) -> Settings:
    """Reads the settings.

    Args:
        flags: Field name to value, None for not given; they win over everything.
        makes_views: Whether the folder of views need not be there, since the caller makes it.

    Raises:
        SettingsError: A value is not what its field takes; says which, what came and what is expected. Or a
            name is nearly a setting's, or a file or folder that is named cannot be read.
    """
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    supervised = is_supervised(os.environ)
    if not supervised:
        _refuse_misspelt()
        _refuse_unreadable_config()
    try:
        settings = Settings(**given)
        if not supervised and not makes_views:
            _refuse_unreadable_folder("views", settings.views)
        return settings
    except ValidationError as error:
        lines = [line_of(problem, Settings.model_fields, _config()) for problem in error.errors()]
        raise SettingsError("\n".join(lines)) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{_config()} is no TOML: {error}.") from None


def setting_notes() -> list[str]:
    """Returns what a person should know of names that count for nothing; none in a supervised process."""
    if is_supervised(os.environ):
        return []
    return passed_over(os.environ, os.environ.get(_SECRETS), Settings.model_fields)


def refuse_missing_store(settings: Settings) -> None:
    """Raises SettingsError if a store is named that cannot be read, or if the state folder is no folder.

    One that nobody named is made when a model is published.
    """
    _refuse_unreadable_folder("store", settings.store)
    _refuse_unreadable_folder("state_folder", settings.state_folder, may_be_missing=True)
    folder = settings.state_folder
    if folder.exists() and not os.access(folder, os.W_OK):
        refused = PermissionError(errno.EACCES, "")
        raise SettingsError(
            f"{PREFIX}STATE_FOLDER names {folder}: "
            f"expected a folder that can be written, found {found(refused)}{whose(folder, refused)}."
        )


def refuse_open_bind(settings: Settings) -> None:
    """Raises SettingsError if an address is not loopback and insecure_bind is not set."""
    if settings.insecure_bind:
        return
    for name, is_open in ("host", settings.is_open), ("metrics_host", not is_loopback(settings.metrics_host)):
        if is_open:
            raise SettingsError(
                f"{name} is {getattr(settings, name)!r}: expected a loopback address, since there is neither "
                "TLS nor authentication. Put a proxy with both in front, or allow it with --insecure-bind."
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address; names other than localhost are not trusted."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address(host: str, port: int) -> str:
    """Returns "host:port", an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_SECRETS = f"{PREFIX}SECRETS"
_CONFIG = f"{PREFIX}CONFIG"


def _config() -> Path:
    return Path(os.environ.get(_CONFIG) or "staunch.toml")


def _refuse_misspelt() -> None:
    """Raises SettingsError if a variable, or a file among the secrets, is nearly a setting and none."""
    lines = misspelt(os.environ, Settings.model_fields)
    if folder := os.environ.get(_SECRETS):
        _refuse_unreadable_folder("secrets", Path(folder))
        for file in sorted(Path(folder).iterdir()):
            if file.name.lower().removeprefix(PREFIX.lower()) in Settings.model_fields:
                _refuse_unreadable_secret(file)
        lines += misspelt_files(Path(folder), Settings.model_fields)
    if lines:
        raise SettingsError("\n".join(lines))


def _refuse_unreadable_config() -> None:
    named = bool(os.environ.get(_CONFIG))
    if not named and not os.path.lexists(_config()):
        return
    if why := why_unreadable(_config()):
        where = f"{_CONFIG} names {_config()}" if named else f"{_config()} is here"
        raise SettingsError(f"{where}: expected a TOML file, found {why}.")


def _refuse_unreadable_folder(setting: str, folder: Path | None, *, may_be_missing: bool = False) -> None:
    if folder is None:
        return
    try:
        next(folder.iterdir(), None)
    except OSError as error:
        if may_be_missing and isinstance(error, FileNotFoundError):
            return
        raise SettingsError(
            f"{PREFIX}{setting.upper()} names {folder}: "
            f"expected a folder that can be read, found {found(error)}{whose(folder, error)}."
        ) from None


def _refuse_unreadable_secret(file: Path) -> None:
    if why := why_unreadable(file):
        raise SettingsError(f"{file}: expected a file that can be read, found {why}.")


def _text(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
