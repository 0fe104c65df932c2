"""Measures what a Predict costs the server in CPU, beside an empty call in the same process and run.

    make run                              # in one terminal: brings database and model
    .venv/bin/python bench/cpu_a_call.py  # in another, from the same folder

A server of its own, in a process of its own, serves the models of that folder over its database. Beside
Predict it has a method that gives back its bytes, on the same adapter and without the guard: the empty call.
Rounds of either take turns. CPU is that of the server's process, so other work on the machine moves it less
than it moves rates. `--profile` prints where the Python of one round of Predict spends its time.
"""

import argparse
import asyncio
import cProfile
import json
import multiprocessing
import os
import pstats
import random
import resource
import statistics
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path

import grpc
import uvloop
from prometheus_client import CollectorRegistry

from staunch.v1 import prediction_service_pb2 as messages
from staunch.v1.prediction_service_pb2_grpc import PredictionServiceStub
from staunch_server.process.server import Server, _services, _transport
from staunch_server.process.worker import settle_memory
from staunch_server.settings import load_settings
from staunch_server.transport.seam import Call, Service

EMPTY = "/bench.Empty/Empty"
PREDICT = "/staunch.v1.PredictionService/Predict"


def give_back(raw: bytes, call: Call) -> None:
    """The empty call."""
    call.reply(raw)


async def serve(pipe: Connection) -> None:
    """Serves until told to end; answers "cpu" by the seconds of CPU so far, "profile" by starting one."""
    settings = load_settings()
    settle_memory()  # as a worker does
    server = Server(settings, CollectorRegistry())
    services = [
        *_services(server.guard, server.registry, server.explainers, settings),
        Service("bench.Empty", unary={"Empty": give_back}),
    ]
    server.transport = _transport(settings, services, server.guard, shared_port=False)
    await server.start()
    pipe.send(server.port)
    profile = cProfile.Profile()
    loop = asyncio.get_running_loop()
    while (asked := await loop.run_in_executor(None, pipe.recv)) != "end":
        if asked == "cpu":
            used = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send(used.ru_utime + used.ru_stime)
        elif asked == "profile":
            profile.enable()
        else:
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(45)
            pipe.send(None)
    await server.transport.stop(0)
    await server.close()


def serve_in_process(pipe: Connection, transport: str, state: Path) -> None:
    """Runs `serve` in this process."""
    reader = json.loads((state / "database.json").read_text())["reader"]
    os.environ |= {
        "STAUNCH_DATABASE_READER_URL": reader,
        "STAUNCH_STATE_FOLDER": str(state),
        "STAUNCH_TRANSPORT": transport,
        "STAUNCH_PORT": "0",
    }
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(pipe))


async def together(call: Callable[[int], Awaitable[object]], callers: int, total: int) -> float:
    """Asks `total` times from so many callers at once; calls a second."""
    left = iter(range(total))

    async def caller() -> None:
        for index in left:
            await call(index)

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return total / (time.perf_counter() - started)


async def eligible(channel: grpc.aio.Channel, customers: int) -> list[int]:
    """The ids from 1 to `customers`, at most 10,000, that can be scored."""
    request = messages.BatchPredictRequest(customer_ids=range(1, customers + 1))
    async for answer in PredictionServiceStub(channel).BatchPredict(iter([request])):
        failed = {error.index for error in answer.row_errors}
        return [one for index, one in enumerate(answer.customer_ids) if index not in failed]
    raise SystemExit("no answer to a BatchPredict")


async def measure(args: argparse.Namespace, pipe: Connection) -> None:
    """Runs the rounds and prints the table."""
    port = pipe.recv()
    channels = [
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])
        for _ in range(args.connections)
    ]
    known = await eligible(channels[0], args.customers)
    # Random customers: equal ones would share a row of a batch and flatter the figure.
    bodies = [
        messages.PredictRequest(customer_id=one).SerializeToString()
        for one in random.Random(1).choices(known, k=args.calls)
    ]
    found: dict[str, list[tuple[float, float]]] = {EMPTY: [], PREDICT: []}

    def asking(path: str) -> Callable[[int], Awaitable[object]]:
        calls: list[grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]]
        calls = [channel.unary_unary(path) for channel in channels]
        return lambda index: calls[index % len(calls)](bodies[index])

    def cpu_s() -> float:
        pipe.send("cpu")
        return float(pipe.recv())

    for path in found:
        await together(asking(path), args.callers, args.calls // 4)
    for _ in range(args.rounds):
        for path, each in found.items():
            before = cpu_s()
            rate = await together(asking(path), args.callers, args.calls)
            each.append((1e6 * (cpu_s() - before) / args.calls, rate))
    print_table(found)
    if args.profile:
        pipe.send("profile")
        await together(asking(PREDICT), args.callers, args.calls)
        pipe.send("shown")
        pipe.recv()


def print_table(found: dict[str, list[tuple[float, float]]]) -> None:
    """Prints medians of the rounds, and their ratios."""
    cpu = {path: statistics.median(one for one, _ in each) for path, each in found.items()}
    rate = {path: statistics.median(one for _, one in each) for path, each in found.items()}
    print("| call | server's CPU a call | calls/s |\n|---|---|---|")
    for path in found:
        print(f"| {path} | {cpu[path]:.0f} µs | {rate[path]:,.0f} |")
    print(f"\nCPU of Predict / empty {cpu[PREDICT] / cpu[EMPTY]:.2f}, rate {rate[PREDICT] / rate[EMPTY]:.2f}")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--state", type=Path, default=Path(".staunch"), help="the folder of a running server")
    parser.add_argument("--transport", choices=("aio", "native"), default="aio")
    parser.add_argument("--customers", type=int, default=5_000)
    parser.add_argument("--calls", type=int, default=6_000, help="of each kind in a round")
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")  # forked with gRPC in it a process would hang
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=serve_in_process, args=(theirs, args.transport, args.state))
    process.start()
    try:
        asyncio.run(measure(args, ours))
    finally:
        ours.send("end")
        process.join(10)


if __name__ == "__main__":
    main()
