"""What `staunch run` and `staunch serve` share: ports taken first, and what dies started again."""

import re
import socket

import pytest
from tests.cli.command_process import first_scored_id, wait_until

from staunch import Client
from staunch_cli.shared.serving import holds_models
from staunch_server.settings import Settings


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
