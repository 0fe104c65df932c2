"""What is said of living processes, and that nothing is said of those that have ended or are not ours."""

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from staunch_server.process.process_metrics import ProcessMetrics

pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="only Linux has /proc")

NAMES = {
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_start_time_seconds",
    "process_threads",
    "process_open_fds",
    "process_max_fds",
}

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """`start("code")` runs Python in a child of ours, and gives it when it has printed a line."""
    with ExitStack() as stack:

        def started(code: str = "") -> "subprocess.Popen[bytes]":
            lines = f"import sys, time\n{code}\nprint(flush=True)\ntime.sleep(60)"
            child = subprocess.Popen([sys.executable, "-S", "-c", lines], stdout=subprocess.PIPE)
            stack.enter_context(child)
            stack.callback(child.kill)
            assert child.stdout is not None
            child.stdout.readline()
            return child

        yield started


def values(**processes: int) -> dict[str, dict[str, float]]:
    """What a scrape says: label to name to value."""
    registry = CollectorRegistry()
    registry.register(ProcessMetrics(lambda: processes))
    found: dict[str, dict[str, float]] = {}
    for family in registry.collect():
        for sample in family.samples:
            found.setdefault(sample.labels["worker"], {})[sample.name] = sample.value
    return found


def us() -> dict[str, float]:
    return values(us=os.getpid())["us"]


def test_each_process_has_a_series_of_each_family(start: Start) -> None:
    found = values(supervisor=os.getpid(), one=start().pid)
    assert found.keys() == {"supervisor", "one"}
    assert set(found["supervisor"]) == set(found["one"]) == NAMES


def test_the_values_are_those_of_the_process() -> None:
    before = us()
    used = resource.getrusage(resource.RUSAGE_SELF)
    assert before["process_cpu_seconds_total"] == pytest.approx(used.ru_utime + used.ru_stime, abs=0.05)
    assert before["process_max_fds"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert 1 << 20 < before["process_resident_memory_bytes"] <= used.ru_maxrss * 1024
    assert before["process_resident_memory_bytes"] < before["process_virtual_memory_bytes"]
    end = threading.Event()
    threads = [threading.Thread(target=end.wait) for _ in range(3)]
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(open(os.devnull))
        for thread in threads:
            thread.start()
        after = us()
        end.set()
    assert after["process_open_fds"] == before["process_open_fds"] + 5
    assert after["process_threads"] == before["process_threads"] + 3


def test_cpu_and_start_are_the_childs_own(start: Start) -> None:
    began = time.time()
    child = start("end = time.process_time() + 0.2\nwhile time.process_time() < end: pass")
    first, second = (values(one=child.pid)["one"] for _ in range(2))
    assert 0.19 <= first["process_cpu_seconds_total"] < 5
    assert first["process_start_time_seconds"] == pytest.approx(
        began, abs=2
    )  # the kernel's boot is a second's
    assert first["process_start_time_seconds"] == second["process_start_time_seconds"]


def test_nothing_is_said_of_one_that_has_just_died_though_its_end_is_not_heard_of(start: Start) -> None:
    dead = start()
    dead.kill()
    os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie from here on
    assert Path(f"/proc/{dead.pid}").exists()
    assert values(dead=dead.pid, living=start().pid).keys() == {"living"}
    dead.wait()
    assert values(dead=dead.pid).keys() == set()


def test_nothing_is_said_of_a_number_that_another_process_has(start: Start) -> None:
    grandchild = start("import subprocess\nchild = subprocess.Popen(['sleep', '60'])")
    (number,) = Path(f"/proc/{grandchild.pid}/task/{grandchild.pid}/children").read_text().split()
    try:
        assert values(theirs=int(number), parent=os.getppid()) == {}
    finally:
        os.kill(int(number), 9)


def test_a_name_with_blanks_and_brackets_is_read_over(start: Start) -> None:
    child = start("open('/proc/self/comm', 'w').write('a) Z 1 (b')")
    assert set(values(one=child.pid)["one"]) == NAMES
