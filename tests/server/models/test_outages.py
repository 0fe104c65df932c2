"""The database away, in each way there is: told in time, nothing left over, and well again by itself."""

import asyncio
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Value
from grpc import StatusCode
from tests.harness.waiting import until
from tests.server.harness.errors import failure
from tests.server.harness.outages import Fragile
from tests.server.harness.running import Locked, Publish, Running, Serve
from tests.server.small_models import view_text

from staunch.v1 import model_service_pb2 as mpb
from staunch.v1 import prediction_service_pb2 as pb
from staunch_features.postgres.connection import opened
from staunch_local.postgres.cluster import READER, SUPERUSER
from staunch_server.process import server

BESIDE = 1
"""The connection by which a server asks whether the database is up."""


async def predict(live: Running, **options: Any) -> pb.PredictResponse:
    answer: pb.PredictResponse = await live.prediction.Predict(pb.PredictRequest(customer_id=8), **options)
    return answer


async def unavailable(live: Running, timeout_s: float) -> None:
    """Asserts that Predict is UNAVAILABLE before its deadline."""
    began = time.monotonic()
    error = await failure(predict(live, timeout=timeout_s))
    assert time.monotonic() - began < timeout_s
    assert (error.code.name, error.reason) == ("UNAVAILABLE", "DATABASE_UNAVAILABLE")
    assert error.retry_s
    assert "127.0.0.1" not in error.message


async def outcome(live: Running, customer_id: int = 8, timeout_s: float = 2.0) -> str:
    """Returns "OK", or the reason of an UNAVAILABLE that came before the caller's deadline."""
    began = time.monotonic()
    call = live.prediction.Predict(pb.PredictRequest(customer_id=customer_id), timeout=timeout_s)
    if await call.code() is StatusCode.OK:
        return "OK"
    assert time.monotonic() - began < timeout_s
    error = await failure(call)
    assert error.code is StatusCode.UNAVAILABLE, error
    return error.reason


async def recovered(live: Running) -> None:
    """Waits until Predict answers again, by itself and after nothing worse than UNAVAILABLE."""

    async def answers() -> bool:
        return await outcome(live) == "OK"

    await until(answers)


async def test_a_stopped_database_is_unavailable_and_back_when_it_is_back(
    publish: Publish, serve: Serve, transport_name: str, fragile: Fragile
) -> None:
    publish()
    live = await serve(transport=transport_name, database_reader_url=fragile.url)
    await predict(live)
    fragile.server.stop()
    for _ in range(3):
        await unavailable(live, 1.0)
    fragile.server.start()
    await recovered(live)
    assert live.server.databases.interactive.in_use == 0
    assert await fragile.connections() <= live.server.databases.interactive.size + BESIDE


@pytest.mark.parametrize("timeout_s", [0.5, 1.5])
async def test_a_frozen_database_is_unavailable_before_each_callers_deadline(
    publish: Publish, serve: Serve, transport_name: str, fragile: Fragile, timeout_s: float
) -> None:
    publish()
    live = await serve(transport=transport_name, database_reader_url=fragile.url)
    await predict(live)
    with fragile.frozen():
        await asyncio.gather(*(unavailable(live, timeout_s + i / 20) for i in range(8)))
        await unavailable(live, timeout_s)
    await recovered(live)

    async def none_left_over() -> bool:
        return await fragile.connections() <= live.server.databases.interactive.size + BESIDE

    await until(none_left_over)


async def test_given_features_are_scored_while_the_database_is_frozen(
    publish: Publish, serve: Serve, fragile: Fragile
) -> None:
    publish()
    live = await serve(database_reader_url=fragile.url)
    given = {name: Value(number_value=1) for name in ("a", "b", "hours")}
    with fragile.frozen():
        request = pb.PredictRequest(features=pb.FeatureValues(values=given))
        assert (await live.prediction.Predict(request, timeout=1)).probability > 0


async def test_a_restart_costs_no_more_than_unavailable_calls(
    publish: Publish, serve: Serve, fragile: Fragile
) -> None:
    publish()
    live = await serve(database_reader_url=fragile.url)
    await predict(live)
    fragile.server.stop()
    fragile.server.start()
    await recovered(live)


