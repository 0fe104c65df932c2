"""A view with uuid keys, events that are recorded late and a target of its own: two SQL files, no more."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from staunch import AsyncClient, InvalidRequest, NotFound
from staunch_features.checks.check import check_view
from staunch_features.checks.findings import ViewCheck
from staunch_features.postgres.connection import connect
from staunch_features.postgres.pool import Database
from staunch_features.views.file import load_label, load_view
from staunch_model_store.store import ModelStore
from staunch_server.process.server import serving
from staunch_server.settings import Settings
from staunch_training.split import DateCounts
from staunch_training.train import TrainSettings, train

HERE = Path(__file__).parent / "market"
ENDS = datetime(2026, 1, 1, tzinfo=UTC)
VIEW, LABEL = load_view("buyers", [HERE / "features"]), load_label("buyers", [HERE / "labels"])


@dataclass(frozen=True)
class Market:
    """The marketplace's database, the store of its model, and all buyers."""

    reader_url: str
    store: ModelStore
    keys: list[str]


@pytest.fixture(scope="module")
def market(database_factory: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Market:
    database = database_factory(template="template1")
    store = ModelStore(tmp_path_factory.mktemp("models"))

    async def make() -> list[str]:
        connection = await connect(database.owner_url)
        await connection.execute((HERE / "tables.sql").read_text())
        keys = await connection.fetch("SELECT buyer_key::text FROM market.buyers ORDER BY buyer_key")
        await connection.close()
        settings = TrainSettings(until=ENDS, dates=DateCounts(4, 1, 1), learner="xgboost", resamples=20)
        await train(database.reader_url, VIEW, LABEL, store, settings, lambda *_: None)
        return [row["buyer_key"] for row in keys]

    with ThreadPoolExecutor(1) as thread:
        return Market(database.reader_url, store, thread.submit(asyncio.run, make()).result())


@pytest.fixture
async def client(market: Market) -> AsyncIterator[AsyncClient]:
    settings = Settings(
        port=0,
        store=market.store.root,
        database_reader_url=market.reader_url,
        default_model="buyers",
        drain_s=0.0,
    )
    async with (
        serving(settings, CollectorRegistry()) as server,
        AsyncClient(f"127.0.0.1:{server.port}") as client,
    ):
        yield client


async def check(market: Market, old: str = "", new: str = "") -> ViewCheck:
    database = Database(market.reader_url, size=2)
    view = replace(VIEW, statement=VIEW.statement.replace(old, new)) if old else VIEW
    try:
        return await check_view(database, view, LABEL, as_of=ENDS)
    finally:
        await database.close()


async def test_the_check_finds_it_good(market: Market) -> None:
    found = await check(market)
    assert found.errors == ()
    assert {probe.table for probe in found.probes} == {"market.buyers", "market.orders"}
    assert found.label is not None
    assert 0 < found.label.true < found.label.known


async def test_a_row_recorded_late_must_not_be_seen_early(market: Market) -> None:
    found = await check(market, " AND o.recorded_at <= $2::timestamptz")
    assert {str(error).split(" as of ")[0].split()[-1] for error in found.errors} >= {
        "orders_90d",
        "spent_90d",
    }


def test_it_learns_with_a_gap_and_a_horizon_between_the_sides(market: Market) -> None:
    manifest = market.store.read("buyers", 1).manifest
    assert (manifest.id_type, manifest.uses_as_of) == ("uuid", True)
    metrics = {metric.name: metric.value for metric in manifest.metrics}
    assert metrics["auc"] > 0.65
    times = {split.name: split.as_of_times for split in manifest.training.splits}
    assert (min(times["test"]) - max(times["validation"])).days >= 28
    assert (min(times["validation"]) - max(times["train"])).days >= 28


async def test_calls_name_buyers_by_uuid_in_any_spelling(client: AsyncClient, market: Market) -> None:
    key = market.keys[0]
    one = await client.predict(key, as_of=ENDS, include_features=True)
    same = await client.predict(key.upper().replace("-", ""), as_of=ENDS)
    assert one.probability == same.probability
    assert one.features is not None
    assert one.features.keys() == VIEW.features.keys()


async def test_a_stream_and_single_calls_agree(client: AsyncClient, market: Market) -> None:
    rows = [row async for row in client.batch_predict(market.keys[:30], as_of=ENDS)]
    assert [row.customer for row in rows] == market.keys[:30]
    for row in rows[:5]:
        alone = await client.predict(row.customer, as_of=ENDS)
        assert alone.probability == pytest.approx(row.probability, abs=1e-12)


async def test_reasons_add_up(client: AsyncClient, market: Market) -> None:
    why = await client.explain(market.keys[1], as_of=ENDS)
    total = why.base_value + sum(part.contribution for part in why.contributions) + why.remainder
    assert abs(total - why.output_value) < 1e-9
    assert {part.feature for part in why.contributions} == set(VIEW.features)


async def test_what_is_no_uuid_or_nobody_is_refused(client: AsyncClient, market: Market) -> None:
    with pytest.raises(InvalidRequest, match="uuid"):
        await client.predict("not a uuid")
    with pytest.raises(NotFound):
        await client.predict("00000000-0000-4000-8000-000000000000")
    with pytest.raises(NotFound):
        await client.predict(market.keys[0], as_of=datetime(2020, 1, 1, tzinfo=UTC))
