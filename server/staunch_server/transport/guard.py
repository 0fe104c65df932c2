"""The one guard between the transport and the servicers.

It parses, limits, keeps deadlines and turns every error into a status with one ErrorInfo; metrics and the log
hear of each call that ended. There is one of it and no interceptor: each of those costs percents of a call.
"""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError

from staunch_server.deadlines import Deadline, answer_by
from staunch_server.errors import Code, Reason, Refusal
from staunch_server.events import CallEnded, Events
from staunch_server.transport.room import MAX_STREAMS_OF_ROWS, Places, RoomForRows
from staunch_server.transport.seam import (
    FIRST_MESSAGE_S,
    Begin,
    Call,
    Failure,
    NotTaken,
    Pace,
    Response,
    StreamMethod,
    UnaryMethod,
    Visit,
)
from staunch_server.transport.turns import Turn, not_taken, written_out
from staunch_server.transport.visits import Request, UnaryVisit, failure, full, refused

MAX_UNARY_BYTES = 256 * 1024
"""The largest unary request; the transport's own limit is that of a stream's messages."""

SHORTEST_S = 0.001
"""A call that arrives with less time than this is refused: nothing could be answered in it."""

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_POLL_S = 0.01
_ENDING_S = 0.001


UnaryHandler = Callable[[Request, Call], Coroutine[Any, Any, Response]]
StreamHandler = Callable[[AsyncIterator[Request | Refusal], Call], AsyncGenerator[Response, None]]

Station: TypeAlias = Callable[[UnaryVisit[Any]], None]
"""What a message passes on its way to the servicer; it raises a Refusal to end the call there."""

Admit: TypeAlias = Callable[[Call], Awaitable[None]]
"""Finds out who calls and whether they may: sets `call.principal`, or raises a Refusal."""


