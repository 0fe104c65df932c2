"""Servers behind the shipped Envoy are restarted in turn and their workers killed, and no caller notices.

`make restarts` does it at length, ten times with 20,000 calls at least, and says how many; `make walk` once.
"""

import asyncio
import os
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from grpc import aio
from tests.harness.databases import TestDatabase
from tests.harness.envoy import Envoy, envoy_before
from tests.harness.waiting import until
from tests.server.harness.fleet import OneServer, fleet
from tests.server.harness.running import Publish
from tests.server.harness.shell import OWN_CONNECTION

from staunch import AsyncClient
from staunch.v1 import prediction_service_pb2 as pb
from staunch.v1.prediction_service_pb2_grpc import PredictionServiceStub
from staunch_model_store.store import ModelStore

TIMES = int(os.environ.get("STAUNCH_RESTARTS") or 1)
"""How often each server is restarted, and its worker killed."""

CALLS = 2000 * TIMES if TIMES > 1 else 500
"""How many calls there are at least."""

pytestmark = [pytest.mark.walk, pytest.mark.timeout(180 + 60 * TIMES)]

CALLERS, CHANNELS, STREAMS = 32, 4, 2
ELIGIBLE = [i for i in range(1, 150) if i % 11 != 0]
ROWS = 40  # of a chunk


@dataclass
class Behind:
    """Servers with Envoy before them."""

    envoy: Envoy
    servers: Sequence[OneServer]

    async def all_well(self) -> None:
        """Waits until Envoy sends calls to every server."""
        await until(lambda: self.envoy.well() == {server.port for server in self.servers}, 60)


@pytest.fixture(params=["aio", "native"])
async def behind(
    request: pytest.FixtureRequest, people: TestDatabase, publish: Publish, store: ModelStore, tmp_path: Path
) -> AsyncIterator[Behind]:
    """Two `staunch serve` as docs/proxy.md has them, behind the shipped Envoy."""
    publish()
    settings = {
        "STAUNCH_DATABASE_READER_URL": people.reader_url,
        "STAUNCH_STORE": str(store.root),
        "STAUNCH_TRANSPORT": request.param,
        "STAUNCH_DRAIN_WAIT_S": "3",
    }
    async with fleet(2, tmp_path, settings) as servers:
        with envoy_before([server.port for server in servers], tmp_path) as envoy:
            made = Behind(envoy, servers)
            await made.all_well()
            yield made


@dataclass
class Traffic:
    """What callers of every kind met.

    Attributes:
        unary: Calls by how they ended, in code and words.
        streams: Raw streams by how they ended.
        rows: How many rows the client's helper gave, each once and in order.
        over: Set when raw streams are to end.
    """

    unary: Counter[str] = field(default_factory=Counter)
    streams: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    async def call(self, channel: aio.Channel) -> None:
        """Predicts one customer after the other, by the stub alone."""
        predict = PredictionServiceStub(channel).Predict
        while True:
            try:
                await predict(pb.PredictRequest(customer_id=random.choice(ELIGIBLE)), timeout=5)
                self.unary["OK"] += 1
            except aio.AioRpcError as error:
                self.unary[f"{error.code().name}: {error.details()}"] += 1

    async def resume(self, target: str) -> None:
        """Scores many customers by the client's helper, again and again."""
        async with AsyncClient(target) as client:
            while True:
                asked = random.choices(ELIGIBLE, k=25 * ROWS)
                given = [row async for row in client.batch_predict(_slowly(asked), chunk_size=ROWS)]
                assert [row.customer for row in given] == asked
                assert {type(row).__name__ for row in given} == {"Score"}
                self.rows += len(given)

    def stream(self, target: str) -> None:
        """Streams chunks by the synchronous stub until the stream ends; each answer is a whole chunk."""
        asked: list[list[int]] = []

        def chunks() -> Iterator[pb.BatchPredictRequest]:
            while not self.over.wait(0.02):
                asked.append(random.choices(ELIGIBLE, k=ROWS))
                yield pb.BatchPredictRequest(customer_ids=asked[-1])

        with grpc.insecure_channel(target, options=OWN_CONNECTION) as channel:
            try:
                for place, answer in enumerate(PredictionServiceStub(channel).BatchPredict(chunks())):
                    assert list(answer.customer_ids) == asked[place]
                    assert len(answer.probabilities) == ROWS
                self.streams["OK"] += 1
            except grpc.RpcError as error:
                self.streams[error.code().name] += 1

    async def streaming(self, target: str) -> None:
        """Opens a raw stream again whenever it ends."""
        while not self.over.is_set():
            await asyncio.to_thread(self.stream, target)


async def _slowly(ids: Sequence[int]) -> AsyncIterator[int]:
    """Gives ids over a second or two, so that streams are open whenever a server stops."""
    for place, one in enumerate(ids):
        if place % ROWS == 0:
            await asyncio.sleep(0.05)
        yield one


@asynccontextmanager
async def traffic(target: str) -> AsyncIterator[Traffic]:
    """Has callers of every kind for the block; none of them may end by itself."""
    met = Traffic()
    channels = [aio.insecure_channel(target, options=OWN_CONNECTION) for _ in range(CHANNELS)]
    work = [met.call(channels[number % CHANNELS]) for number in range(CALLERS)]
    work += [met.resume(target) for _ in range(STREAMS)]
    tasks = [asyncio.create_task(one) for one in work]
    streams = [asyncio.create_task(met.streaming(target)) for _ in range(STREAMS)]
    try:
        yield met
        await until(lambda: sum(met.unary.values()) >= CALLS, 120)
        for task in tasks:
            assert not task.done() or task.result()
    finally:
        met.over.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*streams)
        for channel in channels:
            await channel.close()


async def test_neither_restarts_in_turn_nor_kills_fail_a_call_or_lose_a_row(behind: Behind) -> None:
    async with traffic(behind.envoy.target) as met:
        for _ in range(TIMES):
            for server in behind.servers:
                await server.stop()
                await server.start()
                await behind.all_well()
    print(f"{TIMES} restarts of each server: {met.unary}, {met.rows} rows, raw streams {met.streams}")
    assert met.unary.keys() == {"OK"}
    assert met.rows > 0
    assert met.streams.keys() <= {"UNAVAILABLE", "OK"}
    assert met.streams["UNAVAILABLE"] >= TIMES

    async with traffic(behind.envoy.target) as met:
        for _ in range(TIMES):
            for server in behind.servers:
                await server.kill_workers()
                await behind.all_well()
    print(f"{TIMES} kills of each worker: {met.unary}, {met.rows} rows, raw streams {met.streams}")
    assert met.unary.keys() == {"OK"}
    assert met.rows > 0
    # Envoy resets a stream that has had answers, which the libraries call INTERNAL.
    assert met.streams.keys() <= {"INTERNAL", "UNAVAILABLE", "OK"}
    assert met.streams.total() - met.streams["OK"] >= TIMES
