import asyncio
import io
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from staunch_features.checks.check import check_view
from staunch_features.errors import ViewError
from staunch_features.postgres.connection import connect
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.file import parse_label, parse_view
from staunch_model_store.errors import ModelRefused
from staunch_model_store.model import LoadedModel
from staunch_model_store.store import ModelStore
from staunch_training.costs import Costs
from staunch_training.errors import LeakFound, TrainingError
from staunch_training.learners import LEARNERS
from staunch_training.split import DateCounts
from staunch_training.train import TrainReport, TrainSettings, train

ENDS = datetime(2026, 1, 1, tzinfo=UTC)  # of the shop in conftest.py
SETTINGS = TrainSettings(until=ENDS, dates=DateCounts(train=4), resamples=50, learner="xgboost")
LEAK = (
    'days_left = { unit = "days", description = "Days until the end.", null = "no end in sight" }',
    "(date_part('epoch', c.ended_at) - date_part('epoch', $2::timestamptz)) / 86400 AS days_left,",
)


def _silent(stage: str, done: float) -> None:
    pass


@dataclass(frozen=True)
class Trained:
    """A training with both learners and a ceiling, and what the ceiling was asked for."""

    report: TrainReport
    store: ModelStore
    asked: list[tuple[datetime, int]]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture(scope="module")
