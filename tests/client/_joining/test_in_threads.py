"""What only threads do to calls that are joined."""

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.client.harness.scripted import Scripted, ScriptedServer
from tests.harness.waiting import until

from staunch import Client
from staunch._joining import in_threads
from staunch.v1 import prediction_service_pb2 as pb

pytestmark = pytest.mark.parametrize("server", [ScriptedServer], indirect=True, ids=["guard"])


async def test_each_of_many_threads_gets_its_own_answer(server: ScriptedServer, service: Scripted) -> None:
    async def echo(request: pb.PredictRequest, _call: Any) -> pb.PredictResponse:
        return pb.PredictResponse(probability=request.customer_id / 1000)

    service.script.extend([echo] * 800)

    def ask_all() -> Counter[bool]:
        with Client(server.target, join=True) as client, ThreadPoolExecutor(40) as threads:
            made = threads.map(lambda one: client.predict(one).probability == one / 1000, range(1, 801))
            return Counter(made)

    assert await asyncio.to_thread(ask_all) == {True: 800}
    assert server.guard.calls == 0


async def test_who_interrupts_the_wait_takes_the_row_back(
    server: ScriptedServer, service: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    came = asyncio.Event()

    async def wait(*_: Any) -> None:
        came.set()
        await asyncio.sleep(60)

    def interrupted(answer: Any, limit_s: float | None) -> bool:
        answer._given.acquire(timeout=0.2)
        raise KeyboardInterrupt

    service.script.append(wait)
    with Client(server.target, join=True) as client:
        monkeypatch.setattr(in_threads._Answer, "wait", interrupted)
        call = asyncio.get_running_loop().run_in_executor(None, interrupt_of, client)
        await asyncio.wait_for(came.wait(), 10)
        assert await call is KeyboardInterrupt
        await until(lambda: server.guard.calls == 0)
        assert server.guard.streams_of_rows == 1


def interrupt_of(client: Client) -> type[BaseException] | None:
    try:
        client.predict(42)
    except KeyboardInterrupt:
        return KeyboardInterrupt
    return None


async def test_a_client_leaves_no_threads_behind(server: ScriptedServer) -> None:
    def ask() -> None:
        with Client(server.target, join=True) as client:
            client.predict(42)

    before = {thread.name for thread in threading.enumerate()}
    await asyncio.to_thread(ask)
    await until(lambda: "staunch-join" not in {thread.name for thread in threading.enumerate()} - before)
