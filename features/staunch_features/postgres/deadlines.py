"""Until when something may take: one moment that is handed on, and one clock for it."""

import asyncio
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment until when something may take.

    It is made once, where the promise begins, and rides along: who is given it may use what is left of it, or
    hand on an earlier one. Moments to wait until are on the clock of `time.monotonic()` and never on the
    event loop's own (uvloop's stands still while the loop works), since mixing the two gives time away.

    Attributes:
        at: The moment on that clock, in seconds.
    """

    at: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """The deadline that is so many seconds from now."""
        return cls(time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds until then; 0 or less once it is over."""
        return self.at - time.monotonic()

    def left_or_raise(self) -> float:
        """Seconds until then, more than 0: what cannot end in time is not begun.

        Raises:
            TimeoutError: It is over.
        """
        left_s = self.left()
        if left_s <= 0:
            raise TimeoutError("the time was over before this was begun")
        return left_s

    def keep(self, share: float) -> "Deadline":
        """An earlier deadline, so that this share (0 to 1) of the time left is kept for what comes after."""
        return Deadline(self.at - share * max(0.0, self.left()))

    def within(self, seconds: float) -> "Deadline":
        """The earlier one of this and so many seconds from now."""
        return Deadline(min(self.at, time.monotonic() + seconds))

    def timeout(self) -> asyncio.Timeout:
        """`async with deadline.timeout():` raises TimeoutError when the time is over."""
        return asyncio.timeout(self.left())
