"""The fake's StreamPredict: each row is a call of Predict, in a thread of its own."""

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NoReturn

import grpc
from google.rpc import status_pb2

from staunch.v1 import prediction_service_pb2 as pb

Answer = Callable[[pb.PredictRequest, Any], pb.PredictResponse]
"""Answers a call of Predict, or ends it through the context."""

_REQUEST_ID = "x-request-id"
_DETAILS = "grpc-status-details-bin"


class RowContext:
    """What a handler is given of a row: of a `grpc.ServicerContext` all that the fake and its users need.

    Args:
        stream: That of the stream.
        row: The row.
    """

    def __init__(self, stream: grpc.ServicerContext, row: pb.StreamPredictRow) -> None:
        shared = tuple(pair for pair in stream.invocation_metadata() if pair[0] != _REQUEST_ID)
        self._metadata = (*shared, (_REQUEST_ID, row.request_id)) if row.request_id else shared
        self._peer = stream.peer()
        self._trailing: dict[str, Any] = {}
        self._status: tuple[grpc.StatusCode, str] | None = None
        self._lock = threading.Lock()
        self._is_active = True
        self._at_end: list[Callable[[], object]] = []

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """Returns what travelled beside the row."""
        return self._metadata

    def peer(self) -> str:
        """Returns the caller's address."""
        return str(self._peer)

    def is_active(self) -> bool:
        """Returns whether the caller waits for an answer."""
        return self._is_active

    def set_trailing_metadata(self, metadata: tuple[tuple[str, Any], ...]) -> None:
        """Sets what travels behind an answer or an error."""
        self._trailing.update(metadata)

    def code(self) -> grpc.StatusCode | None:
        """Returns the status, once it was aborted."""
        return None if self._status is None else self._status[0]

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """Ends the row with an error, by an exception."""
        self._status = code, details
        raise _Aborted

    def add_callback(self, callback: Callable[[], object]) -> bool:
        """Has a function called once the row is answered or taken back; False if it is."""
        with self._lock:
            if self._is_active:
                self._at_end.append(callback)
            return self._is_active

    def end(self) -> None:
        """Says that the row is answered or taken back."""
        with self._lock:
            ending, self._at_end, self._is_active = self._at_end, [], False
        for callback in ending:
            callback()

    def result(self, number: int, response: pb.PredictResponse | None) -> pb.StreamPredictResult:
        """Returns the row's answer, or why it has none."""
        request_id = str(self._trailing.get(_REQUEST_ID, ""))
        if response is not None:
            return pb.StreamPredictResult(number=number, request_id=request_id, response=response)
        code, message = self._status or (grpc.StatusCode.UNKNOWN, "")
        status = status_pb2.Status(code=code.value[0], message=message)
        with suppress(Exception):  # whatever a test puts there, the code and the message stand
            details = status_pb2.Status.FromString(self._trailing[_DETAILS]).details
            status.details.extend(details)
        failure = pb.StreamPredictStatus.FromString(status.SerializeToString())
        return pb.StreamPredictResult(number=number, request_id=request_id, status=failure)


class _Aborted(Exception):
    """A row was ended with an error."""


class Rows:
    """The rows of one stream.

    Args:
        answer: Answers each.
        pool: Where.
        context: The stream's.
    """

    def __init__(self, answer: Answer, pool: ThreadPoolExecutor, context: grpc.ServicerContext) -> None:
        self._answer = answer
        self._pool = pool
        self._context = context
        self._in_hand: dict[int, RowContext] = {}
        self._results: queue.SimpleQueue[pb.StreamPredictResult | None] = queue.SimpleQueue()
        context.add_callback(self._leave)

    def answers(self, requests: Iterator[pb.StreamPredictRequest]) -> Iterator[pb.StreamPredictResponse]:
        """Answers each row when it is done, until the caller has ended the stream and all are."""
        threading.Thread(
            target=self._take_up, args=(requests,), name="staunch-fake-rows", daemon=True
        ).start()
        is_open = True
        while is_open or self._in_hand:
            result = self._results.get()
            if result is None:
                is_open = False
            elif self._in_hand.pop(result.number, None) is not None:  # else it was taken back
                yield pb.StreamPredictResponse(results=[result])

    def _take_up(self, requests: Iterator[pb.StreamPredictRequest]) -> None:
        with suppress(Exception):  # of grpc's own, where the caller has gone
            for message in requests:
                for number in message.cancelled_numbers:
                    if (gone := self._in_hand.pop(number, None)) is not None:
                        gone.end()
                for row in message.rows:
                    context = self._in_hand[row.number] = RowContext(self._context, row)
                    self._pool.submit(self._give, row, context)
        self._results.put(None)

    def _give(self, row: pb.StreamPredictRow, context: RowContext) -> None:
        response = None
        with suppress(Exception):  # the context knows how it ended
            response = self._answer(row.request, context)
        context.end()
        self._results.put(context.result(row.number, response))

    def _leave(self) -> None:
        for context in list(self._in_hand.values()):
            context.end()
