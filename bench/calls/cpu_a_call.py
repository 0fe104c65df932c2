"""Measures what a call costs server and database in CPU, beside an empty call in the same process and run.

    make run                                    # in one terminal: brings database and model
    .venv/bin/python -m bench.calls.cpu_a_call  # in another, from the same folder; it builds by Go

A server of its own, in a process of its own, serves the models of that folder over its database. Beside
Predict it has a method that gives back its bytes, on the same adapter and without the guard: the empty call.
Rounds of each take turns. CPU is that of the server's process and of PostgreSQL's, so other work on the
machine moves it less than it moves rates. `--profile` prints where the Python of one round spends its time.
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
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import grpc
import uvloop
from prometheus_client import CollectorRegistry

from staunch.v1 import prediction_service_pb2 as messages
from staunch.v1.prediction_service_pb2_grpc import PredictionServiceStub
from staunch_server.process.server import Server, _transport
from staunch_server.process.worker import settle_memory
from staunch_server.settings import load_settings
from staunch_server.transport.seam import Call, Service

METHODS = {
    "empty": "/bench.Empty/Empty",
    "predict": "/staunch.v1.PredictionService/Predict",
    "explain": "/staunch.v1.PredictionService/Explain",
}

_TICKS = os.sysconf("SC_CLK_TCK")


class Round(NamedTuple):
    """What one round of a method cost and gave: µs of CPU a call, calls a second, and milliseconds."""

    server_us: float
    database_us: float
    generator_us: float
    rate: float
    p50_ms: float
    p99_ms: float


def give_back(raw: bytes, call: Call) -> None:
    """The empty call."""
    call.reply(raw)


async def serve(pipe: Connection) -> None:
    """Serves until told to end; answers "cpu" by the seconds of CPU so far, "profile" by starting one."""
    settings = load_settings()
    settle_memory()  # as a worker does
    server = Server(settings, CollectorRegistry())
    services = [
        *server.services,
        Service("bench.Empty", unary={"Empty": give_back}),
    ]
    server.transport = _transport(settings, services, server.guard, shared_port=False)
    await server.start()
    pipe.send(server.port)
    profile = cProfile.Profile(time.thread_time)  # what waits costs nothing
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


def serve_in_process(pipe: Connection, settings: Mapping[str, str]) -> None:
    """Runs `serve` in this process, by these variables of the environment."""
    os.environ |= {"STAUNCH_PORT": "0", **settings}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(pipe))


@contextmanager
def serving(settings: Mapping[str, str]) -> Iterator[tuple[Connection, int]]:
    """Serves for the block, by these variables; gives how to ask the process, and its port."""
    spawn = multiprocessing.get_context("spawn")  # forked with gRPC in it a process would hang
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=serve_in_process, args=(theirs, settings))
    process.start()
    try:
        yield ours, ours.recv()
    finally:
        ours.send("end")
        process.join(10)


def reader_url(state: Path) -> str:
    """The URL of the reader of this folder's PostgreSQL."""
    return str(json.loads((state / "database.json").read_text())["reader"])


def postgres_cpu_s(state: Path) -> float:
    """The seconds of CPU that every process of this folder's PostgreSQL has used, ended ones too."""
    port = urlsplit(reader_url(state)).port
    stats, first = {}, 0
    for each in Path("/proc").glob("[0-9]*"):
        try:
            fields = (each / "stat").read_text().rpartition(")")[2].split()
            command = (each / "cmdline").read_text()
        except OSError:  # ended meanwhile
            continue
        stats[int(each.name)] = (int(fields[1]), [int(one) for one in fields[11:15]])
        if f"--port={port}\0" in command:
            first = int(each.name)
    ticks = sum(stats[first][1])  # its children that ended too
    ticks += sum(sum(times) for parent, times in stats.values() if parent == first)
    return ticks / _TICKS


def eligible(port: int, customers: int) -> list[int]:
    """The ids from 1 to `customers` that can be scored."""
    ids = range(1, customers + 1)
    chunks = (ids[at : at + 10_000] for at in range(0, customers, 10_000))
    found = []
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        requests = (messages.BatchPredictRequest(customer_ids=chunk) for chunk in chunks)
        for answer in PredictionServiceStub(channel).BatchPredict(requests):
            failed = {error.index for error in answer.row_errors}
            found += [one for index, one in enumerate(answer.customer_ids) if index not in failed]
    return found


