"""The door to onnxruntime: it reports to nobody, and raises what it names."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.harness.homes import make_home

from staunch_model_store.runtime import RUNTIME_ERRORS, open_session

_OPEN = "import staunch_model_store.model, time; time.sleep(0.5)"  # what reports does so from a thread


@pytest.mark.parametrize("said", [None, "0", ""])
def test_a_process_that_runs_graphs_reports_nothing_whatever_its_environment_says(
    tmp_path: Path, said
) -> None:
    home = make_home(tmp_path)
    environment = home.environment if said is None else {**home.environment, "ORT_DISABLE_TELEMETRY": said}
    subprocess.run([sys.executable, "-c", _OPEN], env=environment, check=True)
    assert [line.split()[0] for line in home.imports] == ["1"]
    assert home.left == []


def test_what_is_no_graph_raises_what_is_named_and_prints_nothing(capfd) -> None:
    with pytest.raises(RUNTIME_ERRORS):
        open_session(b"no graph")
    assert capfd.readouterr() == ("", "")
