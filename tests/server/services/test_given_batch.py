"""Features that calls bring, joined: those of a turn in one run, each with its own answer or error."""

import asyncio
import math
import struct
from collections.abc import Callable

import pytest
from tests.server.harness.served import MakeServed
from tests.server.small_models import expected_margin, sigmoid

from staunch_server.errors import Reason, Refusal
from staunch_server.models.served import Served
from staunch_server.services.answer import Answer
from staunch_server.services.given_batch import ENOUGH_ROWS, IDLE_TURNS, MOST_ROWS, GivenBatch

Outcome = Answer | Exception
Row = tuple[float, float, float]


@pytest.fixture
def served(make: MakeServed) -> Served:
    return make()


@pytest.fixture
def runs(served: Served, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each run of the model has."""
    sizes, score = list[int](), served.score_few
    monkeypatch.setattr(served, "score_few", lambda values: sizes.append(len(values)) or score(values))
    return sizes


Take = Callable[[Outcome], None]


def joined() -> GivenBatch[Take]:
    """A batch of callers that are functions."""
    return GivenBatch(lambda _, caller, outcome: caller(outcome))


def ask(batch: GivenBatch[Take], served: Served, row: Row, take: Take) -> dict[str, float]:
    stages: dict[str, float] = {}
    batch.ask(served, struct.pack("<3d", *row), stages, take)
    return stages


async def turns(count: int = IDLE_TURNS) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_calls_of_turns_close_together_are_one_run_and_enough_of_them_wait_no_longer(
    served: Served, runs: list[int]
) -> None:
    batch, got = joined(), list[Outcome]()
    for _ in range(ENOUGH_ROWS - 1):
        ask(batch, served, (1, 1, 1), got.append)
        await turns(IDLE_TURNS - 1)
    assert runs == []
    ask(batch, served, (1, 1, 1), got.append)
    await turns(1)
    assert (runs, len(got)) == ([ENOUGH_ROWS], ENOUGH_ROWS)


async def test_what_comes_in_one_turn_is_one_run_and_each_gets_its_own(
    served: Served, runs: list[int]
) -> None:
    batch, got = joined(), list[Outcome]()
    rows: list[Row] = [(i, i % 2, 50.0 * i) for i in range(10)]
    stages = [ask(batch, served, row, got.append) for row in rows]
    assert got == []
    await turns()
    assert runs == [10]
    for row, one, step in zip(rows, got, stages, strict=True):
        assert isinstance(one, Answer)
        assert (tuple(one.values), one.as_of) == (row, None)
        assert one.probability == pytest.approx(sigmoid(expected_margin(row)), abs=1e-15)
        assert step["onnx"] > 0
    ask(batch, served, rows[0], got.append)
    await turns()
    assert (runs, len(got)) == ([10, 1], 11)


async def test_more_than_a_run_has_come_in_several(served: Served, runs: list[int]) -> None:
    batch, got = joined(), list[Outcome]()
    for i in range(2 * MOST_ROWS + 3):
        ask(batch, served, (i, 0, 0), got.append)
    await turns()
    assert runs == [MOST_ROWS, MOST_ROWS, 3]
    assert [one.values[0] for one in got if isinstance(one, Answer)] == [*range(2 * MOST_ROWS + 3)]


async def test_a_bad_row_is_refused_alone_and_none_is_run_where_all_are_bad(
    served: Served, runs: list[int]
) -> None:
    batch, got = joined(), dict[str, Outcome]()
    for name, row in {"null": (math.nan, 0, 0), "good": (6, math.nan, 0), "large": (0, math.inf, 0)}.items():
        ask(batch, served, row, lambda outcome, name=name: got.update({name: outcome}))
    await turns()
    assert runs == [1]
    assert isinstance(got["good"], Answer)
    assert (got["good"].values[0], math.isnan(got["good"].values[1])) == (6, True)
    reasons = {name: one.reason for name, one in got.items() if isinstance(one, Refusal)}
    assert reasons == {"null": Reason.FEATURE_MISSING, "large": Reason.FEATURE_NOT_FINITE}
    ask(batch, served, (math.nan, 0, 0), lambda _: None)
    await turns()
    assert runs == [1]


async def test_versions_are_run_apart(make: MakeServed) -> None:
    batch, got = joined(), list[Outcome]()
    first, second = make(), make(base=3.0)
    for served in (first, second, first):
        ask(batch, served, (6, 1, 0), got.append)
    await turns()
    margins = sorted(
        math.log(one.probability / (1 - one.probability)) for one in got if isinstance(one, Answer)
    )
    assert margins == pytest.approx([1.75, 1.75, 4.75])


async def test_a_run_that_fails_ends_each_call_and_the_next_is_answered(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, got = joined(), list[Outcome]()
    with monkeypatch.context() as patch:
        patch.setattr(served, "score_few", lambda _: 1 / 0)
        for _ in range(3):
            ask(batch, served, (1, 1, 1), got.append)
        await turns()
    assert [type(one) for one in got] == [ZeroDivisionError] * 3
    ask(batch, served, (1, 1, 1), got.append)
    await turns()
    assert isinstance(got[-1], Answer)


async def test_whoever_cannot_take_an_answer_is_given_that_and_costs_no_other(served: Served) -> None:
    batch, got = joined(), list[Outcome]()

    def take(outcome: Outcome) -> None:
        got.append(outcome)
        if isinstance(outcome, Answer):
            raise KeyError("no words")

    for each in (take, got.append):
        ask(batch, served, (1, 1, 1), each)
    await turns()
    assert [type(one) for one in got] == [Answer, KeyError, Answer]
