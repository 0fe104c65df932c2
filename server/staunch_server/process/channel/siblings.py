"""A worker's way to its supervisor, and through it to the other workers of the server."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from itertools import count
from typing import Any, Self

from staunch_server.deadlines import Deadline
from staunch_server.process.channel.lines import SUPERVISOR_FD, Lines
from staunch_server.types import Alias

UNKNOWN = "unknown"
"""What is said in place of the workers that do not follow, if the supervisor does not tell."""

_NOTED_S = 1.0  # how long a worker waits for its supervisor to take down that it reads the store
_SLACK_S = 0.2  # what the supervisor may be late
_TEXT_CHARACTERS = 1000  # of a trouble, of which /healthz is to say what it is

_LOG = logging.getLogger("staunch.worker")


class Siblings:
    """What one worker says to its supervisor and hears from it; alone, without a supervisor, nothing.

    Args:
        end: Of the channel; None if there is no supervisor.

    Attributes:
        on_follow: Has this worker follow an alias that another one moved; returns whether it does.
        on_reload: Has it read the store again.
    """

    def __init__(self, end: socket.socket | None = None) -> None:
        self._lines = None if end is None else Lines(end)
        self._tokens = count(1)
        self._asked: dict[str, asyncio.Future[list[str]]] = {}
        self._noted = asyncio.Event()
        self._answering: set[asyncio.Task[None]] = set()
        self._trouble = ""
        self.on_follow: Callable[[Alias], Awaitable[bool]] | None = None
        self.on_reload: Callable[[], Awaitable[object]] | None = None

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> Self:
        """Takes the end that the supervisor handed over, if there is one.

        Raises:
            OSError: What the variable names is no socket.
        """
        descriptor = environment.get(SUPERVISOR_FD)
        return cls(None if descriptor is None else socket.socket(fileno=int(descriptor)))

    def say(self, *words: object) -> None:
        """Says a line that the supervisor understands; with or without an event loop."""
        if self._lines is not None:
            self._lines.say(*words)

    def trouble(self, text: str) -> None:
        """Says why no version answers, if that has changed."""
        if text != self._trouble:
            self._trouble = text
            self.say("trouble", text[:_TEXT_CHARACTERS])

    async def reading(self) -> None:
        """Says that the store is about to be read, and waits until that has been taken down.

        What is moved later, this worker is asked to follow; what was moved before, it will read.
        """
        if self._lines is None:
            return
        asyncio.get_running_loop().add_reader(self._lines.fileno(), self._listen, self._lines)
        self.say("reading")
        try:
            async with Deadline.after(_NOTED_S).timeout():
                await self._noted.wait()
        except TimeoutError:
            _LOG.warning("the supervisor does not answer; aliases are followed as the store is looked at")

    async def follow(self, alias: Alias, wait_s: float) -> list[str]:
        """Has the other workers follow an alias that this one moved.

        Returns:
            The numbers of those that answer calls and do not follow after `wait_s` seconds.
        """
        if self._lines is None:
            return []
        token = str(next(self._tokens))
        answer = self._asked[token] = asyncio.get_running_loop().create_future()
        self.say("moved", token, round(1000 * wait_s), alias)
        try:
            async with Deadline.after(wait_s + _SLACK_S).timeout():
                late: list[str] = await answer
        except TimeoutError:
            return [UNKNOWN]
        finally:
            del self._asked[token]
        return late

    def reload(self) -> None:
        """Has the other workers read the store again."""
        self.say("reload")

    def _listen(self, lines: Lines) -> None:
        if not lines.hear(self._hear):
            asyncio.get_running_loop().remove_reader(lines.fileno())

    def _hear(self, line: str) -> None:
        kind, *words = line.split()
        if kind == "noted":
            self._noted.set()
        elif kind == "followed":
            token, *late = words
            if (answer := self._asked.get(token)) is not None and not answer.done():
                answer.set_result(late)
        elif kind == "follow":
            number, alias = words
            self._begin(self._follow(number, Alias(*alias.split("@"))))
        elif kind == "reload":
            self._begin(self._reload())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _follow(self, number: str, alias: Alias) -> None:
        follows = False
        try:
            follows = self.on_follow is not None and await self.on_follow(alias)
        except Exception:  # Whatever it is, whoever moved the alias is to hear of it.
            _LOG.exception("%s was moved and is not followed yet", alias)
        self.say("followed", number, "yes" if follows else "no")

    async def _reload(self) -> None:
        try:
            if self.on_reload is not None:
                await self.on_reload()
        except Exception:
            _LOG.exception("the store was not read again")
