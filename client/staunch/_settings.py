"""What both clients hold: how long to wait, how stubbornly, what to send along."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from staunch._batch import Batch
from staunch._budget import Budget
from staunch._retry import RetryPolicy, Tries

Metadata = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """The constructor arguments of a client, checked, and what follows from them."""

    timeout_s: float
    metadata: Metadata = field(repr=False)  # may hold a token
    retry: RetryPolicy
    budget: Budget = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "budget", self.retry.budget())
        if self.timeout_s <= 0:
            raise ValueError(f"expected a timeout_s above 0, got {self.timeout_s}")

    def tries(self, timeout_s: float | None, *, retry: bool) -> Tries:
        """Starts the clock of one call."""
        policy = self.retry if retry else replace(self.retry, attempts=1)
        return Tries(policy, self.timeout_s if timeout_s is None else timeout_s, self.budget)

    def batch(self, *, model: str, as_of: datetime | None, chunk_size: int, chunks_held: int) -> Batch:
        """Starts the state of one batch."""
        return Batch(
            model=model, as_of=as_of, chunk_size=chunk_size, chunks_held=chunks_held, policy=self.retry
        )

    def merged(self, metadata: Metadata | None) -> tuple[tuple[str, str], ...]:
        """Gives the metadata of one call: the client's, overridden by the call's own."""
        return tuple({**self.metadata, **(metadata or {})}.items())
