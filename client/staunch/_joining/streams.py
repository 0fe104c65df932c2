"""Which calls share a stream, and when none is tried; no I/O."""

import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from grpc import StatusCode

from staunch._errors import StaunchError
from staunch._joining.rows import Rows
from staunch._retry import TRIED_AGAIN
from staunch._settings import Sent

MOST_STREAMS = 8
"""Open at a time; calls with yet other metadata go by themselves."""

LONGEST_S = 60.0
"""How long a stream is used: then another is opened, and with it, where there are many servers, perhaps at
another of them; a connection that the server ends by its age ends once its streams have."""

NOT_KNOWN_S = 60.0
"""How long calls go by themselves once a server has said that it knows no such streams."""

REFUSED_S = 1.0
"""The same after a stream that ended before it had answered anything."""

_REMEMBERED = 64
_REQUEST_ID = "x-request-id"
_TRACE = "traceparent"


class Stream(Protocol):
    """One stream, of either library.

    Attributes:
        rows: Its rows.
        until: When it is too old to be used, by the monotonic clock.
        has_answered: Whether a row was answered.
    """

    rows: Rows
    until: float
    has_answered: bool

    def retire(self) -> None:
        """Ends the stream once its rows are answered."""


S = TypeVar("S", bound=Stream)


class Streams(Generic[S]):
    """The open streams of a client, one for calls of the same metadata: a token travels once a stream.

    The first call opens a stream. Other metadata get one with their second call, so that such as are never
    the same again open none.

    Args:
        open_: Opens a stream for metadata.
        clock: Gives the time in seconds.
    """

    def __init__(self, open_: Callable[[Sent], S], clock: Callable[[], float] = time.monotonic) -> None:
        self._open = open_
        self._clock = clock
        self._open_ones: dict[Sent, S] = {}
        self._seen: dict[Sent, None] = {}
        self._not_before = 0.0

    def choose(self, sent: Sent) -> S | None:
        """Gives the stream for metadata, opened if need be; None has the call go by itself."""
        now = self._clock()
        if now < self._not_before:
            return None
        stream = self._open_ones.get(sent)
        if stream is not None and now < stream.until:
            return stream
        if stream is not None:
            stream.retire()
        elif not (self._welcome(sent) and self._find_room()):
            return None
        stream = self._open_ones[sent] = self._open(sent)
        return stream

    def ended(self, stream: S, error: StaunchError | None) -> StaunchError | None:
        """Forgets a stream; gives what its end did to rows without an answer, None if they were not taken up.

        A server of ours ends a stream, with a reason or as a success, when all that it took up is answered.
        Only of a connection that broke nobody knows: that is a try as that of a lone call.
        """
        for sent in [sent for sent, one in self._open_ones.items() if one is stream]:
            del self._open_ones[sent]
        if not stream.has_answered:
            is_unknown = error is not None and error.code is StatusCode.UNIMPLEMENTED
            self._not_before = self._clock() + (NOT_KNOWN_S if is_unknown else REFUSED_S)
        is_broken = error is not None and error.code in TRIED_AGAIN and not error.reason
        return error if is_broken else None

    def close(self) -> list[S]:
        """Forgets all streams, and gives them."""
        streams, self._open_ones = list(self._open_ones.values()), {}
        return streams

    def _welcome(self, sent: Sent) -> bool:
        known = not self._seen or sent in self._seen
        self._seen.pop(sent, None)
        self._seen[sent] = None  # the last again
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return known

    def _find_room(self) -> bool:
        if len(self._open_ones) < MOST_STREAMS:
            return True
        idle = next((sent for sent, stream in self._open_ones.items() if stream.rows.is_empty), None)
        if idle is not None:
            self._open_ones.pop(idle).retire()
        return idle is not None


def parted(sent: Sent) -> tuple[Sent, str] | None:
    """Parts the metadata that calls share from the request's id, empty if there is none; None for a call that
    is a part of a trace of its own.
    """
    shared, request_id = [], ""
    for key, value in sent:
        if key == _TRACE:
            return None
        if key == _REQUEST_ID:
            request_id = str(value)
        else:
            shared.append((key, value))
    return tuple(shared), request_id
