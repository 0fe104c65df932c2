"""What workers counted stays counted through all their lives, in the same few files, damaged ones or not."""

import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from staunch_server.process.worker_metrics import WorkerMetrics
from staunch_server.settings import SettingsError

NURSERY = """
import os, signal, sys
from prometheus_client import CollectorRegistry
from staunch_server.errors import Code
from staunch_server.events import CallEnded
from staunch_server.metrics import Metrics
from staunch_server.process.worker_metrics import write_as

def live(number, end):
    write_as(number)
    metrics = Metrics(CollectorRegistry())
    for seconds in (0.001, 0.2, 7.0):
        metrics.call_ended(CallEnded("/Predict", "r1", "churn@1", Code.OK, seconds))
    metrics.set_build("1", "aio")
    metrics.connections_max.labels("batch").set(2)
    if end == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit()

while words := sys.stdin.readline().split():
    folder, end, *numbers = words
    born = []
    for number in map(int, numbers):
        born.append(os.fork())
        if born[-1] == 0:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
            live(number, end)
    print(*(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in born), flush=True)
"""
"""Lives of workers: each counts three calls, sets two gauges, and ends or is killed.

They are forked from a process that has imported all that they need, which takes half a second.
"""

FILES = ["counter_0.db", "counter_1.db", "histogram_0.db", "histogram_1.db"]
"""What two dead workers leave."""

Live = Callable[..., None]


@pytest.fixture
def reported() -> list[str]:
    """The lines that were reported."""
    return []


@pytest.fixture
def metrics(tmp_path: Path, reported: list[str]) -> WorkerMetrics:
    """The metrics of a folder that is empty."""
    metrics = WorkerMetrics(tmp_path / "metrics", reported.append)
    metrics.clear()
    return metrics


