"""How a `Client` sends a call once, by itself or joined with others; the twin of `in_loop`."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.protobuf.message import Message

from staunch._calls import UnaryCall
from staunch._errors import ClientClosed, StaunchError, from_rpc_error, out_of_time, request_id_of
from staunch._joining.rows import Outcome, Row, Rows
from staunch._joining.streams import LONGEST_S, Streams, parted
from staunch._settings import ClientSettings, Sent, some_time
from staunch.v1 import prediction_service_pb2 as pb


class Sender:
    """Sends the calls of one client, from any thread.

    Args:
        settings: The client's; they say whether calls of `predict` are joined.
        method: Gives the library's callable of a method.
        is_one_server: Whether there is one server; several are called in turn, each call at another.
    """

    def __init__(
        self, settings: ClientSettings, method: Callable[[str], Any], *, is_one_server: bool
    ) -> None:
        self._settings = settings
        self._method = method
        self._joining = _Joining(self._join) if settings.join and is_one_server else None

    def send(
        self, call: UnaryCall[Any], sent: Sent, left_s: Callable[[], float | None]
    ) -> tuple[Message, str] | StaunchError:
        """Sends a call once; gives its answer and its id at the server, or why there is none.

        Args:
            call: The call.
            sent: Its metadata, without a token.
            left_s: Gives the seconds that it has; None is any.
        """
        method, how = self._method(call.method), self._settings.how(sent, left_s)
        if self._joining is not None and isinstance(call.request, pb.PredictRequest):
            outcome = self._joining.ask(call.request, how["metadata"], how["timeout"])
            if outcome is not None:
                return outcome
            how["timeout"] = some_time(left_s())
        try:
            answer, done = method.with_call(call.request, **how)
        except grpc.RpcError as error:
            return from_rpc_error(error)
        return answer, request_id_of(done.trailing_metadata())

    def close(self) -> None:
        """Ends all streams now, and their calls by `ClientClosed`."""
        if self._joining is not None:
            self._joining.close()

    def _join(self, messages: Iterator[pb.StreamPredictRequest], sent: Sent) -> Any:
        method = self._method("StreamPredict")
        return method(messages, metadata=sent, compression=self._settings.compression)


class _Joining:
    """Joins calls over streams.

    Args:
        call: Begins StreamPredict with messages and metadata.
    """

    def __init__(self, call: Callable[[Iterator[pb.StreamPredictRequest], Sent], Any]) -> None:
        self._call = call
        self._pid = 0
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._streams: Streams[_Stream] = Streams(lambda sent: _Stream(self._call, sent, self._ended))
        self._pid = os.getpid()

    def ask(self, request: pb.PredictRequest, sent: Sent, left_s: float | None) -> Outcome:
        """Sends a call with others and waits for its answer; `left_s` are the seconds that it has."""
        parts = parted(sent)
        if parts is None:
            return None
        if (
            self._pid != os.getpid()
        ):  # the threads of the streams are in the process that this was forked from
            self._begin()
        with self._lock:
            stream = self._streams.choose(parts[0])
        if stream is None:
            return None
        answer = _Answer()
        deadline = None if left_s is None else time.monotonic() + left_s
        row = Row(request, parts[1], deadline, answer.settle)
        stream.add(row)
        try:
            if not answer.wait(left_s):
                stream.leave(row)
        except BaseException:  # such as KeyboardInterrupt
            stream.leave(row)
            raise
        return answer.outcome

    def close(self) -> None:
        with self._lock:
            streams = self._streams.close()
        for stream in streams:
            stream.cancel()

    def _ended(self, stream: "_Stream", error: StaunchError | None) -> StaunchError | None:
        with self._lock:
            return self._streams.ended(stream, error)


class _Answer:
    """Waits in one thread for what another gives."""

    def __init__(self) -> None:
        self.outcome: Outcome = out_of_time()
        self._given = threading.Lock()
        self._given.acquire()

    def settle(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._given.release()

    def wait(self, limit_s: float | None) -> bool:
        return self._given.acquire(timeout=-1 if limit_s is None else limit_s)


class _Stream:
    """One stream of grpc, with a thread of the library that writes and one of ours that reads."""

    def __init__(
        self,
        call: Callable[[Iterator[pb.StreamPredictRequest], Sent], Any],
        sent: Sent,
        ended: Callable[["_Stream", StaunchError | None], StaunchError | None],
    ) -> None:
        self.rows = Rows()
        self.until = time.monotonic() + LONGEST_S
        self.has_answered = False
        self._ended = ended
        self._changed = threading.Condition()
        self._is_retired = self._is_over = False
        self._call = call(self._messages(), sent)
        threading.Thread(target=self._read, name="staunch-join", daemon=True).start()

    def add(self, row: Row) -> None:
        with self._changed:
            if self._is_over:
                row.settle(None)
                return
            self.rows.add(row)
            self._changed.notify()

    def leave(self, row: Row) -> None:
        with self._changed:
            self.rows.leave(row)
            self._changed.notify()

    def retire(self) -> None:
        with self._changed:
            self._is_retired = True
            self._changed.notify()

    def cancel(self) -> None:
        """Ends the stream now, and its calls by `ClientClosed`."""
        self._end(ClientClosed(), sent_only=False)
        self._call.cancel()

    def _messages(self) -> Iterator[pb.StreamPredictRequest]:
        """Gives what there is to write, in a thread of the library's."""
        while True:
            with self._changed:
                while (message := self.rows.message()) is None:
                    if self._is_over or (self._is_retired and self.rows.is_empty):
                        return
                    self._changed.wait()
            yield message

    def _read(self) -> None:
        error: StaunchError | None = None
        try:
            for response in self._call:
                self.has_answered = True
                with self._changed:
                    self.rows.answered(response)
                    self._changed.notify()
        except grpc.RpcError as failure:
            error = from_rpc_error(failure)
        self._end(self._ended(self, error))

    def _end(self, error: StaunchError | None, *, sent_only: bool = True) -> None:
        with self._changed:
            self._is_over = True
            self.rows.end(error, sent_only=sent_only)
            self._changed.notify()
