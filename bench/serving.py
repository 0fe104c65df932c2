"""Measures a running server: latency, throughput, a batch of 10,000, explanations, memory.

    make run                                  # in one terminal
    .venv/bin/python bench/serving.py         # in another; writes bench/results/serving.md

Beside every throughput stands the floor of the same run: an RPC that does nothing (health Check). These
machines are shared, so compare ratios, not runs. Traffic goes to loopback only and is bounded in count.
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
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from staunch.v1 import prediction_service_pb2 as messages
from staunch.v1.prediction_service_pb2_grpc import PredictionServiceStub

RESULTS = Path(__file__).parent / "results"
HEALTH_CHECK = "/grpc.health.v1.Health/Check"

ROUNDS = 3
BATCH_ROWS = 2_000
"""Of a chunk beside single calls: what `staunch score` sends."""

BESIDE = {"alone": None, "beside BatchPredict": 0, "beside BatchPredict with 3 reasons a row": 3}
"""What a caller of Predict shares the server with, and how many reasons that asks for."""

Call = Callable[[int], Awaitable[object]]


async def latency(call: Call, calls: int) -> tuple[float, float, float]:
    """One caller, one call after the other: p50, p99 and the worst, in ms."""
    times = []
    for index in range(calls):
        started = time.perf_counter()
        await call(index)
        times.append((time.perf_counter() - started) * 1e3)
    times.sort()
    return statistics.median(times), times[int(len(times) * 0.99)], times[-1]


async def throughput(calls_of: list[Call], callers: int, total: int) -> tuple[float, float, float]:
    """Many callers over several connections: calls a second, p50 and p99 in ms."""
    times: list[float] = []
    left = iter(range(total))

    async def caller(call: Call) -> None:
        for index in left:
            started = time.perf_counter()
            await call(index)
            times.append((time.perf_counter() - started) * 1e3)

    started = time.perf_counter()
    await asyncio.gather(*(caller(calls_of[index % len(calls_of)]) for index in range(callers)))
    elapsed = time.perf_counter() - started
    times.sort()
    return total / elapsed, statistics.median(times), times[int(len(times) * 0.99)]


async def batch(channel: grpc.aio.Channel, ids: list[int], chunk: int) -> tuple[float, int]:
    """Streams ids through BatchPredict: seconds, and how many rows were scored."""
    chunks = [ids[start : start + chunk] for start in range(0, len(ids), chunk)]
    requests = (messages.BatchPredictRequest(customer_ids=each) for each in chunks)
    started, scored = time.perf_counter(), 0
    async for answer in PredictionServiceStub(channel).BatchPredict(requests):
        if answer.HasField("chunk_error"):
            raise SystemExit(f"a chunk failed: {answer.chunk_error}")
        scored += len(answer.probabilities) - len(answer.row_errors)
    return time.perf_counter() - started, scored


def stream(target: str, customers: int, reasons: int, begun: Event, ended: Event, rows: Any) -> None:
    """Streams everybody again and again in a process of its own until told to end; counts the rows."""
    chunks = [
        range(start, min(start + BATCH_ROWS, customers + 1)) for start in range(1, customers + 1, BATCH_ROWS)
    ]

    def requests() -> Iterator[messages.BatchPredictRequest]:
        while not ended.is_set():
            for each in chunks:
                yield messages.BatchPredictRequest(customer_ids=each, top_contributions=reasons)

    with grpc.insecure_channel(target) as channel:
        answers = PredictionServiceStub(channel).BatchPredict(requests())
        for answer in answers:
            if answer.HasField("chunk_error"):
                raise SystemExit(f"a chunk failed: {answer.chunk_error}")
            begun.set()
            rows.value += len(answer.probabilities) - len(answer.row_errors)
            if ended.is_set():
                answers.cancel()
                return


@contextmanager
def streaming(target: str, customers: int, reasons: int | None) -> Iterator[Callable[[], int]]:
    """Runs such a stream beside the block, from its first answer on; gives what tells its rows so far."""
    if reasons is None:
        yield lambda: 0
        return
    # Forked with gRPC in it a process would hang.
    spawn = multiprocessing.get_context("spawn")
    begun, ended, rows = spawn.Event(), spawn.Event(), spawn.Value("q", 0)
    process = spawn.Process(target=stream, args=(target, customers, reasons, begun, ended, rows))
    process.start()
    try:
        if not begun.wait(30):
            raise SystemExit("no answer to a BatchPredict within 30 s")
        yield lambda: rows.value
    finally:
        ended.set()
        process.join(30)


async def beside_a_batch(call: Call, args: argparse.Namespace) -> list[tuple[str, str]]:
    """Measures Predict of one caller in turns alone and beside streams: medians of the rounds, and ratios."""
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in BESIDE}
    for _ in range(ROUNDS):
        for name, reasons in BESIDE.items():
            with streaming(args.server, args.customers, reasons) as rows:
                before, started = rows(), time.perf_counter()
                p50, p99, _worst = await latency(call, args.calls // 4)
                found[name].append((p50, p99, (rows() - before) / (time.perf_counter() - started)))
    median = {
        name: [statistics.median(part) for part in zip(*each, strict=True)] for name, each in found.items()
    }
    figures = []
    for name, (p50, p99, rate) in median.items():
        streamed = f", {rate:,.0f} rows/s beside it" if rate else ""
        figures.append((f"Predict, one caller, {name}", f"p50 {p50:.2f} ms, p99 {p99:.2f} ms{streamed}"))
    alone, plain, explained = (p99 for _, p99, _ in median.values())
    figures.append(("p99 beside reasons / alone", f"{explained / alone:.2f}"))
    figures.append(("p99 beside reasons / beside a stream without", f"{explained / plain:.2f}"))
    return figures


def memory_mb(pattern: str) -> float:
    """Proportional memory (PSS) of every process whose command line matches, in MB."""
    total_kb = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if re.search(pattern, (folder / "cmdline").read_text().replace("\0", " ")):
                total_kb += int(re.findall(r"^Pss:\s+(\d+)", (folder / "smaps_rollup").read_text(), re.M)[0])
        except (OSError, IndexError):
            continue
    return total_kb / 1024


def server_means(metrics_url: str) -> dict[str, float]:
    """The mean of every histogram in seconds, read from /metrics, in ms."""
    text = urllib.request.urlopen(metrics_url, timeout=5).read().decode()
    sums: dict[str, float] = {}
    counts: dict[str, float] = {}
    for name, kind, value in re.findall(r"^(staunch_\w+_seconds)_(sum|count)(?:{[^}]*})? (\S+)$", text, re.M):
        target = sums if kind == "sum" else counts
        target[name] = target.get(name, 0.0) + float(value)
    return {name: 1e3 * sums[name] / counts[name] for name in sums if counts.get(name)}


async def measure(args: argparse.Namespace) -> list[tuple[str, str]]:
    """Runs everything and returns rows of (what, figure)."""
    channels = [
        grpc.aio.insecure_channel(args.server, options=[("grpc.use_local_subchannel_pool", 1)])
        for _ in range(args.connections)
    ]
    draw = random.Random(1)
    probe = PredictionServiceStub(channels[0])
    known = await eligible(channels[0], args.customers)
    # Random ids: equal ones would share a row of a batch and flatter the figure.
    ids = draw.choices(known, k=args.calls)

    def predict(channel: grpc.aio.Channel) -> Call:
        stub = PredictionServiceStub(channel)
        return lambda index: stub.Predict(messages.PredictRequest(customer_id=ids[index % len(ids)]))

    def empty(channel: grpc.aio.Channel) -> Call:
        check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(HEALTH_CHECK)
        return lambda _: check(b"")

    def explain(index: int) -> Awaitable[Message]:
        return probe.Explain(messages.ExplainRequest(customer_id=ids[index % len(ids)]))

    rows = []
    for name, call in (
        ("Predict", predict(channels[0])),
        ("Explain", explain),
        ("empty RPC", empty(channels[0])),
    ):
        await latency(call, 200)
        p50, p99, worst = await latency(call, args.calls // 4)
        rows.append((f"{name}, one caller", f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, worst {worst:.1f} ms"))
    rates = {}
    for name, make in (("empty RPC", empty), ("Predict", predict)):
        calls = [make(channel) for channel in channels]
        rate, p50, p99 = await throughput(calls, args.callers, args.calls)
        rates[name] = rate
        rows.append(
            (f"{name}, {args.callers} callers", f"{rate:,.0f} calls/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms")
        )
    rows.append(("Predict / empty RPC", f"{rates['Predict'] / rates['empty RPC']:.2f}"))
    rows += await beside_a_batch(predict(channels[0]), args)
    everyone = list(range(1, args.customers + 1))
    seconds, scored = await batch(channels[0], everyone, 10_000)
    rows.append((f"BatchPredict of {len(everyone):,} ids", f"{seconds:.2f} s ({scored:,} scored)"))
    for channel in channels:
        await channel.close()
    return rows


async def eligible(channel: grpc.aio.Channel, customers: int) -> list[int]:
    """The ids from 1 to `customers` that can be scored."""
    request = messages.BatchPredictRequest(customer_ids=range(1, min(customers, 10_000) + 1))
    async for answer in PredictionServiceStub(channel).BatchPredict(iter([request])):
        failed = {error.index for error in answer.row_errors}
        return [one for index, one in enumerate(answer.customer_ids) if index not in failed]
    raise SystemExit("no answer to a BatchPredict")


def main() -> None:
    """Measures, prints, and writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--server", default="127.0.0.1:50051")
    parser.add_argument("--metrics", default="http://127.0.0.1:9464/metrics")
    parser.add_argument("--customers", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=8_000)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--out", type=Path, default=RESULTS / "serving.md")
    args = parser.parse_args()
    # Across a network the figures would be the network's.
    if not ipaddress.ip_address(args.server.rsplit(":", 1)[0]).is_loopback:
        parser.error("only a server on loopback is measured")
    rows = asyncio.run(measure(args))
    means = server_means(args.metrics)
    rows += [(f"`{name}`, mean", f"{value:.3f} ms") for name, value in sorted(means.items())]
    rows += [
        ("memory of the workers", f"{memory_mb('staunch_server.process.worker'):.0f} MB"),
        ("memory of the supervisor", f"{memory_mb('staunch run'):.0f} MB"),
        ("memory of PostgreSQL", f"{memory_mb('^postgres|bin/postgres '):.0f} MB"),
    ]
    lines = ["| what | figure |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in rows)]
    machine = f"{len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
    head = f"Measured {datetime.now(UTC):%Y-%m-%d} by `bench/serving.py` on {machine}."
    text = "\n".join(["# Serving", "", head, "", *lines, ""])
    print(text)
    args.out.write_text(text)


if __name__ == "__main__":
    main()
