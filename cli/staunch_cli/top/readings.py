"""Readings of /metrics, and what happened between two of them."""

import http.client
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, nan

from prometheus_client.parser import text_string_to_metric_families

ANSWER_TIME_S = 5.0
"""How long a server may take to give its metrics: a scrape takes it some ten milliseconds."""

_LARGEST_BYTES = 64 << 20  # hundreds of versions of a thousand features stay below

Labels = frozenset[tuple[str, str]]


class NoMetrics(Exception):
    """Nobody gives metrics there; the message says what came instead."""


@dataclass(frozen=True)
class Reading:
    """What /metrics gave.

    Attributes:
        moment_s: When, on the clock of `time.monotonic`.
        values: The samples by name and labels.
    """

    moment_s: float
    values: Mapping[str, Mapping[Labels, float]] = field(repr=False)


def read_metrics(address: str) -> Reading:
    """Reads /metrics of a server.

    Args:
        address: Host and port, such as `127.0.0.1:9464` or `[::1]:9464`.

    Raises:
        NoMetrics: Nothing answers there, or not with metrics of ours.
    """
    moment_s = time.monotonic()
    try:
        values = _values(_page(address))
    except OSError as error:
        raise NoMetrics(os.strerror(error.errno) if error.errno else str(error)) from None
    except (http.client.HTTPException, ValueError):
        raise NoMetrics("what answers there gives no metrics") from None
    if "staunch_workers" not in values:
        raise NoMetrics("what answers there is another server")
    return Reading(moment_s, values)


def _page(address: str) -> str:
    connection = http.client.HTTPConnection(address, timeout=ANSWER_TIME_S)
    try:
        connection.request("GET", "/metrics", headers={"Accept": "text/plain"})
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise ValueError(answer.status)
        return answer.read(_LARGEST_BYTES).decode()
    finally:
        connection.close()


def _values(text: str) -> dict[str, dict[Labels, float]]:
    values: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return values


@dataclass(frozen=True)
class Interval:
    """What happened between two readings of one server.

    A counter that became less began anew, as with the server: all that it has is of the interval, which is
    how Prometheus' `rate` takes it.
    """

    before: Reading
    after: Reading

    @property
    def seconds(self) -> float:
        """How long it was."""
        return max(self.after.moment_s - self.before.moment_s, 1e-9)

    def rate(self, name: str, **labels: str) -> float:
        """Returns the growth a second of a counter, summed over all that has these labels."""
        earlier, found = self.before.values.get(name, {}), _with(self.after, name, labels)
        return sum(_growth(earlier.get(each, 0.0), value) for each, value in found.items()) / self.seconds

    def total(self, name: str, **labels: str) -> float:
        """Returns what stands now, summed over all that has these labels; 0 if nothing has."""
        return sum(_with(self.after, name, labels).values())

    def least(self, name: str, **labels: str) -> float | None:
        """Returns the least of what stands now; None if nothing has these labels."""
        return min(_with(self.after, name, labels).values(), default=None)

    def seen(self, name: str, *labels: str) -> list[tuple[str, ...]]:
        """Returns the values of these labels that a metric has now, each combination once, in order."""
        found = (dict(each) for each in self.after.values.get(name, {}))
        return sorted({tuple(each.get(label, "") for label in labels) for each in found})

    def mean(self, name: str, **labels: str) -> float:
        """Returns the mean of what a histogram observed in the interval; NaN if it observed nothing."""
        count = self.rate(f"{name}_count", **labels)
        return self.rate(f"{name}_sum", **labels) / count if count else nan

    def quantile(self, share: float, name: str, **labels: str) -> float:
        """Estimates a quantile of what a histogram observed in the interval; NaN if it observed nothing.

        It is the rule of Prometheus' `histogram_quantile`: linear within a bucket, the first one from 0; and
        what lies above the last bound is that bound.

        Args:
            share: Of 0 to 1.
            name: The histogram's, without `_bucket`.
            labels: Which of its series are taken together.
        """
        bounds = sorted({float(bound) for (bound,) in self.seen(f"{name}_bucket", "le")})
        counts = [self.rate(f"{name}_bucket", le=_written(bound), **labels) for bound in bounds]
        return _quantile(share, bounds, counts)


def _with(reading: Reading, name: str, labels: Mapping[str, str]) -> dict[Labels, float]:
    asked = labels.items()
    return {each: value for each, value in reading.values.get(name, {}).items() if asked <= each}


def _growth(before: float, after: float) -> float:
    return after - before if after >= before else after


def _written(bound: float) -> str:
    """A bound as `le` has it."""
    return "+Inf" if bound == inf else str(bound)


def _quantile(share: float, bounds: Sequence[float], counts: Sequence[float]) -> float:
    """A quantile by the counts at or below each of rising bounds."""
    if not counts or counts[-1] <= 0:
        return nan
    rank = share * counts[-1]
    place = next((at for at, count in enumerate(counts) if count >= rank), len(counts) - 1)
    below_bound, below = (bounds[place - 1], counts[place - 1]) if place else (0.0, 0.0)
    if not isfinite(bounds[place]):
        return below_bound
    inside = counts[place] - below
    return below_bound + (bounds[place] - below_bound) * ((rank - below) / inside if inside else 1.0)
