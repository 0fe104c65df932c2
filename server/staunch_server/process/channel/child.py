"""One worker as its supervisor knows it: a process, what it says, and what it is told."""

import asyncio
import contextlib
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from typing import TypeAlias

from staunch_server.process.channel.lines import SUPERVISOR_FD, Lines

_LAST_WORDS_S = 1.0  # how long what a worker said before its end may take to arrive


class CannotStart(Exception):
    """There is no process for a worker; the message says why not."""


class Child:
    """One worker, through all its lives.

    Args:
        number: Its place among the workers, from 0; kept when its process dies and is started again.
        on_words: Takes the worker and what it says to its siblings: `moved`, `followed` or `reload`.

    Attributes:
        process: The present one, or the last.
        reads: Whether it has begun to read the store: from then on it is told of what is moved.
        ready: Set while it answers.
        has_answered: Whether it ever did, in this life or one before.
        serves: The versions that it served when it began to, and their aliases, with commas between.
        trouble: Why no version answers, in its own words; empty while one does.
        error: What it said it cannot get over; empty if nothing.
    """

    def __init__(self, number: int, on_words: "OnWords") -> None:
        self.number = number
        self._on_words = on_words
        self.process: asyncio.subprocess.Process | None = None
        self.reads = False
        self.ready = asyncio.Event()
        self.has_answered = False
        self.serves: dict[str, str] = {}
        self.trouble = ""
        self.error = ""
        self._end_signal: signal.Signals | None = None
        self._lines: Lines | None = None

    async def run(self, environment: dict[str, str]) -> int:
        """Starts the process, waits for its end and returns its exit code; `ready` is set in between.

        Raises:
            CannotStart: The process cannot be started.
            Exception: It has ended, and what it said cannot be understood.
        """
        self.trouble = self.error = ""
        try:
            self.process, end = await self._start(environment)
        except Exception as error:
            raise CannotStart(error) from error
        self._lines = Lines(end)
        if self._end_signal is not None:  # while it was being started
            self._signal(self._end_signal)
        listening = asyncio.create_task(self._listen(self._lines))
        try:
            code = await self.process.wait()
            heard, _ = await asyncio.wait([listening], timeout=_LAST_WORDS_S)
            for each in heard:
                each.result()
            return code
        finally:
            self.ready.clear()
            self.reads = False
            listening.cancel()
            await asyncio.wait([listening])
            self._lines.close()
            self._lines = None

    @staticmethod
    async def _start(environment: dict[str, str]) -> tuple[asyncio.subprocess.Process, socket.socket]:
        """Starts the process; returns it and our end of the channel to it."""
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                *bound_to_us(signal.SIGTERM),
                sys.executable,
                "-m",
                "staunch_server.process.worker",
                env=environment | {SUPERVISOR_FD: str(theirs.fileno())},
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()  # it is the worker's alone, so that its death ends the channel
        return process, ours

    async def _listen(self, lines: Lines) -> None:
        """Hears what a worker says until it ends; `channel` lists the words."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def read() -> None:
            try:
                goes_on = lines.hear(self._hear)
            except Exception as error:
                loop.remove_reader(lines.fileno())
                ended.set_exception(error)
            else:
                if not goes_on:
                    loop.remove_reader(lines.fileno())
                    ended.set_result(None)

        loop.add_reader(lines.fileno(), read)
        try:
            await ended
        finally:
            loop.remove_reader(lines.fileno())

    def _hear(self, line: str) -> None:
        kind, _, text = line.partition(" ")
        if kind == "trouble":
            self.trouble = text
        elif kind == "error":
            self.error = text
        elif kind == "ready":
            pairs = (word.partition("=") for word in text.split())
            self.serves = {name: aliases for name, _, aliases in pairs}
            self.ready.set()
            self.has_answered = True
        elif kind == "reading":
            self.reads = True
            self.say("noted")
        else:
            self._on_words(self, kind, text.split())

    def say(self, *words: object) -> None:
        """Says a line to the process, if there is one."""
        if self._lines is not None:
            self._lines.say(*words)

    def end(self, number: signal.Signals) -> None:
        """Ends the process by a signal; one that is just being started gets it then."""
        self._end_signal = number
        self._signal(number)

    def dump(self) -> None:
        """Has the process tell its stacks, once it reads the store: early, SIGUSR1 would end it."""
        if self.reads:
            self._signal(signal.SIGUSR1)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)


OnWords: TypeAlias = Callable[[Child, str, list[str]], None]


def bound_to_us(number: signal.Signals) -> tuple[str, ...]:
    """The words before a command that make the kernel signal it when we die, where util-linux is there."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", number.name.removeprefix("SIG"), "--") if setpriv else ()