class Guard:
    """Wraps servicers' methods into functions from bytes to bytes.

    Args:
        events: Where it is told that a call ended.
        max_calls: Unary calls in progress; one more is refused as OVERLOADED.
        max_streams: Streams in progress; one more is refused as OVERLOADED.
        default_deadline_s: Seconds that a unary call without a deadline may take.
        stream_idle_s: Seconds that the caller of a stream may be silent while we owe it no answer; 0 is for
            ever. Else a client that lives and does nothing holds its place among max_streams.
        admit: What is asked of each call, unary or stream, before a word of it is read.
        pace: Whether a unary call would be answered in time; None takes all that there is room for.
    """

    def __init__(  # noqa: PLR0913 - limits, each of another kind
        self,
        events: Events,
        *,
        max_calls: int,
        max_streams: int,
        default_deadline_s: float,
        stream_idle_s: float,
        admit: Sequence[Admit] = (),
        pace: Pace | None = None,
    ) -> None:
        self._pace = pace
        self._events = events
        self._max_calls = max_calls
        self._full = full(max_calls, "calls")  # and how it travels: made once for the many that it may meet
        self._full_status = failure(self._full)
        self._default_deadline_s = default_deadline_s
        self._stream_idle_s = stream_idle_s
        self._access = tuple(admit)
        # The way in: every unary message passes these in this order, then the servicer's method. They wait
        # for nothing, so that a call takes no task; access alone may have to, and then takes one.
        self._at_the_door: Sequence[Station] = (refuse_oversized,)  # by its length alone
        self._way_in: Sequence[Station] = (self._keep_time, self._find_room, parse)
        self._draining = False
        self._reading: set[asyncio.Timeout] = set()
        self._made_ids = 0
        self._id_prefix = secrets.token_hex(6)  # once for all: randomness costs a twentieth of a call
        self.calls = 0  # unary ones in progress
        self._places, self._places_of_rows = Places(max_streams), Places(MAX_STREAMS_OF_ROWS)
        self.room_for_rows = RoomForRows(lambda: self.calls < max(1, max_calls * 3 // 4))

    def unary(
        self, request_type: type[Request], handler: UnaryHandler[Request], *, keeps_deadline: bool = False
    ) -> UnaryMethod:
        """Returns the guarded form of `async def handler(request, call) -> response`.

        Args:
            request_type: The message that the method takes.
            handler: The servicer's method.
            keeps_deadline: Whether the handler ends by call.deadline on its own: a second timer costs 4 µs.
        """

        async def in_time(request: Request, call: Call) -> Response:
            async with call.answer_by().timeout():
                return await handler(request, call)

        work = handler if keeps_deadline else in_time

        def begin(visit: Visit[Request]) -> None:
            visit.answer_later(work(visit.request, visit.call))

        return self.begun(request_type, begin)

    def begun(self, request_type: type[Request], begin: Begin[Request]) -> UnaryMethod:
        """Returns the guarded form of a plain function that sees to it that the visit ends by call.deadline.

        So calls that are answered together cost no task, future or timer each.
        """

        def method(raw: bytes, call: Call) -> None:
            if self.calls >= self._max_calls and not self._draining:
                self._turn_away(call)
                return
            visit = UnaryVisit(raw, call, request_type, self._visit_ended)
            self._name(call)
            try:
                for station in self._at_the_door:
                    station(visit)
                if self._access:
                    visit.answer_later(self._admitted(visit, begin))
                else:
                    self._let_in(visit, begin)
            except Exception as error:  # The outermost guard: whatever comes gets a status of ours.
                visit.fail(error)

        return method

    def stream(
        self, request_type: type[Request], handler: StreamHandler[Request], *, of_rows: bool = False
    ) -> StreamMethod:
        """Returns the guarded form of an async generator `handler(requests, call)` of responses.

        The handler's iterator gives a Refusal in the place of a malformed message, and ends when the caller
        closes or when the server drains; in the latter case the call ends as DRAINING after the last answer.

        Args:
            request_type: The message that the method takes.
            handler: The servicer's method; it answers each message once unless it is of rows.
            of_rows: Whether messages bring rows that are calls of their own; such takes no place of others.
        """

        async def answer(raw: AsyncIterator[bytes], call: Call) -> AsyncGenerator[bytes, None]:
            started = time.monotonic()
            self._name(call)
            try:
                async with aclosing(self._streamed(request_type, handler, raw, call, of_rows)) as responses:
                    async for encoded in responses:
                        yield encoded
            except (asyncio.CancelledError, GeneratorExit):
                self._ended(call, started, Code.CANCELLED)
                raise
            except NotTaken as late:
                raise self._failed(not_taken(late), call, started) from None
            except Exception as error:  # As of unary calls.
                failed = self._failed(error, call, started)
                await written_out(raw)
                raise failed from error
            self._ended(call, started, Code.OK)

        return answer

    def refuse(self, call: Call, refusal: Refusal) -> Failure:
        """Counts a call that comes to no method and is refused; see `seam.Door`."""
        self._name(call)
        return self._failed(refusal, call, time.monotonic())

    def left(self, call: Call) -> None:
        """Counts a call that was ended before its message was there; see `seam.Door`."""
        self._name(call)
        self._ended(call, time.monotonic(), Code.CANCELLED)

    def drain(self) -> None:
        """Refuses new calls from now on as DRAINING; streams end after the chunks they have in hand."""
        self._draining = True
        for reading in self._reading:
            if not reading.expired():
                reading.reschedule(asyncio.get_running_loop().time())

    @property
    def streams(self) -> int:
        """Streams in progress, from their headers on, but for those of rows."""
        return self._places.taken

    @property
    def streams_of_rows(self) -> int:
        """Streams of rows in progress; the rows are calls."""
        return self._places_of_rows.taken

    async def idle(self, timeout_s: float) -> bool:
        """Waits at most timeout_s seconds for the calls in progress to end; True if none is left."""
        deadline = Deadline.after(timeout_s)
        while self.calls or self.streams or self.streams_of_rows:
            if deadline.left() <= 0:
                return False
            await asyncio.sleep(_POLL_S)  # Looked at, not signalled: a signal would cost every call.
        return True

    async def _streamed(
        self,
        request_type: type[Request],
        handler: StreamHandler[Request],
        raw: AsyncIterator[bytes],
        call: Call,
        of_rows: bool,
    ) -> AsyncGenerator[bytes, None]:
        for ask in self._access:
            await ask(call)
        turn = Turn(FIRST_MESSAGE_S, self._stream_idle_s)
        places = self._places_of_rows if of_rows else self._places
        self._refuse_if_draining()
        if places.taken >= places.most:
            raise full(places.most, "streams")
        with places:
            first = await self._next(raw, turn)
            if first is None:
                self._refuse_if_draining()
                return
            requests = self._requests(request_type, first, raw, turn, of_rows)
            async with aclosing(handler(requests, call)) as responses:
                async for response in responses:
                    yield response.SerializeToString()
                    if not (self._draining or of_rows):  # else a read that drain() ended would begin anew
                        turn.given()
            self._refuse_if_draining()

    async def _requests(
        self, request_type: type[Request], first: bytes, raw: AsyncIterator[bytes], turn: Turn, of_rows: bool
    ) -> AsyncGenerator[Request | Refusal, None]:
        message: bytes | None = first
        while message is not None:
            if of_rows:
                turn.given()  # none is owed an answer for long: it is the caller's turn
            try:
                yield _parsed(request_type, message)
            except Refusal as refusal:
                yield refusal
            message = await self._next(raw, turn)

    async def _next(self, raw: AsyncIterator[bytes], turn: Turn) -> bytes | None:
        """The next message; None at the end of the stream or when we drain."""
        if self._draining:
            return None
        try:
            async with turn.taking() as reading:
                self._reading.add(reading)
                try:
                    message = await anext(raw, None)
                    if message is None:  # one that the library has ended, or the caller, is cancelled by now
                        await asyncio.sleep(_ENDING_S)
                    return message
                finally:
                    self._reading.discard(reading)
        except TimeoutError:
            if self._draining:  # drain() rescheduled it to now.
                return None
            raise Refusal(
                Reason.STREAM_IDLE,
                f"Expected a message or the end of the stream within {turn.limit_s:g} s, got neither; "
                "open a new stream for what is left.",
                metadata={"limit_s": f"{turn.limit_s:g}"},
            ) from None

    async def _admitted(self, visit: UnaryVisit[Request], begin: Begin[Request]) -> None:
        """Lets a call in once access has been asked; its end is no matter of this task."""
        for ask in self._access:
            await ask(visit.call)
        self._let_in(visit, begin)

    def _let_in(self, visit: UnaryVisit[Request], begin: Begin[Request]) -> None:
        for station in self._way_in:
            station(visit)
        begin(visit)

    def _name(self, call: Call) -> None:
        """Gives a call its id, the caller's if that is fit for a log."""
        call.request_id = _metadatum(call, "x-request-id")
        if not (call.request_id and _REQUEST_ID.fullmatch(call.request_id)):
            self._made_ids += 1
            call.request_id = f"{self._id_prefix}-{self._made_ids:x}"
        call.trailing.append(("x-request-id", call.request_id))

    def _keep_time(self, visit: UnaryVisit[Any]) -> None:
        """Sets until when to answer: a little before the caller gives up, or our own default."""
        call = visit.call
        if call.deadline is None:
            call.deadline = Deadline.after(self._default_deadline_s)
            return
        if call.deadline.left() < SHORTEST_S:
            raise Refusal(
                Reason.DEADLINE_EXCEEDED, "The deadline was over, or nearly, when the call arrived."
            )
        call.deadline = answer_by(call.deadline)

    def _turn_away(self, call: Call) -> None:
        """Refuses a call for which there is no room before a look at it, as cheaply as can be.

        Where calls come by the thousand more than can be answered, what this costs is what answers lack.
        """
        started = time.monotonic()
        self._name(call)
        self._ended(call, started, self._full.code, self._full)
        status = self._full_status
        call.reply(Failure(status.code, status.message, status.details))

    def _find_room(self, visit: UnaryVisit[Any]) -> None:
        """Counts a call among those in progress; refuses one that would not be answered in time."""
        self._refuse_if_draining()
        if self.calls >= self._max_calls:  # others have come while access was asked
            raise full(self._max_calls, "calls")
        if self._pace is not None:
            self._pace.refuse_if_late(self.calls, visit.call.answer_by())
        self.calls += 1
        visit.has_room = True

    def _refuse_if_draining(self) -> None:
        if self._draining:
            raise Refusal(Reason.DRAINING, "This server is stopping; try again, another one answers.")

    def _visit_ended(
        self, visit: UnaryVisit[Any], code: Code, refusal: Refusal | None, error: BaseException | None
    ) -> None:
        if visit.has_room:
            self.calls -= 1
            self.room_for_rows.wake()
            if self._pace is not None:
                self._pace.ended(self.calls)
        self._ended(visit.call, visit.started, code, refusal, error)

    def _ended(
        self,
        call: Call,
        started: float,
        code: Code,
        refusal: Refusal | None = None,
        error: BaseException | None = None,
    ) -> None:
        seconds = time.monotonic() - started
        # By their places, for names would cost each call more than the tuple.
        what = (call.method, call.request_id, call.model, code, seconds, refusal, error)
        who = (call.peer, call.principal, call.metadata, call.stages)
        self._events.call_ended.emit(CallEnded(*what, *who))

    def _failed(self, error: Exception, call: Call, started: float) -> Failure:
        """Makes the failure that the caller of a stream gets."""
        refusal, unforeseen = refused(error, call.model)
        self._ended(call, started, refusal.code, refusal, unforeseen)
        return failure(refusal)


def refuse_oversized(visit: UnaryVisit[Any]) -> None:
    """Refuses a message above `MAX_UNARY_BYTES`."""
    if len(visit.raw) > MAX_UNARY_BYTES:
        raise Refusal(
            Reason.MESSAGE_TOO_LARGE,
            f"Expected at most {MAX_UNARY_BYTES} bytes, got {len(visit.raw)}; "
            "use BatchPredict for many customers.",
            metadata={"size_bytes": str(len(visit.raw)), "limit_bytes": str(MAX_UNARY_BYTES)},
        )


def parse(visit: UnaryVisit[Any]) -> None:
    """Reads the bytes as the message that the method takes."""
    visit.request = _parsed(visit.request_type, visit.raw)


def _parsed(request_type: type[Request], raw: bytes) -> Request:
    try:
        return request_type.FromString(raw)
    except DecodeError:
        facts = {"message_type": f"staunch.v1.{request_type.__name__}", "size_bytes": str(len(raw))}
        message = "Expected the bytes of a {message_type}, got {size_bytes} bytes that cannot be read as one."
        raise Refusal(Reason.MALFORMED_MESSAGE, message.format_map(facts), metadata=facts) from None


def _metadatum(call: Call, key: str) -> str:
    for name, value in call.metadata:
        if name == key:
            return value if isinstance(value, str) else ""
    return ""
