"""What a line of the log looks like, as JSON for programs and as text for people.

Callers' words reach a line only through here, where nothing of theirs can begin another or colour a terminal;
and of exceptions it has what `log_text` lets through, wherever they were handed to the log.
"""

import json
import logging
import os
import re
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from staunch_features.errors import CONTROL, log_text

FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "time": "When, in UTC, to the millisecond (RFC 3339).",
        "level": "DEBUG, INFO, WARNING, ERROR or CRITICAL.",
        "logger": "Which part speaks: `staunch.access` has a line a call if that is asked for, "
        "`staunch.calls` what is told of calls else, `staunch.models` the versions, `staunch.supervisor` "
        "the workers; `staunch.output` is what something printed that is no log.",
        "message": "What happened, in words.",
        "worker": "The number of the worker that speaks; absent in the supervisor.",
        "method": "The full name of the RPC, as in the metrics.",
        "code": "The status code that the call ended with, or the code of a chunk's error.",
        "reason": "The ErrorInfo reason; absent if there was an answer.",
        "request_id": "The caller's `x-request-id`, or the one that the server made and sent back.",
        "trace_id": "Of the caller's `traceparent`, if it sent one that is valid.",
        "model": "The version that answered or was to, such as `churn@3`.",
        "ms": "Milliseconds: `total`, and as far as the call came `queue` (waiting for the batch before it), "
        "`sql`, `onnx`, `explain` and `why` (the second look at who is refused). Those of a joined batch are "
        "the whole batch's; those of a stream are summed over its chunks, which overlap.",
        "incident_id": "Of an INTERNAL error: what the caller was told, and nothing else.",
        "repeated": "How many more calls or events this line stands for: they were counted, and have none.",
        "exception": "The kinds of the exceptions and where they were raised, the innermost last.",
    }
)
"""Every field that a line can have, and what it means; docs/operations.md has them."""

LONGEST_BYTES = 4096
"""The longest line of JSON: what is written to a pipe in one piece stays in one piece up to that size."""

_TEXT_CHARACTERS = 2000  # of a message or an exception, at first
_FIELD_CHARACTERS = 256
_MOST_FRAMES = 12
_PLAIN = re.compile(r"[\w.:/@+,-]+", re.ASCII)


class JsonLines(logging.Formatter):
    """Writes a record as one JSON object on one line of ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, without its end."""
        return json_line(fields_of(record))


class TextLines(logging.Formatter):
    """Writes a record as a line of text; the lines of an exception follow, set in."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, without its end."""
        fields = fields_of(record)
        when, level, logger = (fields.pop(name) for name in ("time", "level", "logger"))
        message = escaped(str(fields.pop("message")))
        exception = str(fields.pop("exception", ""))
        more = "".join(f" {name}={_shown(value)}" for name, value in _flat(fields))
        indented = "".join(f"\n    {escaped(line)}" for line in exception.splitlines())
        return f"{when} {level} {logger}: {message}{more}{indented}"


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Returns the fields of a record, in the order in which they are written."""
    fields: dict[str, Any] = {
        "time": timestamp(datetime.fromtimestamp(record.created, UTC)),
        "level": record.levelname,
        "logger": record.name,
        "message": _cut(message_of(record), _TEXT_CHARACTERS),
    }
    if worker := os.environ.get("STAUNCH_WORKER"):
        fields["worker"] = int(worker)
    for name, value in getattr(record, "fields", {}).items():
        fields[name] = _cut(value, _FIELD_CHARACTERS) if isinstance(value, str) else value
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        fields["exception"] = _cut(traceback_text(error), _TEXT_CHARACTERS)
    return fields


def timestamp(moment: datetime) -> str:
    """Returns a moment in UTC as RFC 3339 has it, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def message_of(record: logging.LogRecord) -> str:
    """Returns a record's message; of an exception in it, what `log_text` lets through."""
    message = record.msg
    try:
        text = log_text(message) if isinstance(message, BaseException) else str(message)
    except Exception:
        text = type(message).__name__
    arguments = record.args
    if not arguments:
        return text
    try:
        if isinstance(arguments, tuple):
            arguments = tuple(log_text(one) if isinstance(one, BaseException) else one for one in arguments)
        return text % arguments
    except Exception:  # a mistake in the call of the log, or of what it was given, is no reason to lose it
        return text


def json_line(fields: Mapping[str, Any]) -> str:
    """Returns fields as a JSON object on one line of ASCII, of at most LONGEST_BYTES with its end."""
    line, limit = json.dumps(fields), _TEXT_CHARACTERS
    while len(line) >= LONGEST_BYTES and limit > 1:
        limit //= 2
        line = json.dumps({name: _cut(v, limit) if isinstance(v, str) else v for name, v in fields.items()})
    return line


def escaped(text: str) -> str:
    """Returns text with what would end a line, move the cursor or turn the writing made visible."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def traceback_text(error: BaseException, depth: int = 3) -> str:
    """Returns where exceptions were raised and of which kind they are, the innermost last.

    Python's own tracebacks end with the words of the exception, which nobody has looked at: see `log_text`.

    Args:
        error: The last of them; its causes come before it.
        depth: How many levels of groups are shown.
    """
    return "\nwhich led to\n".join(reversed([_one(each, depth) for each in _causes(error)]))


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _one(error: BaseException, depth: int) -> str:
    frames = [
        f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    kind, words = type(error).__name__, log_text(error)
    lines = [*frames[-_MOST_FRAMES:], kind if words == kind else f"{kind}: {words}"]
    if isinstance(error, BaseExceptionGroup) and depth:
        lines += [traceback_text(each, depth - 1) for each in error.exceptions[:3]]
    return "\n".join(lines)


def _cut(text: str, characters: int) -> str:
    """Text of at most so many characters: both ends of what is longer."""
    if len(text) <= characters:
        return text
    half = characters // 2
    return f"{text[:half]} … {text[len(text) - half :]}"


def _flat(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from ((f"{inner}_{name}", each) for inner, each in value.items())
        else:
            yield name, value


def _shown(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
