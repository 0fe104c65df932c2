"""Where settings come from, which win, and what is refused."""

import getpass
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from staunch_server.setting_names import PREFIX
from staunch_server.setting_words import expected
from staunch_server.settings import (
    Settings,
    SettingsError,
    is_loopback,
    load_settings,
    refuse_open_bind,
    setting_notes,
)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)
    for name in ("CONFIG", "SECRETS"):
        monkeypatch.delenv(PREFIX + name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_flags_win_over_variables_over_secrets_over_the_file(monkeypatch: Any, tmp_path: Path) -> None:
    (tmp_path / "staunch.toml").write_text("port = 1\nworkers = 1\nmax_calls = 1\nmax_streams = 1\n")
    for name, number in [("port", 2), ("workers", 2), ("max_calls", 2)]:
        (tmp_path / f"staunch_{name}").write_text(f"{number}\n")
    monkeypatch.setenv("STAUNCH_SECRETS", str(tmp_path))
    monkeypatch.setenv("STAUNCH_PORT", "3")
    monkeypatch.setenv("STAUNCH_WORKERS", "3")
    settings = load_settings({"port": 4, "workers": None})
    assert (settings.port, settings.workers, settings.max_calls, settings.max_streams) == (4, 3, 2, 1)


def test_without_anything_the_defaults_are_safe() -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.metrics_port) == ("127.0.0.1", 50051, 9464)
    assert settings.reflects
    assert not settings.insecure_bind
    assert settings.reader_url is None
    assert settings.model_folder == Path(".staunch/models")


def test_an_empty_variable_is_no_value(monkeypatch: Any) -> None:
    monkeypatch.setenv("STAUNCH_PORT", "")
    assert load_settings().port == 50051


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PORT", "70000", "expected a whole number from 0 to 65535, got '70000'."),
        ("WORKERS", "two", "expected a whole number from 1 to 256, got 'two'."),
        ("TRANSPORT", "carrier-pigeon", "expected auto, aio or native, got 'carrier-pigeon'."),
        ("INSECURE_BIND", "perhaps", "expected true or false, got 'perhaps'."),
        ("DRAIN_S", "nan", "expected a number from 0 to 3600, got 'nan'."),
        ("STREAM_IDLE_S", "inf", "expected a number from 0 on, got 'inf'."),
        ("DEFAULT_DEADLINE_S", "0", "expected a number above 0 and at most 3600, got '0'."),
        ("DEFAULT_MODEL", "A/B", "expected the name of a model: a letter from a to z, "),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(
    monkeypatch: Any, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"STAUNCH_{name} (setting {name.lower()}): {says}")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_refused_in_our_words_and_never_in_a_librarys(tmp_path: Path, name: str) -> None:
    (tmp_path / "staunch.toml").write_text(f"{name} = [[1]]\n")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    shown = "something else (not shown, since it may hold a password)" if "url" in name else "[[1]]"
    wanted = expected(name, Settings.model_fields[name])
    assert str(caught.value) == (f"STAUNCH_{name.upper()} (setting {name}): expected {wanted}, got {shown}.")


@pytest.mark.parametrize(
    "value", ["postgresql://me:hunter2@db/crm", "host=db password=hunter2", "//a:hunter2@b"]
)
def test_a_password_in_the_wrong_setting_is_not_repeated(monkeypatch: Any, value: str) -> None:
    monkeypatch.setenv("STAUNCH_PORT", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_a_misspelt_key_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "staunch.toml").write_text("prot = 1\n")
    with pytest.raises(SettingsError, match="prot"):
        load_settings()


