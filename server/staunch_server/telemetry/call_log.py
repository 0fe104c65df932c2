"""The log of calls that got no answer."""

import logging
import time
from collections.abc import Callable

from staunch_server.errors import Code, Reason, Refusal
from staunch_server.events import CallEnded

LOG_EVERY_S = 1.0
"""An outage refuses thousands of calls a second: each reason is logged once in this many seconds."""

_LOG = logging.getLogger("staunch.calls")

# What an operator can do something about; the rest is the caller's own mistake.
_OPERATORS_CODES = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED)


class CallLog:
    """Logs refused calls: callers' mistakes as DEBUG, what an operator can mend as WARNING, bugs as ERROR.

    Args:
        clock: Tells the seconds that have passed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_logged: dict[Reason, float] = {}

    def call_ended(self, event: CallEnded) -> None:
        """Logs the call if it was refused."""
        refusal = event.refusal
        if refusal is None:
            return
        if event.error is not None:
            self._log_incident(event, refusal)
        elif refusal.code not in _OPERATORS_CODES:
            _LOG.debug("%s request %s: %s", event.method, event.request_id, refusal)
        elif self._is_due(refusal.reason):
            cause = f" ({refusal.__cause__!r})" if refusal.__cause__ else ""
            _LOG.warning("%s request %s: %s%s", event.method, event.request_id, refusal, cause)

    def _is_due(self, reason: Reason) -> bool:
        now = self._clock()
        if now - self._last_logged.get(reason, -LOG_EVERY_S) < LOG_EVERY_S:
            return False
        self._last_logged[reason] = now
        return True

    def _log_incident(self, event: CallEnded, refusal: Refusal) -> None:
        """Logs what nobody foresaw under the id that the caller was given, and learned nothing else of."""
        _LOG.error(
            "incident %s: %s request %s %s",
            refusal.metadata.get("incident_id", ""),
            event.method,
            event.request_id,
            dict(event.metadata).get("traceparent", ""),
            exc_info=event.error,
        )
