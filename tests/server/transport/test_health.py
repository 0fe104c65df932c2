"""What we say of our health, and that nobody who watches it and does not read keeps anything waiting."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2
from tests.harness.waiting import until
from tests.server.harness.errors import failure, read_rich_error
from tests.server.harness.peers import BATCH, UNKNOWN_CUSTOMERS, WATCH, WIDE, Peer, fill, peer
from tests.server.harness.shell import SERVICE, Shell, StartShell

from staunch_server.transport import health

STATES = health_pb2.HealthCheckResponse
CHECK, LIST = f"/{health.SERVICE}/Check", f"/{health.SERVICE}/List"

held_up_by = pytest.mark.parametrize("held_up_by", ["its own window", "an unread BatchPredict beside it"])


async def check(server: Shell, service: str = "") -> int:
    method = server.channel.unary_unary(CHECK)
    answer = await method(health_pb2.HealthCheckRequest(service=service).SerializeToString())
    return int(STATES.FromString(answer).status)


async def listed(server: Shell) -> dict[str, int]:
    answer = health.ListResponse.FromString(await server.channel.unary_unary(LIST)(b""))
    return {name: state.status for name, state in answer.statuses.items()}


def watch(server: Shell, service: str = "") -> Any:
    method: Any = server.channel.unary_stream(WATCH, response_deserializer=STATES.FromString)
    return method(health_pb2.HealthCheckRequest(service=service).SerializeToString())


def watchers(server: Shell) -> int:
    return server.transport.health.watchers


@asynccontextmanager
async def watching_without_reading(server: Shell, held_up_by: str) -> AsyncIterator[Peer]:
    """A peer that watches each service and has taken, or can take, no status at all."""
    beside_batch = held_up_by != "its own window"
    async with peer(server.port, window=WIDE if beside_batch else 0) as held:
        if beside_batch:
            await fill(held, BATCH, [UNKNOWN_CUSTOMERS] * 5)
        before = watchers(server)
        for service in ("", SERVICE, "no.Such"):
            held.watch(service)
        await until(lambda: watchers(server) == before + 3)
        yield held


async def test_every_service_is_known_from_the_start_and_none_serves(shell: StartShell) -> None:
    server = await shell()
    assert [await check(server), await check(server, SERVICE)] == [STATES.NOT_SERVING] * 2
    assert await listed(server) == {"": STATES.NOT_SERVING, SERVICE: STATES.NOT_SERVING}


async def test_the_list_has_every_service_with_its_status(shell: StartShell) -> None:
    server = await shell()
    server.transport.set_serving(SERVICE, True)
    server.transport.set_serving("another", True)
    expected = {"": STATES.NOT_SERVING, SERVICE: STATES.SERVING, "another": STATES.SERVING}
    assert await listed(server) == expected
    server.transport.leave()
    assert await listed(server) == dict.fromkeys(expected, STATES.NOT_SERVING)


async def test_who_watches_an_unknown_service_hears_of_it_once_it_is_known(shell: StartShell) -> None:
    server = await shell()
    watching = watch(server, "late")
    assert (await watching.read()).status == STATES.SERVICE_UNKNOWN
    server.transport.set_serving("late", True)
    assert (await watching.read()).status == STATES.SERVING
    server.transport.leave()
    assert (await watching.read()).status == STATES.NOT_SERVING
    assert (await failure(server.channel.unary_unary(CHECK)(b"\x0a\x01?"))).code is grpc.StatusCode.NOT_FOUND


async def test_a_status_set_again_is_not_told_again(shell: StartShell) -> None:
    server = await shell()
    watching = watch(server)
    assert (await watching.read()).status == STATES.NOT_SERVING
    server.transport.set_serving("", False)
    server.transport.set_serving("another", True)
    next_one = asyncio.ensure_future(watching.read())
    await asyncio.sleep(0.05)
    assert not next_one.done()
    server.transport.set_serving("", True)
    assert (await next_one).status == STATES.SERVING


@pytest.mark.parametrize("method", [CHECK, LIST, WATCH])
async def test_malformed_bytes_are_an_invalid_argument(shell: StartShell, method: str) -> None:
    call = (await shell()).channel.unary_unary(method)(b"\x0a\xff")
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


@held_up_by
async def test_a_watcher_that_does_not_read_keeps_no_change_from_others(
    shell: StartShell, held_up_by: str
) -> None:
    server = await shell()
    async with watching_without_reading(server, held_up_by):
        watching = watch(server, SERVICE)
        assert (await watching.read()).status == STATES.NOT_SERVING
        for serving in (True, False, True):
            server.transport.set_serving(SERVICE, serving)
            state = STATES.SERVING if serving else STATES.NOT_SERVING
            assert await check(server, SERVICE) == state
            assert (await watching.read()).status == state
        server.transport.leave()
        assert (await watching.read()).status == STATES.NOT_SERVING
        assert set((await listed(server)).values()) == {STATES.NOT_SERVING}


@held_up_by
async def test_a_watcher_that_does_not_read_keeps_no_stop_waiting(shell: StartShell, held_up_by: str) -> None:
    server = await shell()
    async with watching_without_reading(server, held_up_by):
        server.transport.leave()
        began = time.monotonic()
        await server.transport.stop(0.2)
        assert time.monotonic() - began < 2
        await until(lambda: watchers(server) == 0)


@pytest.mark.parametrize("transport_name", ["aio"])  # the native front takes some bytes in a peer's stead
@held_up_by
async def test_a_watcher_that_does_not_read_loses_its_place(
    shell: StartShell, monkeypatch: pytest.MonkeyPatch, held_up_by: str
) -> None:
    monkeypatch.setattr(health, "TAKEN_WITHIN_S", 0.2)
    server = await shell()
    async with watching_without_reading(server, held_up_by) as held:
        await until(lambda: watchers(server) == 0)
        assert not held.closed


@pytest.mark.parametrize("transport_name", ["aio"])  # the native front takes some bytes in a peer's stead
async def test_a_watcher_that_reads_again_too_late_is_told_that_its_call_has_ended(
    shell: StartShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would believe for ever what it read last."""
    monkeypatch.setattr(health, "TAKEN_WITHIN_S", 0.1)
    server = await shell()
    async with peer(server.port) as held:
        stream = held.watch()
        await until(lambda: watchers(server) == 1)
        await until(lambda: watchers(server) == 0)
        held.give_room(stream, 1000)
        await until(lambda: stream in held.ended)
        assert held.taken[stream] == 7


