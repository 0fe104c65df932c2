"""Whether a server is ready, asked of the standard health service without its package."""

import asyncio
import time

import pytest
from google.protobuf.wrappers_pb2 import Int32Value, StringValue
from grpc_health.v1 import health_pb2
from tests.client.harness.either import Connect, EitherClient
from tests.client.harness.scripted import ScriptedServer

from staunch import DeadlineExceeded
from staunch import _calls as calls


@pytest.mark.parametrize("service", ["", "staunch.v1.PredictionService"])
def test_what_we_ask_is_the_standard_question(service: str) -> None:
    ours = StringValue(value=service).SerializeToString()
    assert health_pb2.HealthCheckRequest.FromString(ours) == health_pb2.HealthCheckRequest(service=service)


@pytest.mark.parametrize("number", health_pb2.HealthCheckResponse.ServingStatus.values())
def test_what_we_read_is_the_standard_answer(number: int) -> None:
    raw = health_pb2.HealthCheckResponse(status=number).SerializeToString()
    assert Int32Value.FromString(raw).value == number
    cause = calls.readiness().decode(Int32Value.FromString(raw), "r1")
    assert (cause is None) is (number == health_pb2.HealthCheckResponse.SERVING)


async def test_a_server_that_serves_is_ready_and_one_that_does_not_is_not(
    either: EitherClient, server: ScriptedServer
) -> None:
    assert await either.call("is_ready") is True
    await server.set_serving(False)
    assert await either.call("is_ready") is False


async def test_a_server_that_cannot_be_reached_is_not_ready(connect: Connect) -> None:
    assert await connect("127.0.0.1:1").call("is_ready") is False


async def test_waiting_ends_when_the_server_is_ready(either: EitherClient, server: ScriptedServer) -> None:
    await server.stop()
    waiting = asyncio.ensure_future(either.call("wait_until_ready", 20))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await server.start()
    assert await waiting is None


async def test_waiting_in_vain_ends_in_time_and_says_why(
    either: EitherClient, connect: Connect, server: ScriptedServer
) -> None:
    await server.set_serving(False)
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"not ready within 0\.5 s: .*not serving"):
        await either.call("wait_until_ready", 0.5)
    assert 0.3 < time.monotonic() - started < 5
    with pytest.raises(DeadlineExceeded, match=r"not ready within 0\.2 s: .*(?i:connect)"):
        await connect("127.0.0.1:1").call("wait_until_ready", timeout_s=0.2)


def test_pauses_grow_to_a_second_and_end_with_the_time() -> None:
    now = [0.0]
    waiting = calls.Waiting(10.0, clock=lambda: now[0])
    cause = calls.readiness().decode(Int32Value(value=2), "r1")
    assert cause is not None
    assert [waiting.wait_s(cause) for _ in range(7)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert (waiting.ask_s(5.0), waiting.ask_s(50.0)) == (5.0, 10.0)
    now[0] = 9.5
    assert waiting.ask_s(5.0) == 0.5
    with pytest.raises(DeadlineExceeded) as caught:
        waiting.wait_s(cause)
    assert caught.value.details.request_id == "r1"
