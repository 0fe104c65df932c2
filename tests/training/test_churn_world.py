"""The shipped view on the simulated world, small."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

import staunch_sql
from staunch_features.views.file import load_label, load_view
from staunch_local.simulation.ceiling import true_ceiling
from staunch_local.simulation.world import write_world
from staunch_model_store.store import ModelStore
from staunch_training.evaluate import auc
from staunch_training.split import DateCounts
from staunch_training.train import TrainReport, TrainSettings, train

UNTIL = datetime(2026, 11, 1, tzinfo=UTC)
CUSTOMERS = 3000


@pytest.fixture(scope="module")
def report(database_factory: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> TrainReport:
    database = database_factory()

    async def ceiling(as_of: datetime, horizon_days: int) -> float:
        return (await true_ceiling(database.owner_url, as_of, horizon_days, auc)).auc

    async def run() -> TrainReport:
        await write_world(database.owner_url, customers=CUSTOMERS, seed=7, until=UNTIL)
        return await train(
            database.reader_url,
            load_view("churn", [staunch_sql.FEATURES_FOLDER]),
            load_label("churn", [staunch_sql.LABELS_FOLDER]),
            ModelStore(tmp_path_factory.mktemp("models")),
            TrainSettings(
                until=UNTIL, dates=DateCounts(train=5), ceiling=ceiling, learner="xgboost", resamples=50
            ),
            lambda stage, done: None,
        )

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, run()).result()


def test_the_shipped_view_learns_more_than_nothing_and_not_more_than_can_be_known(
    report: TrainReport,
) -> None:
    manifest = report.stored.manifest
    reached = next(metric for metric in manifest.metrics if metric.name == "auc")
    best = {other.name: other.metrics[0].value for other in manifest.compared}["true_hazard"]
    assert reached.lower is not None
    assert reached.upper is not None
    assert reached.upper > 0.65
    assert reached.lower < best < 0.95


def test_no_feature_of_the_shipped_view_knows_the_answer(report: TrainReport) -> None:
    assert max(report.feature_aucs.values()) < 0.80
    assert report.feature_aucs["tenure_days"] < 0.75


def test_the_shipped_model_is_small_enough_to_explain_fast(report: TrainReport) -> None:
    assert len(report.stored.files["model.onnx"]) < 100_000
    assert len(report.stored.files["explainer.onnx"]) < 1_000_000
