"""One BatchPredict stream, of grpc and of grpc.aio, and how a batch runs over it."""

import asyncio
import queue
import threading
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from contextlib import suppress
from itertools import islice
from typing import Any

import grpc
import grpc.aio

from staunch._batch import GOODBYE_S, Batch, Row, StreamBroken, StreamSilent, ended_early
from staunch._errors import from_rpc_error
from staunch._lifetime import Lifetime
from staunch._packed._rows import PackedRow
from staunch._wire import CustomerId
from staunch.v1 import prediction_service_pb2 as pb


class Stream:
    """One stream of grpc. The library has no read with a time limit, so a thread of ours reads.

    Args:
        method: The stub's BatchPredict.
        how: What the library is told beside the messages: timeout, metadata, compression.
    """

    def __init__(self, method: Any, **how: Any) -> None:
        self._outbox: queue.SimpleQueue[pb.BatchPredictRequest | None] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[pb.BatchPredictResponse | StreamBroken] = queue.SimpleQueue()
        self._call = method(iter(self._outbox.get, None), **how)
        threading.Thread(target=self._read, name="staunch-batch", daemon=True).start()

    def _read(self) -> None:
        try:
            for response in self._call:
                self._inbox.put(response)
        except grpc.RpcError as error:
            self._inbox.put(StreamBroken(from_rpc_error(error)))
        else:
            self._inbox.put(ended_early())

    def send(self, requests: Iterable[pb.BatchPredictRequest]) -> None:
        """Queues messages; only what the batch holds ever waits here."""
        for request in requests:
            self._outbox.put(request)

    def receive(self, limit_s: float) -> pb.BatchPredictResponse:
        """Waits for the next answer, `limit_s` at most.

        Raises:
            StreamBroken: The stream ended or stays silent.
        """
        try:
            received = self._inbox.get(timeout=limit_s)
        except queue.Empty:
            raise StreamSilent from None
        if isinstance(received, StreamBroken):
            raise received
        return received

    def finish(self) -> None:
        """Says that nothing more comes, so that the server ends the stream as a success."""
        self._outbox.put(None)
        with suppress(queue.Empty):
            self._inbox.get(timeout=GOODBYE_S)

    def close(self) -> None:
        """Ends the stream now and lets the library's sending thread go."""
        self._outbox.put(None)
        self._call.cancel()


class AsyncStream:
    """One stream of grpc.aio.

    Args:
        method: The stub's BatchPredict.
        how: As for `Stream`.
    """

    def __init__(self, method: Any, **how: Any) -> None:
        self._outbox: asyncio.Queue[pb.BatchPredictRequest | None] = asyncio.Queue()
        self._call = method(self._requests(), **how)

    async def _requests(self) -> AsyncIterator[pb.BatchPredictRequest]:
        while (request := await self._outbox.get()) is not None:
            yield request

    def send(self, requests: Iterable[pb.BatchPredictRequest]) -> None:
        """Queues messages; only what the batch holds ever waits here."""
        for request in requests:
            self._outbox.put_nowait(request)

    async def receive(self, limit_s: float) -> pb.BatchPredictResponse:
        """Waits for the next answer, `limit_s` at most.

        Raises:
            StreamBroken: The stream ended or stays silent.
        """
        try:
            async with asyncio.timeout(limit_s):
                response = await self._call.read()
        except TimeoutError:
            raise StreamSilent from None
        except grpc.RpcError as error:
            raise StreamBroken(from_rpc_error(error)) from error
        if response is grpc.aio.EOF:
            raise ended_early()
        return response  # type: ignore[no-any-return]  # grpc.aio's stubs know no more

    async def finish(self) -> None:
        """Says that nothing more comes, so that the server ends the stream as a success."""
        self._outbox.put_nowait(None)
        with suppress(StreamBroken):
            await self.receive(GOODBYE_S)

    def close(self) -> None:
        """Ends the stream now."""
        self._outbox.put_nowait(None)
        self._call.cancel()


