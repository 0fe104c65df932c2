"""What both clients do beside what they do when they join no calls, which the tests of `predict` hold."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest
from grpc import StatusCode
from tests.client.harness.either import Connect, EitherClient
from tests.client.harness.faked import FakedServer
from tests.client.harness.scripted import Scripted, ScriptedServer
from tests.client.harness.toy import ToyServer
from tests.harness.waiting import until

from staunch import AsyncClient, Client, ClientClosed, RetryPolicy
from staunch.v1 import prediction_service_pb2 as pb
from staunch_server.errors import Reason, Refusal

Server = ScriptedServer | FakedServer

only_joining = pytest.mark.parametrize(
    "connect", [(Client, True), (AsyncClient, True)], indirect=True, ids=["Client", "AsyncClient"]
)
real_guard = pytest.mark.parametrize("server", [ScriptedServer], indirect=True, ids=["guard"])
pytestmark = [only_joining]


@pytest.fixture(autouse=True)
async def threads() -> None:
    """Gives the synchronous clients as many threads as there are callers."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(32))


@asynccontextmanager
async def held(service: Any) -> AsyncIterator[asyncio.Event]:
    """Has the next call wait for the end of the block; gives what is set once it has come."""
    came, released = asyncio.Event(), asyncio.Event()

    async def wait(request: pb.PredictRequest, _call: Any) -> pb.PredictResponse:
        came.set()
        await asyncio.wait_for(released.wait(), 10)
        return pb.PredictResponse(probability=0.75)

    service.script.append(wait)
    try:
        yield came
    finally:
        released.set()


async def all_of(calls: list[Awaitable[Any]]) -> list[float]:
    return [made.probability for made in await asyncio.gather(*calls)]


@real_guard
async def test_calls_at_once_travel_over_one_stream(either: EitherClient, server: ScriptedServer) -> None:
    await either.call("predict", 42)
    assert server.guard.streams_of_rows == 1
    assert await all_of([either.call("predict", 42) for _ in range(30)]) == [0.25] * 30
    assert server.guard.streams_of_rows == 1
    await either.close()
    await until(lambda: server.guard.streams_of_rows == 0)


async def test_a_slow_call_keeps_no_other_waiting_for_its_answer(
    either: EitherClient, service: Scripted
) -> None:
    await either.call("predict", 42)
    async with held(service) as came:
        slow = asyncio.ensure_future(either.call("predict", 1))
        await asyncio.wait_for(came.wait(), 10)
        for _ in range(5):
            assert (await either.call("predict", 42)).probability == 0.25
        assert not slow.done()
    assert (await slow).probability == 0.75


@pytest.mark.parametrize("server", [FakedServer], indirect=True, ids=["fake"])
async def test_a_server_that_knows_no_such_streams_is_asked_call_by_call(
    either: EitherClient, server: FakedServer, service: Any
) -> None:
    service.fake.joins = False
    assert (await either.call("predict", 42, metadata={"x-request-id": "mine"})).request_id == "mine"
    assert await all_of([either.call("predict", 42) for _ in range(5)]) == [0.25] * 5
    assert len(service.seen) == 6


@real_guard
async def test_a_stream_that_is_refused_has_calls_go_by_themselves(
    either: EitherClient, server: ScriptedServer, service: Scripted
) -> None:
    server.guard._places_of_rows.most = 0
    assert await all_of([either.call("predict", 42) for _ in range(5)]) == [0.25] * 5
    assert len(service.seen) == 5


@real_guard
async def test_a_stream_that_ended_is_opened_again_without_a_try(
    either_with: Any, server: ScriptedServer, service: Scripted
) -> None:
    server.guard._stream_idle_s = 0.1
    either = either_with(retry=RetryPolicy(attempts=1))
    for _ in range(3):
        assert (await either.call("predict", 42)).probability == 0.25
        await until(lambda: server.guard.streams_of_rows == 0)
    assert len(service.seen) == 3


@real_guard
async def test_rows_that_a_draining_server_has_taken_up_are_answered_and_the_client_goes_on(
    either_with: Any, server: ScriptedServer, service: Scripted
) -> None:
    either = either_with(retry=RetryPolicy(first_wait_s=0.05))
    await either.call("predict", 42)
    async with held(service) as came:
        taken_up = asyncio.ensure_future(either.call("predict", 42))
        await asyncio.wait_for(came.wait(), 10)
        stopping = asyncio.ensure_future(server.stop())
        await asyncio.sleep(0.05)
        next_one = asyncio.ensure_future(either.call("predict", 42))
    assert (await taken_up).probability == 0.75
    await stopping
    await server.start()
    assert (await next_one).probability == 0.25


