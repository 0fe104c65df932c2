"""What the asynchronous client promises beside what both do."""

import asyncio

import pytest

from staunch import AsyncClient, RetryPolicy


async def test_cancelling_the_awaiting_task_cancels_the_call(server, service):
    came, gone = asyncio.Event(), asyncio.Event()

    async def wait_for_the_end(_request, _call):
        came.set()
        try:
            await asyncio.sleep(60)
        finally:
            gone.set()

    service.script.append(wait_for_the_end)
    async with AsyncClient(server.target) as client:
        task = asyncio.create_task(client.predict(42))
        await came.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 10)


def test_a_client_may_be_made_where_no_loop_runs_and_closed_in_another():
    asyncio.run(AsyncClient("127.0.0.1:1").close())


async def test_an_async_source_is_read_as_it_comes(server):
    async def ids():
        for customer in range(1, 31):
            await asyncio.sleep(0)
            yield customer

    async with AsyncClient(server.target) as client:
        rows = [row async for row in client.batch_predict(ids(), chunk_size=10)]
    assert len(rows) == 30


async def test_a_slow_reader_does_not_spend_the_patience(server):
    async with AsyncClient(server.target, retry=RetryPolicy(patience_s=0.9)) as client:
        count = 0
        async for _row in client.batch_predict(range(1, 31), chunk_size=10):
            count += 1
            if count == 15:
                await asyncio.sleep(1.0)
    assert count == 30
