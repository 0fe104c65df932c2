"""The synchronous client."""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc

from staunch import _arguments as arguments
from staunch import _calls as calls
from staunch._arguments import Metadata, ModelName
from staunch._batch import Row
from staunch._connection import ChannelOptions, connection
from staunch._errors import DeadlineExceeded, StaunchError, Unavailable
from staunch._frames import Frame, Frames, only, scored
from staunch._joining.in_threads import Sender
from staunch._lifetime import Lifetime, weak_method
from staunch._packed._rows import PackedRow
from staunch._results import AliasMove, Explanation, Model, Prediction
from staunch._retry import RetryLog, RetryPolicy
from staunch._settings import BatchArguments, ClientSettings, Compression, Sent, Token
from staunch._streams import Stream, run
from staunch._wire import CustomerId, Features, Given

T = TypeVar("T")


class Client:
    """Calls Staunch. Safe to share between threads; close it, or use it in a `with` block.

    Every method raises `StaunchError`; its subclasses say what the caller can do. A call is tried again only
    on UNAVAILABLE and on a CANCELLED that nobody here asked for, within its timeout, no sooner than the
    server asks, and as often as the client's budget allows, which all its calls share: see `RetryPolicy`. The
    connection is made at the first call, in the process that makes it; a process forked from there needs
    clients, and a gRPC, of its own.

    Args:
        target: "host:port"; several addresses, "10.0.0.1:50051,10.0.0.2:50051" or a list of them, are called
            in turn, as are all that "dns:///host:port" names. None is the environment's STAUNCH_SERVER, and
            without that "127.0.0.1:50051".
        credentials: TLS, from `grpc.ssl_channel_credentials`; None sends in the clear.
        timeout_s: The seconds each call may take, all its tries together, unless the call says otherwise.
        metadata: Sent with every call, for example {"x-tenant": "north"}; of bytes under keys in "-bin".
        token: Sent as "authorization: Bearer ...": a str, or a function that gives one and is asked before
            each try, so that one that was renewed is used.
        compression: "gzip" has requests compressed; None sends them as they are.
        retry: How stubbornly to try.
        options: Of the channel, over those of ours: `[("grpc.keepalive_time_ms", 30_000)]`, or a mapping.
        join: Has calls of `predict` that are made at the same time, from threads, travel together.
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
        token: Token | None = None,
        compression: Compression | None = None,
        retry: RetryPolicy | None = None,
        options: ChannelOptions | None = None,
        join: bool = False,
        channel: grpc.Channel | None = None,
    ) -> None:
        self._settings = ClientSettings(timeout_s, metadata, retry, token, compression, join)
        self._connection = connection(grpc, target, credentials, options, channel)
        self._lifetime = Lifetime(is_async=False)
        self._opening = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._methods: dict[str, Any] = {}
        is_one = not self._connection.is_of_several
        self._sender = Sender(self._settings, weak_method(self._method), is_one_server=is_one)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection unless it is yours; calls under way and later ones raise `ClientClosed`."""
        with self._opening:
            self._lifetime.closed = True
            self._sender.close()
            if self._channel is not None and self._connection.channel is None:
                self._channel.close()

    def predict(  # noqa: PLR0913 - the request's own fields, by name
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
        """Scores one customer, or features given by the caller.

        Args:
            customer: The id, as the view wants it: int, str or UUID.
            features: All features of the view, instead of a customer: by name, None is a missing value; or
                as `FeatureSchema.pack` gives them.
            overrides: Values that replace those of the customer's live row (what-if).
            model: "name", "name@version" or "name@alias", or what an answer named, `prediction.model`;
                empty is the server's default.
            as_of: The aware moment to score as of; None is now.
            include_features: Asks for the values used.
            timeout_s: The seconds the call may take, `math.inf` for ever; None is the client's.
            metadata: Sent along, for example {"x-request-id": "..."}.

        Raises:
            StaunchError: The call failed.
            TypeError: Both a customer and features were given, or an argument has a wrong type.
            ValueError: An argument has a value that cannot be sent: `as_of` is a date or has no zone.
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
        """Scores one customer and says exactly which features moved the score.

        Args:
            customer: As in `predict`.
            features: As in `predict`.
            overrides: As in `predict`.
            model: As in `predict`.
            as_of: As in `predict`.
            include_features: As in `predict`.
            max_contributions: The most contributions to list, 0 for all; the rest is summed.
            language: That of titles, units and labels, such as "fr-CA"; empty is the view's own.
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
            language=language,
        )
        return self._run(call, timeout_s, metadata)

    def batch_predict(  # noqa: PLR0913 - the request's own fields, by name
        self,
        customers: Iterable[CustomerId | PackedRow],
        *,
        model: ModelName = "",
        as_of: datetime | None = None,
        top_contributions: int = 0,
        language: str = "",
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
            customers: Ids of one kind, or rows of `FeatureSchema.pack_rows`, which are scored as given; read
                as they are needed and in the thread that iterates.
            model: As in `predict`, resolved once.
            as_of: As in `predict`, fixed once.
            top_contributions: How many `reasons` each Score has, 0 to 10.
            language: As in `explain`, of the reasons.
            chunk_size: Ids a message, 1 to 10,000; of packed rows no more than fit.
            chunks_held: Messages under way at a time.
            timeout_s: The seconds the whole batch may take; None waits as long as chunks are answered,
                and at most `RetryPolicy.patience_s` for one.
            metadata: As in `predict`.

        Raises:
            BatchIncomplete: After the last row: chunks failed as a whole, and their rows are RowErrors.
            StaunchError: The batch cannot go on; what was yielded before stands.
            TypeError: An argument or an id has a wrong type, or ids of two kinds are mixed.
            ValueError: As in `predict`, or a size is out of range.
        """
        arguments.ids(customers)
        sent = self._settings.merged_of_batch(metadata)
        batch = self._settings.batch(
            sent, timeout_s, model, as_of, top_contributions, language, chunk_size, chunks_held
        )
        self._lifetime.check_open()
        return run(batch, iter(customers), partial(self._stream, sent), self._lifetime)

    def batch_predict_frame(
        self, frame: Frame, column: str = "customer_id", **how: Unpack[BatchArguments]
    ) -> Frame:
        """Scores the ids in a column of a pandas DataFrame, or of an Arrow Table or RecordBatch.

        Gives the same kind with a row for each, the index kept: the column as it was, `probability`,
        `risk_band`, `model`, `as_of` and `has_warnings`, missing where there is no score, and `error`, why
        there is none.
        With `top_contributions` also their columns, from `reason_1` to `remainder`: see the README.

        Args:
            frame: Ids as they are kept, none missing: text keys as text, whole numbers as whole numbers.
            column: The ids' column, or level of a DataFrame's index.
            how: `model`, `as_of`, `top_contributions`, `timeout_s` and so on; see `batch_predict`.

        Raises:
            BatchIncomplete: Chunks failed as a whole; its `scored` is the frame, complete but for them.
            StaunchError: As in `batch_predict`.
            TypeError: It is no such frame, or ids are floats or of another wrong type.
            ValueError: There is no such column, or an id is missing.
        """
        return only(self.batch_predict_frames([frame], column, **how))

    def batch_predict_frames(
        self, frames: Iterable[Frame], column: str = "customer_id", **how: Unpack[BatchArguments]
    ) -> Generator[Frame, None, None]:
        """Scores frames one after the other, such as a RecordBatchReader's; yields a scored one for each.

        As `batch_predict_frame`, by one version and as of one moment for all. Holds the frame that is being
        scored and those that the ids under way are of, so a file may be larger than the memory.
        """
        scoring = Frames[Frame](column, how.get("top_contributions", 0))
        return scored(scoring, self.batch_predict(scoring.ids(frames), **how))

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
        self, model: ModelName = "", *, timeout_s: float | None = None, metadata: Metadata | None = None
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

        Answers once all workers of the server answer by that version; other servers follow within seconds.

        Args:
            name: The model's name.
            alias: The alias, for example "champion".
            version: The version to point at.
            expected_version: The version the alias must point at now, 0 for none; None skips the check.
                A call with it is sent once only: after a lost answer, read the alias and decide.
            timeout_s: As in `predict`; to hear of workers that hang it takes more than 5 s.
            metadata: As in `predict`.

        Raises:
            Conflict: The alias points elsewhere than expected, and not at the version already.
            Unavailable: With the reason ALIAS_NOT_FOLLOWED it is moved, and workers are late.
            StaunchError: The call failed.
        """
        return self._run(calls.set_alias(name, alias, version, expected_version), timeout_s, metadata)

    def delete_alias(
        self,
        name: str,
        alias: str,
        *,
        expected_version: int | None = None,
        timeout_s: float | None = None,
        metadata: Metadata | None = None,
    ) -> int | None:
        """Takes an alias away; gives the version it pointed at, None if it was gone already.

        Arguments and errors as in `set_alias`.
        """
        return self._run(calls.delete_alias(name, alias, expected_version), timeout_s, metadata)

    def reload_models(
        self, *, timeout_s: float | None = None, metadata: Metadata | None = None
    ) -> list[Model]:
        """Has the server read its store again; gives the versions whose state changed.

        Raises:
            StaunchError: The call failed.
        """
        return self._run(calls.reload_models(), timeout_s, metadata)

    def is_ready(self, *, timeout_s: float | None = None, metadata: Metadata | None = None) -> bool:
        """Returns whether the server answers calls now: reached, and with a model that is ready. Asks once.

        Raises:
            StaunchError: The server refuses to say.
        """
        return self._not_ready(timeout_s, metadata) is None

    def wait_until_ready(self, timeout_s: float = 60.0, *, metadata: Metadata | None = None) -> None:
        """Waits until `is_ready`.

        Raises:
            DeadlineExceeded: It is not within `timeout_s` seconds; the message says why.
            StaunchError: The server refuses to say.
        """
        waiting = calls.Waiting(arguments.seconds("timeout_s", timeout_s))
        while True:
            cause = self._not_ready(waiting.ask_s(self._settings.timeout_s), metadata)
            if cause is None:
                return
            time.sleep(waiting.wait_s(cause))

    def _not_ready(self, timeout_s: float | None, metadata: Metadata | None) -> StaunchError | None:
        try:
            return self._run(calls.readiness(), timeout_s, metadata)
        except (Unavailable, DeadlineExceeded) as error:
            return error

    def _method(self, name: str) -> Any:
        """Gives a callable of the stub, connected first if this is the first call.

        Raises:
            ClientClosed: The client was closed.
            ForkedProcess: The client cannot work in this process.
        """
        self._lifetime.check()
        if not self._methods:
            with self._opening:
                self._lifetime.check_open()
                if not self._methods:
                    self._channel = self._connection.open()
                    self._methods = calls.methods(self._channel)
        return self._methods[name]

    def _run(self, call: calls.UnaryCall[T], timeout_s: float | None, metadata: Metadata | None) -> T:
        sent, log = self._settings.merged(metadata), RetryLog(call.method)
        allowed_s = arguments.optional_seconds("timeout_s", timeout_s)
        with self._settings.tries(allowed_s, retry=call.retry, changes=call.changes) as tries:
            while True:
                try:
                    outcome = self._sender.send(call, sent, lambda: tries.remaining_s)
                    if not isinstance(outcome, StaunchError):
                        return call.decode(*outcome)
                    self._lifetime.check_open()
                    tries.failed(outcome)
                    log.retrying(outcome)
                except ValueError as error:
                    self._lifetime.check_channel(error)  # by another thread, or by whoever gave it
                    raise
                while (wait := tries.wait_s()) > 0:
                    time.sleep(wait)

    def _stream(self, sent: Sent, left_s: Callable[[], float | None]) -> Stream:
        try:
            return Stream(self._method("BatchPredict"), **self._settings.how(sent, left_s))
        except ValueError as error:
            self._lifetime.check_channel(error)
            raise