def trained(shop: Any, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    store, asked = ModelStore(tmp_path_factory.mktemp("models")), []

    async def ceiling(as_of: datetime, horizon_days: int) -> float:
        asked.append((as_of, horizon_days))
        return 0.9

    with ThreadPoolExecutor(1) as thread:
        work = _train(shop, store, replace(SETTINGS, learner=None, ceiling=ceiling))
        return Trained(thread.submit(asyncio.run, work).result(), store, asked)


async def _train(
    shop: Any, store: ModelStore, settings: TrainSettings = SETTINGS, **texts: Any
) -> TrainReport:
    view, label = texts.get("view", shop.view()), texts.get("label", shop.label())
    return await train(shop.reader_url, view, label, store, settings, texts.get("progress", _silent))


async def test_only_the_first_version_becomes_the_champion(shop: Any, store: ModelStore) -> None:
    first, second = [await _train(shop, store) for _ in range(2)]
    assert (first.alias, second.alias) == ("champion", None)
    assert store.versions("shop") == [2, 1]
    assert store.aliases("shop") == {"champion": 1}
    assert first.stored.files == second.stored.files  # the same seed makes the same model


async def test_an_alias_moves_when_told_to(shop: Any, store: ModelStore) -> None:
    await _train(shop, store)
    moved = await _train(shop, store, replace(SETTINGS, move_alias=True))
    assert moved.alias == "champion"
    assert store.aliases("shop") == {"champion": 2}


def test_the_manifest_tells_how_the_model_was_made(shop: Any, trained: Trained) -> None:
    report, manifest = trained.report, trained.report.stored.manifest
    assert manifest.feature_names == ("tenure_days", "last_amount", "mean_amount")
    assert [feature.nullable for feature in manifest.features] == [False, True, True]
    assert report.stored.files["features.sql"].decode() == shop.view().text
    assert report.stored.files["label.sql"].decode() == shop.label().text
    assert [(split.name, len(split.as_of_times)) for split in manifest.training.splits] == [
        ("train", 4),
        ("validation", 2),
        ("test", 2),
    ]
    assert (manifest.horizon_days, manifest.training.seed, manifest.uses_as_of) == (60, 42, True)
    assert manifest.id_column == "id"
    assert {"scikit-learn", "xgboost", "shap"} <= set(manifest.training.library_versions)
    assert manifest.thresholds is not None
    assert manifest.thresholds.costs["customer_value_cad"] == 600


def test_the_lower_log_loss_on_validation_picks(trained: Trained) -> None:
    losses = trained.report.validation_losses
    assert set(losses) == set(LEARNERS)
    assert trained.report.stored.manifest.training.learner == min(losses, key=lambda name: losses[name])


def test_the_model_is_compared_with_plain_ones_and_the_ceiling(trained: Trained) -> None:
    report = trained.report
    assert report.plan is not None
    assert trained.asked == [(date, 60) for date in report.plan.test]
    manifest = report.stored.manifest
    metrics = {other.name: {metric.name: metric for metric in other.metrics} for other in manifest.compared}
    others = set(LEARNERS) - {manifest.training.learner}
    assert set(metrics) == {*others, "logistic_regression", "prevalence", "true_hazard"}
    assert metrics["true_hazard"]["auc"].value == pytest.approx(0.9)
    # It has learned something: better than knowing the share only, by the whole interval.
    lower = metrics["prevalence"]["auc_gain"].lower
    assert lower is not None
    assert lower > 0.05


def test_the_test_side_is_measured_with_intervals(trained: Trained) -> None:
    for metric in trained.report.stored.manifest.metrics:
        assert metric.lower is not None
        assert metric.upper is not None
        assert metric.lower <= metric.value <= metric.upper


async def test_a_planted_leak_is_named_and_nothing_is_published(shop: Any, store: ModelStore) -> None:
    with pytest.raises(LeakFound, match="days_left") as caught:
        await _train(shop, store, view=shop.view(*LEAK))
    assert set(caught.value.features) == {"days_left"}
    assert store.names() == []


async def test_a_leak_that_is_allowed_is_trained_with(shop: Any, store: ModelStore) -> None:
    settings = replace(SETTINGS, allow_leaks=frozenset({"days_left"}))
    report = await _train(shop, store, settings, view=shop.view(*LEAK))
    assert next(iter(report.feature_aucs)) == "days_left"
    assert report.stored.manifest.version == 1


LOOKS_AHEAD = (
    'ever = { description = "Purchases at any time.", null = "never" }',
    "(SELECT count(*) FROM shop.purchases p WHERE p.id = c.id)::float8 AS ever,",
)


async def test_a_feature_that_looks_ahead_is_refused_as_the_check_refuses_it(
    shop: Any, store: ModelStore
) -> None:
    text = shop.view(*LOOKS_AHEAD).text.replace(
        "[features]", '[time_columns]\n"shop.purchases" = ["at"]\n[features]', 1
    )
    view = parse_view("shop", text, "shop.sql")
    pool = Database(shop.reader_url, size=1)
    (refused,) = (await check_view(pool, view)).errors
    await pool.close()
    with pytest.raises(ViewError) as caught:
        await _train(shop, store, view=view)
    assert str(caught.value) == str(refused)
    assert "feature ever as of" in str(refused)
    report = await _train(shop, store, replace(SETTINGS, allow_leaks=frozenset({"ever"})), view=view)
    assert report.stored.manifest.version == 1


# What is said of a view that knows no time.
OF_TIME = re.compile(
    r"\b(time|dates?|days?|as.of|until|horizon|window|later|early|past|future)\b", re.IGNORECASE
)


@pytest.mark.parametrize(
    ("column", "answer", "message"),
    [
        (
            "f.left_us::int::float8",
            "f.left_us",
            r"alone to reach an AUC on other customers below 0\.90, got noise",
        ),
        (
            "f.noise",
            "f.left_us OR true",
            "got 9.. and 0: see that the label can be both true and false; or take",
        ),
        ("f.noise", "f.key = 'C-00001'", "take more customers$"),
        ("f.noise", "nullif(true, true)", "got 0 and 0: see that the label returns rows"),
    ],
)
async def test_a_view_without_dates_hears_nothing_of_time(
    shop: Any, store: ModelStore, column: str, answer: str, message: str
) -> None:
    view = parse_view("flat", shop.flat_view().text.replace("f.noise", f"{column} AS noise"), "flat.sql")
    label = parse_label("left", shop.flat_label().text.replace("f.left_us", f"{answer} AS left"), "left.sql")
    told: list[str] = []
    with pytest.raises(TrainingError, match=message) as caught:
        await _train(shop, store, view=view, label=label, progress=lambda stage, done: told.append(stage))
    assert told
    assert not [text for text in [str(caught.value), *told] if OF_TIME.search(text)]


async def test_a_flat_table_without_dates_becomes_a_model(shop: Any, store: ModelStore) -> None:
    report = await _train(shop, store, view=shop.flat_view(), label=shop.flat_label())
    manifest = report.stored.manifest
    assert report.plan is None
    assert (manifest.id_type, manifest.uses_as_of, manifest.horizon_days) == ("text", False, 0)
    assert all(split.as_of_times == () for split in manifest.training.splits)
    values = np.array([[np.nan, 2.0, np.nan], [5.0, 9.0, 0.0]])
    assert manifest.metrics[-1].name == "auc_in_5_folds"
    assert manifest.metrics[-1].value == pytest.approx(0.78, abs=0.05)
    assert not OF_TIME.search(str(report))
    few, many = LoadedModel.load(store.read("flat", 1)).predict(values).probabilities
    assert few > many


async def test_golden_rows_are_no_customers_rows(shop: Any, trained: Trained) -> None:
    report = trained.report
    assert report.plan is not None
    golden = np.load(io.BytesIO(report.stored.files["golden.npz"]))["values"]
    assert report.stored.manifest.golden_rows == len(golden) > 100
    source = shop.source(shop.view())
    for moment in report.plan.test:
        batch = await source.fetch(list(range(1, 1501)), moment, deadline=Deadline.after(10))
        real = {row.tobytes() for row in batch.values}
        assert not real & {row.tobytes() for row in golden}


async def test_a_damaged_explainer_is_caught_by_the_golden_rows(shop: Any, store: ModelStore) -> None:
    other = (await _train(shop, store, replace(SETTINGS, seed=1))).stored
    stored = (await _train(shop, store, replace(SETTINGS, seed=2))).stored
    foreign = {**stored.files, "explainer.onnx": other.files["explainer.onnx"]}
    with pytest.raises(ModelRefused, match=r"explainer\.onnx"):
        LoadedModel.load(replace(stored, files=foreign))


async def test_the_dates_are_told_before_anything_is_read(shop: Any, store: ModelStore) -> None:
    told: list[str] = []
    report = await _train(shop, store, progress=lambda stage, done: told.append(stage))
    assert report.plan is not None
    assert told[:2] == ["rows end: 2026-01-01 00:00 UTC", "observed: 365 days before each date"]
    assert told[2:5] == report.plan.lines()
    assert told[5] == "reading labels"
    assert told[-1] == "publishing"


async def test_the_dates_are_few_lines_unless_each_is_asked_for(shop: Any, store: ModelStore) -> None:
    told: list[str] = []
    many = replace(SETTINGS, dates=DateCounts(), each_date=False)
    report = await _train(shop, store, many, progress=lambda stage, done: told.append(stage))
    assert report.plan is not None
    dates = report.plan.train
    (line,) = [line for line in told if line.startswith("train")]
    assert line.startswith(f"train: as of 12 dates from {dates[0]:%Y-%m-%d} to {dates[-1]:%Y-%m-%d}; outcome")
    assert len([line for line in told if re.search(r"as of|\d{4}-\d\d-\d\d", line)]) == 4


def _declaring(shop: Any) -> Any:
    """The view of the shop, with its time columns declared."""
    view = shop.view()
    return replace(view, time_columns={"shop.customers": ("joined_at",), "shop.purchases": ("at",)})


async def test_rows_that_end_long_before_the_outcome_does_are_told_with_the_date_to_give(
    shop: Any, store: ModelStore
) -> None:
    told: list[str] = []
    late = replace(SETTINGS, until=ENDS + timedelta(days=30))
    await _train(shop, store, late, view=_declaring(shop), progress=lambda stage, done: told.append(stage))
    assert told[0] == (
        "rows end: 2026-01-31 00:00 UTC; rows found from 2024-01-01 to 2025-12-31 by [time_columns], "
        "the columns that say since when a row is known"
    )
    (warning,) = [line for line in told if line.startswith("warning")]
    assert warning.startswith("warning: the last row is of 2025-12-31 by [time_columns], but outcomes are")
    assert warning.endswith(
        "until 2026-01-31: where rows are missing, what a label says of them is not true: "
        "train with --until 2026-01-01"
    )
    told.clear()
    await _train(shop, store, view=_declaring(shop), progress=lambda stage, done: told.append(stage))
    assert not [line for line in told if line.startswith(("warning", "left out"))]


async def test_dates_before_the_rows_are_left_out_and_the_manifest_does_not_name_them(
    shop: Any, store: ModelStore
) -> None:
    told: list[str] = []
    many, label = replace(SETTINGS, dates=DateCounts()), replace(shop.label(), observation_days=250)
    texts = {"view": _declaring(shop), "label": label}
    report = await _train(shop, store, many, **texts, progress=lambda stage, done: told.append(stage))
    assert report.plan is not None
    assert len(report.plan.train) == 9
    assert min(report.plan.train) >= datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=250)
    (left_out,) = [line for line in told if line.startswith("left out of train: 2024-")]
    assert left_out.endswith("fewer than 250 days of rows before, the first is of 2024-01-01")
    assert report.stored.manifest.training.splits[0].as_of_times == report.plan.train


