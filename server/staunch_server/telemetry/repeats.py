"""Lines that come again and again: the first goes out at once, the others are counted and told later."""

import threading
import time
import weakref
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

EVERY_S = 1.0
"""An outage repeats a line thousands of times a second: each goes out once in this many seconds."""

_MOST_KEYS = 1000  # of lines that are told apart; those beyond go out, each of them

_ALL: "weakref.WeakSet[Repeats[Any]]" = weakref.WeakSet()

Line = TypeVar("Line")


@dataclass(slots=True)
class _Counted(Generic[Line]):
    """Since when a line is counted, and how often it came since then, with the last of those.

    The first is not kept: it has gone out, and an exception in it would hold a whole call, and its version.
    """

    since: float
    count: int = 0
    line: Line | None = None


class Repeats(Generic[Line]):
    """Counts the lines that are the same as one before them.

    Args:
        report: Called with the last of the lines that were counted and the number of the others, at the end
            of their interval or of the process; on a thread of its own.
        every_s: How long the lines after one that went out are counted.
        clock: Tells the seconds that have passed.
    """

    def __init__(
        self,
        report: Callable[[Line, int], None],
        *,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = report
        self._every_s = every_s
        self._clock = clock
        # A finalizer may log on the thread that is in here already: garbage is collected anywhere.
        self._lock = threading.RLock()
        self._seen: dict[Hashable, _Counted[Line]] = {}
        self._timer: threading.Timer | None = None
        _ALL.add(self)

    def take(self, key: Hashable, line: Line) -> int | None:
        """Takes a line: None if it is only counted, else how many were since the last and are told with it.

        Args:
            key: What makes two lines the same.
            line: What is reported of it if it is the last that was counted.
        """
        with self._lock:
            now, seen = self._clock(), self._seen.get(key)
            if seen is None and not self._has_room(now):
                return 0
            if seen is None or now - seen.since >= self._every_s:
                self._seen[key] = _Counted(now)
                return 0 if seen is None else seen.count
            seen.count, seen.line = seen.count + 1, line
            if self._timer is None:
                self._wake_at(seen.since + self._every_s)
            return None

    def _has_room(self, now: float) -> bool:
        """Whether another line can be told apart, once those that did not come again are forgotten."""
        if len(self._seen) >= _MOST_KEYS:
            kept = {
                key: one
                for key, one in list(self._seen.items())
                if one.count or now < one.since + self._every_s
            }
            self._seen = kept
        return len(self._seen) < _MOST_KEYS

    def flush(self) -> None:
        """Reports all that was counted and not yet told."""
        self._report_older(0.0)

    def _report_older(self, age_s: float) -> None:
        """Reports what is so old, which begins anew; what is so old and did not come again is forgotten."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            now = self._clock()
            old = {key: seen for key, seen in list(self._seen.items()) if now - seen.since >= age_s}
            for key, seen in old.items():
                if seen.count:
                    self._seen[key] = _Counted(now)
                else:
                    self._seen.pop(key, None)
            if waiting := [seen.since for seen in list(self._seen.values()) if seen.count]:
                self._wake_at(min(waiting) + self._every_s)
        for seen in old.values():
            if seen.line is not None:
                self._report(seen.line, seen.count - 1)

    def _wake_at(self, time_s: float) -> None:
        timer = threading.Timer(max(0.0, time_s - self._clock()), self._report_older, (self._every_s,))
        timer.daemon = True
        with suppress(RuntimeError):  # no room for a thread: the next line that is counted tries again
            timer.start()
            self._timer = timer


def flush_repeats() -> None:
    """Reports what every `Repeats` of this process has counted, before the process ends."""
    for each in list(_ALL):
        each.flush()
