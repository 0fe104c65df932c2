"""When a call is tried again: only on UNAVAILABLE, never past its deadline, never sooner than asked."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from grpc import StatusCode

from staunch._errors import StaunchError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How stubbornly a client tries.

    Attributes:
        attempts: The most tries of one call, the first included; 1 never tries again.
        first_wait_s: The longest wait before the second try; doubled for each further one.
        longest_wait_s: What doubling stops at. A server may ask for more, and gets it.
        patience_s: How long a batch goes without any answered chunk before it gives up.
    """

    attempts: int = 5
    first_wait_s: float = 0.05
    longest_wait_s: float = 2.0
    patience_s: float = 60.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.first_wait_s, self.longest_wait_s, self.patience_s) < 0:
            raise ValueError(f"expected 1 or more attempts and no negative seconds, got {self}")

    def wait_s(self, failures: int, push_back_s: float | None) -> float:
        """Gives the seconds to wait after so many failures in a row.

        The second half of the wait is random, so that clients that failed together do not come back together.
        """
        longest = min(self.longest_wait_s, self.first_wait_s * 2.0 ** (failures - 1))
        spread = random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, hides nothing
        return max(longest * spread, (push_back_s or 0.0) * (1.5 - 0.5 * spread))


class Tries:
    """The tries of one call: what time is left, and whether another one is worth it."""

    def __init__(
        self, policy: RetryPolicy, timeout_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._deadline = clock() + timeout_s
        self._failures = 0

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline, 0 or more."""
        return max(0.0, self._deadline - self._clock())

    def wait_s(self, error: StaunchError) -> float:
        """Gives the seconds to wait before the next try.

        Raises:
            StaunchError: The given one, if it is final, the tries are spent, or the deadline comes first.
        """
        self._failures += 1
        wait = self._policy.wait_s(self._failures, error.details.retry_after_s)
        final = error.code is not StatusCode.UNAVAILABLE or self._failures >= self._policy.attempts
        if final or wait >= self.remaining_s:
            raise error
        return wait
