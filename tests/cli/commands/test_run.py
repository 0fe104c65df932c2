"""`staunch run` goes the whole way, survives being killed anywhere, and leaves nothing behind."""

import re
import time
import urllib.request
from pathlib import Path

import pytest
from tests.cli.command_process import first_scored_id

from staunch import Client

pytestmark = [pytest.mark.walk, pytest.mark.timeout(280)]


def test_a_first_run_serves_explains_and_ends_without_a_trace(start):
    run = start("run")
    with Client(f"127.0.0.1:{run.port()}") as client:
        assert client.explain(first_scored_id(client)).additivity_error <= 1e-9
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
        run.kill_eldest(name)
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


def test_an_unreachable_database_of_ones_own_gives_one_clear_line(start, state_folder: Path):
    run = start("run", STAUNCH_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert run.process.wait(60) == 1
    assert "127.0.0.1:1" in run.output
    assert "Traceback" not in run.output
    assert len([line for line in run.output.splitlines() if line.startswith("staunch:")]) == 1


def _run_readme(port: int) -> None:
    """Runs the README's Python as it stands, but for the port and an id that this world surely has."""
    block = re.search(r"```python\n(.*?)```", Path("README.md").read_text(), re.DOTALL)
    assert block
    with Client(f"127.0.0.1:{port}") as client:
        somebody = first_scored_id(client)
    exec(block[1].replace("42", str(somebody)).replace("50051", str(port)), {})