@pytest.fixture(scope="module")
def nursery() -> Iterator[Live]:
    """`nursery(folder, 0, 1, killed=False)` lets workers of these numbers live at once, and waits for all."""
    started = subprocess.Popen(
        [sys.executable, "-c", NURSERY],
        env={"PROMETHEUS_MULTIPROC_DIR": "of each its own"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def live(folder: Path, *numbers: int, killed: bool = False) -> None:
        assert started.stdin is not None
        assert started.stdout is not None
        started.stdin.write(f"{folder} {'killed' if killed else 'ended'} {' '.join(map(str, numbers))}\n")
        started.stdin.flush()
        codes = {int(code) for code in started.stdout.readline().split()}
        assert codes == {-signal.SIGKILL if killed else 0}

    yield live
    started.communicate()
    assert started.returncode == 0


@pytest.fixture
def live(metrics: WorkerMetrics, nursery: Live) -> Live:
    """`live(0, 1, killed=False)` lets workers live in the folder of `metrics`."""
    return partial(nursery, metrics.folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root leaves files in another's folder")
def test_root_leaves_a_folder_that_its_owner_can_empty(tmp_path: Path, reported: list[str]) -> None:
    nobody = 65534
    tmp_path.chmod(0o755)
    os.chown(tmp_path, nobody, nobody)
    metrics = WorkerMetrics(tmp_path / "metrics", reported.append)
    for _ in range(2):
        metrics.clear()
        (metrics.folder / "counter_0.db").touch()
        assert (metrics.folder.stat().st_uid, metrics.folder.stat().st_gid) == (nobody, nobody)
    theirs = [
        "setpriv",
        "--reuid",
        str(nobody),
        "--regid",
        str(nobody),
        "--clear-groups",
        "rm",
        "-r",
        "metrics",
    ]
    subprocess.run(theirs, cwd=tmp_path, check=True)
    assert not metrics.folder.exists()


def test_what_cannot_be_emptied_is_named_with_what_to_do(tmp_path: Path, reported: list[str]) -> None:
    (tmp_path / "metrics").touch()
    with pytest.raises(SettingsError, match=r"/metrics to be a folder .*: remove it, or choose another"):
        WorkerMetrics(tmp_path / "metrics", reported.append).clear()


@pytest.fixture(scope="module")
def _two_killed(tmp_path_factory: pytest.TempPathFactory, nursery: Live) -> Path:
    folder = tmp_path_factory.mktemp("metrics")
    nursery(folder, 0, 1, killed=True)
    return folder


@pytest.fixture
def two_killed(metrics: WorkerMetrics, _two_killed: Path) -> None:
    """The workers 0 and 1 have been killed, and their supervisor has not noticed yet."""
    shutil.copytree(_two_killed, metrics.folder, dirs_exist_ok=True)


def samples(metrics: WorkerMetrics, *, gauges: bool = False) -> dict[tuple[str, str], float]:
    """The counters and histograms, or the gauges: name and bucket to value."""
    registry = CollectorRegistry()
    registry.register(metrics)
    return {
        (sample.name, sample.labels.get("le", "")): sample.value
        for family in registry.collect()
        for sample in family.samples
        if (family.type == "gauge") == gauges
    }


def file_names(metrics: WorkerMetrics) -> list[str]:
    return sorted(file.name for file in metrics.folder.iterdir())


def test_no_life_of_a_worker_loses_a_count_or_leaves_a_file(metrics: WorkerMetrics, live: Live) -> None:
    for life in range(1, 7):
        live(0, 1, killed=life % 3 != 0)
        for number in (0, 1):
            metrics.worker_died(number)
        counted = samples(metrics)
        assert counted["staunch_calls_total", ""] == 6 * life
        assert counted["staunch_call_seconds_sum", ""] == pytest.approx(2 * life * 7.201)
        assert counted["staunch_call_seconds_bucket", "0.25"] == 4 * life
        assert counted["staunch_call_seconds_count", ""] == 6 * life
        assert file_names(metrics) == FILES


@pytest.mark.usefixtures("two_killed")
def test_the_gauges_of_a_dead_worker_end_with_it(metrics: WorkerMetrics) -> None:
    assert samples(metrics, gauges=True)["staunch_pool_connections_max", ""] == 4
    metrics.worker_died(0)
    assert samples(metrics, gauges=True)["staunch_pool_connections_max", ""] == 2
    metrics.worker_died(1)
    assert samples(metrics, gauges=True) == {}


@pytest.mark.usefixtures("two_killed")
def test_no_scrape_sees_a_count_go_back_or_twice(metrics: WorkerMetrics, live: Live) -> None:
    seen: list[float] = []
    ended = threading.Event()

    def scrape() -> None:
        while not ended.is_set():
            seen.append(samples(metrics)["staunch_calls_total", ""])

    scraping = threading.Thread(target=scrape)
    scraping.start()
    for number in (0, 1):
        metrics.worker_died(number)
        live(number, killed=True)
    ended.set()
    scraping.join()
    assert seen == sorted(seen)
    assert set(seen) <= {6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0}
    assert samples(metrics)["staunch_calls_total", ""] == 12


def _file(used: int, length: int = 0, key: bytes = b"", value: bytes = b"") -> bytes:
    """A file of prometheus-client: bytes in use, then the length of a key, the key, value and timestamp."""
    return struct.pack("=i4xi", used, length) + key + value


KEY = b'["c", "c", {}, ""]  '
"""A key of 18 bytes, and the spaces that fill it up to the next double."""


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\xff", id="too short for a header"),
        pytest.param(b"\xff\xff\xff\x7f", id="more in use than there is"),
        pytest.param(b"\x40\0\0\0\0\0\0\0\x08\0\0\0\xff\xff", id="no text"),
        pytest.param(_file(-8) + bytes(56), id="less than nothing in use"),
        pytest.param(_file(7) + bytes(57), id="less in use than the header"),
        pytest.param(
            _file(64, length=18, key=KEY, value=bytes(16)) + struct.pack("=i12x", -28),
            id="a length that leads back to where it stands",
        ),
        pytest.param(_file(48, length=100, key=KEY, value=bytes(16)), id="a key longer than the file"),
        pytest.param(_file(32, length=18, key=KEY, value=bytes(8)), id="a value that is cut off"),
        pytest.param(_file(48, length=18, key=b"7" * 20, value=bytes(16)), id="a key that is a number"),
        pytest.param(_file(48, length=18, key=b"[" * 20, value=bytes(16)), id="a key that is no JSON"),
        pytest.param(_file(64) + bytes(52), id="nothing written"),
    ],
)
@pytest.mark.usefixtures("two_killed")
def test_a_damaged_file_is_set_aside_once_and_ends_neither_scrape_nor_worker(
    metrics: WorkerMetrics, live: Live, reported: list[str], content: bytes
) -> None:
    (metrics.folder / "counter_0.db").write_bytes(content)
    assert samples(metrics)["staunch_calls_total", ""] == 3
    metrics.worker_died(0)
    assert samples(metrics)["staunch_calls_total", ""] == 3
    assert (metrics.folder / "counter_0.db.damaged").read_bytes() == content
    (line,) = reported
    assert line.startswith(f"{metrics.folder / 'counter_0.db'} is damaged")
    live(0)
    assert samples(metrics)["staunch_calls_total", ""] == 6
    assert samples(metrics)["staunch_call_seconds_count", ""] == 9


@pytest.mark.parametrize("kind", ["counter", "histogram", "gauge_livemax"])
@pytest.mark.usefixtures("two_killed")
def test_a_worker_never_meets_a_damaged_file_of_its_predecessor(
    metrics: WorkerMetrics, live: Live, reported: list[str], kind: str
) -> None:
    (metrics.folder / f"{kind}_0.db").write_bytes(b"\xff\xff\xff\x7f")
    metrics.worker_died(0)
    live(0)
    assert len(reported) == (0 if kind == "gauge_livemax" else 1)  # the gauges of the dead go anyway


@pytest.mark.parametrize(
    "content", [b"", bytes(8), bytes(1 << 16), _file(48, length=18, key=KEY, value=bytes(16))]
)
@pytest.mark.usefixtures("two_killed")
def test_a_file_with_nothing_or_little_in_it_is_not_damaged(
    metrics: WorkerMetrics, live: Live, reported: list[str], content: bytes
) -> None:
    """A worker may be killed, or its file be read, before it has written the first value."""
    (metrics.folder / "counter_0.db").write_bytes(content)
    assert samples(metrics)["staunch_calls_total", ""] == 3
    metrics.worker_died(0)
    live(0)
    assert samples(metrics)["staunch_calls_total", ""] == 6
    assert reported == []


@pytest.mark.usefixtures("two_killed")
def test_what_an_earlier_server_left_is_cleared_away(metrics: WorkerMetrics) -> None:
    metrics.clear()
    assert file_names(metrics) == []
    assert samples(metrics) == {}
