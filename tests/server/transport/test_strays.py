"""Calls that come to no method, or bring no message: each is answered by us, and counted."""

import asyncio
import time
from typing import Any

import grpc
import pytest
from grpc import aio
from tests.harness.waiting import until
from tests.server.harness.errors import failure
from tests.server.harness.peers import peer
from tests.server.harness.shell import SERVICE, Shell, StartShell

from staunch_server.transport import strays
from staunch_server.transport.seam import MAX_METADATA_BYTES, MAX_RECEIVED_BYTES

PREDICT, BATCH = f"/{SERVICE}/Predict", f"/{SERVICE}/BatchPredict"
CHECK = "/grpc.health.v1.Health/Check"

on_aio = pytest.mark.parametrize("transport_name", ["aio"])


def counted(server: Shell, method: str, code: str, reason: str) -> float:
    labels = {"method": method, "code": code, "reason": reason, "model": ""}
    return server.metrics.registry.get_sample_value("staunch_calls_total", labels) or 0.0


@pytest.mark.parametrize("path", [f"/{SERVICE}/Guess", "/other.Service/Predict", "/", "/no"])
@pytest.mark.parametrize("kind", ["unary_unary", "stream_stream"])
async def test_a_method_that_is_not_ours_is_refused_by_us_and_counted_under_no_name_of_the_caller(
    shell: StartShell, kind: str, path: str
) -> None:
    server = await shell()
    unary = kind == "unary_unary"
    call = getattr(server.channel, kind)(path)(b"" if unary else iter([b""]))
    error = await failure(call if unary else call.read())
    assert (error.code, error.reason) == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_UNKNOWN")
    assert error.message.startswith("This server has no such method")
    assert counted(server, "unknown", "UNIMPLEMENTED", "METHOD_UNKNOWN") == 1


async def test_metadata_up_to_the_limit_are_taken_whatever_chance_says(shell: StartShell) -> None:
    """Between its two limits, 8 and 16 KiB, grpc-core refuses one call in so many."""
    server = await shell()
    pad = ("x-pad", "a" * (MAX_METADATA_BYTES - 1500))
    await server.predict()  # the connection knows the limit now
    assert [await server.predict(metadata=[pad]) for _ in range(20)]


async def test_metadata_beyond_the_limit_are_refused(shell: StartShell) -> None:
    server = await shell()
    await server.predict()
    for _ in range(3):
        error = await failure(server.predict(metadata=[("x-pad", "a" * MAX_METADATA_BYTES)]))
        assert error.code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNKNOWN)  # native says 431
    assert await server.predict()


MUCH = {
    "long": {f"x-pad-{n}": "a" * 4000 for n in range(30)},
    "many": {f"x-{n}": "v" for n in range(1000)},
}
"""Metadata of more than the limit."""


@on_aio
@pytest.mark.parametrize(
    ("path", "kind"),
    [(PREDICT, "long"), (PREDICT, "many"), (BATCH, "long"), (CHECK, "long"), ("/no.Such/Method", "long")],
)
async def test_metadata_beyond_the_limit_are_refused_before_a_client_knows_the_limit(
    shell: StartShell, path: str, kind: str
) -> None:
    """The library holds to its limit once the client has acknowledged it, and takes 6 MB before."""
    server = await shell()
    async with peer(server.port, window=65535) as early:
        stream = early.open(path, MUCH[kind])
        early.send(stream, b"", last=True)
        await until(lambda: stream in early.ended)
    name = "unknown" if path == "/no.Such/Method" else path
    assert counted(server, name, "INVALID_ARGUMENT", "MESSAGE_TOO_LARGE") == 1


@pytest.mark.parametrize("path", [PREDICT, CHECK])
async def test_a_unary_call_that_ends_without_a_message_is_answered(shell: StartShell, path: str) -> None:
    server = await shell()
    call: aio.StreamUnaryCall[bytes, bytes] = server.channel.stream_unary(path)(iter(()))
    error = await failure(call)
    assert error.code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL)  # native answers itself
    assert await server.predict()


@on_aio
async def test_a_unary_call_that_ends_without_a_message_is_counted(shell: StartShell) -> None:
    server = await shell()
    call: aio.StreamUnaryCall[bytes, bytes] = server.channel.stream_unary(PREDICT)(iter(()))
    error = await failure(call)
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_MISSING")
    assert counted(server, PREDICT, "INVALID_ARGUMENT", "MESSAGE_MISSING") == 1


@on_aio
async def test_unary_calls_whose_message_does_not_come_end_and_the_others_do_not(
    shell: StartShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strays, "FIRST_MESSAGE_S", 0.3)
    server = await shell()
    async with peer(server.port, window=65535) as silent:
        streams = {silent.open(PREDICT) for _ in range(50)}
        began = time.monotonic()
        while silent.ended != streams:
            assert await server.predict()
            await asyncio.sleep(0.01)
        assert 0.3 <= time.monotonic() - began < 2
    assert counted(server, PREDICT, "UNAVAILABLE", "STREAM_IDLE") == 50


@on_aio
async def test_a_caller_whose_message_does_not_come_is_told_so(
    shell: StartShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strays, "FIRST_MESSAGE_S", 0.1)
    server = await shell()
    call: aio.StreamUnaryCall[bytes, bytes] = server.channel.stream_unary(PREDICT)()
    error = await failure(call)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "STREAM_IDLE")
    assert error.message.startswith("Expected the message of the call within 0.1 s")
    assert error.infos[0].metadata == {"limit_s": "0.1"}


@on_aio
async def test_where_many_wait_for_their_message_each_gets_less_time_for_it(
    shell: StartShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strays, "MANY_WAITING", 8)
    monkeypatch.setattr(strays, "HURRIED_S", 0.1)
    server = await shell()
    async with peer(server.port, window=65535) as silent:
        few = {silent.open(PREDICT) for _ in range(7)}
        await asyncio.sleep(0.6)
        assert not silent.ended
        many = {silent.open(PREDICT) for _ in range(50)}
        await until(lambda: silent.ended >= few and len(silent.ended & many) > 40)
        assert await server.predict()


@pytest.mark.parametrize("kind", ["unary", "stream"])
async def test_a_message_that_the_library_refuses_counts_as_cancelled_and_not_as_answered(
    shell: StartShell, kind: str
) -> None:
    server = await shell()
    huge = b"\x0a" * (MAX_RECEIVED_BYTES + 1)
    call: Any = server.predict(huge) if kind == "unary" else server.batch([huge]).read()
    error = await failure(call)
    assert (error.code, error.infos) == (grpc.StatusCode.RESOURCE_EXHAUSTED, [])
    path = PREDICT if kind == "unary" else BATCH
    await until(lambda: counted(server, path, "CANCELLED", "") == 1)


@on_aio
async def test_a_caller_that_leaves_before_its_message_is_counted(shell: StartShell) -> None:
    server = await shell()
    call: aio.StreamUnaryCall[bytes, bytes] = server.channel.stream_unary(PREDICT)()
    await call.wait_for_connection()
    await asyncio.sleep(0.1)  # it is there
    call.cancel()
    await until(lambda: counted(server, PREDICT, "CANCELLED", "") == 1)


async def test_a_stopping_server_waits_for_no_message(shell: StartShell) -> None:
    server = await shell()
    async with peer(server.port, window=65535) as silent:
        for _ in range(3):
            silent.open(PREDICT)
            silent.open("/no.Such/Method")
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await server.transport.stop(0.2)
        assert time.monotonic() - began < 1
