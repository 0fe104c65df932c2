"""One unary call on its way through us: what it brought, who works for it, and the one end it comes to."""

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, Self, TypeVar

from staunch_server.errors import Code, Reason, Refusal, refusal_of
from staunch_server.statuses import status
from staunch_server.transport.seam import Call, Failure, Response, nothing


class ProtoMessage(Response, Protocol):
    """What the guard needs of a generated message that is asked."""

    @classmethod
    def FromString(cls, s: bytes, /) -> Self:  # noqa: N802 - protobuf's name
        """Parses; raises DecodeError."""


Request = TypeVar("Request", bound=ProtoMessage)


class UnaryVisit(Generic[Request]):
    """One unary message on its way in and its answer on the way out; see `seam.Visit`.

    Args:
        raw: The bytes as they came.
        call: The call that brought them.
        request_type: What they should be.
        on_end: Is told the end, with its code and what it came from, before the caller is.

    Attributes:
        raw, call, request_type: As given.
        request: What the bytes are, once they have been parsed.
        started: When it came, by the monotonic clock.
        has_room: Whether it counts among the calls in progress.
        leave: To be called if the caller goes away while no task works for it.
    """

    __slots__ = ("_on_end", "_task", "call", "has_room", "leave", "raw", "request", "request_type", "started")

    request: Request

    def __init__(self, raw: bytes, call: Call, request_type: type[Request], on_end: "OnEnd") -> None:
        self.started = time.monotonic()
        self.raw = raw
        self.call = call
        self.request_type = request_type
        self.has_room = False
        self.leave: Callable[[], None] = nothing
        self._on_end: OnEnd | None = on_end
        self._task: asyncio.Task[Response | None] | None = None
        call.cancel = self.cancel

    def answer(self, response: Response | bytes) -> None:
        """Ends the call well, by a message or its bytes. What comes after a call's first end is ignored."""
        if self._on_end is None:
            return
        try:
            encoded = response if isinstance(response, bytes) else response.SerializeToString()
        except Exception as error:  # it is no message
            self.fail(error)
            return
        self._end(Code.OK)
        self.call.reply(encoded)

    def fail(self, error: BaseException) -> None:
        """Ends the call by an error; of an unforeseen one the caller gets the id of the incident alone."""
        if self._on_end is None:
            return
        refusal, unforeseen = refused(error, self.call.model)
        self._end(refusal.code, refusal, unforeseen)
        self.call.reply(failure(refusal))

    def answer_later(self, work: Coroutine[Any, Any, Response | None]) -> None:
        """Has a task find the answer, where that takes waiting: what `work` gives or raises ends the call.

        Work that gives nothing has seen to it that the end comes otherwise.
        """
        self._task = asyncio.get_running_loop().create_task(work)
        self._task.add_done_callback(self._worked)

    def cancel(self) -> None:
        """Ends the call whose caller has gone; if a task works for it, once that has heard of it."""
        if self._task is not None:
            self._task.cancel()
            return
        self.leave()
        self._end(Code.CANCELLED)

    def _worked(self, task: asyncio.Task[Response | None]) -> None:
        if self._task is task:  # else another one works on
            self._task = None
        if task.cancelled():
            self._end(Code.CANCELLED)
            self.call.reply(Failure(Code.CANCELLED, "The call was cancelled.", b""))
        elif (error := task.exception()) is not None:
            self.fail(error)
        elif (response := task.result()) is not None:
            self.answer(response)

    def _end(self, code: Code, refusal: Refusal | None = None, error: BaseException | None = None) -> None:
        """Tells the end, the first time; and lets go of what would keep the visit in a cycle."""
        on_end, self._on_end = self._on_end, None
        self.leave = self.call.cancel = nothing
        if on_end is not None:
            on_end(self, code, refusal, error)


OnEnd = Callable[["UnaryVisit[Any]", Code, Refusal | None, BaseException | None], None]
"""Is told of the end of a visit: its code, why there is no answer, and what nobody foresaw."""


def refused(error: BaseException, model: str) -> tuple[Refusal, BaseException | None]:
    """Returns what the caller is told of an error, and the error itself if nobody foresaw it."""
    refusal = refusal_of(error, model)
    return (_incident(), error) if refusal is None else (refusal, None)


def failure(refusal: Refusal) -> Failure:
    """Returns the status of a refusal."""
    rich = status(refusal)
    return Failure(refusal.code, rich.message, rich.SerializeToString())


def full(most: int, kind: str) -> Refusal:
    """Returns the refusal of one beyond the most that are taken at once; `kind` is what they are."""
    return Refusal(
        Reason.OVERLOADED,
        f"This server takes {most} {kind} at once, all in use; try again a little later.",
        metadata={"what": kind, "limit": str(most)},
    )


def _incident() -> Refusal:
    """What the caller is told of an unforeseen error: the id under which the log has it, and nothing else."""
    incident_id = secrets.token_hex(8)
    message = f"Something unforeseen happened; the server's log has it as incident {incident_id}."
    return Refusal(Reason.INTERNAL, message, metadata={"incident_id": incident_id})
