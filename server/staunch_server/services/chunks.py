"""The rows of a chunk: which there are, which can be scored by which values, and why the others cannot."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from staunch.v1.prediction_service_pb2 import BatchPredictRequest, BatchPredictRowError
from staunch_features.views.rules import canonical_id
from staunch_features.views.types import FeatureBatch
from staunch_server.errors import Reason, Refusal, Violation, field_invalid
from staunch_server.models.served import Served
from staunch_server.services.given import PACKED, bad_rows, packed_rows
from staunch_server.services.request import id_type_mismatch, no_time_beside
from staunch_server.statuses import clip
from staunch_server.transport.seam import MAX_MESSAGE_BYTES
from staunch_server.types import Floats, Id

MAX_CHUNK_ROWS = 10_000
"""The most ids, keys or rows of a chunk."""

ROW_MESSAGE_BYTES = 200
"""The longest message of a row: 10,000 of them with their keys stay below the 4 MiB that clients receive."""

_HEAD_BYTES = 256
"""What a message has beside its rows: the model's name, the digest, lengths."""

_LOG = logging.getLogger("staunch.batch")

Fetch = Callable[[Sequence[Id]], Awaitable[FeatureBatch]]
"""Reads the rows of valid ids."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The rows of a chunk before they are scored.

    Attributes:
        count: How many there are.
        places: Intp (n,), the rows that can be scored, by their place in the chunk.
        values: Float64 (n, features), by what they can be.
        errors: Why the others cannot, by place.
    """

    count: int
    places: NDArray[np.intp]
    values: Floats
    errors: Mapping[int, BatchPredictRowError]


async def read_chunk(served: Served, message: BatchPredictRequest, fetch: Fetch) -> Chunk:
    """Reads the rows of a chunk: those that it gives, or those of the ids and keys that it names.

    Raises:
        Refusal: CHUNK_EMPTY, CHUNK_TOO_LARGE, ID_TYPE_MISMATCH, FEATURES_MISMATCH, AS_OF_NOT_ALLOWED,
            FIELD_INVALID.
        DatabaseUnavailable, TimeoutError, ViewError: As `fetch` raises them.
    """
    if message.HasField(PACKED):
        return await _given(served, message)
    raw = _subjects(served, message)
    ids, valid = await asyncio.to_thread(_canonical, served.manifest.id_type, raw)
    errors = {
        int(place): row_error(int(place), Reason.CUSTOMER_ID_INVALID) for place in np.flatnonzero(~valid)
    }
    places = np.flatnonzero(valid)
    if not ids:
        return Chunk(len(raw), places, np.empty((0, len(served.columns))), errors)
    batch = await fetch(ids)
    good = batch.eligible.copy()
    good[list(batch.problems)] = False
    errors |= await asyncio.to_thread(_row_errors, served, batch, places)
    return Chunk(len(raw), places[good], batch.values[good], errors)


def refuse_beside_rows(served: Served, message: BatchPredictRequest) -> None:
    """Refuses what says something of customers to look up, beside rows that are given."""
    if message.HasField(PACKED) and message.HasField("as_of_time"):
        raise no_time_beside(served, PACKED)


