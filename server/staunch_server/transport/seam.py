"""The seam between gRPC and us: what an adapter hands over, what it takes back, what it offers.

A unary method is `def (raw: bytes, call: Call) -> None`: it begins, and what the call comes to goes to
`call.reply`, at once or later, so that a call need cost neither a task nor a future. A stream takes and gives
async iterators of bytes and raises `Failure`; an adapter throws `NotTaken` into it. Only the two adapters
know which library carries the bytes.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeVar

from staunch_server.deadlines import Deadline
from staunch_server.errors import Refusal
from staunch_server.types import Stages

Metadata = Sequence[tuple[str, str | bytes]]
"""Pairs of lower-case key and value; values are bytes where the key ends in "-bin"."""


Trailing: TypeAlias = list[tuple[str, str | bytes]]
"""Pairs as of `Metadata`, sent after an answer or an error."""


def nothing() -> None:
    """Does nothing: what to call where there is nothing to do."""


def unheard(_: "bytes | Failure") -> None:
    """Takes what a call comes to that nobody waits for."""


@dataclass(slots=True, eq=False)
class Call:
    """One call in progress.

    Attributes:
        method: The full name, "/staunch.v1.PredictionService/Predict".
        metadata: What the caller sent beside the message.
        peer: The caller's address, as the transport writes it.
        deadline: Until when the caller waits, if it said so; the guard makes it the time to have answered by.
        trailing: Sent after the answer or the error; the guard puts "x-request-id" there.
        request_id: The caller's x-request-id, or one that the guard made.
        model: The version that answers, "churn@3"; servicers set it, metrics and logs read it.
        principal: Who calls, as access found out; empty while nobody asks.
        stages: What its steps took; whoever takes one writes it down.
        reply: Of a unary call: takes what it comes to, once; whoever carries it sets it.
        cancel: Of a unary call: ends it, since its caller has gone; the guard sets it.
    """

    method: str
    metadata: Metadata
    peer: str
    deadline: Deadline | None
    trailing: Trailing = field(default_factory=list)
    request_id: str = ""
    model: str = ""
    principal: str = ""
    stages: Stages = field(default_factory=dict)
    reply: "Callable[[bytes | Failure], None]" = unheard
    cancel: Callable[[], None] = nothing

    def answer_by(self) -> Deadline:
        """Returns the deadline of a unary call, which the guard sets if the caller gave none."""
        assert self.deadline is not None, "the guard sets it before a servicer sees the call"
        return self.deadline


@dataclass(eq=False)
class Failure(Exception):
    """A call that ends with a status other than OK.

    Attributes:
        code: The number of a google.rpc.Code, never 0 or UNKNOWN.
        message: The status message, as in details.
        details: A serialized google.rpc.Status, sent as grpc-status-details-bin; empty if there is none.
    """

    code: int
    message: str
    details: bytes

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class NotTaken(Exception):
    """An answer that its caller did not take in time; an adapter throws it into the stream.

    Args:
        within_s: The time that there was, in seconds.
    """

    def __init__(self, within_s: float) -> None:
        super().__init__(within_s)
        self.within_s = within_s


MAX_MESSAGE_BYTES = 1024 * 1024
"""The largest message of a stream: a chunk of 10,000 keys of 64 bytes fits."""

MAX_RECEIVED_BYTES = 5 * MAX_MESSAGE_BYTES
"""The largest message that a transport takes: 10,000 rows of 65 features. So we can tell who sends too many
rows how many fit, where the library would say how many bytes."""

MAX_METADATA_BYTES = 16 * 1024
"""The most metadata of a call that a transport takes: names, values, and 32 bytes a pair."""

FIRST_MESSAGE_S = 5.0
"""Seconds that a call's first message may take; of a stream, stream_idle_s if that is less."""

UnaryMethod = Callable[[bytes, Call], None]
StreamMethod = Callable[[AsyncIterator[bytes], Call], AsyncGenerator[bytes, None]]


async def outcome(method: UnaryMethod, raw: bytes, call: Call) -> bytes:
    """Begins a unary call and waits for its answer; to cancel the wait is to cancel the call.

    Raises:
        Failure: The call ended with a status other than OK.
    """
    waited: asyncio.Future[bytes | Failure] = asyncio.get_running_loop().create_future()

    def reply(found: bytes | Failure) -> None:
        if not waited.done():  # else it is cancelled, and on its way to say so
            waited.set_result(found)

    call.reply = reply
    method(raw, call)
    try:
        found = await waited
    except asyncio.CancelledError:
        call.reply = unheard
        call.cancel()
        raise
    if isinstance(found, Failure):
        raise found
    return found


