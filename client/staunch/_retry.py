"""When a call is tried again: never past its deadline, never sooner than asked, never beyond the budget."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import Enum, auto
from typing import Self

from grpc import StatusCode

from staunch._budget import KNOCK_S, Budget
from staunch._errors import StaunchError

_LOG = logging.getLogger("staunch")
_LOG.addHandler(logging.NullHandler())  # whoever wants to read of retries adds another

# CANCELLED is a server that stops, or a proxy: what the caller cancels himself never gets here.
TRIED_AGAIN = {StatusCode.UNAVAILABLE, StatusCode.CANCELLED}

# Whatever else a call ends with, a server is there that answers.
_NO_ANSWER = {*TRIED_AGAIN, StatusCode.DEADLINE_EXCEEDED}

# What gRPC says, with nothing of a server in it, of a call for which it had no connection: such a call
# has reached nobody, and trying it again costs nobody anything. In words, for lack of anything else; with
# other words it would only cost a token.
_NEVER_LEFT = (
    "connections to all backends failing",
    "failed to connect to all addresses",
    "errors resolving ",
    "DNS resolution failed",
)
_LONG_S = 60.0  # a call that may take longer, or for ever, shares out its tries as if it might take this
_LOOK_S = 0.02  # between two looks whether another call was answered


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How stubbornly a client tries.

    Attributes:
        attempts: The most tries of one call, the first included; 1 never tries again, and None tries as long
            as there is time and budget.
        first_wait_s: The longest wait before the second try; doubled for each further one.
        longest_wait_s: What doubling stops at. A server may ask for more, and gets it.
        patience_s: How long a batch goes without any answered chunk before it gives up.
        max_tokens: What the client's budget begins with and holds at most. A try after the first takes a
            token, unless none before it has reached a server.
        token_ratio: What each call adds to the budget: 0.1 lets a tenth of the calls be sent again.
    """

    attempts: int | None = None
    first_wait_s: float = 0.05
    longest_wait_s: float = 2.0
    patience_s: float = 60.0
    max_tokens: int = 10
    token_ratio: float = 0.1

    def __post_init__(self) -> None:
        kinds = {"attempts": int | None, "max_tokens": int}
        for field in fields(self):
            value, kind = getattr(self, field.name), kinds.get(field.name, int | float)
            if isinstance(value, bool) or not isinstance(value, kind):
                raise TypeError(f"expected {field.name} as a number, got {value!r}")
        numbers = [getattr(self, field.name) for field in fields(self) if field.name != "attempts"]
        if (self.attempts is not None and self.attempts < 1) or not all(number >= 0 for number in numbers):
            raise ValueError(f"expected 1 or more attempts and no negative seconds or tokens, got {self}")

    def wait_s(self, failures: int, push_back_s: float | None = None) -> float:
        """Gives the seconds to wait after so many failures in a row.

        The second half of the wait is random, so that clients that failed together do not come back together.
        """
        longest = min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(failures - 1, 60))
        spread = _between(0.5, 1.0)
        return max(longest * spread, (push_back_s or 0.0) * (1.5 - 0.5 * spread))

    def budget(self, clock: Callable[[], float] = time.monotonic) -> Budget:
        """Makes the budget of a client."""
        return Budget(self.max_tokens, self.token_ratio, self.wait_s, clock)


class _Try(Enum):
    """What a try is, and so what pays for it."""

    FREE = auto()  # the first, or one after tries that reached nobody
    SCOUT = auto()  # paid from the bucket
    KEPT = auto()  # paid with the token that was kept for it


