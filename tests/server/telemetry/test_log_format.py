"""The format of the log is known before the settings are, from wherever they come."""

from pathlib import Path

import pytest

from staunch_server.telemetry.log_format import asked_log_format


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, without settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("STAUNCH_LOG_FORMAT", "STAUNCH_CONFIG", "STAUNCH_SECRETS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "text"),
        (["serve", "--log-format", "json", "--port", "none"], "json"),
        (["serve", "--log-format=json"], "json"),
        (["serve", "--log-format=json", "--log-format", "text"], "text"),
        (["serve", "--log-format"], "text"),
        (["serve", "--log-format=xml"], "text"),
    ],
)
def test_a_flag_asks_for_it_whatever_the_others_say(nowhere: Path, words: list[str], expected: str) -> None:
    assert asked_log_format(words) == expected


def test_a_variable_a_secret_and_a_file_ask_for_it_though_other_settings_are_wrong(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = nowhere / "staunch.toml"
    config.write_text('log_format = "json"\nport = "none"\nnonsense = 1\n')
    assert asked_log_format(["serve"]) == "json"
    config.write_text("log_format = json, which is no TOML")
    assert asked_log_format(["serve"]) == "text"
    monkeypatch.setenv("STAUNCH_LOG_FORMAT", "json")
    assert asked_log_format(["serve"]) == "json"
    monkeypatch.delenv("STAUNCH_LOG_FORMAT")
    config.unlink()
    (nowhere / "staunch_log_format").write_text("json")
    monkeypatch.setenv("STAUNCH_SECRETS", str(nowhere))
    assert asked_log_format(["serve"]) == "json"
    monkeypatch.setenv("STAUNCH_LOG_FORMAT", "text")
    monkeypatch.setenv("STAUNCH_PORT", "none")
    assert asked_log_format(["serve"]) == "text"
