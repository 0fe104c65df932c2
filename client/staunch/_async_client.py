"""The asynchronous client. What each method takes, gives and raises is written at its twin in `Client`."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import grpc.aio

from staunch import _calls as calls
from staunch._batch import GOODBYE_S, Batch, Row, StreamBroken, StreamSilent, ended_early
from staunch._connection import ChannelOptions, connection
from staunch._errors import from_rpc_error
from staunch._results import AliasMove, Explanation, Model, Prediction
from staunch._retry import RetryPolicy
from staunch._settings import ClientSettings, Metadata
from staunch._wire import CustomerId, Features
from staunch.v1 import prediction_service_pb2 as pb

T = TypeVar("T")


class AsyncClient:
    """Calls Staunch from one event loop; close it, or use it in an `async with` block.

    Cancelling the task that awaits a call cancels the call on the server too. The connection is made at the
    first call, in the loop that makes it.

    Args:
        target: As for `Client`.
        credentials: As for `Client`.
        timeout_s: As for `Client`.
        metadata: As for `Client`.
        retry: As for `Client`.
        options: As for `Client`.
        channel: As for `Client`, of `grpc.aio`, made in the loop that calls.

    Raises:
        TypeError: As for `Client`.
        ValueError: As for `Client`.
    """

    def __init__(  # noqa: PLR0913 - what a caller may choose, by name
        self,
        target: str | Sequence[str] | None = None,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        timeout_s: float = 5.0,
        metadata: Metadata | None = None,
        retry: RetryPolicy | None = None,
        options: ChannelOptions | None = None,
        channel: grpc.aio.Channel | None = None,
    ) -> None:
        self._settings = ClientSettings(timeout_s, metadata or {}, retry or RetryPolicy())
        self._connection = connection(grpc.aio, target, credentials, options, channel)

    @cached_property
    def _channel(self) -> grpc.aio.Channel:
        channel: grpc.aio.Channel = self._connection.open()
        return channel

    @cached_property
    def _methods(self) -> dict[str, Any]:
        return calls.methods(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection and cancels the calls under way; a channel of yours stays open."""
        if "_channel" in vars(self) and self._connection.channel is None:
            await self._channel.close()

    async def predict(  # noqa: PLR0913 - the request's own fields, by name
        self,
        customer: CustomerId | None = None,
        *,
        features: Features | None = None,
        overrides: Features | None = None,
        model: str = "",
        as_of: datetime | None = None,
        include_features: bool = False,
        timeout_s: float | None = None,
        metadata: Metadata | None = None,
    ) -> Prediction:
        """Scores one customer, or features given by the caller; see `Client.predict`."""
        call = calls.predict(
            customer,
            features=features,
            overrides=overrides,
            model=model,
            as_of=as_of,
            include_features=include_features,
        )
        return await self._run(call, timeout_s, metadata)

    async def explain(  # noqa: PLR0913 - the request's own fields, by name
        self,
        customer: CustomerId | None = None,
        *,
        features: Features | None = None,
        overrides: Features | None = None,
        model: str = "",
        as_of: datetime | None = None,
        include_features: bool = False,
        max_contributions: int = 0,
        timeout_s: float | None = None,
        metadata: Metadata | None = None,
    ) -> Explanation:
        """Scores one customer and says exactly which features moved the score; see `Client.explain`."""
        call = calls.explain(
            customer,
            features=features,
            overrides=overrides,
            model=model,
            as_of=as_of,
            include_features=include_features,
            max_contributions=max_contributions,
        )
        return await self._run(call, timeout_s, metadata)

    def batch_predict(  # noqa: PLR0913 - the request's own fields, by name
        self,
        customers: Iterable[CustomerId] | AsyncIterable[CustomerId],
        *,
        model: str = "",
        as_of: datetime | None = None,
        chunk_size: int = 1000,
        chunks_held: int = 4,
        timeout_s: float | None = None,
        metadata: Metadata | None = None,
    ) -> AsyncGenerator[Row, None]:
        """Scores any number of customers, from a plain or an async iterable; see `Client.batch_predict`.

        Leaving the loop early? Wrap the call in `contextlib.aclosing`, so that the stream ends at once.
        """
        batch = self._settings.batch(model=model, as_of=as_of, chunk_size=chunk_size, chunks_held=chunks_held)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        return self._batch(batch, _iterate(customers), deadline, self._settings.merged(metadata))

    async def list_models(
        self, name: str = "", *, timeout_s: float | None = None, metadata: Metadata | None = None
    ) -> list[Model]:
        """Lists the versions in the store; see `Client.list_models`."""
        found, token = await self._run(calls.list_models(name, ""), timeout_s, metadata)
        while token:
            more, token = await self._run(calls.list_models(name, token), timeout_s, metadata)
            found += more
        return found

    async def get_model(
        self, model: str = "", *, timeout_s: float | None = None, metadata: Metadata | None = None
    ) -> Model:
        """Describes one version in full; see `Client.get_model`."""
        return await self._run(calls.get_model(model), timeout_s, metadata)

    async def set_alias(
        self,
        name: str,
        alias: str,
        version: int,
        *,
        expected_version: int | None = None,
        timeout_s: float | None = None,
        metadata: Metadata | None = None,
    ) -> AliasMove:
        """Points an alias at a version; see `Client.set_alias`."""
        return await self._run(calls.set_alias(name, alias, version, expected_version), timeout_s, metadata)

    async def reload_models(
        self, *, timeout_s: float | None = None, metadata: Metadata | None = None
    ) -> list[Model]:
        """Has the server read its store again; see `Client.reload_models`."""
        return await self._run(calls.reload_models(), timeout_s, metadata)

    async def _run(self, call: calls.UnaryCall[T], timeout_s: float | None, metadata: Metadata | None) -> T:
        sent = self._settings.merged(metadata)
        with self._settings.tries(timeout_s, retry=call.retry) as tries:
            while True:
                try:
                    method = self._methods[call.method]
                    return call.decode(await method(call.request, timeout=tries.remaining_s, metadata=sent))
                except grpc.RpcError as error:
                    tries.failed(from_rpc_error(error))
                while (wait := tries.wait_s()) > 0:  # noqa: ASYNC110 - other calls may find out meanwhile
                    await asyncio.sleep(wait)

    async def _batch(
        self,
        batch: Batch,
        customers: AsyncIterator[CustomerId],
        deadline: float | None,
        metadata: Sequence[tuple[str, str]],
    ) -> AsyncGenerator[Row, None]:
        await _fill(batch, customers)
        while not batch.finished:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            stream = _Stream(self._methods["BatchPredict"], left, metadata)
            try:
                async for rows in _converse(batch, customers, stream):
                    for row in rows:
                        yield row
                return
            except StreamBroken as broken:
                wait = batch.broken(broken)
            finally:
                stream.close()
            await asyncio.sleep(wait)