def test_the_report_says_what_was_published_and_how_good_it_is(trained: Trained) -> None:
    text = str(trained.report)
    parts = ("shop@1 published", "now champion", "picked", "test auc 0.", "prevalence: auc 0.5000")
    for part in (*parts, "rows, label true for"):
        assert part in text
    strongest = text.partition("strongest features alone: ")[2]
    assert re.search(r"\bCustomer for \(tenure_days\) 0\.\d", strongest)


async def test_a_statement_that_takes_too_long_is_told_in_one_line(shop: Any, store: ModelStore) -> None:
    slow = (
        'slow = { description = "Slow.", null = "never" }',
        "(SELECT count(*) FROM generate_series(1, 1000000000) AS n WHERE n > c.id)::float8 AS slow,",
    )
    with pytest.raises(TrainingError, match=r"within 1\.5 s, .*staunch view check shop` says what it reads"):
        await _train(shop, store, replace(SETTINGS, timeout_s=1.5), view=shop.view(*slow))
    assert store.names() == []


async def test_costs_that_give_no_bands_fail_before_anything_is_read(shop: Any, store: ModelStore) -> None:
    with pytest.raises(TrainingError, match="medium < high"):
        await _train(shop, store, replace(SETTINGS, costs=Costs(offer_saves=0.0)))


@pytest.mark.parametrize("table", ["customers", "purchases"])
async def test_rows_that_row_level_security_hides_are_refused_or_told(
    shop: Any, store: ModelStore, table: str
) -> None:
    owner = await connect(shop.owner_url)
    told: list[str] = []
    try:
        await owner.execute(f"ALTER TABLE shop.{table} ENABLE ROW LEVEL SECURITY")
        with pytest.raises(
            ViewError, match=rf"to see rows of shop\.{table}, got none: its row-level security"
        ):
            await _train(shop, store)
        await owner.execute(f"CREATE POLICY p ON shop.{table} USING (true)")
        await _train(shop, store, progress=lambda stage, done: told.append(stage))
    finally:
        await owner.execute(
            f"DROP POLICY IF EXISTS p ON shop.{table}; ALTER TABLE shop.{table} DISABLE ROW LEVEL SECURITY"
        )
        await owner.close()
    (note,) = {each for each in told if "row-level security" in each}
    assert note.startswith(
        f"advice: shop.sql: row-level security of shop.{table} applies to the role staunch_r"
    )