class Tries:
    """The tries of one call: what time is left, and when another one is worth it. See `Budget` for the idea.

    Use it in a `with` block, so that a token that was kept and not used goes back.

    Args:
        policy: How stubbornly.
        timeout_s: How long, in seconds.
        budget: What the client may spend; None is one of its own.
        clock: Gives the time in seconds.
        changes: Whether the call changes something, and must not be done twice.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        timeout_s: float,
        budget: Budget | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        changes: bool = False,
    ) -> None:
        self._policy = policy
        self._changes = changes
        self._clock = clock
        self._budget = policy.budget(clock) if budget is None else budget
        self._deadline = clock() + timeout_s
        # Each call's own, so that what failed together is not sent again together.
        self._last_chance = clock() + min(timeout_s, _LONG_S) * _between(0.625, 0.75)
        self._failures = 0
        self._last: StaunchError | None = None
        self._arrived = False
        self._keeps_token = False
        self._try = _Try.FREE
        self._not_before = 0.0
        self._answers_seen = 0
        self._budget.begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        # Every try but the last is settled by `failed`; that one was sent, and then answered or given up.
        if self._try is _Try.SCOUT:
            self._budget.scouted(arrived=True)
        if self._keeps_token:
            self._budget.leave(unused=self._try is not _Try.KEPT)
        if kind is None:
            self._budget.answered()

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline, 0 or more."""
        return max(0.0, self._deadline - self._clock())

    def failed(self, error: StaunchError) -> None:
        """Hears how a try failed; afterwards `wait_s` says when the next one is due.

        Raises:
            StaunchError: The given one, if it is final, or the attempts, the time or the budget are spent.
        """
        self._failures += 1
        self._last = error
        arrived = not never_left(error)
        self._account(arrived)
        if error.code not in _NO_ANSWER:
            self._budget.answered()
        if error.code not in TRIED_AGAIN or self._failures == self._policy.attempts:
            raise error
        if self._changes and arrived and not _refused(error):
            raise error
        self._not_before = self._clock() + self._pause_s(error, arrived)
        if self._not_before >= self._deadline:
            raise error
        # Once a server may have seen it, a call waits with the token of its next try in hand, or not at all.
        if self._arrived and not self._keeps_token:
            self._keeps_token = self._budget.join()
            if not self._keeps_token:
                raise error
        self._answers_seen = self._budget.answers

    def _account(self, arrived: bool) -> None:
        """Settles what the try cost: nothing, if it reached nobody."""
        self._arrived |= arrived
        if self._try is _Try.SCOUT:
            self._budget.scouted(arrived=arrived)
        elif self._try is _Try.KEPT:
            self._keeps_token = not arrived
            if arrived:
                self._budget.leave(unused=False)
        self._try = _Try.FREE

    def _pause_s(self, error: StaunchError, arrived: bool) -> float:
        """Gives how long this call leaves the server alone, whoever else asks it meanwhile."""
        push_back_s = error.details.retry_after_s
        if not arrived:
            return KNOCK_S * _between(0.5, 1.0)
        if self._clock() < self._last_chance:
            # The growing waits are the scouts', one for all calls: its own is what the server asked it for.
            return self._policy.wait_s(1, push_back_s) if push_back_s else 0.0
        return self._policy.wait_s(self._failures, push_back_s)

    def wait_s(self) -> float:
        """Gives the seconds until it is worth asking again; 0 means that the next try is due now.

        Raises:
            StaunchError: The last try's, if the time is over: a sleep may last longer than it was asked to.
        """
        now = self._clock()
        if self._last is not None and now >= self._deadline:
            raise self._last
        if now < self._not_before:
            return self._not_before - now
        if not self._arrived:
            return 0.0
        # A kept token is for a try that is worth it: something was answered since, or it is the last chance.
        if now >= self._last_chance or self._budget.answers != self._answers_seen:
            self._try = _Try.KEPT
        elif self._budget.send_scout():
            self._try = _Try.SCOUT
        else:
            return min(_LOOK_S, self._last_chance - now)
        return 0.0


class RetryLog:
    """Writes a warning to the logger "staunch" when a call is tried again, once for each cause in a row.

    It says which method, why, and under which id the server knows the call; never of whom, nor with a token.

    Args:
        method: The method's name.
    """

    def __init__(self, method: str) -> None:
        self._method = method
        self._last = ""

    def retrying(self, error: StaunchError) -> None:
        """Hears why the call is tried again."""
        # What a server says may name a customer, so only its reason is written; gRPC names the server alone.
        cause = error.reason or f"{error.code.name}: {error.message}"
        if cause != self._last:
            self._last = cause
            request = error.details.request_id or "unknown"
            _LOG.warning("%s is tried again after %s (request %s)", self._method, cause, request)

    def answered(self) -> None:
        """Hears that it was answered, so that the next cause is news."""
        self._last = ""


def _between(least: float, most: float) -> float:
    return random.uniform(least, most)  # noqa: S311 - spreads load, hides nothing


def _refused(error: StaunchError) -> bool:
    """Says whether a server has done nothing of a call, since it asks for it again."""
    return bool(error.reason) and error.details.retry_after_s is not None


def never_left(error: StaunchError) -> bool:
    """Says whether a call failed before there was a server that could have read it."""
    return not error.reason and not error.details.request_id and error.message.startswith(_NEVER_LEFT)
