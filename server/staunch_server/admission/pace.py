"""How fast calls are answered, measured while they queue, to tell who comes at once that it is too late.

A caller with n others before it is answered after n times what one call takes (Little's law). One that would
be answered too late costs a place, a row of a batch and an answer that nobody reads: refused on arrival it
costs little, and may try elsewhere.
"""

import time
from collections import deque
from collections.abc import Callable

from staunch_server.deadlines import Deadline
from staunch_server.errors import Reason, Refusal

SHARE = 0.75
"""The share of its time left that a caller may spend behind others."""

KNOWN_S = 1.0
"""So long a pace that was measured counts; then calls are let in beyond it, and it is measured anew."""

WINDOWS = 3
"""So many windows must have been measured before any counts: the first batches of a server are slow."""

_WINDOW_S = 0.1


class Pace:
    """Tells whether a call that comes now would be answered in time.

    Args:
        free: So many calls in hand are taken whatever the pace, or none would ever tell that it is better.
        clock: Tells the seconds.
    """

    def __init__(self, free: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._free = free
        self._clock = clock
        # What was measured of late: when, and the calls a second.
        self._windows: deque[tuple[float, float]] = deque(maxlen=8)
        # Since when calls have queued without a break, within this window, and how many have ended since.
        self._since = clock()
        self._ended = 0

    @property
    def rate(self) -> float:
        """The calls a second that end while others queue, at best of late; 0 if it is not known."""
        known = self._clock() - KNOWN_S
        while self._windows and self._windows[0][0] <= known:
            self._windows.popleft()
        return max(rate for _, rate in self._windows) if len(self._windows) >= WINDOWS else 0.0

    def wait_s(self, in_hand: int) -> float:
        """Returns how long the calls in hand take, in seconds; 0 if it is not known."""
        rate = self.rate if in_hand >= self._free else 0.0
        return in_hand / rate if rate else 0.0

    def refuse_if_late(self, in_hand: int, deadline: Deadline) -> None:
        """Raises a Refusal if a call that comes now would be answered too late.

        Args:
            in_hand: The calls before it.
            deadline: Until when its caller waits.
        """
        if in_hand < self._free:
            self._begin_window()
            return
        wait_s = self.wait_s(in_hand)
        if wait_s > SHARE * deadline.left():
            raise Refusal(
                Reason.OVERLOADED,
                "This server has more calls before this one than it answers in the time that is left; "
                "try again a little later.",
                metadata={"what": "calls", "limit": str(in_hand)},
            )

    def ended(self, in_hand: int) -> None:
        """Counts a call that has ended.

        Args:
            in_hand: How many are left; below `free` no queue stands, and the pace is that of those who ask.
        """
        if in_hand < self._free:
            self._begin_window()
            return
        self._ended += 1
        took_s = self._clock() - self._since
        if took_s >= _WINDOW_S:
            self._windows.append((self._since + took_s, self._ended / took_s))
            self._begin_window()

    def _begin_window(self) -> None:
        self._since = self._clock()
        self._ended = 0
