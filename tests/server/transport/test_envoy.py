"""What docs/proxy.md promises of the shipped Envoy, before two real servers."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.harness.envoy import SHIPPED, Envoy, addressed, envoy_before
from tests.harness.waiting import until
from tests.server.harness.errors import failure
from tests.server.harness.running import Publish, Running, Serve
from tests.server.harness.shell import OWN_CONNECTION

from staunch.v1 import model_service_pb2 as mpb
from staunch.v1 import prediction_service_pb2 as pb
from staunch.v1.model_service_pb2_grpc import ModelServiceStub
from staunch.v1.prediction_service_pb2_grpc import PredictionServiceStub

pytestmark = pytest.mark.walk


@dataclass(frozen=True)
class Proxied:
    """Two servers, Envoy before them, and a channel to it."""

    envoy: Envoy
    servers: tuple[Running, Running]
    channel: aio.Channel


@pytest.fixture
async def proxied(serve: Serve, publish: Publish, tmp_path: Path) -> AsyncIterator[Proxied]:
    """Two real servers with a model behind the shipped Envoy, both taking calls."""
    publish()
    servers = (await serve(), await serve())
    ports = {server.server.port for server in servers}
    with envoy_before(sorted(ports), tmp_path) as envoy:
        await until(lambda: envoy.well() == ports)
        async with aio.insecure_channel(envoy.target, options=OWN_CONNECTION) as channel:
            yield Proxied(envoy, servers, channel)


def test_nothing_of_the_shipped_file_changes_for_a_test_but_its_addresses() -> None:
    def without_ports(text: str) -> list[str]:
        return sorted(set(re.sub(r"port_value: \d+", "", text).splitlines()))

    shipped = SHIPPED.read_text()
    assert without_ports(addressed(shipped, [1, 2])) == without_ports(shipped)


async def test_calls_go_to_each_server_in_turn_and_keep_their_ids(proxied: Proxied) -> None:
    predict = PredictionServiceStub(proxied.channel).Predict
    for i in range(20):
        call = predict(pb.PredictRequest(customer_id=1), metadata=[("x-request-id", f"mine-{i}")])
        assert (await call).probability > 0
        assert dict(await call.trailing_metadata())["x-request-id"] == f"mine-{i}"
    clusters = json.loads(proxied.envoy.ask("/clusters?format=json"))["cluster_statuses"][0]
    counted = [
        stat["value"]
        for host in clusters["host_statuses"]
        for stat in host["stats"]
        if stat["name"] == "rq_total"
    ]
    assert len(counted) == 2
    assert min(map(int, counted)) >= 8


async def test_what_reads_is_tried_on_another_server_and_what_changes_something_is_sent_once(
    proxied: Proxied,
) -> None:
    prediction, models = PredictionServiceStub(proxied.channel), ModelServiceStub(proxied.channel)
    health = health_pb2_grpc.HealthStub(proxied.channel)
    proxied.servers[0].server.guard.drain()  # it refuses, though its health still says SERVING
    for _ in range(10):
        await prediction.Predict(pb.PredictRequest(customer_id=1))
        await prediction.Explain(pb.ExplainRequest(customer_id=1))
        await models.GetModel(mpb.GetModelRequest())
        await models.ListModels(mpb.ListModelsRequest())
        await health.Check(health_pb2.HealthCheckRequest())
        answers = [a async for a in prediction.BatchPredict(iter([pb.BatchPredictRequest(customer_ids=[1])]))]
        assert len(answers) == 1
    tried_again = proxied.envoy.count("cluster.staunch.upstream_rq_retry")
    assert tried_again >= 10

    moved = mpb.SetAliasRequest(name="churn", alias="champion", version=1)
    codes = [await models.SetAlias(moved).code() for _ in range(10)]
    codes += [await models.ReloadModels(mpb.ReloadModelsRequest()).code() for _ in range(10)]
    assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    assert proxied.envoy.count("cluster.staunch.upstream_rq_retry") == tried_again


async def test_errors_of_a_server_arrive_with_all_they_say(proxied: Proxied) -> None:
    error = await failure(
        PredictionServiceStub(proxied.channel).Predict(pb.PredictRequest(customer_id=10**9))
    )
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "CUSTOMER_NOT_FOUND")
    assert error.resource == ("customer", str(10**9))


@pytest.mark.parametrize(
    ("size_bytes", "code"),
    [(300_000, "INVALID_ARGUMENT"), (1_040_000, "INVALID_ARGUMENT"), (1_100_000, "RESOURCE_EXHAUSTED")],
)
async def test_a_message_that_is_too_large_is_refused_as_a_server_refuses_it(
    proxied: Proxied, size_bytes: int, code: str
) -> None:
    request = pb.PredictRequest(customer_key="x" * size_bytes)
    error = await failure(PredictionServiceStub(proxied.channel).Predict(request))
    assert error.code.name == code


async def test_metadata_that_is_too_large_ends_its_own_call_only(proxied: Proxied) -> None:
    predict = PredictionServiceStub(proxied.channel).Predict
    await predict(pb.PredictRequest(customer_id=1), metadata=[("x-mine", "x" * 8000)])
    error = await failure(predict(pb.PredictRequest(customer_id=1), metadata=[("x-mine", "x" * 60_000)]))
    assert error.code == grpc.StatusCode.INTERNAL  # Envoy resets the stream, and has no other word for it
    await predict(pb.PredictRequest(customer_id=1))
    assert proxied.envoy.count("http.staunch.downstream_cx_total") == 1


async def test_a_method_that_is_not_there_is_said_to_be_so(proxied: Proxied) -> None:
    method = proxied.channel.unary_unary("/staunch.v1.NoService/Nothing")
    assert (await failure(method(b""))).code == grpc.StatusCode.UNIMPLEMENTED


async def test_chunks_of_the_largest_size_pass(proxied: Proxied) -> None:
    requests = [pb.BatchPredictRequest(customer_ids=range(n, n + 10_000)) for n in range(1, 100_000, 10_000)]
    stream = PredictionServiceStub(proxied.channel).BatchPredict(iter(requests))
    answered = [list(answer.customer_ids) async for answer in stream]
    assert answered == [list(request.customer_ids) for request in requests]


async def test_a_server_that_stops_is_left_alone_before_the_wait_that_the_page_names_is_over(
    proxied: Proxied,
) -> None:
    leaving, staying = proxied.servers
    leaving.server.transport.leave()
    await until(lambda: proxied.envoy.well() == {staying.server.port}, 2.9)


async def test_streams_may_be_as_long_as_they_like(proxied: Proxied) -> None:
    dumped = json.loads(proxied.envoy.ask("/config_dump?resource=static_route_configs"))["configs"]
    all_routes = dumped[0]["route_config"]["virtual_hosts"][0]["routes"]
    routes = [route for route in all_routes if "direct_response" not in route]  # they go nowhere
    unlimited = [route for route in routes if route["route"].get("idle_timeout") == "0s"]
    assert len(unlimited) == 3
    assert all("max_stream_duration" not in route["route"] for route in unlimited)
    assert {route["route"]["timeout"] for route in routes} == {"0s"}
