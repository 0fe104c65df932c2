"""Rows that come while others are explained are explained together, and each caller gets its own."""

import asyncio

import numpy as np
import pytest

from staunch_model_store.errors import ModelRefused
from staunch_model_store.model import Explanation
from staunch_server.models.explaining import MOST_ROWS, Explaining
from staunch_server.types import Floats


class Explainer:
    """Explains a row by itself, as soon as the gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.runs: list[list[float]] = []

    async def explain(self, values: Floats) -> Explanation:
        """Notes the rows and waits."""
        self.runs.append(values[:, 0].tolist())
        await self.gate.wait()
        if np.isnan(values).any():
            raise ModelRefused("a graph that is damaged")
        return Explanation(values, 0.5, values.sum(axis=1))


def row(number: float) -> Floats:
    return np.array([number, 1.0])


async def settle() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def test_a_lone_row_goes_at_once_and_what_comes_meanwhile_goes_together() -> None:
    explainer = Explainer()
    made = Explaining(explainer.explain)
    asked = [asyncio.create_task(made.ask(row(0)))]
    await settle()
    assert explainer.runs == [[0]]
    asked += [asyncio.create_task(made.ask(row(number))) for number in range(1, MOST_ROWS + 3)]
    await settle()
    explainer.gate.set()
    found = await asyncio.gather(*asked)
    assert [len(run) for run in explainer.runs] == [1, MOST_ROWS, 2]
    assert [one.contributions.tolist() for one in found] == [[[n, 1.0]] for n in range(MOST_ROWS + 3)]
    assert [one.outputs.tolist() for one in found] == [[n + 1.0] for n in range(MOST_ROWS + 3)]


async def test_who_went_away_is_not_explained() -> None:
    explainer = Explainer()
    made = Explaining(explainer.explain)
    asked = [asyncio.create_task(made.ask(row(number))) for number in range(4)]
    await settle()
    for number in (1, 2):
        asked[number].cancel()
    late = asyncio.create_task(made.ask(row(4)))
    await settle()
    late.cancel()
    explainer.gate.set()
    await asyncio.gather(*asked, late, return_exceptions=True)
    assert explainer.runs == [[0, 1, 2, 3]]  # they went after the run had begun
    assert (await made.ask(row(5))).outputs == [6.0]


async def test_a_run_that_fails_is_the_error_of_each_in_it_and_of_nobody_after() -> None:
    explainer = Explainer()
    explainer.gate.set()
    made = Explaining(explainer.explain)
    failed = await asyncio.gather(made.ask(row(1)), made.ask(row(np.nan)), return_exceptions=True)
    assert {type(one) for one in failed} == {ModelRefused}
    with pytest.raises(ModelRefused):
        await made.ask(row(np.nan))
    assert (await made.ask(row(2))).outputs == [3.0]