def test_a_file_that_is_named_must_be_there_and_be_toml(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("STAUNCH_CONFIG", str(tmp_path / "other.toml"))
    with pytest.raises(SettingsError, match="found none"):
        load_settings()
    (tmp_path / "other.toml").write_text("port: 1\n")
    with pytest.raises(SettingsError, match="is no TOML"):
        load_settings()


def test_secrets_show_neither_in_a_repr_nor_in_an_error(monkeypatch: Any) -> None:
    settings = load_settings({"database_url": "postgresql://staunch:hunter2@db/crm"})
    assert "hunter2" not in repr(settings)
    assert settings.reader_url is not None
    assert "hunter2" in settings.reader_url.get_secret_value()
    with pytest.raises(SettingsError) as caught:
        load_settings({"database_url": ["postgresql://staunch:hunter2@db/crm"]})
    assert "hunter2" not in str(caught.value)


def test_the_environment_makes_the_same_settings_again(monkeypatch: Any) -> None:
    flags = {"port": 7, "database_url": "postgresql://a:b@c/d", "store": Path("/m"), "insecure_bind": True}
    settings = load_settings(flags)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_needs_no_permission(host: str) -> None:
    refuse_open_bind(load_settings({"host": host}))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", ""])
@pytest.mark.parametrize("name", ["host", "metrics_host"])
def test_any_other_address_is_refused_unless_allowed(host: str, name: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(SettingsError, match="--insecure-bind"):
        refuse_open_bind(load_settings({name: host}))
    refuse_open_bind(load_settings({name: host, "insecure_bind": True}))


def test_reflection_is_off_beyond_loopback_unless_asked_for() -> None:
    assert not load_settings({"host": "0.0.0.0"}).reflects
    assert load_settings({"host": "0.0.0.0", "reflection": "on"}).reflects
    assert not load_settings({"reflection": "off"}).reflects


@pytest.mark.parametrize("setting", ["VIEWS", "SECRETS"])
def test_a_folder_that_is_named_must_be_there_and_be_a_folder(
    monkeypatch: Any, tmp_path: Path, setting: str
) -> None:
    monkeypatch.setenv(PREFIX + setting, str(tmp_path / "none"))
    with pytest.raises(
        SettingsError, match=f"STAUNCH_{setting} names .*/none: expected a folder .* found none"
    ):
        load_settings()
    (tmp_path / "file").touch()
    monkeypatch.setenv(PREFIX + setting, str(tmp_path / "file"))
    with pytest.raises(SettingsError, match=r"/file: expected a folder that can be read, found a file\."):
        load_settings()


READS_EACH = """
import os, sys
from staunch_server.settings import load_settings, refuse_missing_store, SettingsError
for setting in sys.argv[1:]:
    name, value = setting.split("=")
    os.environ[name] = value
    try:
        refuse_missing_store(load_settings())
    except SettingsError as error:
        print(error)
    del os.environ[name]
"""


def test_what_may_not_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "staunch.toml").touch()
    if os.geteuid() == 0:
        os.chown(closed, 65534, 65534)
    closed.chmod(0o700 if os.geteuid() == 0 else 0)
    files = dict.fromkeys(("STORE", "STATE_FOLDER", "VIEWS", "SECRETS"), closed)
    files["CONFIG"] = closed / "staunch.toml"
    # A root that has lost its capabilities is refused as anybody else is.
    words = [
        *(["setpriv", "--bounding-set", "-all"] if os.geteuid() == 0 else []),
        *(sys.executable, "-c", READS_EACH),
        *(f"{PREFIX}{setting}={file}" for setting, file in files.items()),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30)
    closed.chmod(0o700)
    owner, us = ("nobody", "daemon") if os.geteuid() == 0 else (getpass.getuser(),) * 2
    whose = (
        f"{closed} is yours, and its mode does not let you; change it (chmod)"
        if owner == us
        else f"{closed} belongs to {owner}, and this runs as "
    )
    lines = done.stdout.splitlines()
    for (setting, file), line in zip(files.items(), lines, strict=True):
        assert line.startswith(f"STAUNCH_{setting} names {file}: expected ")
        assert 'found "Permission denied": ' in line
        assert whose in line
        assert line.endswith(", or name another.")


def test_a_secret_must_be_a_file_of_text(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("STAUNCH_SECRETS", str(tmp_path))
    (tmp_path / "staunch_port").mkdir()
    with pytest.raises(
        SettingsError, match=r"/staunch_port: expected a file that can be read, found a folder\."
    ):
        load_settings()
    (tmp_path / "staunch_port").rmdir()
    (tmp_path / "staunch_port").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match=r"/staunch_port: expected .* found what is no text\."):
        load_settings()
    (tmp_path / "staunch_port").unlink()
    (tmp_path / "staunch_port").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SettingsError, match=r"/staunch_port: expected .* found a link to none\."):
        load_settings()
    (tmp_path / "staunch_port").unlink()
    (tmp_path / "STAUNCH_PORT").mkdir()
    with pytest.raises(SettingsError, match=r"/STAUNCH_PORT: expected .* found a folder\."):
        load_settings()


