"""BatchPredict: a stream of chunks, each answered once and in order, by one version and as of one moment."""

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from staunch.v1.prediction_service_pb2 import (
    BatchPredictChunkError,
    BatchPredictRequest,
    BatchPredictResponse,
    BatchPredictRowError,
    FieldViolation,
    RowExplanation,
)
from staunch_features.errors import DatabaseUnavailable, FeatureError
from staunch_features.views.types import FeatureBatch
from staunch_model_store.errors import ModelStoreError
from staunch_model_store.model import not_adding_up
from staunch_server.deadlines import Deadline
from staunch_server.errors import OPERATORS_CODES, Reason, Refusal, refusal_of
from staunch_server.models.reasons import Explainers
from staunch_server.models.registry import Registry
from staunch_server.models.served import Served
from staunch_server.services import parts, row_explanations
from staunch_server.services.answer import reference, risk_bands, timestamp
from staunch_server.services.chunks import (
    ROW_MESSAGE_BYTES,
    read_chunk,
    refuse_beside_rows,
    refuse_large,
    row_error,
    rows_of,
)
from staunch_server.services.given import PACKED
from staunch_server.services.parts import Turns
from staunch_server.services.request import moment, utc
from staunch_server.services.row_explanations import ScoredRows, Wanted, changed_in_stream
from staunch_server.statuses import clip, retry_delay, shortened
from staunch_server.transport.seam import Call
from staunch_server.types import Floats, Id, Stages, timed

CHUNKS_IN_FLIGHT = 2
"""Chunks of one stream in hand; then its next message is not read before an answer has gone out."""

_LOG = logging.getLogger("staunch.batch")

Requests = AsyncIterator[BatchPredictRequest | Refusal]


@dataclass(frozen=True, slots=True)
class _Stream:
    """What the first message fixed for the whole stream.

    Attributes:
        first: Which message that was.
        served: The version that answers.
        as_of: The moment, UTC.
        model: The first message's model, as it was written.
        asked: The first message's time, or None.
        wanted: What reasons of each row.
        deadline: The caller's, or None.
        stages: What the steps of all chunks took together.
    """

    first: int
    served: Served
    as_of: datetime
    model: str
    asked: datetime | None
    wanted: Wanted
    deadline: Deadline | None
    stages: Stages


