"""Measures features in the request: packed rows one a call, beside an empty call, and a stream of them.

    .venv/bin/python -m bench.calls.packed --store .staunch/models  # once `make run` has trained one

A server of its own, in a process of its own, serves the store without a database: packed rows need none. The
light generator of `bench/generator` sends it random rows within what the model learned. An empty call is a
method that gives back its bytes, on the same adapter, in the same process and run, without the guard. Beside
one stream of full chunks stands onnxruntime alone: the same rows in one thread of this process.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
from bench.calls.cpu_a_call import generator, serving
from google.protobuf.struct_pb2 import NULL_VALUE
from numpy.typing import NDArray

from staunch.v1 import prediction_service_pb2 as messages
from staunch.v1.prediction_service_pb2_grpc import PredictionServiceStub
from staunch_model_store.manifest import Manifest
from staunch_model_store.model import LoadedModel
from staunch_model_store.store import ModelStore

PREDICT = "/staunch.v1.PredictionService/Predict"
METHODS = {"empty": "/bench.Empty/Empty", "packed": PREDICT, "by name": PREDICT}
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"

ROWS = 20_000
"""Different rows of the generator; equal ones cost as much here, but why trust it."""

CHUNK_ROWS = 2_000
"""Of the stream, below the 2,221 rows of 59 features that fit in a message."""


class Round(NamedTuple):
    """What one round gave: calls a second, µs of CPU a call of server and generator, and milliseconds."""

    rate: float
    server_us: float
    generator_us: float
    p50_ms: float
    p99_ms: float


def random_rows(manifest: Manifest, count: int) -> NDArray[np.float64]:
    """Rows within what the model learned, float64 (count, features): codes, ranges and nulls."""
    rng = np.random.default_rng(1)
    columns = []
    for feature in manifest.features:
        learned = feature.learned
        if learned is None or learned.minimum is None or learned.maximum is None:
            columns.append(np.full(count, np.nan if feature.nullable else 0.0))
            continue
        values = rng.uniform(learned.minimum, learned.maximum, count)
        column = rng.choice(learned.values, count) if learned.values else values
        if learned.null:
            column[rng.random(count) < 0.1] = np.nan
        columns.append(column)
    return np.column_stack(columns)


def packed(manifest: Manifest, values: NDArray[np.float64]) -> messages.PackedFeatures:
    """Rows as they travel."""
    return messages.PackedFeatures(values=values.ravel(), features_digest=manifest.features_digest)


def by_name(manifest: Manifest, row: NDArray[np.float64]) -> messages.PredictRequest:
    """The same row for people."""
    request = messages.PredictRequest()
    for name, value in zip(manifest.feature_names, row.tolist(), strict=True):
        entry = request.features.values[name]
        if value == value:
            entry.number_value = value
        else:
            entry.null_value = NULL_VALUE
    return request


def write_bodies(file: Path, requests: Iterator[messages.PredictRequest]) -> Path:
    """Writes messages as the generator reads them."""
    with file.open("wb") as out:
        for request in requests:
            raw = request.SerializeToString()
            out.write(len(raw).to_bytes(4, "big") + raw)
    return file


def load(pipe: Connection, command: list[str]) -> Round:
    """Asks one method; the server's CPU is that of all its threads."""

    def cpu_s() -> float:
        pipe.send("cpu")
        return float(pipe.recv())

    before = cpu_s()
    found: dict[str, Any] = json.loads(subprocess.check_output(command))
    server_us = 1e6 * (cpu_s() - before) / found["calls"]
    if set(found["statuses"]) != {"0"}:
        raise SystemExit(f"expected answers only, got statuses {found['statuses']}")
    return Round(found["rate"], server_us, found["own_cpu_us"], found["p50_ms"], found["p99_ms"])


def stream(port: int, manifest: Manifest, rows: NDArray[np.float64], seconds: float) -> float:
    """Streams chunks of rows for so many seconds; gives rows a second."""
    starts = range(0, len(rows), CHUNK_ROWS)
    chunks = [
        messages.BatchPredictRequest(packed_features=packed(manifest, rows[at : at + CHUNK_ROWS]))
        for at in starts
    ]
    until = time.monotonic() + seconds

    def requests() -> Iterator[messages.BatchPredictRequest]:
        while time.monotonic() < until:
            yield from chunks

    scored, started = 0, time.monotonic()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for answer in PredictionServiceStub(channel).BatchPredict(requests()):
            if answer.HasField("chunk_error") or answer.row_errors:
                raise SystemExit(f"expected scores, got {answer.chunk_error} {answer.row_errors[:1]}")
            scored += len(answer.probabilities)
    return scored / (time.monotonic() - started)


