"""The report for the makers of pygrpc-native says what their library does now."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPORT = Path(__file__).parents[3] / "docs" / "pygrpc-native.md"


@pytest.mark.walk
def test_its_program_prints_what_the_report_shows(tmp_path: Path) -> None:
    blocks = dict(re.findall(r"```(\w*)\n(.*?)```", REPORT.read_text(), re.DOTALL))
    ran = subprocess.run(
        [sys.executable, "-c", blocks["python"]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    printed, shown = (re.sub(r"took \d+ MiB", "took MiB", text) for text in (ran.stdout, blocks[""]))
    assert printed == shown
    (taken_mib,) = re.findall(r"took (\d+) MiB", ran.stdout)
    assert int(taken_mib) > 55
