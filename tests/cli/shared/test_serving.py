"""What `staunch run` and `staunch serve` share: ports taken first, and what dies started again."""

import re
import socket
import time
from pathlib import Path

import pytest
from tests.cli.command_process import first_scored_id, wait_until
from tests.harness.databases import TestDatabase, execute, own_postgres

from staunch import Client
from staunch_cli.shared.serving import holds_models
from staunch_local.postgres.cluster import SUPERUSER
from staunch_server.process.start import AGAIN_S
from staunch_server.settings import Settings

pytestmark = pytest.mark.walk


def test_a_store_holds_models_once_an_alias_points_at_one(tmp_path):
    settings = Settings(store=tmp_path)
    assert not holds_models(settings)
    (tmp_path / "churn" / "versions" / "1").mkdir(parents=True)
    assert not holds_models(settings)
    (tmp_path / "churn" / "aliases.json").touch()
    assert holds_models(settings)


def test_a_second_start_says_the_port_is_taken_and_touches_nothing(start, tmp_path):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        second = start("run", STAUNCH_PORT=str(port), STAUNCH_STATE_FOLDER=str(tmp_path / "other"))
        assert second.process.wait(30) == 1
        third = start(
            "run",
            STAUNCH_PORT="0",
            STAUNCH_METRICS_PORT=str(port),
            STAUNCH_STATE_FOLDER=str(tmp_path / "other"),
        )
        assert third.process.wait(30) == 1
        # As for whoever starts a second server: both ports are taken, and both are reported.
        taken = {"STAUNCH_PORT": str(port), "STAUNCH_METRICS_PORT": str(port)}
        fourth = start("serve", **taken, STAUNCH_STATE_FOLDER=str(tmp_path / "other"))
        assert fourth.process.wait(30) == 1
    assert re.search(rf"cannot use \S+:{port} \(.*--port; cannot use \S+:{port} for metrics", fourth.output)
    assert f"cannot use 127.0.0.1:{port}" in second.output
    assert f"cannot use 127.0.0.1:{port} for metrics (Address already in use): stop" in third.output
    assert not (tmp_path / "other").exists()


@pytest.mark.timeout(280)
def test_what_dies_while_serving_is_started_again(start):
    run = start("run")
    with Client(f"127.0.0.1:{run.port()}") as client:
        somebody = first_scored_id(client)
        for name in ("staunch_server.process.worker", "bin/postgres"):
            run.kill_eldest(name)
            assert client.predict(somebody, timeout_s=60).probability > 0  # waits for what died
            wait_until(lambda: client.predict(somebody, timeout_s=5).probability > 0)
    assert run.press_ctrl_c() == 0
    assert run.none_left()


def wrong_starts(database: TestDatabase) -> dict[str, dict[str, str]]:
    """What no time heals, by what the one line says of it."""
    url = database.reader_url
    role = url.partition("//")[2].partition(":")[0]
    return {
        "STAUNCH_STORE names /none": {"STAUNCH_STORE": "/none"},
        "STAUNCH_VIEWS names /none": {"STAUNCH_VIEWS": "/none"},
        "STAUNCH_SECRETS names /none": {"STAUNCH_SECRETS": "/none"},
        "STAUNCH_CONFIG names /none": {"STAUNCH_CONFIG": "/none"},
        "did you mean STAUNCH_WORKERS?": {"STAUNCH_WORKRES": "2"},
        "a port from 1 to 65535, got x": {"STAUNCH_DATABASE_READER_URL": "postgresql://db:x/crm"},
        "host is 'no-such.invalid'": {"STAUNCH_HOST": "no-such.invalid", "STAUNCH_INSECURE_BIND": "1"},
        "file descriptors": {"STAUNCH_MAX_CALLS": "100000"},
        "password authentication failed": {
            "STAUNCH_DATABASE_READER_URL": url.replace(f"{role}:", f"{role}:not")
        },
        "does not exist; see the name of the database": {"STAUNCH_DATABASE_READER_URL": f"{url}_none"},
        "max_connection_age_s is set: expected 0": {
            "STAUNCH_DATABASE_READER_URL": url,
            "STAUNCH_TRANSPORT": "native",
            "STAUNCH_MAX_CONNECTION_AGE_S": "60",
        },
    }


@pytest.mark.parametrize("command", ["serve", "run"])
def test_what_no_time_heals_ends_the_start_with_one_line_and_no_port_is_taken(
    start, database: TestDatabase, command: str
):
    ports = [free_port(), free_port()]
    for says, variables in wrong_starts(database).items():
        if command == "run" and "native" in variables.values():
            continue  # it would train a model first
        taken = {"STAUNCH_PORT": str(ports[0]), "STAUNCH_METRICS_PORT": str(ports[1])}
        limit = [*(("prlimit", "--nofile=1000:2000") if "file" in says else ())]
        begun = start(command, before=limit, **taken, **variables)
        opened = False
        while begun.process.poll() is None:
            opened = opened or any(can_connect(port) for port in ports)
        assert begun.process.returncode == 1, begun.output
        lines = [line for line in begun.output.splitlines() if line.startswith("staunch: ")]
        assert len(lines) == 1, begun.output
        assert says in lines[0]
        assert "Traceback" not in begun.output
        if "password" not in says and "does not exist" not in says and "native" not in variables.values():
            assert begun.output.count("\n") == 1
            assert not opened, says


def can_connect(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.timeout(120)
def test_a_database_that_is_away_at_first_ends_nothing_until_it_comes_and_refuses(start, state_folder: Path):
    with own_postgres("late") as postgres:
        good, port = postgres.reader_url, postgres.port
        role = good.partition("//")[2].partition(":")[0]
        postgres.stop()
        wrong = start("serve", STAUNCH_DATABASE_READER_URL=good.replace(f"{role}:", f"{role}:not"))
        other = f"{state_folder}/other"
        well = start("serve", STAUNCH_DATABASE_READER_URL=good, STAUNCH_STATE_FOLDER=other)
        wrong.port()
        well.port()
        postgres.start()
        assert postgres.port == port
        assert wrong.process.wait(60) == 1
        assert "staunch: the database at" in wrong.output
        assert "password authentication failed" in wrong.output
        well.wait_for("staunch.database: cannot connect to .*; it is asked again until it answers")
        well.wait_for("staunch.database: the database answers now")
        assert well.process.poll() is None
        # It had answered: a password that is changed under a running server ends nothing.
        execute(postgres.url_for("postgres", SUPERUSER), f"ALTER ROLE {role} PASSWORD 'rotated'")
        well.kill_eldest("staunch_server.process.worker")
        well.wait_for("worker 0 was killed by SIGKILL")
        time.sleep(3 * AGAIN_S)
        assert well.process.poll() is None
    assert well.press_ctrl_c() == 0