def run(model: LoadedModel, rows: NDArray[np.float64], seconds: float) -> float:
    """Runs the model over the same chunks in one thread; gives rows a second."""
    until, scored, started = time.monotonic() + seconds, 0, time.monotonic()
    while time.monotonic() < until:
        for at in range(0, len(rows), CHUNK_ROWS):
            scored += len(model.predict(rows[at : at + CHUNK_ROWS]).margins)
    return scored / (time.monotonic() - started)


def unary(
    args: argparse.Namespace, pipe: Connection, port: int, manifest: Manifest, rows: NDArray[np.float64]
) -> dict[str, Round]:
    """Runs the rounds of unary calls, which take turns; gives the medians by method."""
    requests = {
        "packed": (messages.PredictRequest(packed_features=packed(manifest, row)) for row in rows),
        "by name": (by_name(manifest, row) for row in rows[:5_000]),
    }
    with tempfile.TemporaryDirectory() as folder:
        files = {name: write_bodies(Path(folder) / name, each) for name, each in requests.items()}
        files["empty"] = files["packed"]

        def one(name: str, seconds: float) -> Round:
            command = [args.generator or generator(), "-address", f"127.0.0.1:{port}"]
            command += ["-path", METHODS[name], "-bodies", str(files[name]), "-seconds", str(seconds)]
            return load(pipe, [*command, "-callers", str(args.callers), "-connections", "8"])

        for name in args.methods:  # once before it counts
            one(name, 1)
        rounds = [[one(name, args.seconds) for name in args.methods] for _ in range(args.rounds)]
        if args.profile:
            pipe.send("profile")
            one(args.methods[-1], args.seconds)
            pipe.send("shown")
            pipe.recv()
    by_method = zip(*rounds, strict=True)
    medians = [Round(*map(statistics.median, zip(*each, strict=True))) for each in by_method]
    return dict(zip(args.methods, medians, strict=True))


def print_table(args: argparse.Namespace, transport: str, found: dict[str, Round]) -> None:
    """Prints what the calls of one transport gave."""
    print(f"\n{transport}, {args.callers} callers over 8 connections, medians of {args.rounds} rounds")
    print("| call | calls/s | of the empty call | server's CPU | generator's | p50 | p99 |")
    print("|---|---|---|---|---|---|---|")
    for name, each in found.items():
        share = each.rate / found["empty"].rate if "empty" in found else float("nan")
        print(
            f"| {name} | {each.rate:,.0f} | {share:.2f} | {each.server_us:.0f} µs | "
            f"{each.generator_us:.0f} µs | {each.p50_ms:.2f} ms | {each.p99_ms:.2f} ms |"
        )


def measure(args: argparse.Namespace, transport: str) -> None:
    """Measures one transport."""
    store = ModelStore(args.store)
    model = LoadedModel.load(store.read("churn", max(store.versions("churn"))))
    rows = random_rows(model.manifest, ROWS)
    # The process has an environment of its own, so that nothing of ours is left there.
    settings = {
        "STAUNCH_STORE": str(args.store),
        "STAUNCH_DATABASE_READER_URL": NOWHERE,
        "STAUNCH_TRANSPORT": transport,
    }
    with serving(settings) as (pipe, port):
        if args.methods:
            print_table(args, transport, unary(args, pipe, port, model.manifest, rows))
        ours, alone = [], []
        for _ in range(args.rounds if args.stream else 0):
            alone.append(run(model, rows, args.seconds / 2))
            ours.append(stream(port, model.manifest, rows, args.seconds))
    if ours:
        rate, floor = statistics.median(ours), statistics.median(alone)
        print(f"one stream: {rate:,.0f} rows/s, {rate / floor:.2f} of onnxruntime's own {floor:,.0f}")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, default=Path(".staunch/models"), help="where models are")
    parser.add_argument("--transports", nargs="+", choices=("aio", "native"), default=["native", "aio"])
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seconds", type=float, default=3, help="of a round")
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--generator", help="a built bench/generator; else it is built by Go")
    parser.add_argument("--profile", action="store_true", help="of the last method")
    parser.add_argument("--no-stream", dest="stream", action="store_false")
    args = parser.parse_args()
    for transport in args.transports:
        measure(args, transport)


if __name__ == "__main__":
    main()
