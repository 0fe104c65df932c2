"""Measures what joining does to callers of `predict`: one client process or many, few callers or a thousand.

    make run                        # in one terminal
    .venv/bin/python bench/join.py  # in another; writes bench/results/join.md

Each line is measured with joining off and on in turns, in the same processes and the same run. Callers are
tasks of one AsyncClient a process, in closed loops over random customers; they try once: what is refused
shows. CPU is that of the server's workers and of PostgreSQL, from /proc. Traffic goes to loopback only.
"""

import argparse
import asyncio
import ipaddress
import multiprocessing
import os
import platform
import random
import re
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import grpc
import uvloop

from staunch import AsyncClient, RetryPolicy, StaunchError
from staunch.v1 import prediction_service_pb2 as messages
from staunch.v1.prediction_service_pb2_grpc import PredictionServiceStub

RESULTS = Path(__file__).parent / "results"
TABLE = [(1, 1), (1, 8), (1, 64), (1, 1000), (16, 64), (16, 1000), (64, 64), (64, 1000)]
"""Processes, and callers in all of them together."""

_WARM_S = 0.5
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Round:
    """What the callers of one process, or of all, met in one round.

    Attributes:
        latencies_s: Of the calls that were answered.
        failed: The others, by reason or status.
    """

    latencies_s: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)

    def p_ms(self, share: float) -> float:
        """Gives a percentile of the latencies, in milliseconds."""
        ordered = sorted(self.latencies_s)
        return 1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


async def call_until(client: AsyncClient, ids: list[int], ends: float, into: Round) -> None:
    """One caller: one call after the other."""
    draw = random.Random()
    while (began := time.perf_counter()) < ends:
        try:
            await client.predict(draw.choice(ids))
        except StaunchError as error:
            into.failed[error.reason or error.code.name] += 1
        else:
            into.latencies_s.append(time.perf_counter() - began)


async def one_round(client: AsyncClient, ids: list[int], callers: int, seconds: float) -> Round:
    """Has so many callers call; what they do first is not counted."""
    began, counted = time.perf_counter(), Round()
    await asyncio.gather(*(call_until(client, ids, began + _WARM_S, Round()) for _ in range(callers)))
    ends = time.perf_counter() + seconds
    await asyncio.gather(*(call_until(client, ids, ends, counted) for _ in range(callers)))
    return counted


async def work(pipe: Connection, target: str, ids: list[int]) -> None:
    """Does the rounds that it is told to, in a process of its own."""
    once = RetryPolicy(attempts=1)
    async with (
        AsyncClient(target, retry=once, join=False) as alone,
        AsyncClient(target, retry=once, join=True) as joined,
    ):
        loop = asyncio.get_running_loop()
        while (order := await loop.run_in_executor(None, pipe.recv)) is not None:
            join, callers, seconds = order
            pipe.send(await one_round(joined if join else alone, ids, callers, seconds))


def work_in_process(pipe: Connection, target: str, ids: list[int]) -> None:
    """Runs `work` in this process."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(pipe, target, ids))


def cpu_s(pattern: str) -> dict[str, float]:
    """Gives the seconds of CPU so far of each process whose command line matches."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if re.search(pattern, (folder / "cmdline").read_text().replace("\0", " ")):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                found[folder.name] = (int(fields[11]) + int(fields[12])) / _TICKS
        except OSError:
            continue
    return found


def spent_s(before: dict[str, float], after: dict[str, float]) -> float:
    """Gives the seconds between two looks, of the processes that were there at both."""
    return sum(seconds - before[one] for one, seconds in after.items() if one in before)


def measured(
    pipes: list[Connection], callers: int, seconds: float, *, join: bool
) -> tuple[Round, float, float]:
    """Runs a round in some processes; gives what all met, and the CPU a call of server and database."""
    before = cpu_s("staunch_server.process.worker"), cpu_s("^postgres|bin/postgres ")
    for number, pipe in enumerate(pipes):
        share = callers // len(pipes) + (number < callers % len(pipes))
        pipe.send((join, share, seconds))
    total = Round()
    for pipe in pipes:
        part: Round = pipe.recv()
        total.latencies_s += part.latencies_s
        total.failed += part.failed
    after = cpu_s("staunch_server.process.worker"), cpu_s("^postgres|bin/postgres ")
    # The warming is in the CPU and not in the calls.
    calls = max(1, len(total.latencies_s)) * (seconds + _WARM_S) / seconds
    server, database = (1e6 * spent_s(*both) / calls for both in zip(before, after, strict=True))
    return total, server, database


