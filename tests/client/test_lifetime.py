"""Until when and where a client works: until it is closed, in one process, in one event loop."""

import asyncio
import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any

import pandas
import pytest
from tests.client.harness.either import Connect, EitherClient
from tests.client.harness.scripted import Scripted, ScriptedServer, in_thread
from tests.harness.waiting import until

from staunch import (
    AsyncClient,
    Client,
    ClientClosed,
    ForkedProcess,
    RetryPolicy,
    StaunchError,
    WrongEventLoop,
)
from staunch._lifetime import Process

CALLS: dict[str, tuple[Any, ...]] = {
    "predict": (42,),
    "explain": (42,),
    "batch_predict_frame": (pandas.DataFrame({"customer_id": [1]}),),
    "list_models": (),
    "get_model": (),
    "set_alias": ("churn", "champion", 3),
    "delete_alias": ("churn", "champion"),
    "reload_models": (),
    "is_ready": (),
    "wait_until_ready": (),
}


@pytest.mark.parametrize("is_used", [True, False])
async def test_a_closed_client_says_so_whatever_is_called(either: EitherClient, is_used: bool) -> None:
    if is_used:
        await either.call("predict", 42)
    await either.close()
    for method, arguments in CALLS.items():
        with pytest.raises(ClientClosed, match="this client is closed"):
            await either.call(method, *arguments)
    with pytest.raises(ClientClosed):
        either.client.batch_predict([1])
    with pytest.raises(ClientClosed):
        await either.frames([pandas.DataFrame({"customer_id": [1]})])


def test_every_method_is_asked_after_closing() -> None:
    assert {name for name in vars(Client) if not name.startswith("_")} == {
        *CALLS,
        "batch_predict",
        "batch_predict_frames",
        "close",
    }


def test_closing_is_an_error_of_calls_and_of_values() -> None:
    assert issubclass(ClientClosed, StaunchError)
    assert issubclass(ClientClosed, ValueError)


async def test_a_call_under_way_says_that_the_client_was_closed(
    either: EitherClient, service: Scripted
) -> None:
    came = asyncio.Event()

    async def wait(*_: Any) -> None:
        came.set()
        await asyncio.sleep(60)

    service.script.append(wait)
    call = asyncio.ensure_future(either.call("predict", 42))
    await asyncio.wait_for(came.wait(), 10)
    await either.close()
    with pytest.raises(ClientClosed):
        await asyncio.wait_for(call, 10)


async def test_a_call_that_waits_for_its_next_try_says_so_too(connect: Connect) -> None:
    client = connect("127.0.0.1:1", retry=RetryPolicy(attempts=99, first_wait_s=0.5), timeout_s=30)
    call = asyncio.ensure_future(client.call("predict", 42))
    await asyncio.sleep(0.2)
    await client.close()
    with pytest.raises(ClientClosed):
        await asyncio.wait_for(call, 10)


async def test_a_batch_under_way_says_so(server: ScriptedServer, service: Scripted) -> None:
    async def silent(_stream: int, index: int, _request: Any) -> None:
        if index:
            await asyncio.sleep(60)

    def run() -> None:
        client = Client(server.target)
        rows = client.batch_predict(range(1, 31), chunk_size=10)
        next(rows)
        client.close()
        assert len([next(rows) for _ in range(9)]) == 9
        with pytest.raises(ClientClosed):
            next(rows)

    service.on_chunk = silent
    await asyncio.to_thread(run)
    asynchronous = AsyncClient(server.target)
    async with aclosing(asynchronous.batch_predict(range(1, 31), chunk_size=10)) as batch:
        await anext(batch)
        await asynchronous.close()
        for _ in range(9):
            await anext(batch)
        with pytest.raises(ClientClosed):
            await anext(batch)


async def test_a_batch_that_waits_for_an_answer_says_so(either: EitherClient, service: Scripted) -> None:
    came = asyncio.Event()

    async def silent(*_: Any) -> None:
        came.set()
        await asyncio.sleep(60)

    service.on_chunk = silent
    batch = asyncio.ensure_future(either.rows(range(1, 31)))
    await asyncio.wait_for(came.wait(), 10)
    await either.close()
    with pytest.raises(ClientClosed):
        await asyncio.wait_for(batch, 10)


async def closed(channel: Any) -> None:
    closing = channel.close()
    if closing is not None:
        await closing


async def test_a_client_of_a_channel_that_its_maker_closed_says_so_whatever_is_called(
    connect: Connect, own_channel: Any
) -> None:
    client = connect(channel=own_channel)
    await client.call("predict", 42)
    await closed(own_channel)
    for method, arguments in CALLS.items():
        with pytest.raises(ClientClosed, match="the channel that this client was given is closed; make both"):
            await client.call(method, *arguments)
    with pytest.raises(ClientClosed, match="the channel that this client was given"):
        await client.rows([1])


