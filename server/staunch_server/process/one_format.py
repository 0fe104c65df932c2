"""One format for all that a server prints: its own lines, what libraries write, and what the system says.

With `STAUNCH_LOG_FORMAT=json` the process that was started first reads what it prints itself, and what those
that it starts inherit: a line that is no JSON object of ours becomes the message of one.
"""

import contextlib
import json
import os
import re
import selectors
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NoReturn

from staunch_server.process.output import CLOSE_S, Output, unfailing_output
from staunch_server.setting_names import is_supervised
from staunch_server.telemetry.lines import json_line, timestamp
from staunch_server.telemetry.logs import log_crash, logs

_STDOUT, _STDERR = 1, 2
_CHUNK_BYTES = 65_536
_LONGEST_LINE_BYTES = 65_536  # of what never ends a line

_OURS = '{"time": "'
_PRINTED = "staunch.output"

# How the C++ below us marks a line, absl's way or onnxruntime's, if it does.
_MARK = re.compile(r"([IWEF])\d{4} |.*?\[([VIWEF]):onnxruntime")
_LEVELS = {"V": "DEBUG", "I": "INFO", "W": "WARNING", "E": "ERROR", "F": "CRITICAL"}


@contextlib.contextmanager
def outputs(log_format: str) -> Iterator[None]:
    """Sends what is printed during the block through outputs that never fail, all of it in one format.

    Args:
        log_format: "json" or "text"; of a process that is supervised its supervisor makes JSON.
    """
    makes_json = log_format == "json" and not is_supervised(os.environ)
    with (
        _Funnel().open() if makes_json else contextlib.nullcontext(),
        unfailing_output(),
        _crashes_logged(log_format),
    ):
        yield


@contextlib.contextmanager
def _crashes_logged(log_format: str) -> Iterator[None]:
    """Logs an error that nobody foresaw and ends the process; Python's traceback would have its words."""
    with logs(log_format, "WARNING"):  # until who knows the settings says another level
        try:
            yield
        except Exception as error:
            log_crash(error)
            raise SystemExit(1) from None


class _Funnel:
    """Takes the place of both standard outputs, and passes lines of JSON on to where they led."""

    def __init__(self) -> None:
        self._outputs: dict[int, Output] = {}
        self._sources = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._pass_on, name="lines", daemon=True)

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Does it for the block; afterwards both lead where they did, and all that was printed is there."""
        for descriptor in (_STDOUT, _STDERR):
            self._take(descriptor)
        self._thread.start()
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            for descriptor, output in self._outputs.items():
                os.dup2(output.fileno(), descriptor)  # which closes our end of the pipe
            self._thread.join(CLOSE_S)
            for output in self._outputs.values():
                output.flush(CLOSE_S)

    def _take(self, descriptor: int) -> None:
        reading, writing = os.pipe()
        self._outputs[descriptor] = Output(os.dup(descriptor))
        os.dup2(writing, descriptor)
        os.close(writing)
        self._sources.register(reading, selectors.EVENT_READ, _Lines(descriptor, self._outputs[descriptor]))

    def _pass_on(self) -> None:
        """Reads until nobody is left who could write."""
        while self._sources.get_map():
            for key, _ in self._sources.select():
                lines: _Lines = key.data
                if chunk := os.read(key.fd, _CHUNK_BYTES):
                    lines.take(chunk)
                else:
                    lines.end()
                    self._sources.unregister(key.fd)
                    os.close(key.fd)


class _Lines:
    """Cuts into lines what comes from one descriptor, and writes each as JSON.

    Args:
        descriptor: Of those who print: 1 or 2.
        output: Where the lines go.
    """

    def __init__(self, descriptor: int, output: Output) -> None:
        self._descriptor = descriptor
        self._output = output
        self._rest = b""

    def take(self, chunk: bytes) -> None:
        """Takes what was printed, wherever it was cut."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _LONGEST_LINE_BYTES:
            whole, self._rest = [*whole, self._rest], b""
        if text := "".join(line + "\n" for raw in whole for line in self._written(raw)):
            self._output.write(text)

    def end(self) -> None:
        """Writes what nobody will end any more."""
        if self._rest:
            self.take(b"\n")

    def _written(self, raw: bytes) -> Iterator[str]:
        # What ends without a line's end stands before a line of ours, or of another process.
        text = raw.decode("utf-8", "backslashreplace")
        before, ours, after = text.partition(_OURS)
        line = ours + after if _is_object(ours + after) else ""
        if words := (before if line else text).strip():
            yield self._wrapped(words)
        if line:
            yield line

    def _wrapped(self, text: str) -> str:
        level = "INFO" if self._descriptor == _STDOUT else "WARNING"
        if mark := _MARK.match(text):
            level = _LEVELS[mark[1] or mark[2]]
        message = " ".join(text.split())
        return json_line(
            {"time": timestamp(datetime.now(UTC)), "level": level, "logger": _PRINTED, "message": message}
        )


def _is_object(line: str) -> bool:
    """Whether it is one for every reader of JSON, which neither knows NaN nor follows thousand brackets."""
    try:
        parsed: Any = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return isinstance(parsed, dict)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
