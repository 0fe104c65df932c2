"""What both clients hold: how long to wait, how stubbornly, what to send along."""

import asyncio
import inspect
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, TypedDict

import grpc
from grpc import StatusCode

from staunch import _arguments as arguments
from staunch._arguments import Metadata, ModelName
from staunch._batch import Batch
from staunch._errors import DeadlineExceeded
from staunch._retry import RetryPolicy, Tries

Token = str | Callable[[], str]
"""What opens the door: the token, or what gives one that is valid now."""

AsyncToken = str | Callable[[], str | Awaitable[str]]
"""The same for `AsyncClient`: what gives one may be a coroutine function."""

Compression = Literal["gzip"] | grpc.Compression
"""How requests travel."""

Sent = tuple[tuple[str, str | bytes], ...]
"""The metadata of one call, as gRPC takes it."""


class BatchArguments(TypedDict, total=False):
    """What `batch_predict` takes beside the ids, for those who pass it on."""

    model: ModelName
    as_of: datetime | None
    top_contributions: int
    language: str
    chunk_size: int
    chunks_held: int
    timeout_s: float | None
    metadata: Metadata | None


_AUTHORIZATION = "authorization"
_REQUEST_ID = "x-request-id"


class ClientSettings:
    """The constructor arguments of a client, checked, and what follows from them.

    Args:
        timeout_s: As for `Client`.
        metadata: As for `Client`.
        retry: As for `Client`.
        token: As for `Client`.
        compression: As for `Client`.
        join: As for `Client`.

    Attributes:
        timeout_s: The seconds each call may take unless it says otherwise.
        compression: How requests travel, as gRPC has it.
        join: Whether calls of `predict` are joined.
    """

    def __init__(
        self,
        timeout_s: float,
        metadata: Metadata | None,
        retry: RetryPolicy | None,
        token: AsyncToken | None = None,
        compression: Compression | None = None,
        join: bool = False,
    ) -> None:
        if not isinstance(retry, RetryPolicy | None):
            raise TypeError(f"expected retry as a RetryPolicy, got {type(retry).__name__}")
        self.timeout_s = arguments.seconds("timeout_s", timeout_s)
        self.compression = _compression(compression)
        self.join = arguments.flag("join", join)
        self._retry = retry or RetryPolicy()
        self._budget = self._retry.budget()
        self._metadata = arguments.metadata({} if metadata is None else metadata)
        self._token = token
        if token is not None:
            self._check_token(token)

    def _check_token(self, token: AsyncToken) -> None:
        if _AUTHORIZATION in self._metadata:
            raise ValueError("expected a token or the metadata 'authorization', got both; leave one out")
        if not callable(token):
            _bearer(token)

    def tries(self, timeout_s: float | None, *, retry: bool, changes: bool = False) -> Tries:
        """Starts the clock of one call; see `UnaryCall` for `retry` and `changes`."""
        policy = self._retry if retry else replace(self._retry, attempts=1)
        allowed_s = self.timeout_s if timeout_s is None else timeout_s
        return Tries(policy, allowed_s, self._budget, changes=changes)

    def batch(  # noqa: PLR0913 - what a batch is
        self,
        sent: Sent,
        timeout_s: float | None,
        model: ModelName,
        as_of: datetime | None,
        top_contributions: int,
        language: str,
        chunk_size: int,
        chunks_held: int,
    ) -> Batch:
        """Starts the state, and the clock, of one batch; `sent` has its request id."""
        return Batch(
            model=model,
            as_of=as_of,
            top_contributions=top_contributions,
            language=language,
            chunk_size=chunk_size,
            chunks_held=chunks_held,
            policy=self._retry,
            timeout_s=arguments.optional_seconds("timeout_s", timeout_s),
            request_id=str(dict(sent)[_REQUEST_ID]),
        )

    def merged(self, metadata: Metadata | None) -> Sent:
        """Gives the metadata of one call: the client's, overridden by the call's own.

        Raises:
            TypeError: As for `arguments.metadata`.
            ValueError: As for `arguments.metadata`.
        """
        if metadata is None:
            return tuple(self._metadata.items())
        return tuple({**self._metadata, **arguments.metadata(metadata)}.items())

    def merged_of_batch(self, metadata: Metadata | None) -> Sent:
        """Gives the metadata of a batch: as `merged`, and one request id for all its streams."""
        return tuple({_REQUEST_ID: secrets.token_hex(8), **dict(self.merged(metadata))}.items())

    def authorized(self, sent: Sent) -> Sent:
        """Adds a token that is valid now, for one try; the call's own authorization wins.

        Raises:
            TypeError: What gives tokens gave no str.
            ValueError: The token cannot be sent.
        """
        if self._token is None or _AUTHORIZATION in dict(sent):
            return sent
        token = self._token() if callable(self._token) else self._token
        if inspect.iscoroutine(token):
            token.close()  # else Python says that it was never awaited
        return (*sent, (_AUTHORIZATION, _bearer(token)))

    async def authorized_async(self, sent: Sent, left_s: float | None = None) -> Sent:
        """Adds a token as `authorized` does, awaited if it is to be, for the seconds that the call has.

        Raises:
            DeadlineExceeded: There is no token by then.
        """
        if self._token is None or _AUTHORIZATION in dict(sent):
            return sent
        token = self._token() if callable(self._token) else self._token
        if inspect.isawaitable(token):
            token = await _in_time(token, left_s)
        return (*sent, (_AUTHORIZATION, _bearer(token)))

    def how(self, sent: Sent, left_s: Callable[[], float | None]) -> dict[str, Any]:
        """Gives what the library is told beside the message of one try, or beside those of a stream.

        Raises:
            DeadlineExceeded: No time is left.
        """
        metadata = self.authorized(sent)  # first, since what gives tokens may take its time
        return {"timeout": some_time(left_s()), "metadata": metadata, "compression": self.compression}

    async def how_async(self, sent: Sent, left_s: Callable[[], float | None]) -> dict[str, Any]:
        """Gives the same, with a token that is awaited if it is to be."""
        metadata = await self.authorized_async(sent, left_s())
        return {"timeout": some_time(left_s()), "metadata": metadata, "compression": self.compression}