async def _iterate(
    customers: Iterable[CustomerId] | AsyncIterable[CustomerId],
) -> AsyncGenerator[CustomerId, None]:
    if isinstance(customers, AsyncIterable):
        async for customer in customers:
            yield customer
    else:
        for customer in customers:
            yield customer


async def _fill(batch: Batch, customers: AsyncIterator[CustomerId]) -> None:
    while batch.wants_ids:
        batch.take(await _next_chunk(customers, batch.chunk_size))


async def _next_chunk(customers: AsyncIterator[CustomerId], size: int) -> list[CustomerId]:
    chunk: list[CustomerId] = []
    async for customer in customers:
        chunk.append(customer)
        if len(chunk) == size:
            break
    return chunk


async def _converse(
    batch: Batch, customers: AsyncIterator[CustomerId], stream: "_Stream"
) -> AsyncIterator[list[Row]]:
    """Runs a batch over one stream until it is finished or the stream breaks."""
    while not batch.finished:
        stream.send(batch.requests())
        rows, wait = batch.accept(await stream.receive(batch.patience_left_s()))
        yield rows
        await asyncio.sleep(wait)
        await _fill(batch, customers)
    await stream.finish()


class _Stream:
    """One BatchPredict stream of grpc.aio."""

    def __init__(self, method: Any, timeout_s: float | None, metadata: Sequence[tuple[str, str]]) -> None:
        self._outbox: asyncio.Queue[pb.BatchPredictRequest | None] = asyncio.Queue()
        self._call = method(self._requests(), timeout=timeout_s, metadata=metadata)

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
