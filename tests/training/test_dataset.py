from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from staunch_features.postgres.connection import opened
from staunch_features.postgres.deadlines import Deadline
from staunch_features.views.file import FeatureView, LabelText
from staunch_training.dataset import Dataset, ExtractSettings, extract
from staunch_training.errors import BadFeatureValue, NotEnoughRows
from staunch_training.split import SIDES, DateCounts, DatePlan, plan_dates

ENDS = datetime(2026, 1, 1, tzinfo=UTC)
COUNTS = DateCounts(train=4, validation=2, test=2)


def _plan(label: LabelText, counts: DateCounts = COUNTS) -> DatePlan:
    return plan_dates(ENDS, gap_days=label.gap_days, horizon_days=label.horizon_days, counts=counts)


async def _extract(
    shop: Any, view: FeatureView, label: LabelText, plan: DatePlan | None, **how: Any
) -> Dataset:
    progress = how.pop("progress", lambda stage, done: None)
    settings = ExtractSettings(**{"seed": 1, "max_customers": 100_000, "timeout_s": 60, **how})
    return await extract(shop.source(view), label, plan, settings, progress)


async def test_no_customer_and_no_person_is_on_both_sides(shop: Any) -> None:
    dataset = await _extract(shop, shop.view(), shop.label(), _plan(shop.label()))
    ids = [set(dataset.sides[side].ids) for side in SIDES]
    people = [set(dataset.sides[side].groups.tolist()) for side in SIDES]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert not ids[first] & ids[second]
        assert not people[first] & people[second]
    # A person with two ids has one group for both.
    assert sum(map(len, people)) < sum(map(len, ids))


async def test_every_side_has_its_dates_and_both_answers(shop: Any) -> None:
    label = shop.label(gap_days=7)
    dataset = await _extract(shop, shop.view(), label, _plan(label))
    for side, count in zip(SIDES, (4, 2, 2), strict=True):
        rows = dataset.sides[side]
        assert set(rows.dates.tolist()) == set(range(count))
        assert 0 < rows.labels.mean() < 0.5
        assert rows.values.shape == (len(rows.ids), 3) == (len(rows.labels), 3)


async def test_rows_are_those_of_the_feature_source_at_their_date(shop: Any) -> None:
    plan = _plan(shop.label())
    dataset = await _extract(shop, shop.view(), shop.label(), plan)
    rows, source = dataset.sides["validation"], shop.source(shop.view())
    for date, moment in enumerate(plan.validation):
        here = rows.dates == date
        ids = [key for key, is_here in zip(rows.ids, here, strict=True) if is_here]
        batch = await source.fetch(ids, moment, deadline=Deadline.after(10))
        answers = await source.labels(shop.label(), ids, moment, timeout_s=10)
        assert batch.eligible.all()
        np.testing.assert_array_equal(batch.values, rows.values[here])
        np.testing.assert_array_equal(answers.values, rows.labels[here] > 0.5)


async def test_customers_who_have_left_are_not_learned_from(shop: Any) -> None:
    dataset = await _extract(shop, shop.view(), shop.label(), _plan(shop.label()))
    rows = dataset.sides["test"]
    stayed_only_once = set(rows.ids) - {
        key for key, date in zip(rows.ids, rows.dates, strict=True) if date == 1
    }
    left_between = {key for key, left in zip(rows.ids, rows.labels, strict=True) if left}
    assert stayed_only_once
    assert stayed_only_once <= left_between


async def test_a_large_population_is_sampled_the_same_way_for_a_seed(shop: Any) -> None:
    how = {"max_customers": 700}
    first, again, other = [
        await _extract(shop, shop.view(), shop.label(), _plan(shop.label()), **how, seed=seed)
        for seed in (1, 1, 2)
    ]
    assert first.sides["train"].ids == again.sides["train"].ids
    assert first.sides["train"].ids != other.sides["train"].ids
    assert len({key for side in SIDES for key in first.sides[side].ids}) <= 700


async def test_a_flat_table_without_dates_is_split_by_customer_and_keeps_its_nulls(shop: Any) -> None:
    dataset = await _extract(shop, shop.flat_view(), shop.flat_label(), None)
    keys = [key for side in SIDES for key in dataset.sides[side].ids]
    assert len(keys) == len(set(keys)) == 1500
    assert np.isnan(dataset.sides["train"].values[:, 0]).mean() == pytest.approx(0.2, abs=0.05)
    assert not np.isnan(dataset.sides["train"].values[:, 1]).any()


