"""StreamPredict: the calls of many callers in messages of rows, each row answered as Predict answers."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from staunch.v1.prediction_service_pb2 import (
    StreamPredictRequest,
    StreamPredictResponse,
    StreamPredictResult,
    StreamPredictRow,
)
from staunch_server.deadlines import Deadline
from staunch_server.errors import Reason, Refusal, Violation, field_invalid
from staunch_server.transport.seam import Call, Failure, UnaryMethod

MAX_ROWS = 256
"""The most rows of a message."""

MAX_ROWS_IN_HAND = 1024
"""Rows of one stream whose answers are not on their way yet; then no further one is taken up."""

MAX_ANSWER_BYTES = 256 * 1024
"""From so many bytes on a message of answers takes no further one; those with all features have 2 kB each."""

PREDICT = "/staunch.v1.PredictionService/Predict"
"""What a row is to those who count calls and write them down."""

_RESPONSE = StreamPredictResult.DESCRIPTOR.fields_by_name["response"].number
_STATUS = StreamPredictResult.DESCRIPTOR.fields_by_name["status"].number
_RESULTS = StreamPredictResponse.DESCRIPTOR.fields_by_name["results"].number

Requests = AsyncIterator[StreamPredictRequest | Refusal]
Room = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Answers that are bytes already, in the place of a StreamPredictResponse.

    Attributes:
        raw: The bytes.
    """

    raw: bytes

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """Returns the bytes."""
        return self.raw


@dataclass(frozen=True, slots=True)
class StreamPredictServicer:
    """Answers StreamPredict.

    Attributes:
        predict: Answers a row, as a call of Predict that came by itself.
        room: Waits until one more row may be taken up.
    """

    predict: UnaryMethod
    room: Room

    async def stream_predict(self, requests: Requests, call: Call) -> AsyncGenerator[Encoded, None]:
        """Answers the rows of a stream in the order in which they are done, as many a message as are.

        Args:
            requests: The messages; a Refusal stands for one that is malformed.
            call: The stream's; rows have its metadata and its caller.

        Raises:
            Refusal: MALFORMED_MESSAGE, CHUNK_EMPTY, CHUNK_TOO_LARGE, FIELD_INVALID, once the rows that came
                before are answered.
        """
        rows = _Rows(self.predict, self.room, call)
        reading = asyncio.create_task(rows.read(requests))
        try:
            while answers := await rows.answers():
                yield Encoded(answers)
            await reading
        finally:
            reading.cancel()
            rows.leave()
            await asyncio.wait([reading])


class _Rows:
    """The rows of one stream, from the message that brings them to the one that takes their answers."""

    def __init__(self, predict: UnaryMethod, room: Room, call: Call) -> None:
        self._predict = predict
        self._room = room
        self._call = call
        self._metadata = tuple(pair for pair in call.metadata if pair[0] != "x-request-id")
        self._in_hand: dict[int, Call] = {}
        self._answers: list[bytes] = []
        self._reading = True
        # Set when there are answers to write, or none to come; and when there is room for rows.
        self._written, self._changed = asyncio.Event(), asyncio.Event()

    async def read(self, requests: Requests) -> None:
        """Takes up the rows of each message until the caller or the server ends the stream."""
        try:
            async for message in requests:
                for row in self._checked(message):
                    await self._find_room()
                    self._take_up(row)
        except Refusal as refusal:
            # A client that has nothing to ask for a while is well; it opens another stream when it has.
            if refusal.reason is not Reason.STREAM_IDLE:
                raise
        finally:
            self._reading = False
            self._changed.set()

    async def answers(self) -> bytes:
        """Waits for answers; gives all that are there, as a StreamPredictResponse, and b"" after the last."""
        while not self._answers:
            if not self._reading and not self._in_hand:
                return b""
            self._changed.clear()
            await self._changed.wait()
        size = count = 0
        for answer in self._answers[:MAX_ROWS]:
            size, count = size + len(answer), count + 1
            if size >= MAX_ANSWER_BYTES:
                break
        taken, self._answers = self._answers[:count], self._answers[count:]
        self._written.set()
        return b"".join(_field(_RESULTS, answer) for answer in taken)

    def leave(self) -> None:
        """Cancels the rows that have no answer: nobody waits for one any more."""
        for number in list(self._in_hand):
            self._take_back(number)

    def _checked(self, message: StreamPredictRequest | Refusal) -> Sequence[StreamPredictRow]:
        """Gives the rows of a message, once those that it takes back are left.

        Raises:
            Refusal: MALFORMED_MESSAGE, CHUNK_EMPTY, CHUNK_TOO_LARGE, FIELD_INVALID.
        """
        if isinstance(message, Refusal):
            raise message
        for number in message.cancelled_numbers:
            self._take_back(number)
        if message.rows or not message.cancelled_numbers:
            _refuse_count(len(message.rows))
        return message.rows

    async def _find_room(self) -> None:
        await self._room()
        while len(self._in_hand) + len(self._answers) >= MAX_ROWS_IN_HAND:
            self._written.clear()
            await self._written.wait()

    def _take_up(self, row: StreamPredictRow) -> None:
        if row.number in self._in_hand:
            wrong = Violation("rows.number", "waits for its answer")
            expected = "a number that no other row has that waits for its answer"
            text = f"Expected {expected}, got {row.number} again."
            raise field_invalid(text, wrong, expected=expected, got=row.number)
        deadline = Deadline.after(row.timeout_ms / 1000) if row.HasField("timeout_ms") else None
        metadata = self._metadata
        if row.request_id:
            metadata = (*metadata, ("x-request-id", row.request_id))
        call = Call(PREDICT, metadata, self._call.peer, deadline, principal=self._call.principal)
        call.reply = partial(self._answered, row.number, call)
        self._in_hand[row.number] = call
        self._predict(row.request.SerializeToString(), call)

    def _answered(self, number: int, call: Call, found: bytes | Failure) -> None:
        if self._in_hand.pop(number, None) is None:  # it was taken back
            return
        own = StreamPredictResult(number=number, request_id=call.request_id).SerializeToString()
        if isinstance(found, Failure):
            self._answers.append(own + _field(_STATUS, found.details))
        else:
            self._answers.append(own + _field(_RESPONSE, found))
        self._changed.set()

    def _take_back(self, number: int) -> None:
        """Cancels a row, unless it was answered meanwhile."""
        call = self._in_hand.pop(number, None)
        if call is not None:
            call.cancel()
            self._changed.set()


def _refuse_count(count: int) -> None:
    """Refuses a message of too many rows, or of none.

    Raises:
        Refusal: CHUNK_EMPTY, CHUNK_TOO_LARGE.
    """
    facts = {"field": "rows", "limit": str(MAX_ROWS)}
    if not count:
        text = f"Expected 1 to {MAX_ROWS} rows in a message, got none."
        raise Refusal(Reason.CHUNK_EMPTY, text, [Violation("rows", "is empty")], metadata=facts)
    if count > MAX_ROWS:
        text = f"Expected 1 to {MAX_ROWS} rows in a message, got {count}; send several messages."
        facts["count"] = str(count)
        raise Refusal(Reason.CHUNK_TOO_LARGE, text, [Violation("rows", "is too long")], metadata=facts)


def _field(number: int, message: bytes) -> bytes:
    """Encodes a field that holds a message, whose bytes need not be parsed to stand in another."""
    length, size = bytearray(), len(message)
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return bytes([number << 3 | 2]) + length + message
