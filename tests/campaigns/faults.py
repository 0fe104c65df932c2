"""The faults by name, and what is promised while each lasts.

A fault is an asynchronous context: it begins on entry and is undone on exit, so that whatever happens
meanwhile the next one starts from a server that is well.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from tests.campaigns.target import Target

Begins = Callable[[Target], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        begins: The fault, as a context.
        harmless: Whether callers notice nothing of it; else their calls may fail as UNAVAILABLE or
            DEADLINE_EXCEEDED while it lasts.
        refuses: Whether they may be refused as MODEL_REFUSED too.
        open_on: The transports on which it is known to stay open, and why; it is not tried there.
        lasts_s: How long it lasts.
        heals_s: How long after its end calls may still fail.
    """

    begins: Begins
    harmless: bool
    refuses: bool
    open_on: dict[str, str]
    lasts_s: float
    heals_s: float


FAULTS: dict[str, Fault] = {}
"""Every fault by its name, in the order in which they are tried."""


def fault(
    name: str,
    *,
    harmless: bool = False,
    refuses: bool = False,
    open_on: dict[str, str] | None = None,
    lasts_s: float = 2.0,
    heals_s: float = 8.0,
) -> Callable[[Callable[[Target], AsyncIterator[None]]], None]:
    """Registers what follows, an asynchronous generator that yields once, as a fault; see `Fault`."""

    def register(begins: Callable[[Target], AsyncIterator[None]]) -> None:
        assert name not in FAULTS
        FAULTS[name] = Fault(
            asynccontextmanager(begins), harmless, refuses, dict(open_on or {}), lasts_s, heals_s
        )

    return register
