"""The state of one batch: which chunks are held, which travel, which are answered. No I/O.

The drivers in `_client` and `_async_client` pull ids, send what `requests` gives and pass in what comes
back. A chunk is held from the moment its ids are taken until its rows are given out, and rows are given out
in the order of the ids, so memory is bounded by `chunks_held` and a caller always knows where it stands.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import repeat
from math import inf

from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode

from staunch import _arguments as arguments
from staunch import _wire as wire
from staunch._arguments import INT32, LONGEST_S, ModelName
from staunch._errors import (
    BatchIncomplete,
    DeadlineExceeded,
    ServerFault,
    StaunchError,
    Unavailable,
    status_code,
)
from staunch._packed import _rows as packed
from staunch._packed._rows import PackedRow
from staunch._results import ModelReference, RowError, RowExplanation, Score
from staunch._retry import TRIED_AGAIN, RetryLog, RetryPolicy, never_left
from staunch.v1 import prediction_service_pb2 as pb

Row = Score | RowError

MOST_ROWS = 10_000  # of a chunk, by the contract
MOST_REASONS = 10  # of a row, by the contract
GOODBYE_S = 1.0  # how long a finished batch waits for the server to say so too

# A chunk that failed so says nothing about the next one: its rows fail, the batch goes on; its end says so.
_OF_ONE_CHUNK = {StatusCode.INTERNAL, StatusCode.UNKNOWN, StatusCode.DATA_LOSS, StatusCode.DEADLINE_EXCEEDED}


class StreamBroken(Exception):
    """The stream is of no more use; `error` says why. Never leaves this package."""

    def __init__(self, error: StaunchError) -> None:
        self.error = error
        super().__init__(str(error))


class StreamSilent(StreamBroken):
    """No answer came for as long as the batch is patient."""

    def __init__(self) -> None:
        message = "no chunk was answered for as long as the retry policy is patient (patience_s)"
        super().__init__(DeadlineExceeded(StatusCode.DEADLINE_EXCEEDED, message))


@dataclass(slots=True, eq=False)
class _Chunk:
    ids: Sequence[int | str]
    request: pb.BatchPredictRequest
    rows: list[Row] | None = None


class Batch:
    """One run of ids through BatchPredict, over as many streams as it takes.

    The version and the moment of the first answer are asked for by name on every later stream, so that one
    version and one moment answer the whole batch even if the alias moves meanwhile.

    A batch has a budget of its own, to which each chunk gives as a call does. Without a token it does not
    give up, as a call would, but waits for the longest time that the policy has: with one chunk under way
    after a failure it asks a server in trouble for less than one that is well.

    Attributes:
        chunk_size: How many ids to take at a time.
    """

    def __init__(  # noqa: PLR0913 - what a batch is, by name
        self,
        *,
        model: ModelName,
        as_of: datetime | None,
        chunk_size: int,
        chunks_held: int,
        policy: RetryPolicy,
        top_contributions: int = 0,
        language: str = "",
        timeout_s: float | None = None,
        request_id: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.chunk_size = arguments.whole("chunk_size", chunk_size, 1, MOST_ROWS)
        self._chunks_held = arguments.whole("chunks_held", chunks_held, 1, INT32)
        self._top = arguments.whole("top_contributions", top_contributions, 0, MOST_REASONS)
        self._language = arguments.text("language", language)
        self._shared: wire.SharedReasons | None = None
        self._policy = policy
        self._budget = policy.budget(clock)
        self._request_id = request_id
        self._log = RetryLog("BatchPredict")
        self._clock = clock
        self._deadline = inf if timeout_s is None else clock() + timeout_s
        self._model = arguments.model_name(model)
        self._as_of: Timestamp | None = wire.timestamp(as_of)
        self._answered_by: tuple[ModelReference, datetime | None] | None = None
        # Three views of the same chunks: not yet given out, still to be sent (again), sent and unanswered.
        self._held: deque[_Chunk] = deque()
        self._to_send: deque[_Chunk] = deque()
        self._travelling: deque[_Chunk] = deque()
        self._exhausted = False
        self._taken = 0
        self._first: int | str | None = None
        self._opened = False
        self._next_index = 0
        self._failures = 0
        self._failure: StaunchError | None = None
        self._waiting_since: float | None = None
        self._failed_chunks = 0
        self._failed_rows = 0
        self._failed_by: StaunchError | None = None

    @property
    def wants_ids(self) -> bool:
        """True while another chunk of ids may be taken."""
        return not self._exhausted and len(self._held) < self._chunks_held

    @property
    def finished(self) -> bool:
        """True once every id is answered and given out."""
        return self._exhausted and not self._held

    def take(self, ids: Sequence[wire.CustomerId | PackedRow]) -> None:
        """Takes the next ids, or packed rows; none at all means that there are no more.

        Raises:
            TypeError: An id is neither a whole number, str nor UUID, or numbers, keys and rows are mixed.
            ValueError: Rows are packed by several schemas.
        """
        if not ids:
            self._exhausted = True
            return
        for plain, request in self._chunks(ids):
            self._budget.begin()
            chunk = _Chunk(plain, request)
            self._taken += len(plain)
            self._held.append(chunk)
            self._to_send.append(chunk)

    def _chunks(self, ids: Sequence[object]) -> Iterable[tuple[list[int | str], pb.BatchPredictRequest]]:
        if isinstance(ids[0], PackedRow):
            return packed.chunks(ids)
        plain = self._plain(ids)
        return [(plain, _request(plain))]

    def _plain(self, ids: Sequence[object]) -> list[int | str]:
        """Gives the ids as int or str, all of the kind of the batch's first."""
        plain: list[int | str] = []
        for position, customer in enumerate(ids, self._taken + 1):
            try:
                found = wire.plain_id(customer)
            except TypeError as error:
                raise TypeError(f"{error}, as number {position} of the batch") from None
            self._first = found if self._first is None else self._first
            if isinstance(found, str) is not isinstance(self._first, str):
                raise TypeError(
                    f"expected numbers or keys, got both: {self._first!r} and, as number {position} of the "
                    f"batch, {found!r}"
                )
            plain.append(found)
        return plain

    def reopen(self) -> None:
        """Starts a new stream: everything unanswered is sent again, the oldest first."""
        self._travelling.clear()
        self._to_send = deque(chunk for chunk in self._held if chunk.rows is None)
        self._opened = False
        self._next_index = 0
        self._shared = None  # each stream says by itself what the reasons of its rows point to

    def requests(self) -> list[pb.BatchPredictRequest]:
        """Gives the messages to send now, on the stream opened last.

        After a failure they travel one at a time until one is answered: a server that ends the stream again
        is not hurried, and its status is read, which grpc.aio loses while it writes to a stream that ended.
        """
        room = max(0, 1 - len(self._travelling)) if self._failures else len(self._to_send)
        chunks = [self._to_send.popleft() for _ in range(min(room, len(self._to_send)))]
        self._travelling.extend(chunks)
        return [self._addressed(chunk.request) for chunk in chunks]

    def _addressed(self, request: pb.BatchPredictRequest) -> pb.BatchPredictRequest:
        """Names model, moment and reasons on the first message of a stream."""
        if self._opened:
            return request
        self._opened = True
        first = pb.BatchPredictRequest(
            model=self._model,
            as_of_time=self._as_of,
            top_contributions=self._top,
            language_code=self._language,
        )
        first.MergeFrom(request)
        return first

    def patience_left_s(self) -> float:
        """Gives the seconds left to wait for an answer, 0 or more; the clock starts when waiting does."""
        if self._waiting_since is None:
            self._waiting_since = self._clock()
        patience_s = min(self._policy.patience_s, LONGEST_S)
        return max(0.0, self._waiting_since + patience_s - self._clock())

    def time_left_s(self) -> float | None:
        """Gives the seconds left for the whole batch, 0 or more; None is any."""
        return None if self._deadline == inf else max(0.0, self._deadline - self._clock())

    def accept(self, response: pb.BatchPredictResponse) -> tuple[list[Row], float]:
        """Takes one answer; gives the rows that are now due, and the seconds to wait before sending more.

        Raises:
            StreamBroken: Another version or moment answered than before.
            StaunchError: The whole batch is refused, or the answer breaks the contract.
        """
        if not self._travelling or response.chunk_index != self._next_index:
            raise _breach(f"expected the answer to chunk {self._next_index}, got {response.chunk_index}")
        chunk = self._travelling.popleft()
        self._next_index += 1
        self._pin(response)
        if response.HasField("explanation"):
            self._shared = wire.SharedReasons.read(response.explanation)
        if response.HasField("chunk_error"):
            wait = self._chunk_failed(chunk, response.chunk_error)
        else:
            chunk.rows = self._rows(chunk, response)
            wait = self._progress()
        return self._due(), wait

    def end(self) -> None:
        """Ends a batch of which every row has been given out.

        Raises:
            BatchIncomplete: Chunks failed as a whole.
        """
        if (first := self._failed_by) is not None:
            chunks = "a chunk" if self._failed_chunks == 1 else f"{self._failed_chunks:,} chunks"
            message = (
                f"{self._failed_rows:,} of {self._taken:,} customers have no score, since {chunks} of the "
                f"batch failed as a whole; ask again for them. The first failed so: {first.message}"
            )
            raise BatchIncomplete(first.code, message, first.details, failed_rows=self._failed_rows)

    def broken(self, by: StreamBroken) -> float:
        """Takes the end of a stream; gives the seconds to wait before opening the next.

        Raises:
            StaunchError: Another stream would not help, or the patience or the time is spent.
        """
        error = by.error
        if isinstance(by, StreamSilent):
            raise self._failure or error  # what failed before the silence tells more
        if not _is_resumed(error):
            raise error
        self.reopen()
        return self._pause(error)

    def _pause(self, error: StaunchError) -> float:
        self._failures += 1
        self._failure = error
        wait = self._policy.wait_s(self._failures, error.details.retry_after_s)
        if not never_left(error) and not self._budget.spend():
            wait = max(wait, self._policy.longest_wait_s)
        if wait >= min(self.patience_left_s(), self._deadline - self._clock()):
            raise error
        self._log.retrying(error)
        return wait

    def _progress(self) -> float:
        self._failures = 0
        self._failure = None
        self._waiting_since = None
        self._log.answered()
        return 0.0

    def _chunk_failed(self, chunk: _Chunk, failure: pb.BatchPredictChunkError) -> float:
        error = wire.chunk_error(failure, self._request_id)
        if error.code in _OF_ONE_CHUNK:
            chunk.rows = [
                RowError(customer, error.code, error.reason, error.message, self._request_id)
                for customer in chunk.ids
            ]
            self._failed_chunks += 1
            self._failed_rows += len(chunk.ids)
            self._failed_by = self._failed_by or error
            return self._progress()
        if error.code not in TRIED_AGAIN:
            raise error
        self._to_send.append(chunk)
        return self._pause(error)

    def _pin(self, response: pb.BatchPredictResponse) -> None:
        """Holds every stream to the version and moment that answered first."""
        if not response.HasField("model"):
            return
        answered_by = wire.model_reference(response.model), wire.moment(response, "as_of_time")
        if self._answered_by is None:
            self._answered_by = answered_by
            self._model = str(answered_by[0])
            self._as_of = wire.timestamp(answered_by[1])
        elif answered_by != self._answered_by:
            message = f"expected answers of {self._answered_by}, got {answered_by}"
            raise StreamBroken(Unavailable(StatusCode.UNAVAILABLE, message))

    def _rows(self, chunk: _Chunk, response: pb.BatchPredictResponse) -> list[Row]:
        if self._answered_by is None or not _same_rows(chunk, response):
            raise _breach("an answer that does not fit its request")
        model, as_of = self._answered_by
        probabilities, bands = response.probabilities, response.risk_bands
        # Row i of every list belongs to row i of the request; flags and errors name their rows.
        flagged = frozenset(response.flagged_rows)
        rows: list[Row] = [
            Score(
                customer,
                probability,
                wire.risk_band(band),
                model,
                as_of,
                self._request_id,
                row in flagged,
                why,
            )
            for row, (customer, probability, band, why) in enumerate(
                zip(chunk.ids, probabilities, bands, self._explanations(response), strict=True)
            )
        ]
        for error in response.row_errors:
            code = status_code(error.code)
            rows[error.index] = RowError(
                chunk.ids[error.index], code, error.reason, error.message, self._request_id
            )
        return rows

    def _explanations(self, response: pb.BatchPredictResponse) -> Iterable[RowExplanation | None]:
        """Reads the reasons of each row; a row without a score has empty ones."""
        count = len(response.probabilities)
        if not self._top:
            return repeat(None, count)
        if self._shared is None or len(response.explanations) != count:
            raise _breach("no reasons of each row; is the server older than this client?")
        try:
            return [self._shared.of_row(row) for row in response.explanations]
        except (ValueError, IndexError) as error:
            raise _breach(f"reasons that do not fit the features ({error})") from error

    def _due(self) -> list[Row]:
        due: list[Row] = []
        while self._held and (rows := self._held[0].rows) is not None:
            due += rows
            self._held.popleft()
        return due


