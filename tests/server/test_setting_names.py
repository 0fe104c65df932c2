"""Which names are nearly a setting's, which are Kubernetes', and which are nobody's."""

from pathlib import Path

import pytest

from staunch_server.setting_names import is_of_a_service, misspelt, misspelt_files, passed_over
from staunch_server.settings import Settings

FIELDS = Settings.model_fields

SERVICE = {
    "STAUNCH_SERVICE_HOST": "10.0.0.1",
    "STAUNCH_SERVICE_PORT": "50051",
    "STAUNCH_SERVICE_PORT_GRPC": "50051",
    "STAUNCH_PORT": "tcp://10.0.0.1:50051",
    "STAUNCH_PORT_50051_TCP": "tcp://10.0.0.1:50051",
    "STAUNCH_PORT_50051_TCP_PROTO": "tcp",
    "STAUNCH_PORT_50051_TCP_PORT": "50051",
    "STAUNCH_PORT_50051_TCP_ADDR": "10.0.0.1",
    "STAUNCH_METRICS_SERVICE_HOST": "10.0.0.2",
    "STAUNCH_METRICS_SERVICE_PORT": "9464",
    "STAUNCH_METRICS_SERVICE_PORT_HTTP_METRICS": "9464",
    "STAUNCH_METRICS_PORT": "tcp://10.0.0.2:9464",
    "STAUNCH_METRICS_PORT_9464_TCP": "tcp://10.0.0.2:9464",
    "STAUNCH_METRICS_PORT_9464_TCP_ADDR": "10.0.0.2",
    "STAUNCH_POSTGRES_PORT": "tcp://10.0.0.3:5432",
    "STAUNCH_DNS_PORT": "udp://10.0.0.4:53",
    "STAUNCH_DNS_PORT_53_UDP_PROTO": "udp",
}
"""What Services named staunch, staunch-metrics, staunch-postgres and staunch-dns make."""


@pytest.mark.parametrize("name", sorted(SERVICE))
def test_what_kubernetes_makes_of_a_service_is_known(name: str) -> None:
    assert is_of_a_service(name, SERVICE[name])


@pytest.mark.parametrize(
    ("name", "value"),
    [("STAUNCH_PORT", "50051"), ("STAUNCH_METRICS_PORT", "9464"), ("STAUNCH_HOST", "10.0.0.1")],
)
def test_a_setting_is_no_service(name: str, value: str) -> None:
    assert not is_of_a_service(name, value)


def test_services_are_one_line_and_strangers_another() -> None:
    strangers = {"STAUNCH_IMAGE": "a", "STAUNCH_HOME": "b", "OTHER": "c", "STAUNCH_EMPTY": ""}
    services, others = passed_over(SERVICE | strangers | {"STAUNCH_WORKERS": "2"}, None, FIELDS)
    assert all(name in services for name in SERVICE)
    assert "enableServiceLinks" in services
    assert others.endswith("no setting of ours: STAUNCH_HOME, STAUNCH_IMAGE")
    assert misspelt(SERVICE | strangers, FIELDS) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("STAUNCH_PROT", "STAUNCH_PORT"),
        ("STAUNCH_WORKER", "STAUNCH_WORKERS"),
        ("STAUNCH_WORKRES", "STAUNCH_WORKERS"),
        ("staunch_worker_", "STAUNCH_WORKERS"),
        ("STAUNCH_DATABSE_URL", "STAUNCH_DATABASE_URL"),
        ("STAUNCH_DATABASEURL", "STAUNCH_DATABASE_URL"),
        ("STAUNCH_METRIC_PORT", "STAUNCH_METRICS_PORT"),
        ("STAUNCH_LOGLEVEL", "STAUNCH_LOG_LEVEL"),
        ("STAUNCH_SECRET", "STAUNCH_SECRETS"),
        ("STAUNCH_CONFG", "STAUNCH_CONFIG"),
        ("STAUNCH_VIEW", "STAUNCH_VIEWS"),
        ("STAUNCH_STATE_FOLDERS", "STAUNCH_STATE_FOLDER"),
        ("STAUNCH_STATE_DIR", "STAUNCH_STATE_FOLDER"),
        ("STAUNCH_STORE_FOLDER", "STAUNCH_STORE"),
        ("STAUNCH_VIEWS_PATH", "STAUNCH_VIEWS"),
        ("STAUNCH_SECRETS_DIR", "STAUNCH_SECRETS"),
        ("STAUNCH_CONFIG_FILE", "STAUNCH_CONFIG"),
        ("STAUNCH_DB_URL", "STAUNCH_DATABASE_URL"),
        ("STAUNCH_POSTGRES_URL", "STAUNCH_DATABASE_URL"),
        ("STAUNCH_DATABASE_DSN", "STAUNCH_DATABASE_URL"),
        ("STAUNCH_READER_URL", "STAUNCH_DATABASE_READER_URL"),
        ("STAUNCH_DB_READER_URL", "STAUNCH_DATABASE_READER_URL"),
        ("STAUNCH_TIMEOUT_S", "STAUNCH_BATCH_TIMEOUT_S"),
        ("STAUNCH_MAX_BATCH", "STAUNCH_MAX_BATCH_ROWS"),
        ("STAUNCH_DRAIN", "STAUNCH_DRAIN_S"),
    ],
)
def test_a_name_that_is_nearly_a_settings_is_answered_with_that(name: str, meant: str) -> None:
    assert misspelt({name: "1"}, FIELDS) == [
        f"{name} is no setting: did you mean {meant}? Rename it, or unset it."
    ]


@pytest.mark.parametrize(
    "name",
    ["REPORT", "EXPORT", "SUPPORT", "URL", "HOME", "IMAGE", "VERSION", "GRPC_PORT", "MODEL", "PATH", "DB"],
)
def test_a_name_that_only_looks_a_little_alike_is_anothers(name: str) -> None:
    assert misspelt({f"STAUNCH_{name}": "1"}, FIELDS) == []
    assert len(passed_over({f"STAUNCH_{name}": "1"}, None, FIELDS)) == 1


@pytest.mark.parametrize("name", ["CONFIG", "SECRETS", "SERVER", "POSTGRES_BIN", "SUPERVISOR_FD", "PORT"])
def test_what_we_read_is_known(name: str) -> None:
    assert misspelt({f"STAUNCH_{name}": "1"}, FIELDS) == []
    assert passed_over({f"STAUNCH_{name}": "1"}, None, FIELDS) == []


def test_a_file_among_the_secrets_is_known_by_its_whole_name(tmp_path: Path) -> None:
    for name in ("staunch_port", "staunch_databas_url", "workers", "staunch_else", "tls.crt", "..data"):
        (tmp_path / name).touch()
    assert misspelt_files(tmp_path, FIELDS) == [
        f"{tmp_path}/staunch_databas_url is no setting: did you mean staunch_database_url? Rename it.",
        f"{tmp_path}/workers is no setting: did you mean staunch_workers? Rename it.",
    ]
    (line,) = passed_over({}, str(tmp_path), FIELDS)
    assert f"{tmp_path}/staunch_else" in line
    assert "tls.crt" not in line
