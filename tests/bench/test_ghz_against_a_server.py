"""The load by ghz against a real server: whom it finds, and what ghz itself makes of the profiles."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bench.ghz import lists
from tests.architecture.rooms import ROOT
from tests.server.harness.running import Running

from staunch import Client, Score


def run(*words: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end."""
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=400, check=False)


@pytest.fixture
def ghz() -> str:
    """The pinned ghz, built where Go and its modules are."""
    if shutil.which("go") is None:
        pytest.skip("no go here")
    version = re.search(r"^version=(\S+)$", (ROOT / "scripts/ghz").read_text(), re.MULTILINE)
    assert version
    if (asked := run("go", "list", "-m", f"github.com/bojand/ghz@{version[1]}", folder=Path("/"))).returncode:
        pytest.skip(f"the modules are not to be had: {asked.stderr[-200:]}")
    built = run("sh", "scripts/ghz")
    assert built.returncode == 0, built.stderr
    return built.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree whose lists are its own."""
    for name in ("bench", "protos"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


async def test_the_eligible_are_those_who_have_a_score(running: Running) -> None:
    asked = lists.candidates(None, 200)
    found = await asyncio.to_thread(lists.eligible, running.target, asked)

    def scored() -> list[str]:
        with Client(running.target) as client:
            return [
                str(row.customer) for row in client.batch_predict(range(1, 201)) if isinstance(row, Score)
            ]

    assert found == await asyncio.to_thread(scored)
    assert 0 < len(found) < len(asked)


async def test_who_asks_by_keys_where_the_view_has_ids_reads_what_the_server_says(running: Running) -> None:
    with pytest.raises(ConnectionError, match=r"refused a chunk: .*customer_ids"):
        await asyncio.to_thread(lists.eligible, running.target, ["ACME-1"])


@pytest.mark.walk
@pytest.mark.timeout(580)
async def test_ghz_runs_every_profile(running: Running, ghz: str, tree: Path) -> None:
    # A short one each: --duration wins over the profile's, and so do the steps.
    flags = ["--duration", "2s", "--load-start", "20", "--load-step", "20", "--load-end", "40"]
    flags += ["--load-step-duration", "1s", "--timeout", "20s"]
    words = [
        "-m",
        "bench.ghz",
        "--ghz",
        ghz,
        "--server",
        running.target,
        "--out",
        "page.md",
        "--customers",
        "500",
    ]
    ended = await asyncio.to_thread(run, sys.executable, *words, "--", *flags, folder=tree)
    assert ended.returncode == 0, ended.stderr
    text = (tree / "page.md").read_text()
    assert "![latencies by percentile, and by offered rate](page.png)" in text
    assert (tree / "page.png").read_bytes().startswith(b"\x89PNG")
    for file in sorted((ROOT / "bench/ghz").glob("*.json")):
        (row,) = re.findall(rf"^\| `{file.stem}` \| (.*) \|$", text, re.MULTILINE)
        good, p50 = row.split(" | ")[4:6]
        assert float(good.replace(",", "")) > 0, row
        assert float(p50.replace(",", "")) > 0, row
        report = json.loads((tree / f".staunch/ghz/reports/{file.stem}.json").read_text())
        assert report["statusCodeDistribution"]["OK"] == len(
            [d for d in report["details"] if d["status"] == "OK"]
        )
    assert re.search(r"^\| 20 \| [12]\d ", text, re.MULTILINE), "no step in the table"
