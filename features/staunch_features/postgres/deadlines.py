"""Until when something may take: one clock for all of us."""

import asyncio
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment until when something may take.

    All time that is waited for is measured by `time.monotonic()`, here and nowhere else: the event loop has a
    clock of its own (uvloop's stands still while the loop works), and mixing the two gives time away.

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

    def keep(self, share: float) -> "Deadline":
        """An earlier deadline, so that this share (0 to 1) of the time left is kept for what comes after."""
        return Deadline(self.at - share * max(0.0, self.left()))

    def within(self, seconds: float) -> "Deadline":
        """The earlier one of this and so many seconds from now."""
        return Deadline(min(self.at, time.monotonic() + seconds))

    def timeout(self) -> asyncio.Timeout:
        """`async with deadline.timeout():` raises TimeoutError when the time is over."""
        return asyncio.timeout(self.left())
