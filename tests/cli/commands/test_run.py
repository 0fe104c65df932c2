"""`staunch run` goes the whole way, survives being killed anywhere, and leaves nothing behind."""

import os
import re
import signal
import socket
import time
import urllib.request
from pathlib import Path

import pytest

from staunch import Client, Score, StaunchError

pytestmark = pytest.mark.timeout(280)


def test_a_first_run_serves_explains_and_ends_without_a_trace(start):
    run = start("run")
    with Client(f"127.0.0.1:{run.port()}") as client:
        assert client.explain(_somebody(client)).additivity_error <= 1e-9
    _run_readme(run.port())
    metrics = urllib.request.urlopen(run.metrics_url(), timeout=5).read().decode()
    assert "staunch_workers_ready 1.0" in metrics
    assert "staunch_calls_total{" in metrics
    assert run.press_ctrl_c() == 0
    assert run.none_left()


def test_killed_anywhere_the_next_run_finishes_the_work_and_leaves_no_orphan(start):
    for line in ("database", r"world +staunch simulate", r"model +staunch train"):
        run = start("run")
        run.wait_for(line)
        time.sleep(0.4)
        run.kill()
        assert run.none_left(), run.processes()
    for name in ("simulate", "train", "bin/postgres"):
        run = start("run")
        run.wait_for({"simulate": "world", "train": "model", "bin/postgres": "world"}[name])
        _kill_one(run, name)
        assert run.process.wait(60) != 0
        assert "staunch: " in run.output
        assert run.none_left(), run.processes()
    run = start("run")
    run.port()
    assert run.press_ctrl_c() == 0


@pytest.mark.parametrize("wait_s", [0.0, 0.05, 0.2])
def test_ctrl_c_while_a_step_begins_ends_all_without_a_traceback(start, wait_s):
    run = start("run")
    run.wait_for(r"world +staunch simulate")
    time.sleep(wait_s)
    assert run.press_ctrl_c() == 130
    assert "Traceback" not in run.output
    assert run.none_left(), run.processes()


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


def test_an_unreachable_database_of_ones_own_gives_one_clear_line(start, state_folder: Path):
    run = start("run", STAUNCH_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert run.process.wait(60) == 1
    assert "127.0.0.1:1" in run.output
    assert "Traceback" not in run.output
    assert len([line for line in run.output.splitlines() if line.startswith("staunch:")]) == 1


def test_what_dies_while_serving_is_started_again(start):
    run = start("run")
    with Client(f"127.0.0.1:{run.port()}") as client:
        somebody = _somebody(client)
        for name in ("staunch_server.process.worker", "bin/postgres"):
            _kill_one(run, name)
            _until(lambda: client.predict(somebody, timeout_s=5).probability > 0)
    assert run.press_ctrl_c() == 0
    assert run.none_left()


def _run_readme(port: int) -> None:
    """Runs the README's Python as it stands, but for the port and an id that this world surely has."""
    block = re.search(r"```python\n(.*?)```", Path("README.md").read_text(), re.DOTALL)
    assert block
    with Client(f"127.0.0.1:{port}") as client:
        somebody = _somebody(client)
    exec(block[1].replace("50051", str(port)).replace("42", str(somebody)), {})


def _kill_one(run, name: str) -> None:
    """Kills the eldest process of that name, waiting until there is one."""
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at:
        matching = [pid for pid, words in run.processes().items() if name in words]
        if matching:
            os.kill(min(matching), signal.SIGKILL)
            return
        time.sleep(0.02)
    raise AssertionError(f"no process {name}: {run.processes()}")


def _somebody(client: Client) -> int:
    """The first id that can be scored."""
    return next(row.customer for row in client.batch_predict(range(1, 200)) if isinstance(row, Score))


def _until(holds) -> None:
    give_up_at = time.monotonic() + 60
    while True:
        try:
            assert holds()
            return
        except StaunchError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.2)
