"""The synchronous client."""

import queue
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

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


class Client:
    """Calls Staunch. Safe to share between threads; close it, or use it in a `with` block.

    Every method raises `StaunchError`; its subclasses say what the caller can do. A call is tried again only
    on UNAVAILABLE, within its timeout, no sooner than the server asks, and as often as the client's budget
    allows, which all its calls share: see `RetryPolicy`.

    Args:
        target: "host:port"; several addresses, "10.0.0.1:50051,10.0.0.2:50051" or a list of them, are called
            in turn, as are all that "dns:///host:port" names. None is the environment's STAUNCH_SERVER, and
            without that "127.0.0.1:50051".
        credentials: TLS, from `grpc.ssl_channel_credentials`; None sends in the clear.
        timeout_s: The seconds each call may take, all its tries together, unless the call says otherwise.
        metadata: Sent with every call, for example {"authorization": "Bearer ..."}; keys in lower case.
        retry: How stubbornly to try.
        options: Of the channel, over those of ours: `[("grpc.keepalive_time_ms", 30_000)]`, or a mapping.
        channel: A `grpc.Channel` of your own in place of target, credentials and options; closing it stays
            yours, and whether it pings.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: An argument has a value that it cannot have.
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
        channel: grpc.Channel | None = None,
    ) -> None:
        self._settings = ClientSettings(timeout_s, metadata or {}, retry or RetryPolicy())
        self._connection = connection(grpc, target, credentials, options, channel)
        self._channel: grpc.Channel = self._connection.open()
        self._methods = calls.methods(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection unless it is yours; calls under way fail, and later ones raise ValueError."""
        if self._connection.channel is None:
            self._channel.close()

    def predict(  # noqa: PLR0913 - the request's own fields, by name
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
        """Scores one customer, or features given by the caller.

        Args:
            customer: The id, as the view wants it: int, str or UUID.
            features: All features of the view by name, instead of a customer; None is a missing value.
            overrides: Values that replace those of the customer's live row (what-if).
            model: "name", "name@version" or "name@alias"; empty is the server's default.
            as_of: The aware moment to score as of; None is now.
            include_features: Asks for the values used.
            timeout_s: The seconds the call may take; None is the client's.
            metadata: Sent along, for example {"x-request-id": "..."}.

        Raises:
            StaunchError: The call failed.
            TypeError: Both a customer and features were given, or a value has a wrong type.
            ValueError: `as_of` has no zone.
        """
        call = calls.predict(
            customer,
            features=features,
            overrides=overrides,
            model=model,
            as_of=as_of,
            include_features=include_features,
        )
        return self._run(call, timeout_s, metadata)

    def explain(  # noqa: PLR0913 - the request's own fields, by name
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
        """Scores one customer and says exactly which features moved the score.

        Args:
            customer: As in `predict`.
            features: As in `predict`.
            overrides: As in `predict`.
            model: As in `predict`.
            as_of: As in `predict`.
            include_features: As in `predict`.
            max_contributions: The most contributions to list, 0 for all; the rest is summed.
            timeout_s: As in `predict`.
            metadata: As in `predict`.

        Raises:
            StaunchError: The call failed.
            TypeError: As in `predict`.
            ValueError: As in `predict`.
        """
        call = calls.explain(
            customer,
            features=features,
            overrides=overrides,
            model=model,
            as_of=as_of,
            include_features=include_features,
            max_contributions=max_contributions,
        )
        return self._run(call, timeout_s, metadata)

    def batch_predict(  # noqa: PLR0913 - the request's own fields, by name
        self,
        customers: Iterable[CustomerId],
        *,
        model: str = "",
        as_of: datetime | None = None,
        chunk_size: int = 1000,
        chunks_held: int = 4,
        timeout_s: float | None = None,
        metadata: Metadata | None = None,
    ) -> Generator[Row, None, None]:
        """Scores any number of customers over one stream; yields a Score or a RowError each, in order.

        Holds at most `chunk_size * chunks_held` ids. A broken stream is taken up at the first unanswered
        chunk, and a chunk that the server could not answer at the time is sent again; all of it by the same
        version and as of the same moment.

        Args:
            customers: Ids of one kind, read as they are needed and in the thread that iterates.
            model: As in `predict`, resolved once.
            as_of: As in `predict`, fixed once.
            chunk_size: Ids a message, 1 to 10,000.
            chunks_held: Messages under way at a time.
            timeout_s: The seconds the whole batch may take; None waits as long as chunks are answered,
                and at most `RetryPolicy.patience_s` for one.
            metadata: As in `predict`.

        Raises:
            StaunchError: The batch cannot go on; what was yielded before stands.
            TypeError: An id has a wrong type, or ids of two kinds are mixed.
            ValueError: `as_of` has no zone, or a size is out of range.
        """
        batch = self._settings.batch(model=model, as_of=as_of, chunk_size=chunk_size, chunks_held=chunks_held)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        return self._batch(batch, iter(customers), deadline, self._settings.merged(metadata))

    def list_models(
        self, name: str = "", *, timeout_s: float | None = None, metadata: Metadata | None = None
    ) -> list[Model]:
        """Lists the versions in the store, by name, newest first; `name` restricts it to one model.

        Raises:
            StaunchError: The call failed.
        """
        found, token = self._run(calls.list_models(name, ""), timeout_s, metadata)
        while token:
            more, token = self._run(calls.list_models(name, token), timeout_s, metadata)
            found += more
        return found

    def get_model(
        self, model: str = "", *, timeout_s: float | None = None, metadata: Metadata | None = None
    ) -> Model:
        """Describes one version in full; `model` as in `predict`.

        Raises:
            StaunchError: The call failed.
        """
        return self._run(calls.get_model(model), timeout_s, metadata)

    def set_alias(
        self,
        name: str,
        alias: str,
        version: int,
        *,
        expected_version: int | None = None,
        timeout_s: float | None = None,
        metadata: Metadata | None = None,
    ) -> AliasMove:
        """Points an alias at a version, which the server verifies and loads first.

        Args:
            name: The model's name.
            alias: The alias, for example "champion".
            version: The version to point at.
            expected_version: The version the alias must point at now, 0 for none; None skips the check.
                A call with it is sent once only: after a lost answer, read the alias and decide.
            timeout_s: As in `predict`.
            metadata: As in `predict`.

        Raises:
            Conflict: The alias points elsewhere than expected.
            StaunchError: The call failed.
        """
        return self._run(calls.set_alias(name, alias, version, expected_version), timeout_s, metadata)

    def reload_models(
        self, *, timeout_s: float | None = None, metadata: Metadata | None = None
    ) -> list[Model]:
        """Has the server read its store again; gives the versions whose state changed.

        Raises:
            StaunchError: The call failed.
        """
        return self._run(calls.reload_models(), timeout_s, metadata)

    def _run(self, call: calls.UnaryCall[T], timeout_s: float | None, metadata: Metadata | None) -> T:
        sent = self._settings.merged(metadata)
        with self._settings.tries(timeout_s, retry=call.retry) as tries:
            while True:
                try:
                    method = self._methods[call.method]
                    return call.decode(method(call.request, timeout=tries.remaining_s, metadata=sent))
                except grpc.RpcError as error:
                    tries.failed(from_rpc_error(error))
                while (wait := tries.wait_s()) > 0:
                    time.sleep(wait)

    def _batch(
        self,
        batch: Batch,
        customers: Iterator[CustomerId],
        deadline: float | None,
        metadata: Sequence[tuple[str, str]],
    ) -> Generator[Row, None, None]:
        _fill(batch, customers)
        while not batch.finished:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            stream = _Stream(self._methods["BatchPredict"], left, metadata)
            try:
                for rows in _converse(batch, customers, stream):
                    yield from rows
                return
            except StreamBroken as broken:
                wait = batch.broken(broken)
            finally:
                stream.close()
            time.sleep(wait)


def _fill(batch: Batch, customers: Iterator[CustomerId]) -> None:
    while batch.wants_ids:
        batch.take(list(islice(customers, batch.chunk_size)))


def _converse(batch: Batch, customers: Iterator[CustomerId], stream: "_Stream") -> Iterator[list[Row]]:
    """Runs a batch over one stream until it is finished or the stream breaks."""
    while not batch.finished:
        stream.send(batch.requests())
        rows, wait = batch.accept(stream.receive(batch.patience_left_s()))
        yield rows
        time.sleep(wait)
        _fill(batch, customers)
    stream.finish()


class _Stream:
    """One BatchPredict stream. The library has no read with a time limit, so a thread of ours reads."""

    def __init__(self, method: Any, timeout_s: float | None, metadata: Sequence[tuple[str, str]]) -> None:
        self._outbox: queue.SimpleQueue[pb.BatchPredictRequest | None] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[pb.BatchPredictResponse | StreamBroken] = queue.SimpleQueue()
        self._call = method(iter(self._outbox.get, None), timeout=timeout_s, metadata=metadata)
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
