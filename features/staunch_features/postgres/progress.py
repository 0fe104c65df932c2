"""How a long step says how far it is."""

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Told what is being done and how much of that is, from 0 to 1."""


def silent(stage: str, done: float) -> None:
    """A progress that nobody looks at."""