@pytest.mark.parametrize("is_batch", [False, True])
async def test_a_call_whose_channel_is_closed_under_way_says_so(
    connect: Connect, own_channel: Any, service: Scripted, is_batch: bool
) -> None:
    """Grpc.aio raises CancelledError, which would end the task without a word."""
    came = asyncio.Event()

    async def wait(*_: Any) -> None:
        came.set()
        await asyncio.sleep(60)

    client = connect(channel=own_channel)
    if is_batch:
        service.on_chunk = wait
        call = asyncio.ensure_future(client.rows([1]))
    else:
        service.script.append(wait)
        call = asyncio.ensure_future(client.call("predict", 42))
    await asyncio.wait_for(came.wait(), 10)
    await closed(own_channel)
    with pytest.raises(ClientClosed, match="the channel that this client was given"):
        await asyncio.wait_for(call, 10)


async def test_a_batch_begun_after_closing_says_so(server: ScriptedServer) -> None:
    client = Client(server.target)
    rows = client.batch_predict([1])
    client.close()
    with pytest.raises(ClientClosed):
        next(rows)


def asked(client: AsyncClient) -> Coroutine[Any, Any, Any]:
    async def ask() -> Any:
        return await client.predict(42)

    return ask()


def test_an_async_client_belongs_to_the_loop_that_it_was_first_used_in() -> None:
    with in_thread(ScriptedServer()) as server:
        client = AsyncClient(server.target)
        assert asyncio.run(asked(client)).probability == 0.25
        with pytest.raises(
            WrongEventLoop, match=r"belongs to the event loop .*closed=True.* make a client in"
        ):
            asyncio.run(asked(client))

        async def batch() -> None:
            async for _ in client.batch_predict([1]):
                raise AssertionError("no row comes")

        with pytest.raises(WrongEventLoop):
            asyncio.run(batch())
        asyncio.run(client.close())


def test_an_async_client_without_a_loop_says_that_it_needs_one() -> None:
    call = AsyncClient("127.0.0.1:1").predict(42)
    with pytest.raises(WrongEventLoop, match="here is none"):
        call.send(None)


async def test_a_client_may_be_used_within_a_coroutine(server: ScriptedServer) -> None:
    """It holds the loop up meanwhile; nothing is wrong with that in a script."""
    with in_thread(ScriptedServer()) as other, Client(other.target) as client:
        assert client.predict(42).probability == 0.25


@pytest.mark.parametrize("join", [False, True])
async def test_a_client_that_is_closed_and_left_is_gone_at_once(server: ScriptedServer, join: bool) -> None:
    """Else the collector of cycles would free its channel later, in a forked process too, and hang there."""
    gc.collect()
    gc.disable()
    try:
        client = AsyncClient(server.target, join=join)
        await client.predict(42)
        await client.close()
        gone = weakref.ref(client)
        del client
        await until(lambda: gone() is None)
        blocking = Client(server.target, join=join)
        await asyncio.to_thread(blocking.predict, 42)
        await asyncio.to_thread(blocking.close)
        gone_too = weakref.ref(blocking)
        del blocking
        await until(lambda: gone_too() is None)
    finally:
        gc.enable()


FORKING = """
import os, sys
from staunch import {kind}, ForkedProcess

{ask}

client = {kind}(sys.argv[1])
{before}
if (child := os.fork()) == 0:
    try:
        outcome = str(ask({in_child}))
    except ForkedProcess as error:
        outcome = str(error)
    print(outcome, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(ask(client))
"""
ASK = "def ask(client): return client.predict(42).probability"
ASK_ASYNC = """
import asyncio
def ask(client):
    async def run():
        async with client: return (await client.predict(42)).probability
    return asyncio.run(run())
"""


@pytest.mark.parametrize("support", ["0", "1"])
@pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
@pytest.mark.parametrize("is_connected", [False, True])
@pytest.mark.parametrize("in_child", ["client", "{kind}(sys.argv[1])"])
def test_a_forked_process_is_answered_or_told(
    kind: str, is_connected: bool, in_child: str, support: str
) -> None:
    """Each ends by itself: without our care each of these calls would hang for ever."""
    is_async = kind == "AsyncClient"
    used = f"ask({kind}(sys.argv[1]))" if is_async else "ask(client)"
    program = FORKING.format(
        kind=kind,
        ask=ASK_ASYNC if is_async else ASK,
        before=used if is_connected else "",
        in_child=in_child.format(kind=kind),
    )
    with in_thread(ScriptedServer()) as server:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program, server.target],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "GRPC_ENABLE_FORK_SUPPORT": support},
        )
    child, parent = done.stdout.splitlines()
    works = not is_connected or (support == "1" and not is_async)
    assert (child == "0.25") is works
    assert works or ("was forked from" in child and "connect the first client after the fork" in child)
    assert parent == "0.25"


def test_a_process_is_forked_where_the_number_differs() -> None:
    process = Process()
    process.check()
    process.start(is_async=False)
    process.check()
    process._pid = -1
    with pytest.raises(ForkedProcess):
        process.start(is_async=False)
