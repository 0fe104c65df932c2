"""Rows are explained in turns, on threads that give way; who is late or gone has no more of them."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import numpy as np
import pytest
from tests.server.harness.served import MakeServed

from staunch_model_store.model import Largest
from staunch_server.deadlines import Deadline
from staunch_server.models.reasons import SLICE_ROWS, Explainers
from staunch_server.models.served import Served
from staunch_server.types import Floats


@pytest.fixture
async def explainers() -> AsyncIterator[Explainers]:
    made = Explainers(1)
    yield made
    made.close()


def rows(count: int) -> Floats:
    return np.random.default_rng(2).uniform(-20, 80, (count, 3))


@pytest.fixture
def watched(make: MakeServed, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Served]:
    """Makes a served version that calls `look(n)` in the explaining thread before it explains n rows."""

    def watch(look: Callable[[int], object]) -> Served:
        served = make()
        usual = served.largest

        def largest(values: Floats, outputs: Floats, count: int) -> Largest:
            look(len(values))
            return usual(values, outputs, count)

        monkeypatch.setattr(served, "largest", largest)
        return served

    return watch


@pytest.mark.parametrize("count", [1, SLICE_ROWS, SLICE_ROWS + 1, 3 * SLICE_ROWS - 1])
async def test_rows_have_the_same_reasons_however_they_are_sliced(
    make: MakeServed, explainers: Explainers, count: int
) -> None:
    served, values = make(), rows(count)
    outputs = (await served.score(values)).margins
    found = [one async for one in explainers.explain(served, values, outputs, 2, None)]
    assert [one.start for one in found] == list(range(0, count, SLICE_ROWS))
    whole = served.largest(values, outputs, 2)
    for field in ("features", "contributions", "remainders", "errors"):
        parts = np.concatenate([getattr(one.largest, field) for one in found])
        assert parts.tobytes() == getattr(whole, field).tobytes()


async def test_no_rows_are_explained_by_none(make: MakeServed, explainers: Explainers) -> None:
    none = explainers.explain(make(), rows(0), np.zeros(0), 3, None)
    assert [one async for one in none] == []


@pytest.mark.skipif(sys.platform != "linux", reason="only there a thread has a priority of its own")
async def test_the_threads_give_way_to_all_others(
    watched: Callable[..., Served], explainers: Explainers
) -> None:
    seen: list[tuple[str, int]] = []

    def look(_rows: int) -> None:
        here = threading.get_native_id()
        seen.append((threading.current_thread().name, os.getpriority(os.PRIO_PROCESS, here)))

    served, before = watched(look), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert [one async for one in explainers.explain(served, rows(1), np.zeros(1), 1, None)]
    assert seen == [("reasons_0", min(19, before + 10))]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


async def test_chunks_take_turns(watched: Callable[..., Served], explainers: Explainers) -> None:
    turns: list[str] = []

    async def explained(name: str) -> None:
        served = watched(lambda _count: (turns.append(name), time.sleep(0.01)))
        count = 3 * SLICE_ROWS
        assert [one async for one in explainers.explain(served, rows(count), np.zeros(count), 1, None)]

    await asyncio.gather(explained("a"), explained("b"))
    assert turns == ["a", "b"] * 3


async def test_nothing_is_explained_when_the_time_is_over(
    watched: Callable[..., Served], explainers: Explainers
) -> None:
    turns: list[int] = []
    served = watched(lambda count: (turns.append(count), time.sleep(0.05)))
    many = 100 * SLICE_ROWS
    with pytest.raises(TimeoutError):
        async for _ in explainers.explain(served, rows(many), np.zeros(many), 1, Deadline.after(0.12)):
            pass
    assert 1 <= len(turns) <= 4


async def test_who_leaves_ends_after_the_slice_in_hand(
    watched: Callable[..., Served], explainers: Explainers
) -> None:
    turns: list[int] = []
    served = watched(lambda count: (turns.append(count), time.sleep(0.02)))
    many = 100 * SLICE_ROWS

    async def explained() -> None:
        async with aclosing(explainers.explain(served, rows(many), np.zeros(many), 1, None)) as slices:
            async for _ in slices:
                pass

    task = asyncio.create_task(explained())
    while len(turns) < 2:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    taken = len(turns)
    await asyncio.sleep(0.1)
    assert len(turns) <= taken + 1


async def test_the_loop_goes_on_while_rows_are_explained(
    watched: Callable[..., Served], explainers: Explainers
) -> None:
    served = watched(lambda _count: time.sleep(0.2))
    task = asyncio.create_task(anext(explainers.explain(served, rows(1), np.zeros(1), 1, None)))
    beats = 0
    while not task.done():
        await asyncio.sleep(0.01)
        beats += 1
    assert beats >= 5
