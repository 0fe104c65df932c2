"""`staunch train`: what a simulated world in the database has to say to a training, and to which."""

import asyncio
from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import staunch_sql
from staunch_cli.local_database import DatabaseUrls
from staunch_cli.train import add_train, train_settings
from staunch_features.view import load_label
from staunch_features.world import write_world

UNTIL = datetime(2026, 11, 1, tzinfo=UTC)
SHIPPED = load_label("churn", [staunch_sql.LABELS_FOLDER])
MINE = replace(SHIPPED, file=str(Path("views") / "labels" / "churn.sql"))


@pytest.fixture(scope="module")
def world(database_factory) -> DatabaseUrls:
    database = database_factory()
    with ThreadPoolExecutor(1) as thread:
        work = write_world(database.owner_url, customers=300, seed=7, until=UNTIL)
        thread.submit(asyncio.run, work).result()
    return DatabaseUrls(database.owner_url, database.reader_url)


def _arguments(*words: str):
    parser = ArgumentParser()
    add_train(parser.add_subparsers())
    return parser.parse_args(["train", *words])


@pytest.mark.parametrize(("label", "known"), [(SHIPPED, True), (MINE, False)], ids=["ours", "a user's"])
async def test_the_true_hazard_is_asked_for_the_label_that_it_is_the_hazard_of(world, label, known):
    settings = await train_settings(_arguments(), world, label)
    assert (settings.ceiling is not None) == known
    assert settings.until == UNTIL


async def test_a_date_given_goes_before_the_end_of_the_world(world):
    settings = await train_settings(_arguments("--until", "2026-06-01"), world, SHIPPED)
    assert settings.until == datetime(2026, 6, 1, tzinfo=UTC)


async def test_without_a_world_rows_end_now_and_nobody_knows_the_ceiling(database):
    settings = await train_settings(
        _arguments(), DatabaseUrls(database.owner_url, database.reader_url), SHIPPED
    )
    assert (settings.until, settings.ceiling) == (None, None)
