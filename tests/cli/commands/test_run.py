"""`staunch run` goes the whole way, survives being killed anywhere, and leaves nothing behind."""

import re
import shlex
import time
import urllib.request
from pathlib import Path

import pytest
from tests.cli.command_process import Command, first_scored_id

from staunch import Client

pytestmark = [pytest.mark.walk, pytest.mark.timeout(280)]


def test_a_first_run_serves_explains_and_ends_without_a_trace(start):
    run = start("run")
    with Client(f"127.0.0.1:{run.port()}") as client:
        assert client.explain(first_scored_id(client)).additivity_error <= 1e-9
    _run_readme(run)
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
    assert run.output.splitlines()[-1].startswith("stopped   interrupted")
    assert run.output.rstrip().endswith("nothing is left running, and the next start finishes the work")
    assert run.none_left(), run.processes()


def test_an_unreachable_database_of_ones_own_gives_one_clear_line(start, state_folder: Path):
    run = start("run", STAUNCH_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert run.process.wait(60) == 1
    assert "127.0.0.1:1" in run.output
    assert "Traceback" not in run.output
    assert len([line for line in run.output.splitlines() if line.startswith("staunch:")]) == 1


def _run_readme(run: Command) -> None:
    """Runs the README's commands and its Python as they stand, but for port and ids: `run` names those."""
    page = Path("README.md").read_text()
    answering, left = re.findall(r"staunch predict --server \S+ (\d+)$", run.output, re.MULTILINE)
    (block,) = re.findall(r"<!-- first-call -->\n```console\n(.*?)```", page, re.DOTALL)
    calls = re.findall(r"^\$ \.venv/bin/staunch (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    theirs = dict(zip(dict.fromkeys(re.findall(r"predict (\d+)", block)), (answering, left), strict=True))
    for words, shown in calls:
        ours = re.sub(r"(?<=t |n )\d+", lambda number: theirs[number[0]], words)
        code, printed = run.beside(*shlex.split(ours.replace("scores.csv", f"{run.folder}/scores.csv")))
        assert (code == 0) != shown.startswith("staunch: "), printed
        # A name, or a reason, at the beginning of a line is what a reader looks for.
        expected = re.findall(r"^(?:staunch: )?[a-zA-Z_]{4,}", shown, re.MULTILINE)
        assert [word for word in expected if word not in printed] == []
    python = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert python
    program = re.sub(r"(?<=predict\(|explain\()\d+", answering, python[1])
    exec(program.replace("50051", str(run.port())), {})
