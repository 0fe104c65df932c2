"""What the synchronous client promises beside what both do."""

import asyncio
import inspect
from concurrent.futures import ThreadPoolExecutor

import pytest

from staunch import AsyncClient, Client


async def test_closing_twice_or_unused_is_no_error(connect, server):
    client = connect(server.target)
    await client.close()
    await client.close()


async def test_a_closed_client_refuses_calls(server):
    client = Client(server.target)
    client.close()
    with pytest.raises(ValueError, match="closed"):
        client.predict(42)


def test_both_clients_have_the_same_methods_with_the_same_parameters():
    def shape(client: type) -> dict[str, list[str]]:
        members = {name: getattr(client, name) for name in vars(client) if not name.startswith("_")}
        return {name: list(inspect.signature(member).parameters) for name, member in members.items()}

    assert shape(Client) == shape(AsyncClient)


async def test_threads_may_share_a_client(server):
    def ask_at_once() -> list[bool]:
        with Client(server.target) as client, ThreadPoolExecutor(8) as threads:
            made = threads.map(lambda _: client.predict(42, include_features=True), range(64))
            return [one.features == {"age": 41.0, "income": None} for one in made]

    assert await asyncio.to_thread(ask_at_once) == [True] * 64