class Response(Protocol):
    """What is answered: a generated message."""

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """Encodes."""


Request = TypeVar("Request", covariant=True)


class Visit(Protocol[Request]):
    """A unary call on its way through us, as those see it who answer it later, without a task for each.

    Attributes:
        leave: To be called if the caller goes away while no task works for it.
    """

    leave: Callable[[], None]

    @property
    def request(self) -> Request:
        """The message."""

    @property
    def call(self) -> Call:
        """The call that brought it."""

    def answer(self, response: Response | bytes) -> None:
        """Ends the call well, by a message or its bytes. What comes after a call's first end is ignored."""

    def fail(self, error: Exception) -> None:
        """Ends the call by an error, as the guard maps it."""

    def answer_later(self, work: Coroutine[Any, Any, Response | None]) -> None:
        """Has a task find the answer, where that takes waiting: what `work` gives or raises ends the call.

        Work that gives nothing has seen to it that the end comes otherwise.
        """


class Pace(Protocol):
    """Tells whether a call that comes now would be answered in time; see `admission.pace`."""

    def refuse_if_late(self, in_hand: int, deadline: Deadline) -> None:
        """Raises a Refusal if, behind those in hand, it would not."""

    def ended(self, in_hand: int) -> None:
        """Counts a call that has ended; so many are left."""


Begin: TypeAlias = Callable[[Visit[Request]], None]
"""Begins to answer; what it raises ends the call."""


@dataclass(frozen=True, slots=True)
class Service:
    """The methods of one service by their short names; functions, since neither library calls objects."""

    name: str
    unary: Mapping[str, UnaryMethod]
    streams: Mapping[str, StreamMethod] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one connection may do, and all of them together.

    Attributes:
        streams: The calls in progress that one may have.
        calls: Unary calls that are taken up at once, over all connections.
        waiting: Calls that may wait to be taken up, over all of them; where the library can hold them.
        age_s: The seconds after which it must come again; 0 is never.
        keepalive_s: A silent one is asked so often whether its client lives, with or without a call. By
            default the libraries ask after two hours: until then streams of a client that vanished count.
        keepalive_timeout_s: The seconds without an answer to that after which it is closed.
        answer_wait_s: An answer of a stream that has not been taken by then ends it.
        ping_interval_s: A client may ask the same of us so often, which is a limit against floods. That of
            grpc.aio itself is 5 minutes, 2 hours without a call, and the fourth ping ends the connection.
    """

    streams: int = 100
    calls: int = 128
    waiting: int = 256
    age_s: float = 0.0
    keepalive_s: float = 60.0
    keepalive_timeout_s: float = 20.0
    answer_wait_s: float = 10.0
    ping_interval_s: float = 0.1


USUAL_LIMITS = ConnectionLimits()


class Door(Protocol):
    """Who counts the calls that come to no method: a transport tells it of those that it ends itself."""

    def refuse(self, call: Call, refusal: Refusal) -> Failure:
        """Counts a call that is refused, and returns what its caller gets."""

    def left(self, call: Call) -> None:
        """Counts a call that its caller, or the library, ended before its message was there."""


class Transport(Protocol):
    """Carries the services of one process on one port, or on one Unix socket."""

    @property
    def watchers(self) -> int:
        """How many watch the health."""

    async def start(self) -> int:
        """Binds and answers from now on; returns the port, 0 of a Unix socket, which only its user may reach.

        Raises:
            OSError: The address cannot be bound.
        """

    def set_serving(self, service: str, serving: bool) -> None:
        """Sets what grpc.health.v1 says of a service; "" is the whole server. Waits for no watcher.

        Ignored after `leave`.
        """

    def leave(self) -> None:
        """Says NOT_SERVING for everything from now on and goes on answering."""

    async def stop(self, grace_s: float) -> None:
        """Waits up to grace_s seconds for the calls in progress, then ends every connection, and the rest.

        No call ends as CANCELLED by it: whoever is cut off, or comes now, is told UNAVAILABLE.
        """
