"""How an `AsyncClient` sends a call once, by itself or joined with others; the twin of `in_threads`."""

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from staunch._calls import UnaryCall
from staunch._errors import ClientClosed, StaunchError, from_rpc_error, request_id_of
from staunch._joining.rows import Outcome, Row, Rows
from staunch._joining.streams import LONGEST_S, Streams, parted
from staunch._settings import ClientSettings, Sent, some_time
from staunch.v1 import prediction_service_pb2 as pb


class AsyncSender:
    """Sends the calls of one client.

    Args:
        settings: As for `Sender`.
        method: As for `Sender`.
        is_one_server: As for `Sender`.
    """

    def __init__(
        self, settings: ClientSettings, method: Callable[[str], Any], *, is_one_server: bool
    ) -> None:
        self._settings = settings
        self._method = method
        self._joining = _Joining(self._join) if settings.join and is_one_server else None

    async def send(
        self, call: UnaryCall[Any], sent: Sent, left_s: Callable[[], float | None]
    ) -> tuple[Message, str] | StaunchError:
        """Sends a call once; see `Sender.send`."""
        how = await self._settings.how_async(sent, left_s)
        method = self._method(call.method)
        if self._joining is not None and isinstance(call.request, pb.PredictRequest):
            outcome = await self._joining.ask(call.request, how["metadata"], how["timeout"])
            if outcome is not None:
                return outcome
            how["timeout"] = some_time(left_s())
        try:
            under_way = method(call.request, **how)
            answer = await under_way
        except grpc.RpcError as error:
            return from_rpc_error(error)
        return answer, request_id_of(await under_way.trailing_metadata())

    def close(self) -> None:
        """Ends all streams now, and their calls by `ClientClosed`."""
        if self._joining is not None:
            self._joining.close()

    def _join(self, sent: Sent) -> Any:
        return self._method("StreamPredict")(metadata=sent, compression=self._settings.compression)


class _Joining:
    """Joins calls over streams.

    Args:
        call: Begins StreamPredict with metadata.
    """

    def __init__(self, call: Callable[[Sent], Any]) -> None:
        self._call = call
        self._streams: Streams[_Stream] = Streams(lambda sent: _Stream(call(sent), self._ended))

    async def ask(self, request: pb.PredictRequest, sent: Sent, left_s: float | None) -> Outcome:
        """Sends a call with others and waits for its answer; `left_s` are the seconds that it has."""
        parts = parted(sent)
        stream = None if parts is None else self._streams.choose(parts[0])
        if parts is None or stream is None:
            return None
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        deadline = None if left_s is None else time.monotonic() + left_s
        row = Row(request, parts[1], deadline, partial(_settle, answer))
        stream.add(row)
        try:
            return await answer
        except asyncio.CancelledError:
            stream.leave(row)
            raise

    def close(self) -> None:
        for stream in self._streams.close():
            stream.rows.end(ClientClosed(), sent_only=False)
            stream.cancel()

    def _ended(self, stream: "_Stream", error: StaunchError | None) -> None:
        stream.rows.end(self._streams.ended(stream, error))


def _settle(answer: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not answer.done():
        answer.set_result(outcome)


class _Stream:
    """One stream of grpc.aio, with a task that writes and one that reads."""

    def __init__(self, call: Any, ended: Callable[["_Stream", StaunchError | None], None]) -> None:
        self.rows = Rows()
        self.until = time.monotonic() + LONGEST_S
        self.has_answered = False
        self._call = call
        self._ended = ended
        self._is_retired = False
        self._changed = asyncio.Event()
        # One timer for all rows, set to the earliest deadline.
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf
        self._writing = asyncio.create_task(self._write())
        self._reading = asyncio.create_task(self._read())

    def add(self, row: Row) -> None:
        self.rows.add(row)
        if row.deadline is not None and row.deadline < self._alarm_at:
            self._set_alarm(row.deadline)
        self._changed.set()

    def leave(self, row: Row) -> None:
        self.rows.leave(row)
        self._changed.set()

    def retire(self) -> None:
        self._is_retired = True
        self._changed.set()

    def cancel(self) -> None:
        """Ends the stream and its tasks now."""
        self._stop_alarm()
        self._writing.cancel()
        self._call.cancel()

    async def _write(self) -> None:
        """Writes what there is to write, until the stream has ended: its end is the reader's to tell."""
        with suppress(grpc.RpcError, asyncio.InvalidStateError):
            while True:
                while (message := self.rows.message()) is not None:
                    await self._call.write(message)
                if self._is_retired and self.rows.is_empty:
                    await self._call.done_writing()
                    return
                self._changed.clear()
                await self._changed.wait()

    async def _read(self) -> None:
        error: StaunchError | None = None
        try:
            while (response := await self._call.read()) is not grpc.aio.EOF:
                self.has_answered = True
                self.rows.answered(response)
                self._changed.set()
        except grpc.RpcError as failure:
            error = from_rpc_error(failure)
        finally:  # cancelled too, where the channel is closed: a call by itself says how that ends
            self._stop_alarm()
            self._writing.cancel()
            self._ended(self, error)

    def _set_alarm(self, at: float) -> None:
        self._stop_alarm()
        self._alarm_at = at
        wait_s = max(0.001, at - time.monotonic())
        self._alarm = asyncio.get_running_loop().call_later(wait_s, self._ring)

    def _stop_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self._alarm_at = None, math.inf

    def _ring(self) -> None:
        self._stop_alarm()
        next_ = self.rows.expire()
        self._changed.set()
        if next_ is not None:
            self._set_alarm(next_)