async def test_a_watcher_that_never_says_what_it_watches_loses_its_place(
    shell: StartShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "ASKED_WITHIN_S", 0.2)
    server = await shell()
    async with peer(server.port) as silent:
        streams = {silent.open(WATCH) for _ in range(3)}
        await until(lambda: watchers(server) == 3)
        await until(lambda: silent.ended == streams)
        assert watchers(server) == 0


async def test_a_watcher_that_ends_without_a_message_is_told_that_one_was_expected(shell: StartShell) -> None:
    server = await shell()
    call: aio.StreamStreamCall[bytes, bytes] = server.channel.stream_stream(WATCH)(iter(()))
    error = await failure(call.read())
    assert (error.code, error.message) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "expected a message, got the end of the call",
    )


async def test_watchers_beyond_the_limit_are_refused_and_a_place_left_is_taken(
    shell: StartShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "MAX_WATCHERS", 2)
    server = await shell()
    first, second = watch(server), watch(server, "no.Such")
    assert (await first.read()).status == STATES.NOT_SERVING
    assert (await second.read()).status == STATES.SERVICE_UNKNOWN
    with pytest.raises(aio.AioRpcError) as caught:
        await watch(server).read()
    error = read_rich_error(caught.value)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
    assert error.infos[0].metadata == {"what": "watchers", "limit": "2"}
    labels = {"method": WATCH, "code": "UNAVAILABLE", "reason": "OVERLOADED", "model": ""}
    assert server.metrics.registry.get_sample_value("staunch_calls_total", labels) == 1
    assert error.retry_s
    assert await check(server) == STATES.NOT_SERVING
    first.cancel()
    await until(lambda: watchers(server) == 1)
    assert (await watch(server).read()).status == STATES.NOT_SERVING


async def test_many_unread_watchers_leave_room_for_streams(shell: StartShell) -> None:
    """The native front hands streams to a server behind it, of which a connection takes a hundred."""
    server = await shell()
    async with peer(server.port) as one, peer(server.port) as other:
        for held in (one, other):
            for _ in range(90):
                held.watch()
        await until(lambda: watchers(server) == 180)
        async with asyncio.timeout(5):
            assert await server.batch([b""]).read() == b""
            assert (await watch(server).read()).status == STATES.NOT_SERVING