async def test_a_database_that_goes_and_comes_is_down_and_up_without_any_call(
    serve: Serve, fragile: Fragile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_DATABASE_S", 0.1)
    live = await serve(database_reader_url=fragile.url)
    up = partial(live.server.metrics.registry.get_sample_value, "staunch_database_up", {"role": "reader"})
    await until(lambda: up() == 1)
    with fragile.frozen():
        await until(lambda: up() == 0)
    await until(lambda: up() == 1)
    fragile.server.stop()
    await until(lambda: up() == 0)
    fragile.server.start()
    await until(lambda: up() == 1)
    failures = live.server.metrics.registry.get_sample_value
    assert failures("staunch_pool_connection_failures_total", {"pool": "beside", "cause": "away"})
    assert failures("staunch_pool_wait_seconds_count", {"pool": "beside"})


async def test_a_password_that_is_changed_under_a_server_is_a_status_and_a_metric_and_heals(
    publish: Publish, serve: Serve, fragile: Fragile
) -> None:
    publish()
    live = await serve(database_reader_url=fragile.url)
    await predict(live)

    async def set_password(password: str) -> None:
        async with opened(fragile.server.url_for("postgres", SUPERUSER)) as superuser:
            await superuser.execute(f"ALTER ROLE {READER} PASSWORD '{password}'")
            readers = f"FROM pg_stat_activity WHERE usename = '{READER}'"
            await superuser.execute(f"SELECT pg_terminate_backend(pid) {readers}")

    ours = fragile.url.partition(f"{READER}:")[2].partition("@")[0]
    await set_password("another")
    failures = live.server.metrics.registry.get_sample_value
    labels = {"pool": "interactive", "cause": "refused"}

    async def is_refused() -> bool:  # the first call may still have had the connection that broke
        unavailable = await outcome_is(live, "DATABASE_UNAVAILABLE")
        return unavailable and bool(failures("staunch_pool_connection_failures_total", labels))

    await until(is_refused)
    assert live.server.why_not_serving() == ""
    await set_password(ours)
    await recovered(live)


async def outcome_is(live: Running, reason: str) -> bool:
    return await outcome(live) == reason


async def test_a_database_that_is_absent_at_the_start_is_used_once_it_is_there(
    publish: Publish, serve: Serve, fragile: Fragile
) -> None:
    publish()
    fragile.server.stop()
    live = await serve(database_reader_url=fragile.url)
    assert live.server.registry.ready() == ["churn@1"]
    await unavailable(live, 1.0)
    fragile.server.start()
    await recovered(live)


async def test_a_view_that_does_not_fit_is_found_out_once_the_database_is_there(
    publish: Publish, serve: Serve, fragile: Fragile
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
    publish: Publish, serve: Serve, fragile: Fragile
) -> None:
    publish()
    live = await serve(database_reader_url=fragile.url, store_poll_s=0.05)
    fragile.server.stop()
    publish(alias=None)
    moving = live.models.SetAlias(mpb.SetAliasRequest(name="churn", alias="champion", version=2))
    assert (await failure(moving)).reason == "DATABASE_UNAVAILABLE"
    publish()
    await live.models.ReloadModels(mpb.ReloadModelsRequest())
    given = {name: Value(number_value=1) for name in ("a", "b", "hours")}
    request = pb.PredictRequest(features=pb.FeatureValues(values=given))
    assert (await live.prediction.Predict(request)).model.version == 1
    fragile.server.start()
    await until(lambda: live.server.registry.ready() == ["churn@3"])
    assert (await predict(live)).model.version == 3


async def test_chunks_fail_as_unavailable_while_the_database_is_away_and_the_stream_goes_on(
    publish: Publish, serve: Serve, fragile: Fragile
) -> None:
    publish()
    live = await serve(database_reader_url=fragile.url, batch_timeout_s=1.5)
    stream = live.prediction.BatchPredict()
    chunk = pb.BatchPredictRequest(customer_ids=[8])
    await stream.write(chunk)
    assert len((await stream.read()).probabilities) == 1
    with fragile.frozen():
        await stream.write(chunk)
        error = (await stream.read()).chunk_error
        assert (error.code, error.reason, error.retry_delay.ToMilliseconds()) == (
            14,
            "DATABASE_UNAVAILABLE",
            500,
        )
    fragile.server.stop()
    await stream.write(chunk)
    assert (await stream.read()).chunk_error.code == 14
    fragile.server.start()
    await stream.write(chunk)
    assert len((await stream.read()).probabilities) == 1
    await stream.done_writing()


async def test_a_call_given_up_by_its_caller_takes_its_query_with_it(
    publish: Publish, serve: Serve, transport_name: str, locked: Locked
) -> None:
    publish()
    live = await serve(transport=transport_name)
    await predict(live)
    async with locked() as lock:
        call = live.prediction.Predict(pb.PredictRequest(customer_id=8), timeout=30)
        await until(lambda: lock.waiting(1))
        assert live.server.databases.interactive.in_use == 1
        call.cancel()
        await until(lambda: live.server.databases.interactive.in_use == 0)
        await until(lambda: lock.waiting(0))


async def test_a_database_that_is_frozen_at_the_start_is_found_later(
    publish: Publish, serve: Serve, fragile: Fragile
) -> None:
    publish()
    with fragile.frozen():
        live = await serve(database_reader_url=fragile.url, store_poll_s=0.1)
        assert await outcome(live, timeout_s=0.5) in {"DATABASE_UNAVAILABLE", "MODEL_NOT_READY"}
    await recovered(live)


async def test_no_connection_is_left_over_after_a_freeze(
    publish: Publish, serve: Serve, fragile: Fragile
) -> None:
    publish()
    live = await serve(database_reader_url=fragile.url)
    assert await outcome(live) == "OK"
    with fragile.frozen():
        for _ in range(8):
            assert await outcome(live, timeout_s=0.3) == "DATABASE_UNAVAILABLE"
    await recovered(live)

    async def only_idle_ones() -> bool:
        return await fragile.connections() <= 4 and not await fragile.connections("state <> 'idle'")

    await until(only_idle_ones)


async def test_a_restart_under_load_gives_only_answers_and_unavailable(
    publish: Publish, serve: Serve, fragile: Fragile
) -> None:
    publish()
    live = await serve(database_reader_url=fragile.url)
    stop = asyncio.Event()

    async def call_on(customer_id: int) -> set[str]:
        heard = set()
        while not stop.is_set():
            heard.add(await outcome(live, customer_id))
            await asyncio.sleep(0.005)
        return heard

    callers = [asyncio.ensure_future(call_on(number)) for number in (1, 2, 3, 4)]
    await asyncio.sleep(0.2)
    await asyncio.to_thread(fragile.server.stop)
    await asyncio.sleep(0.2)
    fragile.server.start()
    await recovered(live)
    stop.set()
    assert set.union(*await asyncio.gather(*callers)) == {"OK", "DATABASE_UNAVAILABLE"}


async def test_a_server_that_stopped_leaves_no_connection(
    publish: Publish, serve: Serve, fragile: Fragile
) -> None:
    publish()
    live = await serve(database_reader_url=fragile.url)
    assert await outcome(live) == "OK"
    await live.stop()

    async def none_left() -> bool:
        return not await fragile.connections()

    await until(none_left)


async def test_each_connection_has_run_the_view_before_a_server_says_that_it_serves(
    publish: Publish, serve: Serve, fragile: Fragile
) -> None:
    """A new connection pays 5 to 8 ms for its first run: planning it, and reading the catalogues."""
    publish()
    live = await serve(database_reader_url=fragile.url, warm_s=2.0)
    pools = live.server.databases
    assert await fragile.connections("query LIKE '%people%'") == pools.interactive.size + pools.batch.size


@pytest.mark.parametrize("trouble", ["away", "frozen"])
async def test_a_database_in_trouble_does_not_hold_back_a_server_that_would_warm_its_connections(
    publish: Publish, serve: Serve, fragile: Fragile, trouble: str
) -> None:
    publish()
    async with AsyncExitStack() as stack:
        if trouble == "frozen":
            stack.enter_context(fragile.frozen())
        else:
            fragile.server.stop()
        began = time.monotonic()
        live = await serve(database_reader_url=fragile.url, warm_s=2.0, view_check_s=0.3)
        assert time.monotonic() - began < 1.5
        assert live.server.registry.verified()
