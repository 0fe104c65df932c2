"""The log of a process: one form for all who log, warn or fail in it; what repeats is counted."""

import asyncio
import contextlib
import gc
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from grpc._cython import cygrpc

from staunch_server.telemetry.logs import log_crash, logs, loop_failed


class Written(io.StringIO):
    """Standard error, read as lines of JSON."""

    def lines(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.getvalue().splitlines()]
        # Another test's calls may have been counted until now.
        return [line for line in lines if line["logger"] != "staunch.calls"]


@contextlib.contextmanager
def logged() -> Iterator[Written]:
    written = Written()
    with contextlib.redirect_stderr(written), logs("json", "INFO"):
        yield written


def test_the_same_line_is_written_once_and_then_counted_to_the_end() -> None:
    with logged() as written:
        for _ in range(71):
            logging.getLogger("other").warning("the disk is %s", "full")
        logging.getLogger("other").warning("the disk is %s", "empty")
    assert [line["message"] for line in written.lines()] == [
        "the disk is full",
        "the disk is empty",
        "the disk is full (and 69 more)",
    ]
    assert [line.get("repeated") for line in written.lines()] == [None, None, 69]


def test_lines_that_each_have_to_be_there_are_never_counted() -> None:
    with logged() as written:
        for _ in range(5):
            logging.getLogger("staunch.access").info("Predict OK", extra={"counted": True})
    assert len(written.lines()) == 5


def test_warnings_threads_loops_and_finalizers_are_lines_of_the_log_without_words_of_theirs() -> None:
    class Fragile:
        def __del__(self) -> None:
            raise ValueError("value 42")

    def fail() -> None:
        raise KeyError("customer 42")

    class Waiting:
        def __repr__(self) -> str:
            return "Waiting(42)"

    async def forget() -> None:
        asyncio.get_running_loop().set_exception_handler(loop_failed)
        asyncio.get_running_loop().call_soon(lambda _: fail(), Waiting())
        task = asyncio.get_running_loop().create_task(asyncio.to_thread(fail))
        await asyncio.wait([task])
        del task
        gc.collect()

    with logged() as written:
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        asyncio.run(forget())
        Fragile()
        gc.collect()
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("odd", UserWarning, stacklevel=1)
        sys.excepthook(KeyError, KeyError("customer 42"), None)
        log_crash(KeyError("customer 42"))
    said = written.lines()
    assert [line["logger"] for line in said] == [
        "staunch",
        *["asyncio"] * 2,
        "staunch",
        "py.warnings",
        *["staunch"] * 2,
    ]
    assert "42" not in "".join(json.dumps({**line, "time": ""}) for line in said if "exception" not in line)
    assert "42" not in "".join(line["message"] for line in said)
    assert all("customer" not in line["exception"] for line in said if "exception" in line)
    assert [line["level"] for line in said[-2:]] == ["CRITICAL"] * 2


def test_an_answer_for_a_caller_who_has_gone_is_no_line() -> None:
    """The library logs each with a traceback, and what nobody awaits reaches the event loop's handler."""
    error = cygrpc.ExecuteBatchError("Failed grpc_call_start_batch")
    loop = asyncio.new_event_loop()
    with contextlib.closing(loop), logged() as written:
        library = logging.getLogger("grpc._cython.cygrpc")
        library.error(
            "%s raised in core by servicer method [%s]", "ExecuteBatchError", "/a/B", exc_info=error
        )
        loop_failed(loop, {"message": "Task exception was never retrieved", "exception": error})
        library.error("something else", exc_info=RuntimeError())
    assert [line["message"] for line in written.lines()] == ["something else"]


def test_afterwards_everything_is_as_it_was() -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level, sys.excepthook, threading.excepthook, sys.unraisablehook
    with contextlib.suppress(ValueError), logged():
        raise ValueError
    assert before == (root.handlers[:], root.level, sys.excepthook, threading.excepthook, sys.unraisablehook)


@pytest.mark.parametrize("level", ["INFO", "WARNING"])
def test_what_is_below_the_level_is_not_written(level: str) -> None:
    written = Written()
    with contextlib.redirect_stderr(written), logs("json", level):
        logging.getLogger("staunch.x").info("small")
        logging.getLogger("staunch.x").debug("smaller")
    assert len(written.lines()) == (level == "INFO")


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
def test_a_library_is_heard_from_warnings_on_unless_everything_is_asked_for(level: str) -> None:
    written = Written()
    of_ours = logging.getLogger("staunch").level
    with contextlib.redirect_stderr(written), logs("json", level):
        for name in ("INFO", "WARNING", "ERROR"):
            logging.getLogger("matplotlib.font_manager").log(logging.getLevelNamesMapping()[name], "fonts")
    heard = {"DEBUG": ["INFO", "WARNING", "ERROR"], "ERROR": ["ERROR"]}.get(level, ["WARNING", "ERROR"])
    assert [line["level"] for line in written.lines()] == heard
    assert logging.getLogger("staunch").level == of_ours


def test_what_cannot_be_written_fails_nobody() -> None:
    written = Written()
    with contextlib.redirect_stderr(written), logs("text", "INFO"):
        written.close()
        logging.getLogger("staunch.x").info("nowhere")


def test_what_has_no_words_is_logged_without_them_and_fails_nobody() -> None:
    class Wordless:
        def __str__(self) -> str:
            raise AttributeError("42")

    with logged() as written:
        logging.getLogger("staunch.x").error("of %s", Wordless())
        logging.getLogger("staunch.x").error(Wordless())
    assert [line["message"] for line in written.lines()] == ["of %s", "Wordless"]
