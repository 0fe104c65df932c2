"""What the whole server promises, with a real database and a real model."""

import sys
import time
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from prometheus_client import CollectorRegistry
from tests.harness.databases import TestDatabase
from tests.harness.waiting import until
from tests.server.harness.errors import failure
from tests.server.harness.peers import BATCH, UNKNOWN_CUSTOMERS, WIDE, Peer, fill, peer
from tests.server.harness.running import Publish, Running, Serve

from staunch.v1 import model_service_pb2, prediction_service_pb2
from staunch.v1 import prediction_service_pb2 as pb
from staunch_model_store.store import ModelStore
from staunch_server.events import CallEnded
from staunch_server.models import registry, tally
from staunch_server.models.stored import aliases
from staunch_server.process.server import Server
from staunch_server.settings import SettingsError, load_settings
from staunch_server.transport.aio import AioTransport

STATES = health_pb2.HealthCheckResponse
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
ALL_OF_A_FILE = ServerReflectionRequest(
    file_containing_symbol="staunch.v1.PredictionService"
).SerializeToString()


async def health(running: Running, service: str = "") -> int:
    method = running.channel.unary_unary("/grpc.health.v1.Health/Check")
    answer = await method(health_pb2.HealthCheckRequest(service=service).SerializeToString())
    return int(STATES.FromString(answer).status)


@pytest.mark.parametrize("transport", ["aio", "native"])
async def test_a_customer_is_scored_from_the_rows_of_the_database(
    publish: Publish, serve: Serve, transport: str
) -> None:
    publish()
    running = await serve(transport=transport)
    answer = await running.prediction.Predict(pb.PredictRequest(customer_id=3, include_features=True))
    assert 0 < answer.probability < 1
    assert (answer.model.name, answer.model.version) == ("churn", 1)
    assert answer.features["a"].number_value == 3


@pytest.mark.parametrize("transport", ["aio", "native"])
async def test_every_method_of_the_contract_is_served(publish: Publish, serve: Serve, transport: str) -> None:
    publish()
    running = await serve(transport=transport)
    for file in (prediction_service_pb2.DESCRIPTOR, model_service_pb2.DESCRIPTOR):
        for service in file.services_by_name.values():
            for method in service.methods:
                path = f"/{service.full_name}/{method.name}"
                code = await running.channel.unary_unary(path)(b"\x0a\xff", timeout=5).code()
                assert code in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT), path


async def test_a_server_without_a_model_waits_for_one_and_says_so(
    publish: Publish, serve: Serve, store: ModelStore
) -> None:
    store.root.mkdir()
    running = await serve(store_poll_s=0.05)
    assert await health(running) == STATES.NOT_SERVING
    assert await health(running, "staunch.v1.PredictionService") == STATES.NOT_SERVING
    assert await health(running, "staunch.v1.ModelService") == STATES.SERVING
    error = await failure(running.prediction.Predict(pb.PredictRequest(customer_id=3)))
    assert error.reason in {"MODEL_NOT_FOUND", "MODEL_NOT_READY"}
    assert running.server.why_not_serving()
    publish()

    async def serving() -> bool:
        return await health(running) == STATES.SERVING

    await until(serving)
    assert await health(running, "staunch.v1.PredictionService") == STATES.SERVING
    await running.prediction.Predict(pb.PredictRequest(customer_id=3))
    assert running.server.why_not_serving() == ""


async def test_what_happened_is_measured_by_method_model_and_step(
    publish: Publish, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "WAIT_S", 0.05)
    publish()
    running = await serve()
    await running.prediction.Predict(pb.PredictRequest(customer_id=3))
    await running.prediction.Explain(pb.ExplainRequest(customer_id=3))
    stream = running.prediction.BatchPredict(iter([pb.BatchPredictRequest(customer_ids=[1, 7, 999])]))
    assert len([chunk async for chunk in stream]) == 1
    value = running.server.metrics.registry.get_sample_value
    model = {"model": "churn@1"}
    for method in ("Predict", "Explain", "BatchPredict"):
        path = {"method": f"/staunch.v1.PredictionService/{method}"}
        assert value("staunch_calls_total", path | model | {"code": "OK", "reason": ""}) == 1
        assert value("staunch_call_seconds_count", path | model | {"code": "OK"}) == 1
    assert value("staunch_queue_seconds_count", model) >= 1
    for kind, rows in [("interactive", 2), ("batch", 3)]:
        assert value("staunch_sql_seconds_count", model | {"kind": kind}) >= 1
        assert value("staunch_batch_rows_sum", model | {"kind": kind}) == rows
    assert value("staunch_onnx_seconds_count", model | {"step": "score"}) >= 2
    assert value("staunch_onnx_seconds_count", model | {"step": "explain"}) >= 1
    assert value("staunch_rows_total", model | {"outcome": "failed"}) == 1
    assert value("staunch_rows_total", model | {"outcome": "scored"}) == 4
    await until(lambda: value("staunch_scores_count", model) == 4)
    bands = [value("staunch_score_bands_total", model | {"band": band}) for band in ("LOW", "MEDIUM", "HIGH")]
    assert sum(bands) == 4
    assert value("staunch_feature_missing_total", model | {"feature": "b"}) == 1  # of person 7
    assert value("staunch_feature_missing_total", model | {"feature": "a"}) is None  # is never null


