"""Measures what a server does that is asked for more than it can: how much of it is answered in time.

    make run                              # once, for a database, a world and a model; then stop it
    .venv/bin/python -m bench.overload    # writes bench/results/overload.md; needs Go

Server and database are pinned to one core, the generator (`bench/overload/main.go`, by grpc-go) to another.
A closed loop finds the capacity; then calls are offered at 1, 2 and 4 times that, each with a deadline of
500 ms, whatever becomes of those before; at last 0.8 times, to see how soon all is answered again. Good
answers are given as a ratio to the capacity of the same run. Traffic goes to loopback and ends by itself.
"""

import argparse
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc

from staunch.v1 import prediction_service_pb2 as messages
from staunch.v1.prediction_service_pb2_grpc import PredictionServiceStub

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PHASES = ("closed:{s}", "open:1:{s}", "pause:1", "open:2:{s}", "pause:1", "open:4:{s}", "open:0.8:{s}")
NORMAL = 0.95
"""All is normal again when of a quarter of a second's calls this share is answered."""

READY_S = 120.0


@dataclass(frozen=True, slots=True)
class Used:
    """Seconds of CPU that have been used up to a moment, or a second between two.

    Attributes:
        at: The moment.
        ours: By server and database.
        worker: By the serving process alone.
        core: By whatever ran on their core.
        other_core: By whatever ran on that of the generator.
    """

    at: float
    ours: float
    worker: float
    core: float
    other_core: float

    def since(self, before: "Used") -> "Used":
        """Returns what has been used since, a second."""
        took_s = self.at - before.at
        return Used(
            took_s,
            (self.ours - before.ours) / took_s,
            (self.worker - before.worker) / took_s,
            (self.core - before.core) / took_s,
            (self.other_core - before.other_core) / took_s,
        )


@dataclass(frozen=True, slots=True)
class Phase:
    """What the generator tells of a phase, what was used meanwhile, and the worker's memory at its end."""

    figures: Mapping[str, Any]
    used: Used
    rss_mb: float

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return float(self.figures["good"] / self.figures["seconds"])


