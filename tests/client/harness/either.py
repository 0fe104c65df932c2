"""Client or AsyncClient behind one face, so that one test holds both to the same promise."""

import asyncio
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from staunch import AsyncClient, Client, RowError, Score, StaunchError


class EitherClient:
    """A client of either kind, awaited alike."""

    def __init__(self, client: Client | AsyncClient) -> None:
        self.client = client

    async def call(self, method: str, *args: Any, **named: Any) -> Any:
        """Calls a method."""
        if isinstance(self.client, Client):
            return await asyncio.to_thread(getattr(self.client, method), *args, **named)
        return await getattr(self.client, method)(*args, **named)

    async def rows(
        self, customers: Iterable[Any] | AsyncIterable[Any], **named: Any
    ) -> list[Score | RowError]:
        """Runs a batch to its end; a Client reads an async source from its own thread."""
        if isinstance(self.client, AsyncClient):
            return [row async for row in self.client.batch_predict(customers, **named)]
        source = pulled(customers) if isinstance(customers, AsyncIterable) else customers
        client = self.client
        return await asyncio.to_thread(lambda: list(client.batch_predict(source, **named)))

    async def rows_and_error(
        self, customers: Iterable[Any], **named: Any
    ) -> tuple[list[Score | RowError], StaunchError]:
        """Runs a batch to an end that must be an error; gives the rows before it too."""
        client, rows = self.client, list[Score | RowError]()

        async def collect() -> None:
            if isinstance(client, Client):
                await asyncio.to_thread(rows.extend, client.batch_predict(customers, **named))
            else:
                async for row in client.batch_predict(customers, **named):
                    rows.append(row)

        with pytest.raises(StaunchError) as caught:
            await collect()
        return rows, caught.value

    async def frames(self, frames: Any, *, seen: Callable[[Any], Any] = lambda one: one, **named: Any) -> Any:
        """Scores frames one after the other; lists what `seen` makes of each as it comes."""
        client = self.client
        if isinstance(client, AsyncClient):
            return [seen(scored) async for scored in client.batch_predict_frames(frames, **named)]
        return await asyncio.to_thread(lambda: list(map(seen, client.batch_predict_frames(frames, **named))))

    async def close(self) -> None:
        """Closes it."""
        await self.call("close")


def pulled(source: AsyncIterable[Any]) -> Iterable[Any]:
    """Reads an async source of this loop from another thread."""
    loop, items, end = asyncio.get_running_loop(), aiter(source), object()

    async def following() -> Any:
        return await anext(items, end)

    def read() -> Iterable[Any]:
        while (item := asyncio.run_coroutine_threadsafe(following(), loop).result()) is not end:
            yield item

    return read()


@dataclass
class Connect:
    """Makes clients of one kind, which join calls or not: `connect(target, **settings)`."""

    kind: type[Client] | type[AsyncClient]
    join: bool = False
    made: list[EitherClient] = field(default_factory=list)

    def __call__(self, target: str | Sequence[str] | None = None, **settings: Any) -> EitherClient:
        """Connects a client to "host:port", or to whatever it calls without."""
        self.made.append(EitherClient(self.kind(target, **{"join": self.join} | settings)))
        return self.made[-1]
