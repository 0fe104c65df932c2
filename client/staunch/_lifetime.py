"""From when to when, and where, a client works: until it is closed, in one process, in one event loop."""

import asyncio
import os
from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

import grpc
import grpc.aio

from staunch._errors import ClientClosed, ForkedProcess, WrongEventLoop

CHANNEL_CLOSED = "the channel that this client was given is closed; make both anew"
"""What is said of a channel of the caller's own."""

_TRUE = {"1", "true", "yes"}


def weak_method(method: Callable[[str], Any]) -> Callable[[str], Any]:
    """Returns a method of a client that does not keep the client.

    A client that were in a cycle would be freed by the collector of cycles, at any time and in any process
    forked meanwhile, where freeing a channel of grpc.aio hangs.
    """
    found = WeakMethod(method)

    def call(name: str) -> Any:
        alive = found()
        assert alive is not None, "whoever calls is a method of the client"
        return alive(name)

    return call


class Process:
    """What gRPC has started in this process. Its threads are not there in a process forked from it.

    Tried: after a fork even a new channel hangs for ever, unless gRPC was told of forks by
    GRPC_ENABLE_FORK_SUPPORT=1, which holds for `grpc` and not for `grpc.aio`.
    """

    def __init__(self) -> None:
        self._pid: int | None = None
        self._is_async = False

    def start(self, *, is_async: bool) -> None:
        """Remembers that a channel is made here.

        Raises:
            ForkedProcess: This process was forked from one where gRPC had been started.
        """
        self.check()
        if self._pid is None:
            self._pid = os.getpid()
        self._is_async |= is_async

    def check(self) -> None:
        """Refuses a process forked from one where gRPC had been started, unless gRPC supports that.

        Raises:
            ForkedProcess: It is one.
        """
        if self._pid is None or self._pid == os.getpid() or self._survives_forks():
            return
        raise ForkedProcess(
            f"process {os.getpid()} was forked from {self._pid}, where a client had been connected, and the "
            "threads of gRPC are not here: connect the first client after the fork, or start processes by "
            '"spawn" or "forkserver". GRPC_ENABLE_FORK_SUPPORT=1, set before gRPC is imported, lets a Client '
            "live on, but no AsyncClient"
        )

    def _survives_forks(self) -> bool:
        supported = os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "").lower() in _TRUE
        return supported and not self._is_async


_PROCESS = Process()


class Lifetime:
    """Until when and where one client works; asked before each try of a call.

    Args:
        is_async: Whether the client calls from one event loop, the first that asks.
        channel: Of `grpc.aio`, and the caller's own, who may close it.
    """

    def __init__(
        self, *, is_async: bool, channel: grpc.aio.Channel | None = None, process: Process = _PROCESS
    ) -> None:
        self._is_async = is_async
        self._channel = channel
        self._process = process
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = False
        self.closed = False

    def check(self) -> None:
        """Refuses a client that was closed, and one that cannot work here.

        Raises:
            ClientClosed: The client was closed.
            WrongEventLoop: This is another event loop than the first, or none.
            ForkedProcess: This process was forked from one where gRPC had been started.
        """
        self.check_open()
        if self._started:
            self._process.check()
        else:
            self._process.start(is_async=self._is_async)
            self._started = True
        if self._is_async:
            self._check_loop()

    def check_open(self) -> None:
        """Refuses a client that was closed.

        Raises:
            ClientClosed: It was.
        """
        if self.closed:
            raise ClientClosed

    def check_channel(self, error: Exception) -> None:
        """Tells what gRPC raises of a closed channel from its other errors, which stay the caller's.

        Raises:
            ClientClosed: The client was closed, or the channel that it was given.
        """
        self.check_open()
        text = str(error).lower()
        if "closed" in text and "channel" in text:
            raise ClientClosed(message=CHANNEL_CLOSED) from error

    def check_cancelled(self) -> None:
        """Tells a call that closing the client or its channel took back from one whose task was cancelled.

        Grpc.aio raises CancelledError for all; one that nobody asked for would end the task in silence.

        Raises:
            ClientClosed: The client was closed, or the channel that it was given, and the running task was
                not cancelled.
        """
        task = asyncio.current_task()
        if task is None or task.cancelling():
            return
        self.check_open()
        if self._channel is not None and self._channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN:
            raise ClientClosed(message=CHANNEL_CLOSED)

    def _check_loop(self) -> None:
        running = _running_loop()
        if self._loop is None:
            self._loop = running
        if self._loop is not running:
            raise WrongEventLoop(
                f"this AsyncClient belongs to the event loop that it was first used in, {self._loop!r}, and "
                f"this is {running!r}: make a client in each loop, for example in what asyncio.run runs"
            )


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise WrongEventLoop(
            "an AsyncClient calls from a running event loop of asyncio, and here is none: await it in what "
            "asyncio.run runs, or use Client"
        ) from None
