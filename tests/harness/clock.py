"""A clock that a test sets."""

from dataclasses import dataclass


@dataclass
class Clock:
    """Stands where a test sets it, in seconds."""

    now_s: float = 0.0

    def __call__(self) -> float:
        """Returns what it was set to."""
        return self.now_s
