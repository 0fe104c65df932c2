"""How many ids are asked for: more and more while the time allows."""

import asyncio

import pytest

from staunch_features.checks.budget import draw_in_time, reach


async def asked(
    most: int, *, fixed_s: float = 0.0, each_s: float = 0.0, budget_s: float
) -> tuple[int, list[int]]:
    """What `reach` comes to for an answer that takes so long, and what it asked for."""
    counts: list[int] = []

    async def run(count: int) -> None:
        counts.append(count)
        await asyncio.sleep(fixed_s + each_s * count)

    return await reach(most, run, budget_s=budget_s), counts


async def test_a_fast_answer_is_asked_of_all():
    assert await asked(2_500, budget_s=1) == (2_500, [1, 10, 100, 1_000, 2_500])


async def test_what_takes_as_long_for_many_as_for_one_is_asked_of_all():
    reached, counts = await asked(1_000, fixed_s=0.05, budget_s=1)
    assert (reached, counts[-1]) == (1_000, 1_000)


async def test_what_takes_longer_for_each_stops_before_the_time_is_over():
    reached, counts = await asked(10_000, each_s=0.004, budget_s=0.5)
    assert counts == [1, 10, 100]
    assert 100 <= reached <= 130
    assert reached % 100 == 0


async def test_one_that_takes_too_long_alone_is_asked_of_one():
    assert await asked(10, each_s=0.1, budget_s=0.05) == (1, [1])


async def test_of_nobody_nothing_is_asked():
    assert await asked(0, budget_s=1) == (0, [])


@pytest.mark.parametrize("budget_s", [10, 1e-9])
async def test_a_sample_is_cut_to_what_answers_in_time(clients, budget_s):
    view = clients.view(population="SELECT id FROM clients_bigint")
    ids, drawn = await draw_in_time(clients.database, view, None, timeout_s=5, budget_s=budget_s)
    assert (len(ids), drawn) == (3 if budget_s == 10 else 1, 3)
