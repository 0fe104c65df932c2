"""How many ids are asked for: more and more while the time allows."""

import pytest

from staunch_features.checks.budget import draw_in_time, ids_within_budget


async def asked(
    most: int, *, fixed_s: float = 0.0, each_s: float = 0.0, budget_s: float
) -> tuple[int, list[int]]:
    """How many ids are found for an answer that takes so long by a clock of ours, and what was asked for."""
    counts: list[int] = []
    now_s = 0.0

    async def run(count: int) -> None:
        nonlocal now_s
        counts.append(count)
        now_s += fixed_s + each_s * count

    return await ids_within_budget(most, run, budget_s=budget_s, clock=lambda: now_s), counts


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


async def test_what_an_id_costs_is_what_more_of_them_add_and_not_its_share_of_the_whole():
    # 1/16 s for any number, and 1/1024 s an id: after 100 ids 0.84 s remain, enough for 860 more.
    assert await asked(10_000, fixed_s=2**-4, each_s=2**-10, budget_s=1) == (900, [1, 10, 100])


@pytest.mark.parametrize(("budget_s", "counts"), [(1.0, [1, 10, 64]), (1.0 - 2**-20, [1, 10])])
async def test_the_next_step_is_taken_if_it_fits_to_the_last_moment(budget_s, counts):
    # 64 ids take 64/64 s.
    assert await asked(64, each_s=2**-6, budget_s=budget_s) == (64 if len(counts) == 3 else 60, counts)


async def test_one_that_takes_too_long_alone_is_asked_of_one():
    assert await asked(10, each_s=0.1, budget_s=0.05) == (1, [1])


async def test_of_nobody_nothing_is_asked():
    assert await asked(0, budget_s=1) == (0, [])


@pytest.mark.parametrize("budget_s", [10, 1e-9])
async def test_a_sample_is_cut_to_what_answers_in_time(clients, budget_s):
    view = clients.view(population="SELECT id FROM clients_bigint")
    ids, drawn = await draw_in_time(clients.database, view, None, timeout_s=5, budget_s=budget_s)
    assert (len(ids), drawn) == (3 if budget_s == 10 else 1, 3)