def test_a_secret_is_found_through_the_links_of_kubernetes(monkeypatch: Any, tmp_path: Path) -> None:
    (tmp_path / "..2026_11_29").mkdir()
    (tmp_path / "..2026_11_29" / "staunch_port").write_text("50052\n")
    (tmp_path / "..data").symlink_to("..2026_11_29")
    (tmp_path / "staunch_port").symlink_to("..data/staunch_port")
    monkeypatch.setenv("STAUNCH_SECRETS", str(tmp_path))
    assert load_settings().port == 50052
    assert setting_notes() == []


@pytest.mark.parametrize("name", ["store", "views", "state_folder"])
def test_an_empty_path_is_not_taken_for_the_folder_of_now(name: str, tmp_path: Path) -> None:
    says = rf"STAUNCH_{name.upper()} \(setting {name}\): expected a folder; leave it out for the default"
    with pytest.raises(SettingsError, match=says):
        load_settings({name: ""})
    (tmp_path / "staunch.toml").write_text(f'{name} = ""\n')
    with pytest.raises(SettingsError, match=says):
        load_settings()


def test_a_file_of_settings_must_be_text(monkeypatch: Any, tmp_path: Path) -> None:
    (tmp_path / "staunch.toml").write_bytes(b"port = 1 # \xff\n")
    with pytest.raises(
        SettingsError, match=r"^staunch.toml is here: expected a TOML file, found what is no t"
    ):
        load_settings()
    (tmp_path / "staunch.toml").unlink()
    (tmp_path / "staunch.toml").symlink_to("nowhere")
    with pytest.raises(SettingsError, match=r"^staunch.toml is here: .* found a link to none\.$"):
        load_settings()
    (tmp_path / "staunch.toml").unlink()
    monkeypatch.setenv("STAUNCH_CONFIG", "")
    assert load_settings().port == 50051


def test_a_key_that_is_written_as_a_variable_is_answered_with_the_key(tmp_path: Path) -> None:
    (tmp_path / "staunch.toml").write_text("STAUNCH_WORKERS = 2\n")
    with pytest.raises(SettingsError, match=r"the key STAUNCH_WORKERS, .* did you mean workers\?$"):
        load_settings()


def test_a_name_that_is_nearly_a_settings_is_refused_wherever_it_stands(
    monkeypatch: Any, tmp_path: Path
) -> None:
    (tmp_path / "staunch.toml").write_text("prot = 1\nzzz = 2\n")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).splitlines() == [
        "staunch.toml holds the key prot, which is no setting: did you mean port?",
        "staunch.toml holds the key zzz, which is no setting: docs/settings.md lists those there are.",
    ]
    (tmp_path / "staunch.toml").unlink()
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "staunch_databse_url").write_text("postgresql://me:hush@db/crm")
    monkeypatch.setenv("STAUNCH_SECRETS", str(secrets))
    monkeypatch.setenv("STAUNCH_WORKRES", "2")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "did you mean STAUNCH_WORKERS?" in str(caught.value)
    assert "did you mean staunch_database_url?" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_what_kubernetes_makes_of_a_service_is_no_value(monkeypatch: Any) -> None:
    monkeypatch.setenv("STAUNCH_PORT", "tcp://10.0.0.1:50051")
    monkeypatch.setenv("STAUNCH_METRICS_PORT", "tcp://10.0.0.2:9464")
    monkeypatch.setenv("STAUNCH_FOO", "1")
    settings = load_settings()
    assert (settings.port, settings.metrics_port) == (50051, 9464)
    services, others = setting_notes()
    assert "STAUNCH_METRICS_PORT, STAUNCH_PORT" in services
    assert "STAUNCH_FOO" in others
    monkeypatch.setenv("STAUNCH_PORT", "50052")
    assert load_settings().port == 50052


def test_a_supervised_process_is_told_all_in_its_environment(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("STAUNCH_SUPERVISED", "1")
    monkeypatch.setenv("STAUNCH_CONFIG", str(tmp_path / "gone.toml"))
    monkeypatch.setenv("STAUNCH_SECRETS", str(tmp_path / "gone"))
    monkeypatch.setenv("STAUNCH_VIEWS", str(tmp_path / "gone"))
    monkeypatch.setenv("STAUNCH_PROT", "1")
    monkeypatch.setenv("STAUNCH_PORT", "7")
    assert load_settings().port == 7
    assert setting_notes() == []