async def test_each_call_says_at_its_end_what_its_steps_took(publish: Publish, serve: Serve) -> None:
    publish()
    running = await serve()
    ended: list[CallEnded] = []
    running.server.events.call_ended.subscribe(ended.append)
    await running.prediction.Predict(pb.PredictRequest(customer_id=3))
    await running.prediction.Explain(pb.ExplainRequest(customer_id=3))
    chunks = [pb.BatchPredictRequest(customer_ids=[1, 2])] * 3
    assert len([chunk async for chunk in running.prediction.BatchPredict(iter(chunks))]) == 3
    await until(lambda: len(ended) == 3)
    assert [call.stages.keys() for call in ended] == [
        {"queue", "sql", "onnx"},
        {"queue", "sql", "onnx", "explain"},
        {"queue", "sql", "onnx"},
    ]
    for call in ended[:2]:  # the chunks of a stream overlap
        assert sum(call.stages.values()) <= call.seconds


async def test_the_state_of_the_process_is_measured(publish: Publish, serve: Serve) -> None:
    publish()
    running = await serve(interactive_connections=3)
    await running.prediction.Predict(pb.PredictRequest(customer_id=3))
    collected = {f.name: f.samples for f in running.server.metrics.registry.collect()}
    (build,) = collected["staunch_build_info"]
    assert (build.labels["transport"], build.value) == ("aio", 1)
    (info,) = [s for s in collected["staunch_model_info"] if s.value == 1]
    assert (info.labels["model"], info.labels["version"], info.labels["state"]) == ("churn", "1", "READY")
    assert info.labels["digest"].startswith("sha256:")
    value = running.server.metrics.registry.get_sample_value
    await until(lambda: value("staunch_pool_connections_max", {"pool": "interactive"}) == 3)
    assert value("staunch_pool_connections_in_use", {"pool": "interactive"}) == 0
    assert value("staunch_calls_in_progress", {"kind": "unary"}) == 0


async def test_two_servers_do_not_share_a_port_unless_told(publish: Publish, serve: Serve) -> None:
    publish()
    running = await serve()
    with pytest.raises(OSError, match="cannot bind"):
        await serve(port=running.server.port)


async def test_the_url_of_the_database_never_leaves_in_an_error(
    publish: Publish, serve: Serve, people: TestDatabase
) -> None:
    url = people.reader_url.replace("staunch_reader:", "staunch_reader:wrong")
    publish()
    running = await serve(database_reader_url=url)
    error = await failure(running.prediction.Predict(pb.PredictRequest(customer_id=3), timeout=3))
    assert error.reason == "DATABASE_UNAVAILABLE"
    assert "wrong" not in repr(error)
    assert "127.0.0.1" not in repr(error)


async def test_what_runs_beside_the_calls_begins_again_after_an_unforeseen_failure(
    publish: Publish, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one odd moment of the disk would end the following of aliases until somebody restarts."""
    publish()
    running = await serve(store_poll_s=0.02, again_s=0.01)
    failed = 0

    def fails_twice(*arguments: Any) -> Any:
        nonlocal failed
        failed += 1
        if failed <= 2:
            raise RuntimeError("unforeseen")
        return aliases.read_targets(*arguments)

    monkeypatch.setattr(registry, "read_targets", fails_twice)
    publish()
    await until(lambda: running.server.registry.ready() == ["churn@2"])
    assert failed > 2


def test_the_native_transport_is_refused_what_it_cannot_do(people: TestDatabase) -> None:
    flags = {"transport": "native", "max_connection_age_s": 60, "database_reader_url": people.reader_url}
    with pytest.raises(SettingsError, match="max_connection_age_s is set: expected 0"):
        Server(load_settings(flags), CollectorRegistry())


async def test_the_native_transport_is_named_when_it_is_not_installed(
    monkeypatch: Any, people: TestDatabase
) -> None:
    monkeypatch.setitem(sys.modules, "staunch_server.transport.native", None)
    settings = load_settings({"transport": "native", "database_reader_url": people.reader_url})
    with pytest.raises(SettingsError, match=r"install staunch-server\[native\], or choose aio"):
        Server(settings, CollectorRegistry())


@pytest.mark.parametrize("transport", ["aio", "native"])
async def test_who_watches_the_health_and_does_not_read_keeps_neither_start_nor_drain_waiting(
    publish: Publish, serve: Serve, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    """Once for good and by 40 s: the library wrote to watchers under the lock that a change needed."""
    publish()
    reload, peers = registry.Registry.reload, AsyncExitStack()

    async def watched_by(held: Peer) -> None:
        before = transports[0].watchers
        for service in ("", "staunch.v1.PredictionService", "staunch.v1.ModelService"):
            held.watch(service)
        await until(lambda: transports[0].watchers == before + 3)

    async def watched_while_loading(of: registry.Registry) -> None:
        await watched_by(await peers.enter_async_context(peer(ports[0])))
        full = await peers.enter_async_context(peer(ports[0], window=WIDE))
        await fill(full, REFLECTION, [ALL_OF_A_FILE] * 20)
        await watched_by(full)
        await reload(of)

    start, ports, transports = AioTransport.start, list[int](), list[AioTransport]()

    async def noting(of: AioTransport) -> int:
        transports.append(of)
        ports.append(await start(of))
        return ports[0]

    monkeypatch.setattr(AioTransport, "start", noting)
    monkeypatch.setattr(registry.Registry, "reload", watched_while_loading)
    async with peers:
        running = await serve(transport=transport, drain_wait_s=0.1, drain_s=0.1)
        assert await health(running) == STATES.SERVING
        assert await health(running, "staunch.v1.PredictionService") == STATES.SERVING
        full = await peers.enter_async_context(peer(ports[0], window=WIDE))
        await fill(full, BATCH, [UNKNOWN_CUSTOMERS] * 5)
        await watched_by(full)
        value = running.server.metrics.registry.get_sample_value
        await until(lambda: value("staunch_calls_in_progress", {"kind": "watch"}) == 9)
        began = time.monotonic()
        await running.stop()
        assert time.monotonic() - began < 5
