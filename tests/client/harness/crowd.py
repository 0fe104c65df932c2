"""Callers that share a client's budget, and a server in trouble, on a clock that jumps ahead."""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from grpc import StatusCode
from tests.harness.clock import Clock

from staunch import RetryPolicy, StaunchError, Unavailable
from staunch._errors import ErrorDetails
from staunch._retry import Tries

USUAL = RetryPolicy()
CALL_S = 0.001
"""How long every try of a call takes."""

Trouble = Callable[[float], StaunchError | None]
"""What a try that reaches the server at a time ends with; None is an answer."""


def answered_unavailable(push_back_s: float | None = None) -> StaunchError:
    """A server, or a proxy before it, says that it cannot."""
    return Unavailable(StatusCode.UNAVAILABLE, "as told", ErrorDetails(retry_after_s=push_back_s))


def refused() -> StaunchError:
    """Nobody listens, in the words of gRPC."""
    return Unavailable(StatusCode.UNAVAILABLE, "connections to all backends failing; last error: ...")


@dataclass
class Crowd:
    """Callers of one client, each making calls one after the other.

    Attributes:
        trouble: What the server does.
        policy: Theirs.
        timeout_s: Of each call.
        requests: When tries reached the server, by call.
        latencies_s: Of the calls that were answered.
        failed: How many were not.
    """

    trouble: Trouble
    policy: RetryPolicy = USUAL
    timeout_s: float = 5.0
    requests: list[list[float]] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    failed: int = 0
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.budget = self.policy.budget(self.clock)

    @property
    def sent(self) -> int:
        """How many requests reached the server."""
        return sum(map(len, self.requests))

    def run(self, starts_s: list[float], calls: int = 1) -> "Crowd":
        """Runs a caller from each moment until each has made so many calls."""
        due = [(start, number, self._caller(calls)) for number, start in enumerate(starts_s)]
        heapq.heapify(due)
        while due:
            self.clock.now_s, number, caller = heapq.heappop(due)
            pause = next(caller, None)
            if pause is not None:
                heapq.heappush(due, (self.clock.now_s + pause, number, caller))
        return self

    def _caller(self, calls: int) -> Iterator[float]:
        for _ in range(calls):
            began = self.clock.now_s
            try:
                yield from self._call()
            except StaunchError:
                self.failed += 1
            else:
                self.latencies_s.append(self.clock.now_s - began)

    def _call(self) -> Iterator[float]:
        reached = list[float]()
        self.requests.append(reached)
        with Tries(self.policy, self.timeout_s, self.budget, self.clock) as tries:
            while True:
                yield CALL_S
                error = self.trouble(self.clock.now_s)
                if error is None or error.message != refused().message:
                    reached.append(self.clock.now_s)
                if error is None:
                    return
                tries.failed(error)
                while wait := tries.wait_s():
                    yield wait
