"""Rows of features that are packed, and how they travel; no I/O."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from staunch.v1 import prediction_service_pb2 as pb

_MESSAGE_BYTES = 2**20  # of a chunk, by the contract
_HEAD_BYTES = 1024  # what a message has beside its rows, at most: names, digest, language


class PackedRow(NamedTuple):
    """One row of features, packed: what `predict` and `explain` take as `features`, and a batch row by row.

    Attributes:
        values: Little-endian float64 in the order of the schema; NaN is a missing value.
        features_digest: Of the schema.
        customer: What a batch calls the row in its answer; it is not sent.
    """

    values: bytes
    features_digest: str
    customer: int | str = 0


@dataclass(frozen=True, slots=True)
class PackedRows:
    """Rows of features, packed: what `batch_predict` takes in place of ids.

    Attributes:
        values: As in `PackedRow`, row after row.
        features_digest: Of the schema.
        width: How many features a row has.
        customers: What to call the rows in the answers; the number of each from 0 if none are given.
    """

    values: bytes
    features_digest: str
    width: int
    customers: Sequence[int | str] = ()

    def __len__(self) -> int:
        return len(self.values) // (8 * self.width)

    def __iter__(self) -> Iterator[PackedRow]:
        size, digest = 8 * self.width, self.features_digest
        for place, customer in enumerate(self.customers or range(len(self))):
            yield PackedRow(self.values[place * size : (place + 1) * size], digest, customer)


def features_digest(names: Iterable[str]) -> str:
    """Digests the ordered names and types as the server does: every feature is a number yet."""
    text = json.dumps([[name, "number"] for name in names], separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def message(rows: Sequence[PackedRow]) -> pb.PackedFeatures:
    """Returns rows of one schema as they travel.

    Parsed from bytes, since those are at hand: protobuf takes numbers one by one, which is 8 ms for a full
    message where this is 0.1.
    """
    values = b"".join([row.values for row in rows])
    digest = rows[0].features_digest.encode()
    return pb.PackedFeatures.FromString(
        b"".join((b"\x0a", _varint(len(values)), values, b"\x12", _varint(len(digest)), digest))
    )


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def chunks(rows: Sequence[object]) -> Iterator[tuple[list[int | str], pb.BatchPredictRequest]]:
    """Yields rows in as many chunks as they need, each with what its rows are called.

    Raises:
        TypeError: One is no packed row.
        ValueError: They are of several schemas.
    """
    packed = [row for row in rows if isinstance(row, PackedRow)]
    if len(packed) < len(rows):
        other = next(row for row in rows if not isinstance(row, PackedRow))
        raise TypeError(f"expected ids or packed rows, got both in one batch: {other!r} beside rows")
    if len({(row.features_digest, len(row.values)) for row in packed}) > 1:
        raise ValueError("expected the rows of a batch packed by one schema, got several")
    most = (_MESSAGE_BYTES - _HEAD_BYTES) // len(packed[0].values)
    for start in range(0, len(packed), most):
        part = packed[start : start + most]
        yield [row.customer for row in part], pb.BatchPredictRequest(packed_features=message(part))
