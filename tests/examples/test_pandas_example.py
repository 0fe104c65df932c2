"""The pandas example: its cells, run as a program against a real server, list and draw."""

import asyncio
import importlib.util
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from tests.server.conftest import people as people
from tests.server.conftest import publish as publish
from tests.server.conftest import serve as serve
from tests.server.conftest import store as store
from tests.server.harness.running import Publish, Serve

EXAMPLE = Path(__file__).parent.parent.parent / "examples/pandas"

pytestmark = [
    pytest.mark.walk,
    pytest.mark.timeout(280),
    pytest.mark.skipif(
        importlib.util.find_spec("seaborn") is None,
        reason="needs the extra `notebook`: make walk installs it",
    ),
]


async def test_the_cells_score_a_frame_list_the_first_and_draw_both_pictures(
    publish: Publish, serve: Serve, tmp_path: Path
) -> None:
    publish()
    server = await serve()
    ours = {"STAUNCH_SERVER": server.target, "OUT": str(tmp_path), "MPLBACKEND": "agg"}
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", EXAMPLE / "scores.py"),
        env={**os.environ, **ours, "MPLCONFIGDIR": str(tmp_path / "fonts")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = (stream.decode() for stream in await program.communicate())
    assert program.returncode == 0, err
    # Of 200 people each eleventh is not eligible; the frame names 600.
    assert out.startswith("182 of 600 customers have a score, by churn@1\n")
    assert re.search(r"^CUSTOMER_NOT_FOUND +400\nCUSTOMER_NOT_ELIGIBLE +18$", out, re.MULTILINE)
    (header, *rows) = out.splitlines()[-11:]
    assert header.split() == ["customer_id", "probability", "risk_band", "reason_1", "reason_2"]
    likely = [float(row.split()[1]) for row in rows]
    assert likely == sorted(likely, reverse=True)
    for name in ("scores.png", "reasons.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        red, green, blue = np.moveaxis(imread(tmp_path / name)[..., :3], -1, 0)
        assert ((red > 0.5) & (green < 0.4) & (blue < 0.4)).any()  # the high risk, if only in the legend
        assert not ((green > red + 0.2) & (green > blue + 0.1)).any()


def test_the_page_names_what_the_program_reads_and_writes() -> None:
    page, program = (EXAMPLE / "README.md").read_text(), (EXAMPLE / "scores.py").read_text()
    for name in ("STAUNCH_SERVER", "OUT", "scores.png", "reasons.png", "batch_predict_frame"):
        assert name in page
        assert name in program
    assert program.count("\n# %%\n") == program.count("\n# %% [markdown]\n")
