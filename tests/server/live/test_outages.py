"""The database away, in each way there is: told in time, nothing left over, and well again by itself."""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from grpc import aio
from tests.server.small_models import TABLE, until_async, view_text

from staunch.v1 import model_service_pb2 as mpb
from staunch.v1 import prediction_service_pb2 as pb
from staunch_features.postgres.connection import connect
from staunch_local.postgres.server import EmbeddedPostgres

Serve = Callable[..., Awaitable[Any]]


class Fragile:
    """A PostgreSQL of the tests' own, to be stopped and frozen."""

    def __init__(self, folder: Path) -> None:
        fast = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "32MB"}
        self.server = EmbeddedPostgres(folder, settings=fast)
        self.server.start()

    @property
    def url(self) -> str:
        return self.server.reader_url

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stops every process of it by SIGSTOP, as a machine that hangs does."""
        pids = self._pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def _pids(self) -> list[int]:
        assert self.server.pid is not None
        children = Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children").read_text().split()
        return [self.server.pid, *map(int, children)]

    async def connections(self) -> int:
        """How many connections it holds of ours."""
        connection = await connect(self.server.owner_url)
        count = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'staunch_reader'"
        )
        await connection.close()
        return int(count)


async def _fill(url: str) -> None:
    connection = await connect(url)
    await connection.execute(TABLE)
    await connection.close()


@pytest.fixture(scope="module")
def _fragile() -> Iterator[Fragile]:
    folder = Path(tempfile.mkdtemp(prefix="staunch-fragile-"))
    folder.chmod(0o755)
    fragile = Fragile(folder)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _fill(fragile.server.owner_url)).result()
    yield fragile
    fragile.server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def fragile(_fragile: Fragile) -> Fragile:
    """The fragile PostgreSQL, running."""
    if not _fragile.server.running:
        _fragile.server.start()
    return _fragile


async def predict(live: Any, **options: Any) -> pb.PredictResponse:
    answer: pb.PredictResponse = await live.prediction.Predict(pb.PredictRequest(customer_id=8), **options)
    return answer


async def unavailable(live: Any, read_error: Any, timeout_s: float) -> None:
    """Asserts that Predict is UNAVAILABLE before its deadline."""
    began = time.monotonic()
    with pytest.raises(aio.AioRpcError) as caught:
        await predict(live, timeout=timeout_s)
    assert time.monotonic() - began < timeout_s
    error = read_error(caught.value)
    assert (error.code.name, error.reason) == ("UNAVAILABLE", "DATABASE_UNAVAILABLE")
    assert error.retry_s
    assert "127.0.0.1" not in error.message


async def recovered(live: Any) -> None:
    """Waits until Predict answers again, after nothing worse than UNAVAILABLE."""

    async def answers() -> bool:
        call = live.prediction.Predict(pb.PredictRequest(customer_id=8), timeout=2)
        code = await call.code()
        assert code.name in ("OK", "UNAVAILABLE")
        return bool(code.name == "OK")

    await until_async(answers)


async def test_a_stopped_database_is_unavailable_and_back_when_it_is_back(
    publish: Any, serve: Serve, transport_name: str, fragile: Fragile, read_error: Any
) -> None:
    publish()
    live = await serve(transport=transport_name, database_reader_url=fragile.url)
    await predict(live)
    fragile.server.stop()
    for _ in range(3):
        await unavailable(live, read_error, 1.0)
    fragile.server.start()
    await recovered(live)
    assert live.server.databases.interactive.in_use == 0
    assert await fragile.connections() <= live.server.databases.interactive.size


@pytest.mark.parametrize("timeout_s", [0.5, 1.5])
async def test_a_frozen_database_is_unavailable_before_each_callers_deadline(
    publish: Any, serve: Serve, transport_name: str, fragile: Fragile, read_error: Any, timeout_s: float
) -> None:
    publish()
    live = await serve(transport=transport_name, database_reader_url=fragile.url)
    await predict(live)
    with fragile.frozen():
        await asyncio.gather(*(unavailable(live, read_error, timeout_s + i / 20) for i in range(8)))
        await unavailable(live, read_error, timeout_s)
    await recovered(live)

    async def none_left_over() -> bool:
        return await fragile.connections() <= live.server.databases.interactive.size

    await until_async(none_left_over)


async def test_given_features_are_scored_while_the_database_is_frozen(
    publish: Any, serve: Serve, fragile: Fragile
) -> None:
    publish()
    live = await serve(database_reader_url=fragile.url)
    given = {name: pb.FeatureValue(number=1) for name in ("a", "b", "hours")}
    with fragile.frozen():
        request = pb.PredictRequest(features=pb.FeatureValues(values=given))
        assert (await live.prediction.Predict(request, timeout=1)).probability > 0


async def test_a_restart_costs_no_more_than_unavailable_calls(
    publish: Any, serve: Serve, fragile: Fragile
) -> None:
    publish()
    live = await serve(database_reader_url=fragile.url)
    await predict(live)
    fragile.server.stop()
    fragile.server.start()
    await recovered(live)


async def test_a_database_that_is_absent_at_the_start_is_used_once_it_is_there(
    publish: Any, serve: Serve, fragile: Fragile, read_error: Any
) -> None:
    publish()
    fragile.server.stop()
    live = await serve(database_reader_url=fragile.url)
    assert live.server.registry.ready() == ["churn@1"]
    await unavailable(live, read_error, 1.0)
    fragile.server.start()
    await recovered(live)


async def test_a_view_that_does_not_fit_is_found_out_once_the_database_is_there(
    publish: Any, serve: Serve, fragile: Fragile, until: Any
) -> None:
    publish(text=view_text().replace("people.b,", "people.b AS c,"))
    fragile.server.stop()
    live = await serve(database_reader_url=fragile.url, store_poll_s=0.05)
    assert live.server.registry.ready() == ["churn@1"]
    fragile.server.start()
    await until(lambda: live.server.registry.ready() == [])
    model = (await live.models.GetModel(mpb.GetModelRequest(model="churn"))).model
    assert (model.state, model.state_reason) == (mpb.MODEL_STATE_REFUSED, "MODEL_REFUSED")


async def test_a_version_whose_view_cannot_be_checked_yet_waits_for_the_database(
    publish: Any, serve: Serve, fragile: Fragile, read_error: Any, until: Any
) -> None:
    publish()
    live = await serve(database_reader_url=fragile.url, store_poll_s=0.05)
    fragile.server.stop()
    publish(alias=None)
    moving = live.models.SetAlias(mpb.SetAliasRequest(name="churn", alias="champion", version=2))
    with pytest.raises(aio.AioRpcError) as caught:
        await moving
    assert read_error(caught.value).reason == "DATABASE_UNAVAILABLE"
    publish()
    await live.models.ReloadModels(mpb.ReloadModelsRequest())
    given = {name: pb.FeatureValue(number=1) for name in ("a", "b", "hours")}
    request = pb.PredictRequest(features=pb.FeatureValues(values=given))
    assert (await live.prediction.Predict(request)).model.version == 1
    fragile.server.start()
    await until(lambda: live.server.registry.ready() == ["churn@3"])
    assert (await predict(live)).model.version == 3


async def test_chunks_fail_as_unavailable_while_the_database_is_away_and_the_stream_goes_on(
    publish: Any, serve: Serve, fragile: Fragile
) -> None:
    publish()
    live = await serve(database_reader_url=fragile.url, batch_timeout_s=0.5)
    stream = live.prediction.BatchPredict()
    chunk = pb.BatchPredictRequest(customer_ids=[8])
    await stream.write(chunk)
    assert len((await stream.read()).probabilities) == 1
    with fragile.frozen():
        await stream.write(chunk)
        (error,) = (await stream.read()).errors
        assert (error.HasField("index"), error.code, error.reason) == (False, 14, "DATABASE_UNAVAILABLE")
    fragile.server.stop()
    await stream.write(chunk)
    assert (await stream.read()).errors[0].code == 14
    fragile.server.start()
    await stream.write(chunk)
    assert len((await stream.read()).probabilities) == 1
    await stream.done_writing()


async def test_a_call_given_up_by_its_caller_takes_its_query_with_it(
    publish: Any, serve: Serve, transport_name: str, locked: Any, until: Any, people: Any
) -> None:
    publish()
    live = await serve(transport=transport_name)
    await predict(live)
    async with locked():
        call = live.prediction.Predict(pb.PredictRequest(customer_id=8), timeout=30)
        await until(lambda: live.server.databases.interactive.in_use == 1)
        await asyncio.sleep(0.05)
        call.cancel()
        await until(lambda: live.server.databases.interactive.in_use == 0)
        connection = await connect(people.owner_url)

        async def nothing_waits() -> bool:
            return await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") == 0

        await until_async(nothing_waits)
        await connection.close()
