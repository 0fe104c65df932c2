"""The one door for what a server has to say: printing that neither raises nor keeps anyone waiting.

Whoever reads our output may leave (EPIPE), their terminal may close (EIO), their disk may be full (ENOSPC);
or they stay and read no more, so that a write would wait for ever. None of it may decide what a server does.
"""

import contextlib
import io
import logging
import os
import queue
import select
import sys
import threading
from collections.abc import Iterator
from typing import TextIO

from staunch_server.telemetry.lines import escaped

FLUSH_S = 0.2
"""How long whoever prints waits for a reader that is slow; one that has stalled is not waited for again."""

CLOSE_S = 1.0
"""How long the end of the output waits for a reader that is slow."""

_MOST_WAITING = 1000  # pieces of text; those beyond are lost, as is what a full disk does not take

_LOG = logging.getLogger("staunch")


class Output(io.TextIOBase):
    """Writes text to a descriptor on a thread of its own; what cannot be written is lost.

    Args:
        descriptor: Where to write; not closed at the end.
        encoding: Of the text.
    """

    def __init__(self, descriptor: int, encoding: str = "utf-8") -> None:
        self._descriptor = descriptor
        self._encoding = encoding
        # Of the queues the one that can be put to while it is put to: a finalizer may print at any moment.
        self._waiting: queue.SimpleQueue[bytes | threading.Event] = queue.SimpleQueue()
        self._flushed = threading.Event()
        self._flushed.set()
        threading.Thread(target=self._write_all, name="output", daemon=True).start()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the base has an attribute
        """The encoding of the text."""
        return self._encoding

    def fileno(self) -> int:
        """Returns the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Returns whether a terminal shows the text."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Returns True."""
        return True

    def write(self, text: str) -> int:
        """Hands text over to be written; it is lost if too much waits already."""
        self._put(text.encode(self._encoding, "backslashreplace"))
        return len(text)

    def flush(self, patience_s: float = FLUSH_S) -> None:
        """Waits a moment until all is written; not at all while a reader has stalled since the last time."""
        if not self._flushed.is_set():
            return
        flushed = threading.Event()
        if self._put(flushed):
            self._flushed = flushed
            flushed.wait(patience_s)

    def _put(self, piece: bytes | threading.Event) -> bool:
        if self._waiting.qsize() >= _MOST_WAITING:
            return False
        self._waiting.put(piece)
        return True

    def _write_all(self) -> None:
        while True:
            piece = self._waiting.get()
            if isinstance(piece, threading.Event):
                piece.set()
            else:
                self._write_piece(piece)

    def _write_piece(self, piece: bytes) -> None:
        with contextlib.suppress(OSError):
            while piece:
                try:
                    piece = piece[os.write(self._descriptor, piece) :]
                except BlockingIOError:  # somebody who shares the descriptor made it so
                    select.select([], [self._descriptor], [])


@contextlib.contextmanager
def unfailing_output() -> Iterator[None]:
    """Sends all that is printed during the block, and all tracebacks, through outputs that never fail."""
    outputs = [output for stream in (sys.stdout, sys.stderr) if (output := _output_for(stream))]
    if len(outputs) < 2:  # a test reads what is printed
        yield
        return
    with contextlib.redirect_stdout(outputs[0]), contextlib.redirect_stderr(outputs[1]):
        try:
            yield
        finally:
            for output in outputs:
                output.flush(CLOSE_S)


def say_failure(error: Exception, words: str, log_format: str) -> None:
    """Says in one line what ends this process.

    Args:
        error: What ends it.
        words: What a person needs to know of it.
        log_format: "json" for a line of the log, which has what a log may have of the error.
    """
    if log_format == "json":
        _LOG.error("%s", getattr(error, "for_log", words))
        return
    with contextlib.suppress(OSError):
        # A server's message quotes what it found in a table, which no terminal shall obey.
        print("\n".join(map(escaped, f"staunch: {words}".split("\n"))), file=sys.stderr)


def hold_standard_streams() -> None:
    """Opens the null device for each standard stream that is closed.

    Else a socket or file of ours would get its number, and whatever prints there would write into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number is this one
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


def let_go_of(stream: TextIO) -> None:
    """Has a stream whose reader has left lead nowhere, so that what it still holds raises no more."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _output_for(stream: TextIO) -> Output | None:
    try:
        stream.flush()
    except (OSError, ValueError):
        let_go_of(stream)
    try:
        return Output(stream.fileno(), stream.encoding)
    except (OSError, ValueError):  # it has no descriptor
        return None
