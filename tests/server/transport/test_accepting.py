"""Calls for which there is no room wait in the library's core, where they cost next to nothing."""

import asyncio
from collections import Counter
from typing import Any

import grpc
import pytest
from grpc import aio
from tests.harness.waiting import until
from tests.server.harness.shell import Shell, StartShell

from staunch.v1 import prediction_service_pb2 as pb
from staunch_server.transport import accepting
from staunch_server.transport.accepting import Room
from staunch_server.transport.seam import ConnectionLimits

ON_AIO = pytest.mark.parametrize("transport_name", ["aio"])


class Held:
    """Calls that wait until a test lets them go."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.taken = 0

    async def __call__(self, request: Any, call: Any) -> pb.PredictResponse:
        self.taken += 1
        await self.release.wait()
        return pb.PredictResponse(probability=0.5)


@pytest.fixture
def no_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes up no call beyond the room there is."""
    monkeypatch.setattr(accepting, "REFUSALS_S", 0.001)


async def full(
    shell: StartShell, held: Held, waiting: int = 256
) -> tuple[Shell, list[asyncio.Future[bytes]]]:
    """Starts a server with room for one call, and makes that and some more, which wait."""
    server = await shell(predict=held, max_calls=50, connections=ConnectionLimits(calls=1, waiting=waiting))
    calls = [asyncio.ensure_future(server.predict()) for _ in range(30)]
    await until(lambda: server.guard.calls >= 1)
    await asyncio.sleep(0.1)
    return server, calls


@ON_AIO
@pytest.mark.usefixtures("no_refusals")
async def test_a_call_waits_for_room_and_is_answered(shell: StartShell) -> None:
    """So the library still takes up calls in the coroutine that we drive."""
    held = Held()
    server, calls = await full(shell, held)
    assert server.guard.calls < 10
    held.release.set()
    assert len(await asyncio.gather(*calls)) == 30
    assert server.guard.calls == 0


@ON_AIO
@pytest.mark.usefixtures("no_refusals")
async def test_who_gives_up_while_it_waits_is_never_taken_up(shell: StartShell) -> None:
    held = Held()
    server, calls = await full(shell, held)
    taken = held.taken
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    await until(lambda: server.guard.calls == 0)
    held.release.set()
    assert pb.PredictResponse.FromString(await server.predict()).probability == 0.5
    assert held.taken <= taken + 2  # that one, and one that the library had in its hand


@ON_AIO
@pytest.mark.usefixtures("no_refusals")
async def test_beyond_those_that_may_wait_the_library_refuses_and_the_others_are_answered(
    shell: StartShell,
) -> None:
    held = Held()
    server, calls = await full(shell, held, waiting=8)
    held.release.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    codes = Counter(one.code() if isinstance(one, aio.AioRpcError) else "OK" for one in outcomes)
    assert set(codes) == {"OK", grpc.StatusCode.CANCELLED}
    assert codes["OK"] >= 8
    assert await server.predict()


@ON_AIO
async def test_a_full_server_still_refuses_some_in_our_words(shell: StartShell) -> None:
    held = Held()
    server = await shell(predict=held, max_calls=2, connections=ConnectionLimits(calls=2))
    calls = [asyncio.ensure_future(server.predict()) for _ in range(2)]
    await until(lambda: server.guard.calls == 2)
    assert (await server.failure()).reason == "OVERLOADED"
    held.release.set()
    await asyncio.gather(*calls)


@pytest.mark.parametrize("calls_at_once", [300])
async def test_as_many_calls_as_one_connection_brings_at_once_are_all_answered(
    shell: StartShell, calls_at_once: int
) -> None:
    """Of 300 over one connection core 1.83 once refused 134."""
    server = await shell(max_calls=128)
    calls = [asyncio.ensure_future(server.predict()) for _ in range(calls_at_once)]
    assert len(await asyncio.gather(*calls)) == calls_at_once


async def test_a_stop_takes_up_what_waits_to_tell_it_so(shell: StartShell) -> None:
    held = Held()
    server, calls = await full(shell, held)
    server.guard.drain()
    held.release.set()
    await server.transport.stop(5)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    codes = {one.code() for one in outcomes if isinstance(one, aio.AioRpcError)}
    assert codes <= {grpc.StatusCode.UNAVAILABLE}


def test_a_room_is_full_with_its_calls_and_lets_a_refusal_through_now_and_then() -> None:
    room = Room(20)
    for _ in range(12):
        assert not room.has_to_wait()
        room.enter()
    passed = 0
    while not room.has_to_wait():
        passed += 1
    assert passed == pytest.approx(accepting.REFUSALS_S, abs=2)
    room.leave()
    assert not room.has_to_wait()
    room.enter()
    room.close()
    assert not room.has_to_wait()


async def test_who_waits_for_room_goes_on_as_soon_as_there_is_some() -> None:
    room = Room(1)
    room.enter()
    while not room.has_to_wait():  # takes the refusals that are left
        pass
    waiting = asyncio.ensure_future(room.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    room.leave()
    async with asyncio.timeout(1):
        await waiting


@ON_AIO
async def test_a_stream_and_a_watch_take_no_room_of_calls(shell: StartShell) -> None:
    server = await shell(max_calls=50, connections=ConnectionLimits(streams=6, calls=2))
    streams = [server.batch(), server.batch()]
    for stream in streams:
        await stream.write(b"")
        assert await stream.read() == b""
    watching = server.channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
    await watching.read()
    answers = await asyncio.gather(*(server.predict() for _ in range(40)))
    assert len(answers) == 40