def run(
    batch: Batch,
    customers: Iterator[CustomerId | PackedRow],
    open_stream: Callable[[Callable[[], float | None]], Stream],
    lifetime: Lifetime,
) -> Generator[Row, None, None]:
    """Runs a batch to its end, over as many streams as it takes.

    Args:
        batch: The state.
        customers: The ids.
        open_stream: Opens a stream, told what gives the seconds that are left, None for any.
        lifetime: Says when the client was closed.

    Raises:
        BatchIncomplete: After the last row: chunks failed as a whole.
        StaunchError: The batch cannot go on.
    """
    _fill(batch, customers)
    wait = 0.0
    while not batch.finished:
        time.sleep(wait)
        stream = open_stream(batch.time_left_s)
        try:
            for rows in _converse(batch, customers, stream):
                yield from rows
        except StreamBroken as broken:
            lifetime.check_open()
            wait = batch.broken(broken)
        finally:
            stream.close()
    batch.end()


def _fill(batch: Batch, customers: Iterator[CustomerId | PackedRow]) -> None:
    """Takes as many ids as the batch may hold."""
    while batch.wants_ids:
        batch.take(list(islice(customers, batch.chunk_size)))


def _converse(
    batch: Batch, customers: Iterator[CustomerId | PackedRow], stream: Stream
) -> Iterator[list[Row]]:
    """Runs a batch over one stream until it is finished or the stream breaks."""
    while not batch.finished:
        stream.send(batch.requests())
        rows, wait = batch.accept(stream.receive(batch.patience_left_s()))
        yield rows
        time.sleep(wait)
        _fill(batch, customers)
    stream.finish()


async def async_run(
    batch: Batch,
    customers: AsyncIterator[CustomerId | PackedRow],
    open_stream: Callable[[Callable[[], float | None]], Awaitable[AsyncStream]],
    lifetime: Lifetime,
) -> AsyncGenerator[Row, None]:
    """Runs a batch to its end as `run` does."""
    await _async_fill(batch, customers)
    wait = 0.0
    while not batch.finished:
        await asyncio.sleep(wait)
        stream = await open_stream(batch.time_left_s)
        try:
            async for rows in _async_converse(batch, customers, stream):
                for row in rows:
                    yield row
        except StreamBroken as broken:
            lifetime.check_open()
            wait = batch.broken(broken)
        except asyncio.CancelledError:
            lifetime.check_cancelled()
            raise
        finally:
            stream.close()
    batch.end()


async def iterate(
    customers: Iterable[CustomerId | PackedRow] | AsyncIterable[CustomerId | PackedRow],
) -> AsyncGenerator[CustomerId | PackedRow, None]:
    """Reads a source of either kind."""
    if isinstance(customers, AsyncIterable):
        async for customer in customers:
            yield customer
    else:
        for customer in customers:
            yield customer


async def _async_fill(batch: Batch, customers: AsyncIterator[CustomerId | PackedRow]) -> None:
    """Takes as many ids as the batch may hold."""
    while batch.wants_ids:
        batch.take(await _next_chunk(customers, batch.chunk_size))


async def _next_chunk(
    customers: AsyncIterator[CustomerId | PackedRow], size: int
) -> list[CustomerId | PackedRow]:
    chunk: list[CustomerId | PackedRow] = []
    async for customer in customers:
        chunk.append(customer)
        if len(chunk) == size:
            break
    return chunk


async def _async_converse(
    batch: Batch, customers: AsyncIterator[CustomerId | PackedRow], stream: AsyncStream
) -> AsyncIterator[list[Row]]:
    """Runs a batch over one stream until it is finished or the stream breaks."""
    while not batch.finished:
        stream.send(batch.requests())
        rows, wait = batch.accept(await stream.receive(batch.patience_left_s()))
        yield rows
        await asyncio.sleep(wait)
        await _async_fill(batch, customers)
    await stream.finish()
