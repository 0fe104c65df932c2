"""Every command that has a result prints it for programs too, as docs/command.md says."""

import json
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator

import pytest
from tests.cli.documented import KEYS, PAGE, documented

from staunch_cli.main import COMMANDS, command_parser

WITHOUT_RESULT = {"run", "serve", "psql"}


def leaves(parser: ArgumentParser, path: str = "") -> Iterator[tuple[str, ArgumentParser]]:
    """Yields every command and action that can be run, by its words."""
    branches = [action for action in parser._actions if isinstance(action, _SubParsersAction)]
    if path and not any(branch.required for branch in branches):
        yield path, parser
    for branch in branches:
        for name, below in branch._name_parser_map.items():
            yield from leaves(below, f"{path} {name}".strip())


ALL = {
    path: parser
    for name in COMMANDS
    for path, parser in leaves(command_parser(name))
    if path.split()[0] == name
}


def test_every_command_with_a_result_has_json_and_is_on_the_page():
    with_json = {
        path
        for path, parser in ALL.items()
        if any("--json" in each.option_strings for each in parser._actions)
    }
    assert with_json == set(ALL) - WITHOUT_RESULT == set(KEYS)


@pytest.mark.parametrize("path", ALL)
def test_every_help_says_what_the_command_does_what_each_flag_is_and_its_default(path):
    parser = ALL[path]
    assert parser.description
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            continue
        assert action.help, action
        if action.option_strings and action.nargs != 0 and not action.required:
            assert "default" in action.help or "unset, " in action.help, action


@pytest.mark.parametrize(
    "words", [["predict", 42, 43], ["models", "list", "churn", "x"], ["view", "check", "a", "b"]]
)
def test_a_word_too_many_is_answered_by_the_commands_own_usage(staunch, words):
    result = staunch(*words)
    usage = " ".join(word for word in map(str, words[:2]) if word.isalpha())
    assert result.code == 2
    assert result.err.startswith(f"usage: staunch {usage} ")
    assert result.err.splitlines()[-1].endswith(f"unrecognized arguments: {words[-1]}")


def test_a_score_and_its_reasons_have_the_keys_of_the_page(staunch, tmp_path):
    score = json.loads(staunch("predict", 42, "--set", "age=-3", "--features", "--json").out)
    assert list(score) == KEYS["predict"]
    reasons = json.loads(staunch("explain", 42, "--json").out)
    *always, with_picture = KEYS["explain"][1:]
    assert list(reasons) == KEYS["predict"][:6] + always
    drawn = json.loads(staunch("explain", 42, "--json", "--plot", tmp_path / "why.svg").out)
    assert list(drawn) == [*reasons, with_picture]


@pytest.mark.parametrize("words", [["models"], ["models", "list"], ["models", "reload"]])
def test_models_are_the_attributes_of_the_client(staunch, words):
    out = staunch(*words, "--json").out
    assert staunch("models", "--json", *words[1:]).out == out
    model = documented_models(out)[0]
    assert (model["model"], model["state"], model["aliases"]) == ("churn@3", "ready", ["champion"])
    assert "features" not in model


def documented_models(out: str) -> list[dict]:
    """Returns the versions of a list."""
    assert PAGE.count("`models`: of each `model`, `model_digest`") == 1
    document = json.loads(out)
    assert list(document) == ["models"]
    return document["models"]


def test_one_version_in_full_has_its_features_metrics_and_manifest(staunch):
    out = staunch("models", "show", "churn@3", "--json").out
    assert out == staunch("models", "churn@3", "--json").out
    model = json.loads(out)
    assert {"model", "model_digest", "features", "metrics", "manifest"} <= set(model)
    assert model["metrics"][0] == {"name": "auc", "value": 0.84, "lower": 0.82, "upper": 0.86}


def test_a_deleted_alias_says_where_it_pointed(staunch):
    out = staunch("models", "delete-alias", "churn", "next", "--json").out
    assert documented("models delete-alias", out) == {"alias": "churn@next", "previous_version": 2}


def test_an_alias_says_where_it_points_and_pointed(staunch):
    moved = documented("models alias", staunch("models", "alias", "churn", "champion", 3, "--json").out)
    assert moved["alias"] == "churn@champion"
    assert (moved["model"], moved["previous_version"]) == ("churn@3", 2)


@pytest.mark.parametrize("words", [["churn@3"], ["--json", "churn@3"], ["churn@champion", "--timeout", "3"]])
def test_a_version_alone_is_shown(staunch, service, words):
    result = staunch("models", *words)
    assert result.code == 0
    assert service.seen[0].model == next(word for word in words if "@" in word)


def test_flags_behind_an_action_go_before_those_in_front_of_the_name(staunch):
    assert staunch("models", "--server", "127.0.0.1:1", "--timeout", "1", "list").code == 1
    target = staunch("models", "list").out
    assert staunch("models", "--server", "nowhere", "list", "--server", "127.0.0.1:1").code == 1
    assert target.startswith("model")