class BatchPredictServicer:
    """Answers BatchPredict on connections of its own, so that a long stream starves no Predict.

    Args:
        registry: The versions that answer.
        explainers: What explains their rows.
        turns: When streams may read from the database, and how much at once.
        timeout_s: Seconds that the queries of a chunk may take.
    """

    def __init__(self, registry: Registry, explainers: Explainers, *, turns: Turns, timeout_s: float) -> None:
        self._registry = registry
        self._explainers = explainers
        # Waiting for a turn is no fault of the database, so it happens here and not in the pool.
        self._turns = turns
        self._timeout_s = timeout_s

    async def batch_predict(
        self, requests: Requests, call: Call
    ) -> AsyncGenerator[BatchPredictResponse, None]:
        """Scores a stream of chunks; a chunk or row that fails says so in its place, and the stream goes on.

        Args:
            requests: The messages; a Refusal stands for one that is malformed.
            call: The stream's.

        Raises:
            Refusal, ModelStoreError: Of the first message, whose model and moment the stream needs.
        """
        answers: asyncio.Queue[asyncio.Task[BatchPredictResponse] | None] = asyncio.Queue()
        slots = asyncio.Semaphore(CHUNKS_IN_FLIGHT)
        reading = asyncio.create_task(self._read(requests, call, answers, slots))
        try:
            while (answering := await answers.get()) is not None:
                yield await answering
                slots.release()
            await reading
        finally:
            await _cancel(reading)
            while not answers.empty():
                await _cancel(answers.get_nowait())

    async def _read(
        self,
        requests: Requests,
        call: Call,
        answers: asyncio.Queue[asyncio.Task[BatchPredictResponse] | None],
        slots: asyncio.Semaphore,
    ) -> None:
        """Reads a message whenever a slot is free, and begins its answer; None after the last."""
        stream: _Stream | None = None
        try:
            for index in itertools.count():
                await slots.acquire()
                message = await anext(requests, None)
                if message is None:
                    return
                if stream is None and not isinstance(message, Refusal):
                    stream = await self._open(index, message, call)
                answers.put_nowait(asyncio.create_task(self._answer(stream, index, message)))
        finally:
            answers.put_nowait(None)

    async def _open(self, index: int, message: BatchPredictRequest, call: Call) -> _Stream:
        served = await self._registry.resolve(message.model, call.deadline or Deadline.after(self._timeout_s))
        call.model = served.name
        refuse_beside_rows(served, message)
        given = message.HasField("as_of_time")
        as_of = moment(served, message.as_of_time) if given else None
        asked = utc(message.as_of_time) if given else None
        return _Stream(
            first=index,
            served=served,
            as_of=as_of or datetime.now(UTC),
            model=message.model,
            asked=asked,
            wanted=row_explanations.wanted(served, message),
            deadline=call.deadline,
            stages=call.stages,
        )

    async def _answer(
        self, stream: _Stream | None, index: int, message: BatchPredictRequest | Refusal
    ) -> BatchPredictResponse:
        """Answers one chunk, by its chunk_error if all of it failed."""
        response = BatchPredictResponse(chunk_index=index)
        try:
            if isinstance(message, Refusal):
                raise message
            if stream is not None:  # what is too large is not sent back either
                refuse_large(stream.served, message)
            response.customer_ids.extend(message.customer_ids)
            response.customer_keys.extend(message.customer_keys)
            if stream is not None:
                await self._fill(response, stream, message)
        except (Refusal, FeatureError, ModelStoreError, TimeoutError) as error:
            response.ClearField("explanations")
            _fail(response, stream, error)
            if stream is not None and not isinstance(message, Refusal):
                stream.served.count(scored=0, failed=rows_of(stream.served, message)[1])
        if stream is not None:  # Only malformed messages come before there is one.
            is_given = not isinstance(message, Refusal) and message.HasField(PACKED)
            _address(response, stream, is_given=is_given)
        return response

    async def _fill(
        self, response: BatchPredictResponse, stream: _Stream, message: BatchPredictRequest
    ) -> None:
        _refuse_change(stream, message)
        served = stream.served
        chunk = await read_chunk(served, message, partial(self._fetch, stream))
        errors = dict(chunk.errors)
        probabilities = np.full(chunk.count, np.nan)
        if stream.wanted.count:  # whoever gets no reasons keeps an empty place among them
            response.explanations.extend([RowExplanation()] * chunk.count)
        if len(chunk.places):
            with timed(stream.stages, "onnx"):
                scores = await served.score(chunk.values)
            probabilities[chunk.places] = scores.probabilities
            flagged = chunk.places[await served.flagged(chunk.values)].tolist()
            if stream.wanted.count:
                rows = ScoredRows(chunk.places, chunk.values, scores.margins)
                errors |= await self._explain(response, stream, rows)
                probabilities[list(errors)] = np.nan
            response.flagged_rows.extend(place for place in flagged if place not in errors)
        served.count(scored=chunk.count - len(errors), failed=len(errors))
        # In threads, as all that grows with the rows: on the loop it would hold up every other call.
        await asyncio.to_thread(_write, response, probabilities, served.bands(probabilities), errors)

    async def _explain(
        self, response: BatchPredictResponse, stream: _Stream, rows: ScoredRows
    ) -> dict[int, BatchPredictRowError]:
        """Explains scored rows in their places; gives the errors of those that do not add up."""
        slices = self._explainers.explain(
            stream.served, rows.values, rows.outputs, stream.wanted.count, stream.deadline
        )
        with timed(stream.stages, "explain"):
            missed = await row_explanations.write(response.explanations, slices, rows)
        if missed:  # one line a chunk: it is the explainer that is wrong, and not the row
            first = not_adding_up(next(iter(missed.values())))
            _LOG.error(
                "%s: %d rows of a chunk are not explained, the first since %s",
                stream.served.name,
                len(missed),
                first,
            )
        return {
            place: row_error(place, Reason.MODEL_REFUSED, clip(str(not_adding_up(error)), ROW_MESSAGE_BYTES))
            for place, error in missed.items()
        }

    async def _fetch(self, stream: _Stream, ids: Sequence[Id]) -> FeatureBatch:
        own: Stages = {}  # of this chunk, whose stream may have another in hand

        async def rows(some: Sequence[Id]) -> FeatureBatch:
            with timed(own, "sql"):
                return await self._rows(stream, some)

        try:
            with timed(own, "all"):
                batch = await parts.read(ids, self._turns, rows)
        finally:
            sql_s = own.get("sql", 0.0)
            for stage, took_s in (("sql", sql_s), ("queue", own["all"] - sql_s)):
                stream.stages[stage] = stream.stages.get(stage, 0.0) + took_s
        stream.served.chunk_read(len(ids), sql_s)
        return batch

    async def _rows(self, stream: _Stream, ids: Sequence[Id]) -> FeatureBatch:
        caller = stream.deadline
        deadline = Deadline.after(self._timeout_s) if caller is None else caller.within(self._timeout_s)
        try:
            return await stream.served.read_chunk(ids, stream.as_of, deadline)
        except TimeoutError as error:
            if deadline == caller:  # the stream's time is over, which is no fault of the database
                raise
            message = f"expected a chunk's rows within {self._timeout_s:g} s, got none"
            raise DatabaseUnavailable(message) from error