async def test_a_broken_connection_is_a_try_as_that_of_a_lone_call(connect: Connect) -> None:
    server = ToyServer()
    client = connect(server.target, retry=RetryPolicy(first_wait_s=0.05))
    assert (await client.call("predict", 42)).probability == 0.25
    server.stop()
    waiting = asyncio.ensure_future(client.call("predict", 42, timeout_s=10))
    await asyncio.sleep(0.2)
    server.start()
    assert (await waiting).probability == 0.25
    server.stop()


async def test_each_credential_has_a_stream_of_its_own(
    either_with: Any, server: Server, service: Scripted
) -> None:
    tokens = iter("aaabbb")
    client = either_with(token=lambda: next(tokens))
    for _ in range(6):
        await client.call("predict", 42)
    assert [seen["authorization"] for seen in service.metadata] == [f"Bearer {one}" for one in "aaabbb"]


async def test_a_call_of_a_trace_goes_by_itself_and_brings_it(
    either: EitherClient, service: Scripted
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await either.call("predict", 42, metadata={"traceparent": trace})
    assert service.metadata[0]["traceparent"] == trace


@real_guard
async def test_a_call_whose_time_is_over_is_dropped_by_the_server_too(
    either: EitherClient, server: ScriptedServer, service: Scripted
) -> None:
    await either.call("predict", 42)
    async with held(service):
        with pytest.raises(Exception, match="time") as caught:
            await either.call("predict", 42, timeout_s=0.3)
        assert caught.value.code is StatusCode.DEADLINE_EXCEEDED  # type: ignore[attr-defined]
        await until(lambda: server.guard.calls == 0)


async def test_closing_ends_all_that_are_under_way(either: EitherClient, service: Scripted) -> None:
    await either.call("predict", 42)
    async with held(service) as came:
        waiting = [asyncio.ensure_future(either.call("predict", 42)) for _ in range(3)]
        await asyncio.wait_for(came.wait(), 10)
        await either.close()
        for call in waiting:
            try:
                await asyncio.wait_for(call, 10)
            except ClientClosed:
                continue
        assert any(isinstance(call.exception(), ClientClosed) for call in waiting)


@real_guard
async def test_a_task_that_is_cancelled_takes_its_row_back(
    connect: Connect, server: ScriptedServer, service: Scripted
) -> None:
    async with AsyncClient(server.target, join=True) as client:
        await client.predict(42)
        async with held(service) as came:
            task = asyncio.create_task(client.predict(42))
            await asyncio.wait_for(came.wait(), 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: server.guard.calls == 0)
            assert server.guard.streams_of_rows == 1
        assert (await client.predict(42)).probability == 0.25


async def test_several_servers_are_called_in_turn_call_by_call(
    connect: Connect, server: Server, service: Scripted
) -> None:
    client = connect([server.target, server.target])
    await client.call("predict", 42)
    if isinstance(server, ScriptedServer):
        assert server.guard.streams_of_rows == 0
    assert len(service.seen) == 1


async def test_an_unexpected_error_of_one_row_is_its_own(either: EitherClient, service: Scripted) -> None:
    service.script.extend([ValueError("a bug"), Refusal(Reason.CUSTOMER_NOT_FOUND, "as told")])
    made = await asyncio.gather(*(either.call("predict", 42) for _ in range(4)), return_exceptions=True)
    reasons = sorted(getattr(one, "reason", "") for one in made)
    assert reasons == ["", "", "CUSTOMER_NOT_FOUND", "INTERNAL"]


@pytest.mark.parametrize("server", [FakedServer], indirect=True, ids=["fake"])
async def test_a_program_that_forgets_to_close_ends_all_the_same(
    connect: Connect, server: FakedServer
) -> None:
    call = "client.predict(42)" if connect.kind is Client else "asyncio.run(ask())"
    program = f"""
import asyncio
from staunch import AsyncClient, Client
async def ask():
    return await AsyncClient({server.target!r}, join=True).predict(42)
client = Client({server.target!r}, join=True)
print({call}.probability)
"""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, timeout=20
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0.25\n", "")
