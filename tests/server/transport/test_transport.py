"""What each transport promises beside carrying bytes: health, reflection, its port, an end without loss."""

import asyncio
import contextlib
import os
import socket
import stat
import sys
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2
from tests.harness.processes import frozen
from tests.harness.waiting import until
from tests.server.harness.shell import OWN_CONNECTION, StartShell

from staunch.v1 import prediction_service_pb2 as pb
from staunch_server.transport.aio import HANDSHAKE_TIMEOUT_S
from staunch_server.transport.seam import Call, ConnectionLimits

SERVICE = "staunch.v1.PredictionService"
STATES = health_pb2.HealthCheckResponse


def check(channel: aio.Channel, service: str = "") -> Any:
    method = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    return method(health_pb2.HealthCheckRequest(service=service))


def watch(channel: aio.Channel, service: str = "") -> Any:
    method = channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    return method(health_pb2.HealthCheckRequest(service=service))


async def test_health_begins_as_not_serving_and_follows_what_we_set(shell: StartShell) -> None:
    server = await shell()
    assert (await check(server.channel)).status == STATES.NOT_SERVING
    server.transport.set_serving("", True)
    server.transport.set_serving(SERVICE, True)
    assert (await check(server.channel)).status == STATES.SERVING
    assert (await check(server.channel, SERVICE)).status == STATES.SERVING
    server.transport.set_serving(SERVICE, False)
    assert (await check(server.channel, SERVICE)).status == STATES.NOT_SERVING


async def test_the_health_of_an_unknown_service_is_not_found(shell: StartShell) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        await check((await shell()).channel, "no.Such")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_watchers_hear_of_every_change_and_of_our_leaving(shell: StartShell) -> None:
    server = await shell()
    server.transport.set_serving(SERVICE, True)
    watching = watch(server.channel, SERVICE)
    assert (await watching.read()).status == STATES.SERVING
    server.transport.set_serving(SERVICE, False)
    assert (await watching.read()).status == STATES.NOT_SERVING
    server.transport.set_serving(SERVICE, True)
    assert (await watching.read()).status == STATES.SERVING
    server.transport.leave()
    assert (await watching.read()).status == STATES.NOT_SERVING
    server.transport.set_serving(SERVICE, True)
    assert (await check(server.channel, SERVICE)).status == STATES.NOT_SERVING