def line(
    processes: int, callers: int, found: dict[bool, list[tuple[Round, float, float]]], seconds: float
) -> str:
    """Writes a line of the table: off and on, medians of the rounds."""
    cells = [str(processes), str(callers)]
    for join in (False, True):
        rounds = found[join]
        rate = statistics.median(len(one.latencies_s) / seconds for one, *_ in rounds)
        p50, p99 = (statistics.median(one.p_ms(share) for one, *_ in rounds) for share in (0.5, 0.99))
        server = statistics.median(one for _, one, _ in rounds)
        database = statistics.median(one for _, _, one in rounds)
        failed = sum((one.failed for one, *_ in rounds), Counter[str]())
        refused = ", ".join(f"{count} {reason}" for reason, count in failed.items()) or "0"
        cells += [f"{rate:,.0f}", f"{p50:.2f}", f"{p99:.1f}", f"{server:.0f} + {database:.0f}", refused]
    return f"| {' | '.join(cells)} |"


def eligible(target: str, customers: int) -> list[int]:
    """Gives the ids that can be scored."""
    request = messages.BatchPredictRequest(customer_ids=range(1, customers + 1))
    with grpc.insecure_channel(target) as channel:
        for answer in PredictionServiceStub(channel).BatchPredict(iter([request])):
            failed = {error.index for error in answer.row_errors}
            return [one for index, one in enumerate(answer.customer_ids) if index not in failed]
    raise SystemExit("no answer to a BatchPredict")


def table(args: argparse.Namespace) -> list[str]:
    """Starts the processes and measures line by line."""
    wanted = [pair for pair in TABLE if not args.only or f"{pair[0]}x{pair[1]}" in args.only]
    ids = eligible(args.server, args.customers)
    spawn = multiprocessing.get_context("spawn")  # forked with gRPC in it a process would hang
    pipes, processes = [], []
    for _ in range(max(count for count, _ in wanted)):
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=work_in_process, args=(theirs, args.server, ids), daemon=True)
        process.start()
        pipes.append(ours)
        processes.append(process)
    measured(pipes, len(pipes), 0.1, join=True)  # until all are there
    lines = []
    for count, callers in wanted:
        found: dict[bool, list[tuple[Round, float, float]]] = {False: [], True: []}
        for turn in range(2 * args.rounds):
            join = bool(turn % 2)
            found[join].append(measured(pipes[:count], callers, args.seconds, join=join))
        lines.append(line(count, callers, found, args.seconds))
        print(lines[-1], flush=True)
    for pipe in pipes:
        pipe.send(None)
    for process in processes:
        process.join(10)
    return lines


def main() -> None:
    """Measures, prints, and writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--server", default="127.0.0.1:50051")
    parser.add_argument("--customers", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a round")
    parser.add_argument("--rounds", type=int, default=2, help="of each kind, for a line")
    parser.add_argument("--only", nargs="*", help="lines, such as 1x64: processes x callers")
    parser.add_argument("--out", type=Path, default=RESULTS / "join.md")
    args = parser.parse_args()
    # Across a network the figures would be the network's.
    if not ipaddress.ip_address(args.server.rsplit(":", 1)[0]).is_loopback:
        parser.error("only a server on loopback is measured")
    columns = ["calls/s", "p50 ms", "p99 ms", "CPU µs a call, server + PostgreSQL", "refused"]
    head = ["processes", "callers", *(f"{kind}: {one}" for kind in ("alone", "joined") for one in columns)]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *table(args)]
    machine = f"{len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
    text = f"# Joined calls\n\nMeasured {datetime.now(UTC):%Y-%m-%d} by `bench/join.py` on {machine}.\n\n"
    text += "\n".join([*lines, ""])
    args.out.write_text(text)


if __name__ == "__main__":
    main()
