"""What a client may spend on tries after the first, shared by all its calls and safe between threads."""

import threading
import time
from collections.abc import Callable

_TOKEN = 1000  # in parts, so that ten tenths are one

KNOCK_S = 0.1
"""The longest between two looks whether there is a connection at last; looking reaches nobody."""


class Budget:
    """A bucket of tokens: a try after the first takes one, a call gives a tenth of one, it holds ten at most.

    So of M calls at most M / 10 + 10 are sent again, however long a server is in trouble and however many
    callers there are; a try that never left this machine gives its token back. (The numbers are a policy's.)

    Ten tokens are few for eight callers whose server is away for seconds: all of them trying at 50, 150 and
    350 ms would find it away each time and have nothing left. So a call takes its token when it fails, before
    it waits, and keeps it for a try that is worth it: once another call was answered, or else when five to
    six eighths of its time are over. What nobody has taken is for scouts: one call at a time tries early, in
    the client's growing waits, paid from the bucket and not by the token that it keeps. Therefore

    - a call that waits is sent again for sure, and finds a server that came back in the first five eighths;
    - as soon as a scout, or a new call, is answered, be it by an error that is final, all that wait go;
    - a lone caller is its own scout and tries at growing waits;
    - a call that finds the bucket empty fails at once: others already do what can be done.

    Args:
        max_tokens: What it begins with and holds at most.
        token_ratio: What a call gives.
        wait_s: Gives the seconds to wait before a scout goes, after so many failures in a row.
        clock: Gives the time in seconds.
    """

    def __init__(
        self,
        max_tokens: int,
        token_ratio: float,
        wait_s: Callable[[int], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = max_tokens * _TOKEN
        self._gift = round(min(token_ratio, max_tokens) * _TOKEN)
        self._wait_s = wait_s
        self._clock = clock
        self._lock = threading.Lock()
        self._parts = self._most
        self._waiting = 0
        self._scouting = False
        self._scouts_failed = 0
        self._next_scout = 0.0
        self._answers = 0

    @property
    def answers(self) -> int:
        """How many calls were answered so far, be it by an error that is final."""
        return self._answers

    def begin(self) -> None:
        """Takes a call's gift."""
        with self._lock:
            self._give(self._gift)

    def answered(self) -> None:
        """Hears that a call was answered: whoever waits may go."""
        with self._lock:
            self._answers += 1
            self._scouts_failed = 0

    def join(self) -> bool:
        """Takes the token of a call that begins to wait; False if there is none."""
        with self._lock:
            if not self._take():
                return False
            if not self._waiting:
                self._scouts_failed = 0
                self._next_scout = self._clock() + self._wait_s(1)
            self._waiting += 1
            return True

    def leave(self, *, unused: bool) -> None:
        """Ends the wait of a call, which gives its token back if it did not use it."""
        with self._lock:
            self._waiting -= 1
            self._give(_TOKEN if unused else 0)

    def send_scout(self) -> bool:
        """Says whether a waiting call may try early; then its outcome must be told by `scouted`."""
        with self._lock:
            if self._scouting or self._clock() < self._next_scout or not self._take():
                return False
            self._scouting = True
            return True

    def scouted(self, *, arrived: bool) -> None:
        """Hears that a scout is back; one that never arrived cost nothing, and the next may knock soon."""
        with self._lock:
            self._scouting = False
            self._scouts_failed += arrived
            wait_s = self._wait_s(self._scouts_failed + 1) if arrived else KNOCK_S
            self._next_scout = self._clock() + wait_s
            self._give(0 if arrived else _TOKEN)

    def spend(self) -> bool:
        """Takes a token at once, for what does not wait for its turn here; False if there is none."""
        with self._lock:
            return self._take()

    def _take(self) -> bool:
        enough = self._parts >= _TOKEN
        self._parts -= _TOKEN if enough else 0
        return enough

    def _give(self, parts: int) -> None:
        self._parts = min(self._most, self._parts + parts)
