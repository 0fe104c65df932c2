"""The seam between gRPC and us: what an adapter hands over, what it takes back, what it offers.

A unary method is `async def (raw: bytes, call: Call) -> bytes`; a stream takes and gives async iterators of
bytes. Either raises `Failure`; an adapter throws `NotTaken` into a stream. Only the two adapters know which
library carries the bytes.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from staunch_server.deadlines import Deadline
from staunch_server.types import Stages

Metadata = Sequence[tuple[str, str | bytes]]
"""Pairs of lower-case key and value; values are bytes where the key ends in "-bin"."""


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
    """

    method: str
    metadata: Metadata
    peer: str
    deadline: Deadline | None
    trailing: list[tuple[str, str | bytes]] = field(default_factory=list)
    request_id: str = ""
    model: str = ""
    principal: str = ""
    stages: Stages = field(default_factory=dict)

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
        details: A serialized google.rpc.Status, sent as grpc-status-details-bin.
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

UnaryMethod = Callable[[bytes, Call], Awaitable[bytes]]
StreamMethod = Callable[[AsyncIterator[bytes], Call], AsyncGenerator[bytes, None]]


@dataclass(frozen=True, slots=True)
class Service:
    """The methods of one service by their short names; functions, since neither library calls objects."""

    name: str
    unary: Mapping[str, UnaryMethod]
    streams: Mapping[str, StreamMethod] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one connection may do.

    Attributes:
        streams: The calls in progress that it may have.
        age_s: The seconds after which it must come again; 0 is never.
        keepalive_s: A silent one is asked so often whether its client lives, with or without a call. By
            default the libraries ask after two hours: until then streams of a client that vanished count.
        keepalive_timeout_s: The seconds without an answer to that after which it is closed.
        answer_wait_s: An answer of a stream that has not been taken by then ends it.
        ping_interval_s: A client may ask the same of us so often, which is a limit against floods. That of
            grpc.aio itself is 5 minutes, 2 hours without a call, and the fourth ping ends the connection.
    """

    streams: int = 100
    age_s: float = 0.0
    keepalive_s: float = 60.0
    keepalive_timeout_s: float = 20.0
    answer_wait_s: float = 10.0
    ping_interval_s: float = 0.1


USUAL_LIMITS = ConnectionLimits()


class Transport(Protocol):
    """Carries the services of one process on one port."""

    async def start(self) -> int:
        """Binds and answers from now on; returns the port. OSError if the address cannot be bound."""

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
