"""The rows of one stream: which go into the next message, and which answer is whose. No I/O.

The server's rule, at home: there is no timer. A lone call goes at once, and what is asked while messages are
in flight goes together in the next.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from google.protobuf.message import Message

from staunch._errors import RowFailed, StaunchError, from_rpc_error, out_of_time
from staunch.v1 import prediction_service_pb2 as pb

MESSAGES_IN_FLIGHT = 2
"""One that the server works on, and one that is there when it is done."""

MOST_ROWS = 256
"""Of a message, as the contract has it."""

MOST_BYTES = 256 * 1024
"""From so many bytes on a message takes no further row; one row, as a request, has at most as many."""

_LONGEST_MS = 2**31 - 1

Outcome = tuple[Message, str] | StaunchError | None
"""An answer and the request's id, or why there is none; None: it was not taken up and may go by itself."""


@dataclass(slots=True, eq=False)
class Row:
    """One call.

    Attributes:
        request: What it asks.
        request_id: The caller's id of it; empty if the server is to make one.
        deadline: When its time is over, by the monotonic clock; None is never.
        settle: Is told what it ended with, once.
        number: In its stream, once it was sent.
        flight: Which message of its lane brought it.
    """

    request: pb.PredictRequest
    request_id: str
    deadline: float | None
    settle: Callable[[Outcome], None]
    number: int = 0
    flight: int = 0


@dataclass(slots=True)
class _Lane:
    """The rows of one model: one that the server loads first must not keep those of another waiting."""

    waiting: dict[Row, None] = field(default_factory=dict)
    in_hand: int = 0  # rows, waiting or sent
    sent: int = 0  # messages
    landed: int = 0  # of those: this many, and all before, have brought an answer

    def may_send(self) -> bool:
        return bool(self.waiting) and self.sent - self.landed < MESSAGES_IN_FLIGHT


class Rows:
    """The rows of one stream.

    Args:
        clock: Gives the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lanes: dict[str, _Lane] = {}
        self._sent: dict[int, Row] = {}
        self._numbers = 0
        self._cancelled: list[int] = []

    @property
    def is_empty(self) -> bool:
        """Whether no row waits for an answer."""
        return not self._lanes

    def add(self, row: Row) -> None:
        """Takes a row; `message` says whether it may go."""
        lane = self._lanes.get(row.request.model)
        if lane is None:
            lane = self._lanes[row.request.model] = _Lane()
        lane.waiting[row] = None
        lane.in_hand += 1

    def message(self) -> pb.StreamPredictRequest | None:
        """Gives the next message; None if nothing waits, or enough is in flight."""
        message = pb.StreamPredictRequest(cancelled_numbers=self._cancelled)
        self._cancelled = []
        size, now = 0, self._clock()
        for lane in [lane for lane in self._lanes.values() if lane.may_send()]:
            if size < MOST_BYTES and len(message.rows) < MOST_ROWS:
                size += self._fill(message, lane, now, size)
        return message if message.rows or message.cancelled_numbers else None

    def _fill(self, message: pb.StreamPredictRequest, lane: _Lane, now: float, size: int) -> int:
        """Moves rows of a lane into a message that has `size` bytes; gives how many bytes that adds."""
        before, flight = size, lane.sent + 1
        for row in list(lane.waiting):
            if size >= MOST_BYTES or len(message.rows) == MOST_ROWS:
                break
            left_ms = None if row.deadline is None else int(1000 * (row.deadline - now))
            if left_ms is not None and left_ms < 1:
                continue  # `expire` ends it
            del lane.waiting[row]
            self._numbers += 1
            row.number = self._numbers
            row.flight = lane.sent = flight
            self._sent[row.number] = row
            size += row.request.ByteSize()
            message.rows.add(
                number=row.number,
                request=row.request,
                request_id=row.request_id,
                timeout_ms=None if left_ms is None or left_ms > _LONGEST_MS else left_ms,
            )
        return size - before

    def answered(self, response: pb.StreamPredictResponse) -> None:
        """Gives each answer to its row; one that nobody waits for any more is left."""
        for result in response.results:
            row = self._sent.pop(result.number, None)
            if row is not None:
                self._settled(row)
                row.settle(_outcome(result))

    def leave(self, row: Row) -> None:
        """Forgets a row whose caller has gone; the next message tells the server."""
        if self._sent.pop(row.number, None) is not None:
            self._cancelled.append(row.number)
            self._settled(row)
        elif (lane := self._lanes.get(row.request.model)) is not None and row in lane.waiting:
            self._settled(row)

    def expire(self) -> float | None:
        """Ends the rows whose time is over; gives when that of the next is, None where there is none."""
        now, next_ = self._clock(), None
        for row in self._all():
            if row.deadline is None:
                continue
            if row.deadline <= now:
                self.leave(row)
                row.settle(out_of_time())
            else:
                next_ = row.deadline if next_ is None else min(next_, row.deadline)
        return next_

    def end(self, error: StaunchError | None, *, sent_only: bool = True) -> None:
        """Ends all rows, since the stream has ended.

        Args:
            error: What that did to them; None if they may go by themselves.
            sent_only: Whether it did that only to those that were sent.
        """
        rows, sent = self._all(), self._sent
        self._lanes, self._sent, self._cancelled = {}, {}, []
        for row in rows:
            row.settle(error if not sent_only or row.number in sent else None)

    def _all(self) -> list[Row]:
        waiting = [row for lane in self._lanes.values() for row in lane.waiting]
        return [*self._sent.values(), *waiting]

    def _settled(self, row: Row) -> None:
        """Counts a row as done, and its message, and all before, as landed: the next may go."""
        lane = self._lanes[row.request.model]
        lane.waiting.pop(row, None)
        lane.landed = max(lane.landed, row.flight)
        lane.in_hand -= 1
        if not lane.in_hand:
            del self._lanes[row.request.model]


def _outcome(result: pb.StreamPredictResult) -> Outcome:
    if result.HasField("response"):
        return result.response, result.request_id
    return from_rpc_error(RowFailed(result.status, result.request_id))