def refuse_large(served: Served, message: BatchPredictRequest) -> None:
    """Refuses a message beyond 1 MiB, and says how many of its rows would fit.

    The transport takes more, so that this is said in words and by a reason.

    Raises:
        Refusal: CHUNK_TOO_LARGE.
    """
    # To tell the size exactly is to encode the message, which costs a fifth of scoring it.
    if _certainly_fits(message):
        return
    size = message.ByteSize()
    if size > MAX_MESSAGE_BYTES:
        field, count = rows_of(served, message)
        fit = min(MAX_CHUNK_ROWS, count * (MAX_MESSAGE_BYTES - _HEAD_BYTES) // size)
        raise _too_large(
            field, count, fit, f" in {size} bytes, of which a message may have {MAX_MESSAGE_BYTES}"
        )


def _certainly_fits(message: BatchPredictRequest) -> bool:
    texts = len(message.customer_keys) or len(message.model) + len(message.language_code) > _HEAD_BYTES // 4
    numbers = 8 * len(message.packed_features.values) + 11 * len(message.customer_ids)
    return not texts and numbers <= MAX_MESSAGE_BYTES - _HEAD_BYTES


def rows_of(served: Served, message: BatchPredictRequest) -> tuple[str, int]:
    """Returns the field that the rows of a message stand in, and how many there are."""
    if message.HasField(PACKED):
        return PACKED, len(message.packed_features.values) // len(served.columns)
    ids, keys = len(message.customer_ids), len(message.customer_keys)
    return "customer_keys" if keys else "customer_ids", ids + keys


def row_error(index: int, reason: Reason, message: str = "") -> BatchPredictRowError:
    """Returns why one row has no score."""
    return BatchPredictRowError(index=index, code=reason.code, reason=reason.name, message=message)


async def _given(served: Served, message: BatchPredictRequest) -> Chunk:
    """Reads rows of packed features; one with a bad value fails alone."""
    refuse_beside_rows(served, message)
    values = packed_rows(served, message.packed_features)
    _check_count(PACKED, len(values))
    _check_names(message, len(values))
    refused = await asyncio.to_thread(bad_rows, served, values)
    errors = {
        place: row_error(place, refusal.reason, clip(refusal.message, ROW_MESSAGE_BYTES))
        for place, refusal in refused.items()
    }
    good = np.delete(np.arange(len(values)), list(errors)) if errors else np.arange(len(values))
    return Chunk(len(values), good, values[good] if errors else values, errors)


def _subjects(served: Served, message: BatchPredictRequest) -> Sequence[Id]:
    """The ids or keys of a chunk, of the kind that the view takes."""
    given: dict[str, Sequence[Id]] = {
        "customer_ids": message.customer_ids,
        "customer_keys": message.customer_keys,
    }
    id_type = served.manifest.id_type
    field = "customer_ids" if id_type == "int64" else "customer_keys"
    wanted = given.pop(field)
    for other, values in given.items():
        if values:
            raise id_type_mismatch(id_type, other)
    _check_count(field, len(wanted))
    return list(wanted)


def _check_count(field: str, count: int) -> None:
    """Refuses a chunk without rows, and one of more than there may be in any."""
    if not count:
        text = f"Expected 1 to {MAX_CHUNK_ROWS} {_noun(field)}, got none."
        facts = {"field": field, "limit": str(MAX_CHUNK_ROWS)}
        raise Refusal(Reason.CHUNK_EMPTY, text, [Violation(field, "is empty")], metadata=facts)
    if count > MAX_CHUNK_ROWS:
        raise _too_large(field, count, MAX_CHUNK_ROWS)


def _too_large(field: str, count: int, limit: int, size: str = "") -> Refusal:
    text = f"Expected 1 to {limit} {_noun(field)}, got {count}{size}; send several chunks."
    facts = {"field": field, "limit": str(limit), "count": str(count)}
    return Refusal(Reason.CHUNK_TOO_LARGE, text, [Violation(field, "is too long")], metadata=facts)


def _noun(field: str) -> str:
    return f"rows of {field}" if field == PACKED else field


def _check_names(message: BatchPredictRequest, rows: int) -> None:
    """Refuses ids or keys beside rows that do not name one of each."""
    counts = {"customer_ids": len(message.customer_ids), "customer_keys": len(message.customer_keys)}
    named = {field: count for field, count in counts.items() if count}
    for field, count in named.items():
        if count != rows or len(named) > 1:
            expected = f"{rows} ids or {rows} keys beside as many rows, or neither"
            got = " and ".join(f"{count} {field}" for field, count in named.items())
            wrong = Violation(field, "does not name each row once")
            raise field_invalid(f"Expected {expected}, got {got}.", wrong, expected=expected, got=got)


def _canonical(id_type: str, raw: Sequence[Id]) -> tuple[list[Id], NDArray[np.bool_]]:
    """The canonical forms of the valid ids, and which of the raw ones are valid: bool (n,)."""
    ids: list[Id] = []
    valid = np.ones(len(raw), dtype=np.bool_)
    for place, one in enumerate(raw):
        try:
            ids.append(canonical_id(id_type, one))
        except ValueError:
            valid[place] = False
    return ids, valid


def _row_errors(
    served: Served, batch: FeatureBatch, places: NDArray[np.intp]
) -> dict[int, BatchPredictRowError]:
    """Why rows have no score, by their place in the chunk; what is wrong with one alone is said in words."""
    reasons = {int(places[row]): Reason.CUSTOMER_NOT_ELIGIBLE for row in np.flatnonzero(~batch.eligible)}
    reasons |= {int(places[row]): Reason.CUSTOMER_NOT_FOUND for row in np.flatnonzero(~batch.found)}
    errors = {place: row_error(place, reason) for place, reason in reasons.items()}
    for row, problem in batch.problems.items():
        message, place = str(served.view_error(problem)), int(places[row])
        errors[place] = row_error(place, Reason.MODEL_REFUSED, clip(message, ROW_MESSAGE_BYTES))
    if batch.problems:  # one line a chunk: a broken feed makes ten thousand bad rows
        first = served.view_error(next(iter(batch.problems.values()))).for_log
        _LOG.warning("%d rows of a chunk have no score, the first since %s", len(batch.problems), first)
    return errors