@pytest.mark.parametrize("method", ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"])
async def test_malformed_bytes_to_health_are_an_invalid_argument(shell: StartShell, method: str) -> None:
    call = (await shell()).channel.unary_unary(method)(b"\x0a\xff")
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_used_port_is_refused_unless_sharing_is_asked_for(shell: StartShell) -> None:
    server = await shell()
    kind = type(server.transport)
    rival = kind([], server.guard, address=f"127.0.0.1:{server.port}")
    with pytest.raises(OSError, match=f"cannot bind 127.0.0.1:{server.port}"):
        await rival.start()
    sharers = [kind([], server.guard, address="127.0.0.1:0", reuse_port=True)]
    port = await sharers[0].start()
    sharers.append(kind([], server.guard, address=f"127.0.0.1:{port}", reuse_port=True))
    assert await sharers[1].start() == port
    for one in sharers:
        await one.stop(0)


async def test_a_unix_socket_is_for_its_user_alone_and_goes_with_the_server(
    shell: StartShell, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:  # whose socket stays where it was
        dead.bind(str(path))
    umask = os.umask(0)
    try:
        server = await shell(address=f"unix:{path}", reflects=True)
    finally:
        assert os.umask(umask) == 0
    assert server.port == 0
    assert stat.filemode(path.stat().st_mode) == "srw-------"
    assert (await check(server.channel)).status == STATES.NOT_SERVING
    assert await server.predict(pb.PredictRequest(customer_id=1).SerializeToString())
    assert [answer async for answer in server.batch([b""])] == [b""]
    await server.transport.stop(0)
    assert not path.exists()


async def test_ipv6_loopback_is_served_too(shell: StartShell) -> None:
    with contextlib.closing(socket.socket(socket.AF_INET6)) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 here")
    server = await shell()
    transport = type(server.transport)([], server.guard, address="[::1]:0")
    port = await transport.start()
    async with aio.insecure_channel(f"[::1]:{port}") as channel:
        assert (await check(channel)).status == STATES.NOT_SERVING
    await transport.stop(0)


async def test_a_hundred_calls_share_a_connection_and_the_next_waits(shell: StartShell) -> None:
    release = asyncio.Event()

    async def waiting(request: Any, call: Any) -> pb.PredictResponse:
        await release.wait()
        return pb.PredictResponse()

    server = await shell(predict=waiting, max_calls=1000)
    await check(server.channel)  # so that the connection has told its limit
    calls = [asyncio.ensure_future(server.predict()) for _ in range(130)]
    await until(lambda: server.guard.calls == 100)
    await asyncio.sleep(0.1)
    assert server.guard.calls == 100
    release.set()
    assert len(await asyncio.gather(*calls)) == 130


async def test_a_drain_that_callers_see_in_the_health_loses_no_call(shell: StartShell) -> None:
    async def working(request: Any, call: Any) -> pb.PredictResponse:
        await asyncio.sleep(0.003)
        return pb.PredictResponse(probability=0.5)

    server = await shell(predict=working)
    server.transport.set_serving("", True)
    watching = watch(server.channel)
    serving = asyncio.Event()
    serving.set()

    async def heed_health() -> None:
        with contextlib.suppress(aio.AioRpcError):
            async for state in watching:
                if state.status != STATES.SERVING:
                    serving.clear()

    answered = 0

    async def call_while_serving() -> None:
        nonlocal answered
        while serving.is_set():
            await server.predict()
            answered += 1

    heeding = asyncio.ensure_future(heed_health())
    callers = [asyncio.ensure_future(call_while_serving()) for _ in range(32)]
    await until(lambda: answered > 100)
    server.transport.leave()
    await until(lambda: not serving.is_set())
    await asyncio.gather(*callers)
    server.guard.drain()
    assert await server.guard.idle(5)
    await server.transport.stop(0.5)
    await heeding


async def test_a_stop_under_load_loses_nothing_that_was_taken_up_and_cancels_nobody(
    shell: StartShell,
) -> None:
    """Once 34 to 50 of such callers read CANCELLED, which tells nobody to try again (grpc/grpc#41785)."""
    taken_up = 0

    async def working(request: Any, call: Any) -> pb.PredictResponse:
        nonlocal taken_up
        taken_up += 1
        await asyncio.sleep(0.003)
        return pb.PredictResponse(probability=0.5)

    server, stopped, codes = await shell(predict=working, max_calls=100), asyncio.Event(), Counter[str]()
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(aio.insecure_channel(f"127.0.0.1:{server.port}", OWN_CONNECTION))
            for _ in range(8)
        ]

        async def call_on(channel: aio.Channel) -> None:
            while not stopped.is_set():
                codes[(await channel.unary_unary(f"/{SERVICE}/Predict")(b"").code()).name] += 1

        callers = [asyncio.ensure_future(call_on(channel)) for channel in channels * 8]
        await until(lambda: codes["OK"] > 300)
        server.guard.drain()
        assert await server.guard.idle(5)
        await server.transport.stop(0.5)
        stopped.set()
        await asyncio.gather(*callers)
    assert codes["OK"] == taken_up
    assert codes.keys() == {"OK", "UNAVAILABLE"}


async def test_stopping_lets_calls_in_progress_end_and_cancels_what_outlives_the_grace(
    shell: StartShell,
) -> None:
    release = asyncio.Event()

    async def working(request: Any, call: Any) -> pb.PredictResponse:
        await (release.wait() if request.customer_id == 1 else asyncio.sleep(30))
        return pb.PredictResponse(probability=0.5)

    server = await shell(predict=working, default_deadline_s=60)
    short = asyncio.ensure_future(server.predict(pb.PredictRequest(customer_id=1).SerializeToString()))
    long = asyncio.ensure_future(server.predict(pb.PredictRequest(customer_id=2).SerializeToString()))
    await until(lambda: server.guard.calls == 2)
    async with asyncio.timeout(5):
        stopping = asyncio.ensure_future(server.transport.stop(0.5))
        await asyncio.sleep(0.1)
        release.set()
        await stopping
        assert pb.PredictResponse.FromString(await short).probability == 0.5
        with pytest.raises(aio.AioRpcError):
            await long


_OPENS_A_STREAM = """
import itertools, sys, threading
import grpc
channel = grpc.insecure_channel(sys.argv[1])
wait = threading.Event()
stream = channel.stream_stream("/staunch.v1.PredictionService/BatchPredict")
answers = stream(b"" if number == 0 else wait.wait() for number in itertools.count())
next(answers)
print("open", flush=True)
wait.wait()
"""


async def test_the_stream_of_a_client_that_vanished_does_not_count_for_ever(
    shell: StartShell,
) -> None:
    """Frozen, a client answers no more than one whose machine lost its network, and closes nothing either."""
    server = await shell(connections=ConnectionLimits(keepalive_s=0.5, keepalive_timeout_s=0.5))
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _OPENS_A_STREAM, f"127.0.0.1:{server.port}", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert client.stdout is not None
        assert await client.stdout.readline() == b"open\n"
        assert server.guard.streams == 1
        with frozen(client.pid):
            await until(lambda: server.guard.streams == 0)
    finally:
        client.kill()
        await client.communicate()


@pytest.mark.parametrize("transport_name", ["aio"])  # the native library closes none by itself
async def test_a_connection_moves_on_when_its_age_is_reached_and_calls_go_on(shell: StartShell) -> None:
    """So that clients spread over workers that came later."""
    peers: list[str] = []

    async def noting(request: pb.PredictRequest, call: Call) -> pb.PredictResponse:
        peers.append(call.peer)
        return pb.PredictResponse()

    server = await shell(noting, connections=ConnectionLimits(age_s=0.5))
    await server.predict()

    async def on_another_connection() -> bool:
        await server.predict()
        return len(set(peers)) > 1

    async with asyncio.timeout(5):
        while not await on_another_connection():
            await asyncio.sleep(0.05)


async def test_a_connection_that_never_speaks_is_closed_after_the_time_to_say_hello(
    shell: StartShell,
) -> None:
    server = await shell()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(4 * HANDSHAKE_TIMEOUT_S):
        with contextlib.suppress(ConnectionResetError):
            while await reader.read(1024):
                pass
    assert HANDSHAKE_TIMEOUT_S == 5
    assert asyncio.get_running_loop().time() - began > 0.8 * HANDSHAKE_TIMEOUT_S
    writer.close()
