"""What the kernel says of our processes: `process_*` of each worker and of the supervisor, read from /proc.

prometheus-client has a collector of its own that does not work over several processes: it reads whoever is
asked, which is the supervisor. Names and meanings are the ones that every Prometheus client has.
"""

import os
import resource
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

SUPERVISOR = "supervisor"
"""The label of the supervisor; a worker's is its number."""

_PROC = Path("/proc")
_DEAD = ("Z", "X")  # the states of a process that has ended, and whose end has not been heard of yet

_GAUGES: Mapping[str, str] = MappingProxyType(
    {
        "process_resident_memory_bytes": "Memory in RAM, in bytes; what processes share is in each.",
        "process_virtual_memory_bytes": "Address space, in bytes.",
        "process_start_time_seconds": "When the process began, in seconds since 1970 (UTC).",
        "process_threads": "Threads of the process.",
        "process_open_fds": "Open file descriptors.",
        "process_max_fds": "File descriptors that may be open.",
    }
)
_CPU = "process_cpu_seconds"
_CPU_TEXT = "User and system CPU time, in seconds; begins anew with each life of a worker."


class ProcessMetrics(Collector):
    """Reads our living processes at each scrape; without /proc, which Linux alone has, there is none to read.

    Args:
        processes: Gives the process id of each by its label.
    """

    def __init__(self, processes: Callable[[], Mapping[str, int]]) -> None:
        self._processes = processes

    def collect(self) -> Iterable[Metric]:
        """Gives each family with a series for every process; one that has just ended is left out."""
        cpu = CounterMetricFamily(_CPU, _CPU_TEXT, labels=["worker"])
        gauges = {name: GaugeMetricFamily(name, text, labels=["worker"]) for name, text in _GAUGES.items()}
        for label, pid in self._processes().items():
            with suppress(OSError):  # it is gone, and what was read of it so far says nothing
                values = _read(pid)
                cpu.add_metric([label], values.pop(_CPU))
                for name, value in values.items():
                    gauges[name].add_metric([label], value)
        return [cpu, *gauges.values()]


def _read(pid: int) -> dict[str, float]:
    """Reads one process.

    Raises:
        OSError: It has ended, or its number is no longer ours.
    """
    folder = _PROC / str(pid)
    # The second field is a name, which may hold blanks and brackets: the others begin after the last one.
    state, parent, *stat = (folder / "stat").read_text().rpartition(")")[2].split()
    if state in _DEAD or (pid != os.getpid() and int(parent) != os.getpid()):
        raise ProcessLookupError(pid)
    user, system, threads, started, virtual, resident = (
        int(stat[place]) for place in (9, 10, 15, 17, 18, 19)
    )
    ticks = os.sysconf("SC_CLK_TCK")
    values: dict[str, float] = {
        _CPU: (user + system) / ticks,
        "process_resident_memory_bytes": resident * os.sysconf("SC_PAGE_SIZE"),
        "process_virtual_memory_bytes": virtual,
        "process_start_time_seconds": _booted() + started / ticks,
        "process_threads": threads,
    }
    with suppress(PermissionError):  # of a Python with capabilities of its own the kernel shows no files
        values["process_open_fds"] = len(os.listdir(folder / "fd"))
        max_fds, _ = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        values["process_max_fds"] = float("inf") if max_fds == resource.RLIM_INFINITY else max_fds
    return values


def _booted() -> int:
    """Returns when the machine was started, in seconds since 1970: the kernel counts from there."""
    lines = (_PROC / "stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("btime "))
