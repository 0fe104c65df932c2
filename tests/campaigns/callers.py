"""Callers who ask all the time, keep to the contract, and check whatever they get."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import isnan
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.struct_pb2 import Value
from grpc import aio
from tests.campaigns.oracle import Asked, Oracle
from tests.server.harness.errors import read_rich_error
from tests.server.small_models import EPOCH, PEOPLE, stamp

from staunch.v1 import prediction_service_pb2 as pb
from staunch.v1.prediction_service_pb2_grpc import PredictionServiceStub

if TYPE_CHECKING:
    from staunch.v1.prediction_service_pb2_grpc import PredictionServiceAsyncStub

CHANNEL = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)

DEADLINE_S = 4.0
GRACE_S = 2.0
"""How long after its deadline a call may end before it counts as unanswered."""

TEMPORARY = {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
"""The codes by which a call may fail while something else does."""


@dataclass(frozen=True)
class Outcome:
    """How a call ended.

    Attributes:
        kind: What was asked.
        code: Its status code; UNANSWERED if it had none long after its deadline.
        reason: Its reason; its message where it has none.
        began_at: When it was sent, on the clock of `time.monotonic`.
        ended_at: When it ended.
        errors: What is wrong with the answer; empty if it is right.
    """

    kind: str
    code: str
    reason: str
    began_at: float
    ended_at: float
    errors: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Says whether it was not answered, though it could have been."""
        return self.code not in {"OK", "NOT_FOUND", "FAILED_PRECONDITION"} or self.reason == "MODEL_REFUSED"


@dataclass
class Record:
    """What callers have met so far."""

    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        """What was wrong with answers."""
        return [error for outcome in self.outcomes for error in outcome.errors]

    def since(self, moment_s: float) -> list[Outcome]:
        """Returns what began since then."""
        return [each for each in self.outcomes if each.began_at >= moment_s]

    def ended_since(self, moment_s: float) -> list[Outcome]:
        """Returns what ended since then."""
        return [each for each in self.outcomes if each.ended_at >= moment_s]

    def codes(self) -> Counter[str]:
        """Counts the outcomes by code."""
        return Counter(each.code for each in self.outcomes)


Ended = tuple[str, str, tuple[str, ...]]
"""How a call ended: code, reason, and what is wrong with the answer."""

Kind = Callable[["Caller"], Awaitable[Ended]]


class Caller:
    """One who asks.

    Args:
        channel: Where.
        oracle: Who knows what is right.
        seed: What they draw whom and what they ask about with.
    """

    def __init__(self, channel: aio.Channel, oracle: Oracle, seed: int) -> None:
        self.stub: PredictionServiceAsyncStub = PredictionServiceStub(channel)
        self.oracle, self.draw = oracle, random.Random(seed)

    async def ask(self) -> Outcome:
        """Asks once."""
        kind = self.draw.choices(list(KINDS), list(WEIGHTS.values()))[0]
        began_at = time.monotonic()
        try:
            async with asyncio.timeout(DEADLINE_S + GRACE_S):
                code, reason, errors = await KINDS[kind](self)
        except TimeoutError:
            code, reason, errors = "UNANSWERED", "", ()
        except aio.AioRpcError as error:
            code, reason, errors = error.code().name, _reason(error), ()
        return Outcome(kind, code, reason, began_at, time.monotonic(), errors)

    def asked(self, *, overrides: bool = False, as_of: bool = False) -> Asked:
        """Draws whom to ask about; one of ten or so has no score."""
        values: dict[str, float] = {}
        if overrides:
            values = {"a": float(self.draw.randrange(10)), "b": self.draw.choice([float("nan"), 0.5, 1.0])}
        moment = EPOCH + timedelta(hours=PEOPLE + self.draw.randrange(1000)) if as_of else None
        return Asked(self.draw.randrange(1, PEOPLE + 5), datetime.now(UTC), values, moment)

    async def predict(self, asked: Asked, *, features: bool = False) -> Ended:
        """Predicts, and checks the answer."""
        request = pb.PredictRequest(customer_id=asked.customer, include_features=features)
        _fill(request, asked)
        answer = await self._refused(asked, self.stub.Predict(request, timeout=DEADLINE_S))
        if isinstance(answer, tuple):
            return answer
        return "OK", "", tuple(self.oracle.prediction_errors(asked, answer, datetime.now(UTC)))

    async def explain(self, asked: Asked) -> Ended:
        """Explains, and checks the answer."""
        request = pb.ExplainRequest(customer_id=asked.customer)
        _fill(request, asked)
        answer = await self._refused(asked, self.stub.Explain(request, timeout=DEADLINE_S))
        if isinstance(answer, tuple):
            return answer
        return "OK", "", tuple(self.oracle.explanation_errors(asked, answer, datetime.now(UTC)))

    async def _refused(self, asked: Asked, call: Awaitable[Any]) -> Any:
        """Awaits an answer; a refusal that the oracle expects too is an outcome, of others it is wrong."""
        try:
            return await call
        except aio.AioRpcError as error:
            code, reason = error.code().name, _reason(error)
            if code in TEMPORARY or reason == "MODEL_REFUSED":
                raise
            allowed = self.oracle.refusals(asked.customer)
            return (
                code,
                reason,
                () if reason in allowed else (f"{asked.customer} was refused as {code} {reason}",),
            )

    async def batch(self) -> Ended:
        """Streams two chunks, and checks every row of what came."""
        chunks = [[self.draw.randrange(1, PEOPLE + 5) for _ in range(40)] for _ in range(2)]
        requests = [pb.BatchPredictRequest(customer_ids=ids) for ids in chunks]
        sent_at, errors, ended, answered = datetime.now(UTC), list[str](), ("OK", ""), 0
        async for answer in self.stub.BatchPredict(iter(requests), timeout=DEADLINE_S):
            answered += 1
            if answer.HasField("chunk_error"):
                ended = (grpc_name(answer.chunk_error.code), answer.chunk_error.reason)
            else:
                errors += self._chunk_errors(chunks[answer.chunk_index], sent_at, answer)
        if answered != len(chunks):
            errors.append(f"{answered} answers to {len(chunks)} chunks, and OK")
        return (*ended, tuple(errors))

    def _chunk_errors(
        self, ids: Sequence[int], sent_at: datetime, answer: pb.BatchPredictResponse
    ) -> Iterator[str]:
        if list(answer.customer_ids) != list(ids):
            yield f"rows of {answer.customer_ids}, asked for {ids}"
            return
        refused = {error.index: error.reason for error in answer.row_errors}
        moment = answer.as_of_time.ToDatetime(UTC)
        for index, customer in enumerate(ids):
            if index in refused or self.oracle.refusals(customer):
                if refused.get(index, "") not in self.oracle.refusals(customer):
                    yield f"{customer} was refused as {refused.get(index)}"
                continue
            band = pb.RiskBand.Name(answer.risk_bands[index])
            yield from self.oracle.row_errors(
                Asked(customer, sent_at, {}), answer.model.version, moment, answer.probabilities[index], band
            )


