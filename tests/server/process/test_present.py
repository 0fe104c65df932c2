"""States that versions have left, and versions that have gone, are on no page, however they come to it."""

import subprocess
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge

from staunch_server.process.present import GONE_S, MODEL_INFO, Present
from staunch_server.process.worker_metrics import WorkerMetrics

LIFE = """
import sys
from prometheus_client import CollectorRegistry
from staunch_server.events import VersionChanged
from staunch_server.metrics import Metrics
from staunch_server.process.worker_metrics import write_as
from staunch_server.types import Version, VersionStatus
write_as(int(sys.argv[1]))
metrics, before = Metrics(CollectorRegistry()), VersionStatus()
for state in sys.argv[2:]:
    after = VersionStatus(state, digest="sha256:1" if state == "READY" else "")
    metrics.version_changed(VersionChanged(Version("churn", 1), before, after))
    before = after
"""
"""A worker, by its number, in which a version goes through some states."""


def states(folder: WorkerMetrics) -> list[str]:
    """The states that a page shows."""
    page = CollectorRegistry()
    page.register(Present(folder))
    infos = (family for family in page.collect() if family.name == MODEL_INFO)
    return [sample.labels["state"] for family in infos for sample in family.samples]


def live(folder: Path, number: int, *through: str) -> None:
    words = [sys.executable, "-c", LIFE, str(number), *through]
    subprocess.run(words, env={"PROMETHEUS_MULTIPROC_DIR": str(folder)}, check=True)


def test_only_present_states_are_shown_over_all_workers_and_their_lives(tmp_path: Path) -> None:
    folder = WorkerMetrics(tmp_path / "metrics", print)
    folder.clear()
    live(folder.folder, 0, "LOADING", "READY")
    assert states(folder) == ["READY"]
    live(folder.folder, 1, "LOADING")  # another, which is slower
    assert sorted(states(folder)) == ["LOADING", "READY"]
    folder.worker_died(1)
    assert states(folder) == ["READY"]
    folder.worker_died(0)
    live(folder.folder, 0, "LOADING", "READY", "REFUSED", "STORED")  # let go: it is not in memory any more
    assert states(folder) == []


def test_other_gauges_may_be_0() -> None:
    registry = CollectorRegistry()
    Gauge(MODEL_INFO, "State.", ("state",), registry=registry).labels("READY").set(0)
    Gauge("staunch_not_serving", "Cause.", registry=registry).set(0)
    shown = [sample.name for family in Present(registry).collect() for sample in family.samples]
    assert shown == ["staunch_not_serving"]


class Page:
    """A page of two versions, the first of which can be let go, and a clock."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.now = 1000.0
        self.info = Gauge(MODEL_INFO, "State.", ("model", "version", "state"), registry=registry)
        self.rows = Counter("rows", "Rows.", ("model",), registry=registry)
        self.loads = Counter("loads", "Loads.", ("model", "version"), registry=registry)
        for number in ("1", "2"):
            self.info.labels("churn", number, "READY").set(1)
            self.loads.labels("churn", number).inc()
            self.rows.labels(f"churn@{number}").inc()
        self.rows.labels("").inc()
        self._present = Present(registry, lambda: self.now)

    def let_go(self) -> None:
        self.info.labels("churn", "1", "READY").set(0)

    def after(self, seconds: float) -> set[str]:
        """The versions that a scrape shows so many seconds later; "" is what belongs to none."""
        self.now += seconds
        samples = [sample for family in self._present.collect() for sample in family.samples]
        rows = {sample.labels["model"] for sample in samples if sample.name == "rows_total"}
        loads = {"churn@" + sample.labels["version"] for sample in samples if sample.name == "loads_total"}
        assert loads == rows - {""}
        return rows


ALL, PRESENT = {"", "churn@1", "churn@2"}, {"", "churn@2"}


def test_a_version_goes_two_minutes_after_it_was_let_go_and_comes_back_with_its_counts() -> None:
    page = Page()
    assert page.after(0) == page.after(1_000_000) == ALL
    page.let_go()
    assert page.after(1) == ALL  # with the last of its counts
    assert page.after(GONE_S - 1) == ALL
    assert page.after(1) == PRESENT
    page.info.labels("churn", "1", "READY").set(1)
    assert page.after(1) == ALL


def test_whoever_scrapes_seldom_has_the_last_counts_too() -> None:
    page = Page()
    page.after(0)
    page.let_go()
    assert page.after(10 * GONE_S) == ALL
    assert page.after(10 * GONE_S) == PRESENT


def test_a_version_stays_while_calls_in_progress_count_for_it() -> None:
    page = Page()
    page.after(0)
    page.let_go()
    for _ in range(4):
        page.rows.labels("churn@1").inc()
        assert page.after(GONE_S / 2) == ALL
    assert page.after(GONE_S) == PRESENT