def children(root: int) -> list[int]:
    """Returns a process and all below it."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        parents.setdefault(parent, []).append(int(folder.name))
    found = [root]
    for one in found:
        found += parents.get(one, [])
    return found


def cpu_s(pids: Sequence[int]) -> float:
    """Returns the seconds of CPU that processes have used."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def core_s(core: int) -> float:
    """Returns the seconds that a core has worked for processes, ours and others'."""
    line = next(one for one in Path("/proc/stat").read_text().splitlines() if one.startswith(f"cpu{core} "))
    user, nice, system = map(int, line.split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def used(args: argparse.Namespace, pids: Sequence[int], worker: int) -> Used:
    """Returns what has been used up to now."""
    cores = core_s(args.core), core_s(args.generator_core)
    return Used(time.monotonic(), cpu_s(pids), cpu_s([worker]), *cores)


def rss_mb(pid: int) -> float:
    """Returns the resident memory of a process, in MB."""
    return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1024


def worker_of(pids: Sequence[int]) -> int:
    """Returns the serving process among some."""
    for pid in pids:
        if b"staunch_server.process.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    raise SystemExit("no worker runs")


@contextmanager
def server(args: argparse.Namespace, transport: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs server and database pinned to one core for the block."""
    command = [
        str(Path(sys.executable).with_name("staunch")), "run", "--state-folder", str(args.state),
        "--port", str(args.port), "--metrics-port", str(args.port + 1), "--transport", transport, *args.serve,
    ]  # fmt: skip
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            ["taskset", "-c", str(args.core), *command], stdout=log, stderr=subprocess.STDOUT
        )
        try:
            await_ready(process, f"127.0.0.1:{args.port}")
            yield process
        except SystemExit:
            log.seek(0)
            print(log.read().decode(), file=sys.stderr)
            raise
        finally:
            process.terminate()
            process.wait(60)
            log.seek(0)
            if lines := [line for line in log.read().decode().splitlines() if "Traceback" in line]:
                print(f"{len(lines)} tracebacks in the server's log", file=sys.stderr)


def await_ready(process: subprocess.Popen[bytes], target: str) -> None:
    """Waits until a server says that it serves."""
    check = b""
    end = time.monotonic() + READY_S
    with grpc.insecure_channel(target) as channel:
        ask = channel.unary_unary("/grpc.health.v1.Health/Check")
        while time.monotonic() < end and process.poll() is None:
            try:
                if ask(check, timeout=2) == b"\x08\x01":
                    return
            except grpc.RpcError:
                pass
            time.sleep(0.2)
    raise SystemExit(f"no server at {target} within {READY_S:g} s")


def eligible(target: str, customers: int) -> list[int]:
    """Asks a server which of the ids from 1 on it scores, at most 10,000."""
    request = messages.BatchPredictRequest(customer_ids=range(1, customers + 1))
    with grpc.insecure_channel(target) as channel:
        answer = next(iter(PredictionServiceStub(channel).BatchPredict(iter([request]))))
    failed = {error.index for error in answer.row_errors}
    return [one for index, one in enumerate(answer.customer_ids) if index not in failed]


def load(
    args: argparse.Namespace, ids: Path, connections: int, callers: int, process: subprocess.Popen[bytes]
) -> list[Phase]:
    """Runs the generator through its phases, and reads what server and database use in each."""
    pids = children(process.pid)
    worker = worker_of(pids)
    command = [
        "taskset", "-c", str(args.generator_core), str(args.generator), "-server", f"127.0.0.1:{args.port}",
        "-ids", str(ids), "-connections", str(connections), "-callers", str(callers),
        *(phase.format(s=args.seconds) for phase in args.phases),
    ]  # fmt: skip
    phases = []
    before = used(args, pids, worker)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as generator:
        assert generator.stdout is not None
        for line in generator.stdout:
            if line.startswith("begin"):
                pids = children(process.pid)
                before = used(args, pids, worker)
            else:
                spent = used(args, pids, worker).since(before)
                phases.append(Phase(json.loads(line), spent, rss_mb(worker)))
    if generator.returncode:
        raise SystemExit("the generator failed")
    return [phase for phase in phases if phase.figures["kind"] != "pause"]


def recovery_s(phase: Phase) -> float:
    """How long after the load sank a quarter of a second came whose calls were nearly all answered."""
    due = NORMAL * phase.figures["offered"] / phase.figures["seconds"] / 4
    for quarter, good in enumerate(phase.figures["quarters"]):
        if good >= due:
            return quarter / 4
    return float("inf")


def rows(transport: str, connections: int, phases: Sequence[Phase]) -> list[str]:
    """Returns a run's rows of the table."""
    capacity = phases[0].rate
    found = []
    for phase in phases:
        figures = phase.figures
        offered = "closed loop" if figures["kind"] == "closed" else f"{figures['factor']:g}x"
        codes = ", ".join(
            f"{code} {count:,}" for code, count in sorted(figures["codes"].items()) if code != "OK"
        )
        if figures["kind"] == "open" and figures["factor"] < 1:
            codes = f"normal after {recovery_s(phase):.2f} s; {codes}".removesuffix("; ")
        cells = [
            f"{transport}, {connections}",
            offered,
            f"{phase.rate:,.0f}",
            f"{phase.rate / capacity:.2f}",
            f"{figures['p50_ms']:.0f}, {figures['p99_ms']:.0f}",
            f"{phase.used.worker:.2f}, {phase.used.ours - phase.used.worker:.2f}",
            f"{phase.rss_mb:.0f}",
            f"{figures['cpu']:.2f}",
            f"{phase.used.core - phase.used.ours:.2f}, {phase.used.other_core - figures['cpu']:.2f}",
            codes,
        ]
        found.append(f"| {' | '.join(cells)} |")
    return found


COLUMNS = (
    "transport, connections",
    "offered",
    "good/s",
    "of capacity",
    "p50, p99 ms",
    "CPU of worker, database",
    "worker MB",
    "CPU of the generator",
    "others on the cores",
    "other ends",
)
HEAD = (f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS))


def build(generator: Path) -> None:
    """Builds the generator."""
    subprocess.run(["go", "build", "-o", str(generator), "."], cwd=HERE / "overload", check=True)


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--state", type=Path, default=Path(".staunch"), help="folder that `make run` made")
    parser.add_argument("--port", type=int, default=50071, help="of the server; the next one is for metrics")
    parser.add_argument("--core", type=int, default=0, help="for server and database")
    parser.add_argument("--generator-core", type=int, default=1)
    parser.add_argument("--transports", nargs="+", default=["aio", "native"])
    parser.add_argument("--connections", nargs="+", type=int, default=[8, 64, 1000])
    parser.add_argument("--callers", type=int, default=64, help="of the closed loop")
    parser.add_argument("--seconds", type=float, default=6, help="of each phase")
    parser.add_argument("--phases", nargs="+", default=PHASES)
    parser.add_argument("--customers", type=int, default=10_000)
    parser.add_argument("--generator", type=Path, help="one that is built already")
    parser.add_argument("--serve", type=shlex.split, default=[], help="more flags of the server, as one word")
    parser.add_argument("--out", type=Path, default=RESULTS / "overload.md")
    return parser.parse_args()


def main() -> None:
    """Measures, prints, and writes the table."""
    args = arguments()
    lines = list(HEAD)
    with tempfile.TemporaryDirectory() as folder:
        if args.generator is None:
            args.generator = Path(folder) / "load"
            build(args.generator)
        ids = Path(folder) / "eligible.txt"
        for transport in args.transports:
            with server(args, transport) as process:
                known = eligible(f"127.0.0.1:{args.port}", args.customers)
                ids.write_text("\n".join(map(str, known)))
                for connections in args.connections:
                    found = load(args, ids, connections, max(args.callers, connections), process)
                    lines += rows(transport, connections, found)
                    print("\n".join(lines[-len(found) :]), flush=True)
    machine = f"{len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
    head = f"Measured {datetime.now(UTC):%Y-%m-%d} by `bench/overload.py` on {machine}."
    args.out.write_text("\n".join(["# Overload", "", head, "", *lines, ""]))


if __name__ == "__main__":
    main()