def write_bodies(folder: str, known: list[int]) -> Path:
    """Writes messages that ask for random customers: equal ones would share a row and flatter the figure."""
    file = Path(folder) / "bodies"
    with file.open("wb") as out:
        for one in random.Random(1).choices(known, k=50_000):
            raw = messages.PredictRequest(customer_id=one).SerializeToString()  # as that of Explain
            out.write(len(raw).to_bytes(4, "big") + raw)
    return file


def generator() -> str:
    """Builds the generator if need be; returns its path."""
    built = subprocess.run(["sh", "scripts/generator"], check=False, capture_output=True, text=True)
    if built.returncode:
        raise SystemExit(built.stderr.strip())
    return built.stdout.strip()


def load(program: str, args: argparse.Namespace, port: int, name: str, seconds: float) -> dict[str, Any]:
    """Asks one method for so many seconds."""
    command = [program, "-address", f"127.0.0.1:{port}", "-path", METHODS[name], "-bodies", str(args.bodies)]
    command += ["-callers", str(args.callers), "-connections", str(min(args.connections, args.callers))]
    found: dict[str, Any] = json.loads(subprocess.check_output([*command, "-seconds", str(seconds)]))
    if set(found["statuses"]) != {"0"}:
        raise SystemExit(f"expected answers only, got statuses {found['statuses']} of {name}")
    return found


def measure(args: argparse.Namespace, pipe: Connection, port: int) -> dict[str, list[Round]]:
    """Runs the rounds."""
    program = generator()

    def cpu_s() -> tuple[float, float]:
        pipe.send("cpu")
        return float(pipe.recv()), postgres_cpu_s(args.state)

    def one(name: str) -> Round:
        server, database = cpu_s()
        found = load(program, args, port, name, args.seconds)
        server_then, database_then = cpu_s()
        return Round(
            1e6 * (server_then - server) / found["calls"],
            1e6 * (database_then - database) / found["calls"],
            *(found[figure] for figure in ("own_cpu_us", "rate", "p50_ms", "p99_ms")),
        )

    for name in args.methods:
        load(program, args, port, name, 1)
    rounds = [[one(name) for name in args.methods] for _ in range(args.rounds)]
    return dict(zip(args.methods, map(list, zip(*rounds, strict=True)), strict=True))


def print_table(found: dict[str, list[Round]]) -> None:
    """Prints medians of the rounds, and the ratios to the empty call."""
    print("| call | server's CPU | with PostgreSQL | generator's | calls/s | p50 | p99 |")
    print("|---|---|---|---|---|---|---|")
    rates = {}
    for name, rounds in found.items():
        each = Round(*(statistics.median(column) for column in zip(*rounds, strict=True)))
        rates[name] = each.rate
        both = each.server_us + each.database_us
        costs = " | ".join(f"{one:.0f} µs" for one in (each.server_us, both, each.generator_us))
        print(f"| {name} | {costs} | {each.rate:,.0f} | {each.p50_ms:.2f} ms | {each.p99_ms:.2f} ms |")
    first = next(iter(rates))
    print(
        "rate, against", first + ":", ", ".join(f"{name} {rates[name] / rates[first]:.2f}" for name in rates)
    )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--state", type=Path, default=Path(".staunch"), help="the folder of a running server")
    parser.add_argument("--transport", choices=("aio", "native"), default="aio")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["empty", "predict"])
    parser.add_argument("--customers", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=3, help="of a round")
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    # The process has an environment of its own, so that nothing of ours is left there.
    settings = {
        "STAUNCH_DATABASE_READER_URL": reader_url(args.state),
        "STAUNCH_STATE_FOLDER": str(args.state),
        "STAUNCH_TRANSPORT": args.transport,
    }
    with serving(settings) as (pipe, port), tempfile.TemporaryDirectory() as folder:
        args.bodies = write_bodies(folder, eligible(port, args.customers))
        print_table(measure(args, pipe, port))
        if args.profile:
            pipe.send("profile")
            load(generator(), args, port, args.methods[-1], args.seconds)
            pipe.send("shown")
            pipe.recv()


if __name__ == "__main__":
    main()
