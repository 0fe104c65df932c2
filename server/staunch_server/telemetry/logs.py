"""The log of one process, from its first line to its last: one form for all who log, warn or fail in it."""

import asyncio
import copy
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from staunch_server.telemetry.lines import JsonLines, TextLines, message_of
from staunch_server.telemetry.repeats import Repeats, flush_repeats

_LOG = logging.getLogger("staunch")

FORMATTERS: Mapping[str, Callable[[], logging.Formatter]] = {"json": JsonLines, "text": TextLines}
"""What writes the lines of each format."""

_NOBODY_THERE = "ExecuteBatchError"  # of grpc.aio, by name: the supervisor, which logs too, imports no gRPC


class LogHandler(logging.Handler):
    """Writes each record as a line, in one piece; of those that say the same again only their number.

    A record with the attribute `counted` has been counted by whoever made it, or must not be.

    Args:
        stream: Where to; its `write` takes a whole line.
        formatter: What a line looks like.
    """

    def __init__(self, stream: TextIO, formatter: logging.Formatter) -> None:
        super().__init__()
        self._stream = stream
        self.setFormatter(formatter)
        self._repeats = Repeats(self._write)

    def filter(self, record: logging.LogRecord) -> bool:
        """Takes every record but those of an answer for which the caller was no longer there.

        grpc.aio tells of each with a traceback, 27 in a minute of overload: the call itself is counted and
        logged as any, and that callers give up is theirs to say.
        """
        kind = record.exc_info and record.exc_info[0]
        return not (kind and kind.__name__ == _NOBODY_THERE) and bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        """Writes or counts a record; what cannot be written is lost, and nobody fails for it."""
        if getattr(record, "counted", False):
            self._write(record, 0)
            return
        key = (record.name, record.levelno, message_of(record), record.exc_info and record.exc_info[0])
        count = self._repeats.take(key, record)
        if count is not None:
            self._write(record, count)

    def _write(self, record: logging.LogRecord, count: int) -> None:
        try:
            self._stream.write(self.format(_with_count(record, count)) + "\n")
        except Exception:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Does nothing: the library would print a traceback, with what was to be logged."""


@contextmanager
def logs(log_format: str, level: str) -> Iterator[None]:
    """Has all that is logged, warned of or raised and not caught become lines on standard error.

    At the end of the block what was counted is written, and everything is as it was before.

    Args:
        log_format: "json" or "text".
        level: The least that is logged, by its name; of libraries WARNING at least, unless it is DEBUG.
    """
    root, ours = logging.getLogger(), logging.getLogger("staunch")
    level_of_ours = ours.level
    before = root.handlers[:], root.level, sys.excepthook, threading.excepthook, sys.unraisablehook
    root.handlers[:] = [LogHandler(sys.stderr, FORMATTERS[log_format]())]
    ours.setLevel(level)
    # A library that tells INFO what it caches tells it to people who never heard of it.
    root.setLevel(level if level in ("DEBUG", "ERROR") else "WARNING")
    logging.captureWarnings(True)
    sys.excepthook, threading.excepthook, sys.unraisablehook = _uncaught, _uncaught_in_thread, _unraisable
    try:
        yield
    finally:
        flush_repeats()
        logging.captureWarnings(False)
        root.handlers[:], sys.excepthook, threading.excepthook = before[0], before[2], before[3]
        sys.unraisablehook = before[4]
        root.setLevel(before[1])
        ours.setLevel(level_of_ours)


def log_crash(error: BaseException) -> None:
    """Logs the error that ends this process, and that nobody foresaw."""
    _LOG.critical("ended by an error that nobody foresaw", exc_info=error)


def loop_failed(_loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """Logs what an event loop cannot tell anybody; its own handler writes down reprs, values in them."""
    # Of a callback the message has the arguments, a waiting call among them; the exception says where it was.
    callback = "an exception in a callback" if "handle" in context else ""
    message = callback or str(context.get("message") or "an error in the event loop")
    logging.getLogger("asyncio").error(message, exc_info=context.get("exception"))


def _uncaught(kind: type[BaseException], error: BaseException, _traceback: Any) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        log_crash(error)


def _uncaught_in_thread(event: threading.ExceptHookArgs) -> None:
    if event.exc_value is not None and not issubclass(event.exc_type, SystemExit):
        _LOG.error("a thread ended by an error that nobody foresaw", exc_info=event.exc_value)


def _unraisable(event: "sys.UnraisableHookArgs") -> None:
    _LOG.error("an error where none can be raised", exc_info=event.exc_value)


def _with_count(record: logging.LogRecord, count: int) -> logging.LogRecord:
    if not count:
        return record
    counted = copy.copy(record)
    counted.msg, counted.args = f"{message_of(record)} (and {count} more)", ()
    counted.__dict__["fields"] = {**getattr(record, "fields", {}), "repeated": count}
    return counted
