"""What a page of metrics shows: no states that versions have left, and no versions that have gone."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.registry import Collector

MODEL_INFO = "staunch_model_info"
"""The gauge of a version's state; `staunch_server.metrics` sets it, and is too heavy for the supervisor."""

GONE_S = 120.0
"""How long a version is shown after it left memory and was last counted, so that each Prometheus, at its
default of a scrape a minute, has the last of its counts."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A version at the scrape that last had news of it.

    Attributes:
        total: Of all its series: any count changes it.
        at: When, by the page's clock.
    """

    total: float
    at: float


class Present(Collector):
    """A collector without the states that versions have left, and without the versions that have gone.

    What stands in a worker's file cannot be taken out of it. Shown, it would stay for good: some hundred
    series for each version there ever was, since each feature has one.

    Args:
        collector: What the workers say, or the one process.
        clock: Tells the seconds that have passed.
    """

    def __init__(self, collector: Collector, clock: Callable[[], float] = time.monotonic) -> None:
        self._collector = collector
        self._clock = clock
        self._seen: Mapping[str, _Seen] = {}
        self._looking = threading.Lock()  # each scrape is a thread's

    def collect(self) -> Iterable[Metric]:
        """Gives the collector's families, in its order."""
        families = list(self._collector.collect())
        for family in families:
            if family.name == MODEL_INFO:
                family.samples = [sample for sample in family.samples if sample.value]
        with self._looking:
            self._look(families)
            shown = {"", *(name for name, seen in self._seen.items() if self._clock() - seen.at < GONE_S)}
        for family in families:
            family.samples = [sample for sample in family.samples if _version(sample.labels) in shown]
        return families

    def _look(self, families: Iterable[Metric]) -> None:
        """Takes down of each version what it amounts to, and when that was last news."""
        now = self._clock()
        totals: dict[str, float] = defaultdict(float)
        held = set()
        for family in families:
            for sample in family.samples:
                version = _version(sample.labels)
                totals[version] += sample.value
                if family.name == MODEL_INFO:
                    held.add(version)
        unchanged = {
            version: last
            for version, last in self._seen.items()
            if version not in held and totals.get(version) == last.total
        }
        self._seen = {version: _Seen(total, now) for version, total in totals.items()} | unchanged


def _version(labels: Mapping[str, str]) -> str:
    """Returns the version that a series is about, "churn@3"; empty if about none."""
    model = labels.get("model", "")
    return f"{model}@{labels['version']}" if "version" in labels and model else model
