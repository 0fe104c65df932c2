"""Every command leaves the home of its user as it was, and reports to nobody."""

from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import pytest
from tests.cli.command_process import Command, first_scored_id
from tests.cli.conftest import Start
from tests.harness.databases import DatabaseFactory
from tests.harness.homes import Home

from staunch import Client
from staunch_cli.main import COMMANDS, command_parser

pytestmark = [pytest.mark.walk, pytest.mark.timeout(280)]

MAKING: Mapping[str, str] = {
    "migrate": "",
    "simulate": "--customers 400",
    "train": "--learner xgboost",
    "models verify": "",
    "psql": "-- -c SELECT",
    "view new": "staunch.customers --key customer_id --label language=fr --name drafted --views {folder}",
    "view check": "churn",
    "view show": "churn",
    "view plot": "churn --out {folder}/churn.png",
}
"""The commands that need no server, one after the other, and what follows their names."""

SERVING = ("serve", "run")
"""The commands that stay."""

ASKING: Mapping[str, str] = {
    "predict": "{somebody}",
    "explain": "{somebody}",
    "models list": "",
    "models show": "churn@1",
    "models alias": "churn champion 1",
    "models delete-alias": "churn nobody",
    "models reload": "",
    "score": "--out {folder}/scores.csv",
    "top": "--once --every 0.1 --metrics-port {metrics_port}",
}
"""The commands that ask a server that runs."""

RUN_GRAPHS = {"train", "verify", "staunch_server.process.worker"}
"""The programs that pass the door to onnxruntime."""


def leaves(parser: ArgumentParser, name: str) -> Iterator[str]:
    """Yields the commands below a parser that do something, by their names."""
    below = [action for action in parser._actions if isinstance(action, _SubParsersAction)]
    if not below:
        yield name
    for action in below:
        for word, inner in action.choices.items():
            yield from leaves(inner, f"{name} {word}")


def all_commands() -> set[str]:
    """The whole tree: each branch is complete once it is asked for."""
    found: set[str] = set()
    for name in COMMANDS:
        (action,) = (one for one in command_parser(name)._actions if isinstance(one, _SubParsersAction))
        found |= set(leaves(action.choices[name], name))
    return found


def ran(command: Command) -> Command:
    """Waits until a command has done its work."""
    assert command.process.wait(90) == 0, command.output
    return command


def test_each_command_is_run_here() -> None:
    assert {*MAKING, *SERVING, *ASKING} == all_commands()


def test_no_command_leaves_anything_in_a_home_nor_lets_onnxruntime_report(
    start: Start, home: Home, database_factory: DatabaseFactory
) -> None:
    database, folder = database_factory(), home.folder.parent
    urls = {"STAUNCH_DATABASE_URL": database.owner_url, "STAUNCH_DATABASE_READER_URL": database.reader_url}

    def run(name: str, words: str, **environment: str) -> None:
        ran(start(*name.split(), *words.split(), **urls, **environment))
        assert home.left == [], name

    for name, words in MAKING.items():
        run(name, words.format(folder=folder))
    for name in SERVING:
        serving = start(name, **urls)
        server = f"127.0.0.1:{serving.port()}"
        metrics_port = urlsplit(serving.metrics_url()).port
        with Client(server) as client:
            somebody = first_scored_id(client)
        # Once is enough; `run` is the one that stands at its end.
        for asking, words in ASKING.items() if name == "run" else ():
            there = words.format(folder=folder, somebody=somebody, metrics_port=metrics_port)
            run(asking, there, STAUNCH_SERVER=server)
        assert serving.press_ctrl_c() == 0
        assert home.left == [], name
    programs = [line.partition(" ")[2] for line in home.imports]
    assert {word for word in RUN_GRAPHS if any(word in program.split() for program in programs)} == RUN_GRAPHS
    assert all(line.startswith("1 ") for line in home.imports)
    assert (folder.parent / "state" / "caches" / "matplotlib").is_dir()