KINDS: dict[str, Kind] = {
    "Predict": lambda caller: caller.predict(caller.asked()),
    "Predict, features shown": lambda caller: caller.predict(caller.asked(), features=True),
    "Predict, values set": lambda caller: caller.predict(caller.asked(overrides=True), features=True),
    "Predict, as of then": lambda caller: caller.predict(caller.asked(as_of=True)),
    "Explain": lambda caller: caller.explain(caller.asked(overrides=True)),
    "BatchPredict": lambda caller: caller.batch(),
}
"""What is asked."""

WEIGHTS = {
    "Predict": 10,
    "Predict, features shown": 2,
    "Predict, values set": 2,
    "Predict, as of then": 2,
    "Explain": 2,
    "BatchPredict": 1,
}
"""How often."""


@asynccontextmanager
async def calling(
    address: str, oracle: Oracle, *, callers: int = 8, pause_s: float = 0.01, seed: int = 0
) -> AsyncIterator[Record]:
    """Has callers ask over connections of their own while the block runs, each after a short pause.

    Args:
        address: Of the server.
        oracle: Who knows what is right.
        callers: How many; two share a connection.
        pause_s: Between two calls of one of them.
        seed: What they draw with.
    """
    record, ended = Record(), asyncio.Event()
    channels = [aio.insecure_channel(address, options=CHANNEL) for _ in range((callers + 1) // 2)]

    async def call(number: int) -> None:
        caller = Caller(channels[number // 2], oracle, seed * 1000 + number)
        while not ended.is_set():
            outcome = await caller.ask()
            record.outcomes.append(outcome)
            await asyncio.sleep(0.05 if outcome.failed else pause_s)

    tasks = [asyncio.create_task(call(number)) for number in range(callers)]
    try:
        yield record
    finally:
        ended.set()
        await asyncio.gather(*tasks)
        for channel in channels:
            await channel.close()


def _fill(request: pb.PredictRequest | pb.ExplainRequest, asked: Asked) -> None:
    for name, value in asked.overrides.items():
        request.overrides[name].CopyFrom(Value(null_value=0) if isnan(value) else Value(number_value=value))  # type: ignore[arg-type]
    if asked.as_of is not None:
        request.as_of_time.CopyFrom(stamp(asked.as_of))


def _reason(error: aio.AioRpcError) -> str:
    found = read_rich_error(error)
    return found.reason if found.infos else found.message


def grpc_name(number: int) -> str:
    """Returns the name of a status code."""
    return next(code.name for code in grpc.StatusCode if code.value[0] == number)