async def test_keys_are_learned_from_byte_for_byte(shop: Any) -> None:
    """What differs by blanks, zeros, case or accents only is another customer, with other rows."""
    spellings = ("{}", " {}", "{} ", "0{}", "+{}", "{}e3", "a{}", "A{}", "\u00e9{}", "e\u0301{}")
    keys = [spelling.format(n) for n in range(1, 41) for spelling in spellings]
    async with opened(shop.owner_url) as connection:
        await connection.execute(
            "CREATE TABLE shop.spelled (key text, place float8);"
            "GRANT SELECT ON shop.spelled TO staunch_reader"
        )
        await connection.copy_records_to_table(
            "spelled", schema_name="shop", records=[(key, float(place)) for place, key in enumerate(keys)]
        )
    view = replace(
        shop.flat_view(),
        population="SELECT key FROM shop.spelled",
        statement="SELECT s.key, s.place AS income, 0::float8 AS visits, 0::float8 AS noise "
        "FROM unnest($1::text[]) AS u (key) JOIN shop.spelled AS s ON s.key = u.key",
    )
    label = replace(shop.flat_label(), statement="SELECT s.key, s.place::int % 3 = 0 FROM shop.spelled AS s")
    sides = (await _extract(shop, view, label, None)).sides.values()
    read = {key: row[0] for rows in sides for key, row in zip(rows.ids, rows.values, strict=True)}
    assert read == {key: place for place, key in enumerate(keys)}


async def test_progress_goes_to_the_end_of_each_stage(shop: Any) -> None:
    told: dict[str, list[float]] = {}

    def progress(stage: str, done: float) -> None:
        told.setdefault(stage, []).append(done)

    await _extract(shop, shop.view(), shop.label(), _plan(shop.label()), progress=progress)
    plan = _plan(shop.label())
    dates = [f"{side} as of {date:%Y-%m-%d}" for side in SIDES for date in plan.dates(side)]
    assert [stage.partition(":")[0] for stage in told] == ["reading labels", "reading features", *dates]
    assert all(stage == sorted(stage) and stage[-1] == 1.0 for stage in told.values())


@pytest.mark.parametrize(
    ("value", "problem"),
    [("Infinity", "infinite"), ("-1e39", r"-1e\+39, and no learner takes more than 3\.4e\+38")],
)
async def test_a_feature_that_no_learner_takes_is_refused_by_name(
    shop: Any, value: str, problem: str
) -> None:
    view = shop.view('odd = { description = "Odd.", null = "never" }', f"'{value}'::float8 AS odd,")
    with pytest.raises(BadFeatureValue, match=f"feature odd is {problem}"):
        await _extract(shop, view, shop.label(), _plan(shop.label()))


async def test_each_date_tells_its_rows_and_for_how_many_the_label_is_true(shop: Any) -> None:
    told: list[str] = []
    plan = _plan(shop.label())
    dataset = await _extract(
        shop, shop.view(), shop.label(), plan, progress=lambda stage, done: told.append(stage)
    )
    test = dataset.sides["test"]
    rows, true = int((test.dates == 0).sum()), int(test.labels[test.dates == 0].sum())
    assert 0 < true < rows
    said = f"test as of {plan.test[0]:%Y-%m-%d}: {rows:,} rows, label true for {true:,}, {true / rows:.1%}"
    assert said in told


async def test_dates_without_rows_are_told_before_it_fails(shop: Any) -> None:
    told: list[str] = []
    early = plan_dates(datetime(2020, 1, 1, tzinfo=UTC), gap_days=0, horizon_days=60, counts=COUNTS)
    with pytest.raises(NotEnoughRows):
        await _extract(
            shop, shop.view(), shop.label(), early, progress=lambda stage, done: told.append(stage)
        )
    assert f"train as of {early.train[0]:%Y-%m-%d}: 0 rows, label true for 0" in told


async def test_a_side_that_knows_one_answer_only_says_what_to_do(shop: Any) -> None:
    label = shop.label(gap_days=0, horizon_days=0)
    with pytest.raises(NotEnoughRows, match="take more customers or dates"):
        await _extract(shop, shop.view(), label, _plan(label))


async def test_an_empty_population_is_named_as_the_cause(shop: Any) -> None:
    view = replace(shop.view(), population="SELECT id FROM shop.customers WHERE false")
    with pytest.raises(NotEnoughRows, match=r"population of view .* got none: see that its SQL"):
        await _extract(shop, view, shop.label(), _plan(shop.label()))


async def test_dates_on_which_nobody_is_known_lead_to_until(shop: Any) -> None:
    early = plan_dates(datetime(2020, 1, 1, tzinfo=UTC), gap_days=0, horizon_days=60, counts=COUNTS)
    with pytest.raises(NotEnoughRows, match=r"as of 20\d\d-.* got 0 and 0: .*--until DATE"):
        await _extract(shop, shop.view(), shop.label(), early)
