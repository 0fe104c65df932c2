"""One BatchPredict stream, of grpc and of grpc.aio: messages are queued to it and answers waited for."""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio

from staunch._batch import GOODBYE_S, StreamBroken, StreamSilent, ended_early
from staunch._errors import from_rpc_error
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
