"""Flags that set the fields of `Settings`."""

from argparse import ArgumentParser
from pathlib import Path

import pytest

from staunch_cli.shared.arguments import Handler
from staunch_cli.shared.settings_arguments import SettingsArguments, add_setting, add_settings, add_store
from staunch_server.settings import Settings, SettingsError


def settings(parser: ArgumentParser, *words: str) -> Settings:
    return Handler(SettingsArguments, lambda _: 0).arguments(parser.parse_args(words)).load_settings()


def parser_of(*names: str) -> ArgumentParser:
    parser = ArgumentParser()
    add_settings(parser, *names)
    return parser


def test_every_field_has_a_flag_whose_help_is_its_own():
    shown = parser_of().format_help()
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in shown
        assert "".join((field.description or "").split()) in "".join(shown.split())


def test_only_the_named_fields_have_flags():
    shown = parser_of("port").format_help()
    assert "--port N" in shown
    assert "--host" not in shown


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--port", "7"], "port", 7),
        (["--port", "7", "--port", "8"], "port", 8),
        (["--insecure-bind"], "insecure_bind", True),
        (["--state-folder", "there"], "state_folder", Path("there")),
    ],
)
def test_a_flag_goes_before_the_environment_and_the_last_of_a_field_counts(monkeypatch, words, name, value):
    monkeypatch.setenv("STAUNCH_PORT", "1")
    assert getattr(settings(parser_of(), *words), name) == value


def test_a_flag_that_is_not_given_leaves_its_field_to_the_environment(monkeypatch):
    monkeypatch.setenv("STAUNCH_PORT", "7")
    assert settings(parser_of("port")).port == 7


def test_a_value_that_cannot_be_is_refused_by_its_setting():
    with pytest.raises(SettingsError, match=r"STAUNCH_PORT \(setting port\): .*, got '65536'"):
        settings(parser_of("port"), "--port", "65536")


def test_a_field_may_have_a_flag_of_another_name():
    parser = ArgumentParser()
    add_setting(parser.add_argument_group("sizes"), "simulation_customers", "--customers", "how many")
    assert settings(parser, "--customers", "5").simulation_customers == 5


def test_a_setting_that_is_added_without_the_settings_is_what_they_say():
    written, read = ArgumentParser(), ArgumentParser()
    add_store(written)
    add_settings(read, "store")
    assert written.format_help() == read.format_help()
    assert written.parse_args(["--store", "x"]) == read.parse_args(["--store", "x"])