def _address(response: BatchPredictResponse, stream: _Stream, *, is_given: bool) -> None:
    """Says what answered, and on the first answer what all explanations share; rows given have no moment."""
    response.model.CopyFrom(reference(stream.served))
    if stream.served.manifest.uses_as_of and not is_given:
        response.as_of_time.CopyFrom(timestamp(stream.as_of))
    if stream.wanted.count and response.chunk_index == stream.first:
        response.explanation.CopyFrom(row_explanations.shared(stream.served, stream.wanted.words))


def _refuse_change(stream: _Stream, message: BatchPredictRequest) -> None:
    """Refuses a chunk that wants another version or moment than its stream began with."""
    served = stream.served
    if message.model not in ("", stream.model, served.name):
        raise changed_in_stream("model", served.name, message.model)
    if message.HasField("as_of_time"):
        now = utc(message.as_of_time)
        if now not in (stream.asked, stream.as_of):
            raise changed_in_stream("as_of_time", stream.as_of.isoformat(), now.isoformat())
    row_explanations.refuse_change(stream.wanted, message)


def _write(
    response: BatchPredictResponse,
    probabilities: Floats,
    bands: NDArray[np.intp],
    errors: dict[int, BatchPredictRowError],
) -> None:
    response.probabilities.extend(probabilities.tolist())
    response.risk_bands.extend(risk_bands(bands))
    response.row_errors.extend(errors[place] for place in sorted(errors))


def _fail(response: BatchPredictResponse, stream: _Stream | None, error: Exception) -> None:
    """Answers a chunk by an error; raises one that nobody foresaw."""
    model = stream.served.name if stream else ""
    refusal = refusal_of(error, model)
    if refusal is None:
        raise error
    # The stream goes on and ends well: nothing else tells an operator.
    level = logging.WARNING if refusal.code in OPERATORS_CODES else logging.INFO
    fields = {"code": refusal.code.name, "reason": refusal.reason.name} | ({"model": model} if model else {})
    _LOG.log(level, "a chunk has no answer: %s", refusal.for_log, extra={"fields": fields})
    response.chunk_error.CopyFrom(chunk_error(refusal))


def chunk_error(refusal: Refusal) -> BatchPredictChunkError:
    """Returns everything that the status of a unary call with this failure would carry."""
    cut = shortened(refusal)
    error = BatchPredictChunkError(
        code=cut.code,
        reason=cut.reason.name,
        message=cut.message,
        metadata=cut.metadata,
        retry_delay=retry_delay(cut.reason),
        field_violations=[
            FieldViolation(field=one.field, description=one.description) for one in cut.violations
        ],
    )
    if cut.resource is not None:
        error.resource_type, error.resource_name = cut.resource.type, cut.resource.name
    return error


async def _cancel(task: asyncio.Task[Any] | None) -> None:
    """Cancels a task and waits for its end; what it would have said interests nobody any more."""
    if task is not None:
        task.cancel()
        await asyncio.wait([task])
        task.cancelled() or task.exception()
