"""The asynchronous client. What each method takes, gives and raises is written at its twin in `Client`."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Sequence
from datetime import datetime
from functools import cached_property, partial
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
import grpc.aio

from staunch import _arguments as arguments
from staunch import _calls as calls
from staunch._arguments import Metadata, ModelName
from staunch._batch import Row
from staunch._connection import ChannelOptions, connection
from staunch._errors import DeadlineExceeded, StaunchError, Unavailable
from staunch._frames import Frame, Frames, async_only, async_scored
from staunch._joining.in_loop import AsyncSender
from staunch._lifetime import Lifetime, weak_method
from staunch._packed._rows import PackedRow
from staunch._results import AliasMove, Explanation, Model, Prediction
from staunch._retry import RetryLog, RetryPolicy
from staunch._settings import AsyncToken, BatchArguments, ClientSettings, Compression, Sent
from staunch._streams import AsyncStream, async_run, iterate
from staunch._wire import CustomerId, Features, Given

T = TypeVar("T")


class AsyncClient:
    """Calls Staunch from one event loop; close it, or use it in an `async with` block.

    Cancelling the task that awaits a call cancels the call on the server too. The connection is made at the
    first call, in the loop that makes it, and belongs to that loop: another needs a client of its own.

    Args:
        target: As for `Client`.
        credentials: As for `Client`.
        timeout_s: As for `Client`.
        metadata: As for `Client`.
        token: As for `Client`; the function may be a coroutine function.
        compression: As for `Client`.
        retry: As for `Client`.
        options: As for `Client`.
        join: As for `Client`, from tasks.
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
        token: AsyncToken | None = None,
        compression: Compression | None = None,
        retry: RetryPolicy | None = None,
        options: ChannelOptions | None = None,
        join: bool = False,
        channel: grpc.aio.Channel | None = None,
    ) -> None:
        self._settings = ClientSettings(timeout_s, metadata, retry, token, compression, join)
        self._connection = connection(grpc.aio, target, credentials, options, channel)
        self._lifetime = Lifetime(is_async=True, channel=channel)
        is_one = not self._connection.is_of_several
        self._sender = AsyncSender(self._settings, weak_method(self._method), is_one_server=is_one)

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
        """Closes the connection, unless the channel is yours; see `Client.close`."""
        self._lifetime.closed = True
        self._sender.close()
        if "_channel" in vars(self) and self._connection.channel is None:
            await self._channel.close()

    async def predict(  # noqa: PLR0913 - the request's own fields, by name
        self,
        customer: CustomerId | None = None,
        *,
        features: Given | None = None,
        overrides: Features | None = None,
        model: ModelName = "",
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
        features: Given | None = None,
        overrides: Features | None = None,
        model: ModelName = "",
        as_of: datetime | None = None,
        include_features: bool = False,
        max_contributions: int = 0,
        language: str = "",
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
            language=language,
        )
        return await self._run(call, timeout_s, metadata)

    def batch_predict(  # noqa: PLR0913 - the request's own fields, by name
        self,
        customers: Iterable[CustomerId | PackedRow] | AsyncIterable[CustomerId | PackedRow],
        *,
        model: ModelName = "",
        as_of: datetime | None = None,
        top_contributions: int = 0,
        language: str = "",
        chunk_size: int = 1000,
        chunks_held: int = 4,
        timeout_s: float | None = None,
        metadata: Metadata | None = None,
    ) -> AsyncGenerator[Row, None]:
        """Scores any number of customers, from a plain or an async iterable; see `Client.batch_predict`.

        Leaving the loop early? Wrap the call in `contextlib.aclosing`, so that the stream ends at once.
        """
        arguments.ids(customers, AsyncIterable)
        sent = self._settings.merged_of_batch(metadata)
        batch = self._settings.batch(
            sent, timeout_s, model, as_of, top_contributions, language, chunk_size, chunks_held
        )
        self._lifetime.check_open()
        return async_run(batch, iterate(customers), partial(self._stream, sent), self._lifetime)

    async def batch_predict_frame(
        self, frame: Frame, column: str = "customer_id", **how: Unpack[BatchArguments]
    ) -> Frame:
        """Scores the ids in a column of a frame; see `Client.batch_predict_frame`."""
        return await async_only(self.batch_predict_frames([frame], column, **how))

    def batch_predict_frames(
        self,
        frames: Iterable[Frame] | AsyncIterable[Frame],
        column: str = "customer_id",
        **how: Unpack[BatchArguments],
    ) -> AsyncGenerator[Frame, None]:
        """Scores frames one after the other; see `Client.batch_predict_frames`."""
        scoring = Frames[Frame](column, how.get("top_contributions", 0))
        return async_scored(scoring, self.batch_predict(scoring.ids_async(frames), **how))

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
        self, model: ModelName = "", *, timeout_s: float | None = None, metadata: Metadata | None = None
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

    async def delete_alias(
        self,
        name: str,
        alias: str,
        *,
        expected_version: int | None = None,
        timeout_s: float | None = None,
        metadata: Metadata | None = None,
    ) -> int | None:
        """Takes an alias away; see `Client.delete_alias`."""
        return await self._run(calls.delete_alias(name, alias, expected_version), timeout_s, metadata)

    async def reload_models(
        self, *, timeout_s: float | None = None, metadata: Metadata | None = None
    ) -> list[Model]:
        """Has the server read its store again; see `Client.reload_models`."""
        return await self._run(calls.reload_models(), timeout_s, metadata)

    async def is_ready(self, *, timeout_s: float | None = None, metadata: Metadata | None = None) -> bool:
        """Returns whether the server answers calls now; see `Client.is_ready`."""
        return await self._not_ready(timeout_s, metadata) is None

    async def wait_until_ready(self, timeout_s: float = 60.0, *, metadata: Metadata | None = None) -> None:
        """Waits until `is_ready`; see `Client.wait_until_ready`."""
        waiting = calls.Waiting(arguments.seconds("timeout_s", timeout_s))
        while True:
            cause = await self._not_ready(waiting.ask_s(self._settings.timeout_s), metadata)
            if cause is None:
                return
            await asyncio.sleep(waiting.wait_s(cause))

    async def _not_ready(self, timeout_s: float | None, metadata: Metadata | None) -> StaunchError | None:
        try:
            return await self._run(calls.readiness(), timeout_s, metadata)
        except (Unavailable, DeadlineExceeded) as error:
            return error

    def _method(self, name: str) -> Any:
        """Gives a callable of the stub, connected first if this is the first call.

        Raises:
            ClientClosed: The client was closed.
            WrongEventLoop: The client belongs to another loop, or none runs.
            ForkedProcess: The client cannot work in this process.
        """
        self._lifetime.check()
        return self._methods[name]

    async def _run(self, call: calls.UnaryCall[T], timeout_s: float | None, metadata: Metadata | None) -> T:
        sent, log = self._settings.merged(metadata), RetryLog(call.method)
        allowed_s = arguments.optional_seconds("timeout_s", timeout_s)
        with self._settings.tries(allowed_s, retry=call.retry, changes=call.changes) as tries:
            while True:
                try:
                    outcome = await self._sender.send(call, sent, lambda: tries.remaining_s)
                    if not isinstance(outcome, StaunchError):
                        return call.decode(*outcome)
                    self._lifetime.check_open()
                    tries.failed(outcome)
                    log.retrying(outcome)
                except grpc.aio.UsageError as error:
                    self._lifetime.check_channel(error)
                    raise
                except asyncio.CancelledError:
                    self._lifetime.check_cancelled()
                    raise
                while (wait := tries.wait_s()) > 0:  # noqa: ASYNC110 - other calls may find out meanwhile
                    await asyncio.sleep(wait)

    async def _stream(self, sent: Sent, left_s: Callable[[], float | None]) -> AsyncStream:
        how = await self._settings.how_async(sent, left_s)
        try:
            return AsyncStream(self._method("BatchPredict"), **how)
        except grpc.aio.UsageError as error:
            self._lifetime.check_channel(error)
            raise
