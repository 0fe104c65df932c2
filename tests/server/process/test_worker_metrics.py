"""What dead workers counted stays counted, in one pair of files, and no scrape sees it twice or not."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from staunch_server.process.worker_metrics import WorkerMetrics

COUNTS = """
import os
from prometheus_client import CollectorRegistry
from staunch_server.metrics import Metrics
metrics = Metrics(CollectorRegistry())
for seconds in (0.001, 0.2, 7.0):
    metrics.call_ended("/Predict", "OK", "", "churn@1", seconds)
metrics.set_build("1", "aio")
print(os.getpid())
"""


@pytest.fixture
def left(tmp_path: Path) -> tuple[WorkerMetrics, list[int]]:
    """The files of three workers that counted three calls each, and their process ids."""
    metrics = WorkerMetrics(tmp_path / "metrics")
    metrics.clear()
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(metrics.folder)}
    words = [sys.executable, "-c", COUNTS]
    said = [subprocess.run(words, env=environment, check=True, capture_output=True) for _ in range(3)]
    return metrics, [int(one.stdout) for one in said]


def samples(metrics: WorkerMetrics) -> dict[tuple[str, str], float]:
    """The counters and histograms: name and bucket to value."""
    registry = CollectorRegistry()
    registry.register(metrics)
    return {
        (sample.name, sample.labels.get("le", "")): sample.value
        for family in registry.collect()
        for sample in family.samples
        if family.type != "gauge"
    }


def test_the_counts_of_the_dead_are_kept_in_one_pair_of_files(left: tuple[WorkerMetrics, list[int]]) -> None:
    metrics, pids = left
    before = samples(metrics)
    assert before["staunch_calls_total", ""] == 9
    assert before["staunch_call_seconds_sum", ""] == pytest.approx(3 * 7.201)
    assert before["staunch_call_seconds_bucket", "0.25"] == 6
    for pid in pids:
        metrics.bury(pid)
        assert samples(metrics) == pytest.approx(before)
    names = sorted(file.name for file in metrics.folder.iterdir())
    assert names == ["counter_dead.db", "histogram_dead.db"]
    metrics.bury(pids[0])
    assert samples(metrics) == pytest.approx(before)


def test_no_scrape_sees_a_count_go_back_or_twice(left: tuple[WorkerMetrics, list[int]]) -> None:
    metrics, pids = left
    seen: list[float] = []
    buried = threading.Event()

    def scrape() -> None:
        while not buried.is_set():
            seen.append(samples(metrics)["staunch_calls_total", ""])

    scraping = threading.Thread(target=scrape)
    scraping.start()
    for pid in pids:
        metrics.bury(pid)
    buried.set()
    scraping.join()
    assert set(seen) <= {9.0}


@pytest.mark.parametrize("content", [b"", b"\xff\xff\xff\x7f", b"\x40\0\0\0\0\0\0\0\x08\0\0\0\xff\xff"])
def test_a_file_that_its_writer_left_damaged_is_put_away_too(
    left: tuple[WorkerMetrics, list[int]], content: bytes
) -> None:
    metrics, pids = left
    (metrics.folder / f"counter_{pids[0]}.db").write_bytes(content)
    for pid in pids:
        metrics.bury(pid)
    assert samples(metrics)["staunch_calls_total", ""] == 6
