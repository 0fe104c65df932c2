"""A server that is away for 2.4 s, and one that is in trouble for good, under real callers of one client."""

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import product

import pytest
from grpc import StatusCode
from tests.client.harness.either import Connect, EitherClient
from tests.client.harness.toy import Toy, ToyServer, failing

from staunch import AsyncClient, Client, RetryPolicy, Unavailable

AWAY_S = 2.4


@pytest.fixture(autouse=True)
async def threads() -> None:
    """Gives the synchronous clients as many threads as there are callers."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(16))


@asynccontextmanager
async def working(target: str, seconds: float) -> AsyncIterator[None]:
    """Has eight callers of one client and a lone one call without a pause, of each kind; none may fail."""
    async with AsyncExitStack() as stack:
        callers = []
        for kind, count in product((Client, AsyncClient), (1, 8)):
            client = EitherClient(kind(target))
            stack.push_async_callback(client.close)
            callers += [calls_until(client, time.monotonic() + seconds) for _ in range(count)]
        made = asyncio.gather(*callers)
        yield
        assert sum(await made) > 2 * len(callers)


async def calls_until(client: EitherClient, end: float) -> int:
    """Calls one after the other until a moment; returns how often."""
    count = 0
    while time.monotonic() < end:
        assert (await client.call("predict", 42, timeout_s=5.0)).probability == 0.25
        count += 1
        await asyncio.sleep(0.01)
    return count


async def test_a_restart_fails_no_call(toy_server: ToyServer) -> None:
    async with working(toy_server.target, AWAY_S + 1.5):
        await asyncio.sleep(0.3)
        await asyncio.to_thread(toy_server.stop)
        await asyncio.sleep(AWAY_S)
        await asyncio.to_thread(toy_server.start)


async def test_a_server_that_says_for_so_long_that_it_cannot_fails_no_call(
    toy_server: ToyServer, toy: Toy
) -> None:
    """As a proxy does whose servers are away."""
    async with working(toy_server.target, AWAY_S + 1.5):
        await asyncio.sleep(0.3)
        toy.failing = failing(StatusCode.UNAVAILABLE)
        await asyncio.sleep(AWAY_S)
        toy.failing = None


@pytest.mark.parametrize("push_back_s", [None, 0.02])
async def test_an_overload_is_not_multiplied(
    connect: Connect, toy_server: ToyServer, push_back_s: float | None
) -> None:
    client, toy = connect(toy_server.target), toy_server.toy
    toy.failing = failing(StatusCode.UNAVAILABLE, "OVERLOADED", push_back_s)

    async def calls() -> None:
        for _ in range(25):
            with pytest.raises(Unavailable):
                await client.call("predict", 42, timeout_s=0.5)

    await asyncio.gather(*(calls() for _ in range(8)))
    assert 200 < len(toy.seen) <= 1.1 * 200 + 10


async def test_what_one_client_spent_another_has(connect: Connect, toy_server: ToyServer, toy: Toy) -> None:
    toy.failing = failing(StatusCode.UNAVAILABLE)
    policy = RetryPolicy(token_ratio=0.0)
    poor, rich = connect(toy_server.target, retry=policy), connect(toy_server.target, retry=policy)
    for _ in range(5):
        with pytest.raises(Unavailable):
            await poor.call("predict", 42, timeout_s=0.2)
    before = len(toy.seen)
    with pytest.raises(Unavailable):
        await poor.call("predict", 42, timeout_s=0.2)
    assert len(toy.seen) == before + 1
    with pytest.raises(Unavailable):
        await rich.call("predict", 42, timeout_s=0.2)
    assert len(toy.seen) > before + 2