async def _in_time(token: Awaitable[str], left_s: float | None) -> str:
    try:
        async with asyncio.timeout(left_s) as limit:
            return await token
    except TimeoutError:
        if not limit.expired():
            raise  # of the caller's own making
        raise _too_late() from None


def some_time(left_s: float | None) -> float | None:
    """Returns the seconds that are left, None for any; gRPC may still send a call that has none.

    Raises:
        DeadlineExceeded: There are none.
    """
    if left_s is not None and left_s <= 0:
        raise _too_late()
    return left_s


def _too_late() -> DeadlineExceeded:
    message = "the time was over before anything was sent; what gives the token, or the ids, takes it"
    return DeadlineExceeded(StatusCode.DEADLINE_EXCEEDED, message)


def _bearer(token: object) -> str:
    """Returns what stands in the metadata; no message shows the token."""
    if not isinstance(token, str):
        also = "; AsyncClient awaits such" if inspect.iscoroutine(token) else ""
        raise TypeError(
            f"expected token as a str, or a function that gives one, got {type(token).__name__}{also}"
        )
    if not token:
        raise ValueError("expected a token, got an empty str")
    return str(arguments.metadata({_AUTHORIZATION: f"Bearer {token}"})[_AUTHORIZATION])


def _compression(given: object) -> grpc.Compression | None:
    if given == "gzip":
        return grpc.Compression.Gzip
    if isinstance(given, grpc.Compression | None):
        return given
    if isinstance(given, str):
        raise ValueError(  # noqa: TRY004 - a str is of the right type
            f'expected compression as "gzip" or None, got {given!r}'
        )
    raise TypeError(f'expected compression as "gzip" or None, got {type(given).__name__}')