def _request(ids: Sequence[int | str]) -> pb.BatchPredictRequest:
    """Builds a chunk of numbers or of keys."""
    numbers = [wire.wire_id(customer) for customer in ids if isinstance(customer, int)]
    keys = [wire.wire_key(customer) for customer in ids if isinstance(customer, str)]
    return pb.BatchPredictRequest(customer_ids=numbers, customer_keys=keys)


def _same_rows(chunk: _Chunk, response: pb.BatchPredictResponse) -> bool:
    request, count = chunk.request, len(chunk.ids)
    return (
        request.customer_ids == response.customer_ids
        and request.customer_keys == response.customer_keys
        and len(response.probabilities) == len(response.risk_bands) == count
        and all(0 <= error.index < count for error in response.row_errors)
    )


def _is_resumed(error: StaunchError) -> bool:
    """Says whether a stream that ended so is taken up again.

    CANCELLED is a server that stops: what we cancel ourselves never gets here. INTERNAL without a reason was
    not said by the server but made up on the way: a proxy's reset, or grpc.aio's "Internal error from Core"
    when it writes to a stream whose end it has not read yet.
    """
    lost_on_the_way = error.code is StatusCode.INTERNAL and not error.reason
    return lost_on_the_way or error.code in TRIED_AGAIN


def _breach(message: str) -> ServerFault:
    return ServerFault(StatusCode.UNKNOWN, f"the server breaks the contract of BatchPredict: {message}")


def ended_early() -> StreamBroken:
    """Says that the server ended a stream without an error and without all answers, as when it drains."""
    return StreamBroken(Unavailable(StatusCode.UNAVAILABLE, "the server ended the stream early"))
