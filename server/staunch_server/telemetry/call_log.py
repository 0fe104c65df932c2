"""What the log says of calls: nothing of whom they asked about, and no value."""

import logging
import random
import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from staunch_server.errors import OPERATORS_CODES, Code
from staunch_server.events import CallEnded
from staunch_server.settings import AccessLog
from staunch_server.telemetry.repeats import EVERY_S, Repeats

LOG_EVERY_S = EVERY_S
"""An outage refuses thousands of calls a second: each reason is logged once in this many seconds."""

_CALLS = logging.getLogger("staunch.calls")
_ACCESS = logging.getLogger("staunch.access")

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


class CallLog:
    """Logs calls without an answer, counted or each, and answered ones if that is asked for.

    What an operator can mend is a WARNING, a bug an ERROR, the rest INFO. A line says what a reason means,
    and never what the caller was told: that names the customer.

    Args:
        access_log: Whether each call has a line of its own: none, those without an answer, or answered ones
            too. With none, refusals are counted by method, reason and version.
        answered_share: Of the answered calls that may have a line, how many get one: 0 is none, 1 is all.
        clock: Tells the seconds that have passed.
        chance: Gives numbers from 0 to below 1.
    """

    def __init__(
        self,
        access_log: AccessLog = "off",
        answered_share: float = 1.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._repeats = Repeats(partial(_log, _CALLS), every_s=LOG_EVERY_S, clock=clock)
        self._each = access_log != "off"
        self._answered_share = answered_share if access_log == "all" else 0.0
        self._chance = chance
        if self._each:
            _ACCESS.setLevel(logging.INFO)  # who asked for it gets it, whatever else is logged

    def call_ended(self, event: CallEnded) -> None:
        """Logs the call, if it is one of those that have a line."""
        if self._each:
            if event.code is not Code.OK or self._chance() < self._answered_share:
                _log(_ACCESS, event)
        elif event.error is not None:
            _log(_CALLS, event)
        elif event.refusal is not None:
            count = self._repeats.take((event.method, event.refusal.reason, event.model), event)
            if count is not None:
                _log(_CALLS, event, count)


def call_fields(event: CallEnded) -> dict[str, Any]:
    """Returns the fields of a call's line; `lines.FIELDS` says what each is."""
    fields: dict[str, Any] = {
        "method": event.method,
        "code": event.code.name,
        "reason": event.refusal.reason.name if event.refusal else "",
        "request_id": event.request_id,
        "trace_id": trace_id(event.metadata),
        "model": event.model,
        "incident_id": event.refusal.metadata.get("incident_id", "") if event.refusal else "",
    }
    fields = {name: value for name, value in fields.items() if value}
    seconds = {"total": event.seconds, **event.stages}
    fields["ms"] = {name: round(1000 * each, 3) for name, each in seconds.items()}
    return fields


def trace_id(metadata: Sequence[tuple[str, str | bytes]]) -> str:
    """Returns the id, 32 hex digits, in the W3C traceparent that a caller sent; empty if it sent none."""
    sent = next((value for name, value in metadata if name == "traceparent"), "")
    found = _TRACEPARENT.fullmatch(sent) if isinstance(sent, str) else None
    return found[1] if found else ""


def _log(log: logging.Logger, event: CallEnded, more: int = 0) -> None:
    """Logs a call, and how many more as it have no line."""
    level = logging.WARNING if event.code in OPERATORS_CODES else logging.INFO
    level = logging.ERROR if event.error is not None else level
    if log.isEnabledFor(level):
        fields = call_fields(event) | ({"repeated": more} if more else {})
        words = _in_words(event) + (f" (and {more} more)" if more else "")
        log.log(level, "%s", words, exc_info=event.error, extra={"fields": fields, "counted": True})


def _in_words(event: CallEnded) -> str:
    refusal = event.refusal
    if refusal is not None and event.error is not None:  # the caller was told the id, and nothing else
        return (
            f"incident {refusal.metadata.get('incident_id', '')}: {event.method} request {event.request_id}"
        )
    ended = f"{event.method.rpartition('/')[2]} {event.code.name}"
    return ended if refusal is None else f"{ended}: {refusal.for_log}"
