"""How versions come from the disk: in threads apart, and proven before they answer."""

import asyncio
import contextlib
import contextvars
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from staunch_model_store.model import LoadedModel
from staunch_model_store.store import ModelStore, StoredVersion
from staunch_server.deadlines import Deadline
from staunch_server.errors import Reason, Refusal, refusal_of
from staunch_server.types import Version

_LOG = logging.getLogger("staunch.models")

Result = TypeVar("Result")

_READ_PATIENCE = 6.0  # a version may be large, and the disk slow


class DiskThreads:
    """Threads for what touches the store: where its disk hangs, nothing waits that computes.

    Each call has a thread of its own, since a call of the store is rare beside what it costs. One that hangs
    keeps its place until the disk is back, and holds up no end of the process.

    Args:
        at_once: Most threads; further calls wait for one to end.
        patience_s: Seconds after which whoever waits hears that the disk hangs.
    """

    def __init__(self, at_once: int = 8, patience_s: float = 10.0) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._patience_s = patience_s

    async def run(self, work: Callable[..., Result], *arguments: object, patience: float = 1.0) -> Result:
        """Calls in a thread what may block, as `asyncio.to_thread` does; a caller may give up waiting.

        Args:
            work: The function.
            arguments: Its arguments.
            patience: How many times as long as usual it may take.

        Raises:
            Refusal: STORE_UNAVAILABLE: it did not end in time, and may end later.
        """
        patience_s = self._patience_s * patience
        hung = Deadline.after(patience_s).timeout()
        try:
            async with hung:
                return await self._run(work, *arguments)
        except TimeoutError as error:
            if not hung.expired():  # the work's own
                raise
            raise store_hangs("the disk did not answer", patience_s) from error

    async def _run(self, work: Callable[..., Result], *arguments: object) -> Result:
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()
        call = partial(contextvars.copy_context().run, work, *arguments)
        thread = threading.Thread(target=self._call, args=(loop, done, call), name="disk", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # there can be no more threads now
            self._places.release()
            raise
        return await done

    def _call(
        self, loop: asyncio.AbstractEventLoop, done: asyncio.Future[Result], call: Callable[[], Result]
    ) -> None:
        """Runs in the thread."""
        try:
            result = call()
        except BaseException as error:
            settle = partial(_fail, done, error)
        else:
            settle = partial(_give, done, result)
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile: nobody waits
            loop.call_soon_threadsafe(self._places.release)
            loop.call_soon_threadsafe(settle)


def store_hangs(what: str, after_s: float) -> Refusal:
    """Returns the refusal of a call that would have to wait for the store any longer."""
    message = f"The store of models does not answer ({what} for {after_s:g} s); try again later."
    return Refusal(Reason.STORE_UNAVAILABLE, message, metadata={"limit_s": f"{after_s:g}"})


def _give(done: asyncio.Future[Result], result: Result) -> None:
    if not done.done():  # or whoever waited has given up
        done.set_result(result)


def _fail(done: asyncio.Future[Result], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)


async def read_and_prove(
    disk: DiskThreads, store: ModelStore, version: Version
) -> tuple[StoredVersion, LoadedModel]:
    """Reads all of a version, and runs its golden rows in a thread that computes.

    What an older release published is accepted with a warning: no digest proves its manifest.

    Raises:
        ModelNotFound: The store holds no such version.
        ModelRefused: It is damaged, foreign, or computes wrong answers.
        Refusal: STORE_UNAVAILABLE.
    """
    stored = await disk.run(store.read, *version, patience=_READ_PATIENCE)
    model = await asyncio.to_thread(LoadedModel.load, stored)
    if not stored.proven:
        _LOG.warning(
            "%s: accepted, though nothing holds the digest of its manifest, as of an older release; "
            "`staunch models verify --write` writes it",
            version,
        )
    return stored, model


def outcome(error: BaseException | None) -> str:
    """Returns how a load ended, for the metric: "ready", or the reason of the table that its error has."""
    if error is None:
        return "ready"
    refusal = refusal_of(error)
    return (Reason.INTERNAL if refusal is None else refusal.reason).name
