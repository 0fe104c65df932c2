"""Writes whom ghz asks for: everyone eligible in a random order, a Zipf list, chunks of a stream."""

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import grpc

from staunch.v1 import prediction_service_pb2 as messages
from staunch.v1.prediction_service_pb2_grpc import PredictionServiceStub

CHUNK_ROWS = 2_000
"""Of a chunk: what `staunch score` sends."""

ZIPF_CALLS = 20_000
"""The calls of the Zipf list before it begins again."""

ELIGIBLE = "eligible.txt"
"""The file of those who can be scored, one a line."""

LIST_FIELDS = {"customerId": "customerIds", "customerKey": "customerKeys"}
"""The field of a chunk by the field of a single call, both as JSON has them."""


def candidates(file: Path | None, customers: int) -> list[str]:
    """Returns whom to ask the server for: the lines of a file, or the ids from 1 on."""
    if file is None:
        return [str(one) for one in range(1, customers + 1)]
    return [line.strip() for line in file.read_text().splitlines() if line.strip()]


def field_of(customers: Sequence[str]) -> str:
    """Returns the field of a request that names these: an id if all are numbers, else a key."""
    numbers = all(one.isascii() and one.isdigit() for one in customers)
    return "customerId" if numbers else "customerKey"


def eligible(server: str, customers: Sequence[str], timeout_s: float = 60) -> list[str]:
    """Asks a server which customers it scores today.

    Args:
        server: Its address, as in "127.0.0.1:50051".
        customers: Ids or keys.
        timeout_s: For all of them, in seconds.

    Raises:
        ConnectionError: No server answers there, or it refuses a chunk.
    """
    found: list[str] = []
    try:
        with grpc.insecure_channel(server) as channel:
            requests = (_chunk(each) for each in _cut(customers))
            for answer in PredictionServiceStub(channel).BatchPredict(requests, timeout=timeout_s):
                if answer.HasField("chunk_error"):
                    raise ConnectionError(f"{server} refused a chunk: {answer.chunk_error.message}")
                failed = {error.index for error in answer.row_errors}
                rows = answer.customer_ids or answer.customer_keys
                found += [str(one) for index, one in enumerate(rows) if index not in failed]
    except grpc.RpcError as error:
        raise ConnectionError(f"no answer from {server}: {error.code().name}: {error.details()}") from error
    return found


def write(folder: Path, customers: Sequence[str], seed: int = 1) -> None:
    """Writes the lists that the profiles name, and the eligible ones by themselves.

    Args:
        folder: Where to; made if it is not there.
        customers: Those who can be scored.
        seed: Of order and draws, so that two runs ask alike.
    """
    draw = random.Random(seed)
    field = field_of(customers)
    # Neighbours of a table share its pages, and an order by id would flatter the cache.
    shuffled = draw.sample(customers, len(customers))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ELIGIBLE).write_text("".join(f"{one}\n" for one in customers))
    _write(folder / "one.json", ({field: one} for one in shuffled))
    _write(folder / "zipf.json", ({field: one} for one in zipf(shuffled, ZIPF_CALLS, draw)))
    _write(folder / "chunks.json", ({LIST_FIELDS[field]: each} for each in _cut(shuffled)))


def zipf(customers: Sequence[str], calls: int, draw: random.Random) -> list[str]:
    """Draws customers by Zipf's law: the second half as often as the first, the third a third as often."""
    return draw.choices(customers, weights=[1 / rank for rank in range(1, len(customers) + 1)], k=calls)


def _cut(customers: Sequence[str]) -> Iterator[Sequence[str]]:
    return (customers[start : start + CHUNK_ROWS] for start in range(0, len(customers), CHUNK_ROWS))


def _chunk(customers: Sequence[str]) -> messages.BatchPredictRequest:
    if field_of(customers) == "customerId":
        return messages.BatchPredictRequest(customer_ids=[int(one) for one in customers])
    return messages.BatchPredictRequest(customer_keys=customers)


def _write(file: Path, rows: Iterable[dict[str, object]]) -> None:
    # An id is a text: the JSON of protobuf has int64 so, and ghz reads a number as a float.
    file.write_text(json.dumps(list(rows)))
