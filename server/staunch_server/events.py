"""What happens in a serving process that others want to hear of: metrics, the log, and what comes after them.

Whoever makes something happen emits an event and knows no listener; the composition root subscribes them.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

from staunch_server.errors import Code, Refusal
from staunch_server.types import Version, VersionStatus

_LOG = logging.getLogger("staunch.events")

Event = TypeVar("Event")


class Signal(Generic[Event]):
    """One kind of event and who listens to it (the observer pattern)."""

    def __init__(self) -> None:
        self._listeners: tuple[Callable[[Event], None], ...] = ()

    def subscribe(self, listener: Callable[[Event], None]) -> None:
        """Calls the listener with each event from now on, after those that subscribed before it."""
        self._listeners = (*self._listeners, listener)

    def emit(self, event: Event) -> None:
        """Tells all listeners; one that fails is logged, and neither stops the others nor what happened."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:  # A listener's mistake must not cost a caller the answer.
                _LOG.exception("a listener of %s failed", type(event).__name__)


_NO_STAGES: Mapping[str, float] = MappingProxyType({})


class CallEnded(NamedTuple):
    """A call ended, well or not. A tuple, since each call makes one and a frozen dataclass costs four times.

    Attributes:
        method: The full method name.
        request_id: The caller's, or one that we made.
        model: The version that answered or was to, "churn@3"; empty if it never came to that.
        code: The status code; CANCELLED if the caller went away.
        seconds: From the message's arrival to its answer.
        refusal: Why there was no answer; None if there was one, or the caller went away.
        error: What nobody foresaw, if that is the reason; `refusal` then holds its incident id.
        peer: The caller's address, as the transport writes it.
        principal: Who called, as access found out; empty while nobody asks.
        metadata: What the caller sent beside the message, `traceparent` among it.
        stages: What its steps took, in seconds, by `types.Stages`' names.
    """

    method: str
    request_id: str
    model: str
    code: Code
    seconds: float
    refusal: Refusal | None = None
    error: BaseException | None = None
    peer: str = ""
    principal: str = ""
    metadata: Sequence[tuple[str, str | bytes]] = ()
    stages: Mapping[str, float] = _NO_STAGES


@dataclass(frozen=True, slots=True)
class VersionChanged:
    """What this process does with a version of the store changed."""

    version: Version
    before: VersionStatus
    after: VersionStatus


@dataclass(frozen=True, slots=True)
class LoadEnded:
    """An attempt to load a version ended: `outcome` is "ready" or the reason by which it failed."""

    version: Version
    outcome: str


@dataclass(frozen=True, slots=True)
class AnswersChanged:
    """What answers for the names of requests changed; `verified` says whether anything does."""

    verified: bool


@dataclass(frozen=True, slots=True)
class Events:
    """Every signal of one serving process."""

    call_ended: Signal[CallEnded] = field(default_factory=Signal)
    version_changed: Signal[VersionChanged] = field(default_factory=Signal)
    load_ended: Signal[LoadEnded] = field(default_factory=Signal)
    answers_changed: Signal[AnswersChanged] = field(default_factory=Signal)
