"""What a line of the log looks like, whatever somebody put into it."""

import json
import logging
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch_features.errors import DatabaseUnavailable
from staunch_server.telemetry.lines import FIELDS, LONGEST_BYTES, JsonLines, TextLines, traceback_text

FORGED = "\n2026-01-01T00:00:00.000Z CRITICAL staunch: forged\r\x1b[31mred\x00\u2028\u202e"


def record(message: object, *arguments: object, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord(
        "staunch.calls", logging.WARNING, "", 0, message, arguments, more.pop("error", None)
    )
    made.__dict__.update(more)
    return made


def raised(error: BaseException) -> Any:
    try:
        raise error
    except type(error):
        return sys.exc_info()


def parsed(*words: Any, **more: Any) -> dict[str, Any]:
    line = JsonLines().format(record(*words, **more))
    assert line.isascii()
    assert line.isprintable()
    found = json.loads(line)
    assert isinstance(found, dict)
    assert found.keys() <= FIELDS.keys()
    return found


def test_a_line_says_when_how_bad_who_and_what() -> None:
    line = parsed("%d left", 3)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {"level": "WARNING", "logger": "staunch.calls", "message": "3 left"}


def test_the_fields_of_a_call_stand_beside_its_message() -> None:
    fields = {"method": "/M", "request_id": "r 1", "ms": {"total": 3.5, "sql": 2.0}}
    assert parsed("no", fields=fields).items() >= fields.items()
    text = TextLines().format(record("no", fields=fields))
    assert text.endswith('Z WARNING staunch.calls: no method=/M request_id="r 1" total_ms=3.5 sql_ms=2.0')


def test_who_speaks_is_named_by_the_number_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAUNCH_WORKER", "3")
    assert parsed("here")["worker"] == 3


@given(st.text(), st.text())
def test_nothing_that_is_logged_begins_another_line_or_moves_the_cursor(message: str, value: str) -> None:
    fields = {"request_id": value + FORGED}
    assert parsed("%s", message + FORGED, fields=fields)["message"].startswith(message[:10])
    text = TextLines().format(record("%s", message + FORGED, fields=fields))
    assert len(text.splitlines()) == 1
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202e]", text)


def test_a_traceback_is_set_in_so_that_none_of_its_lines_passes_for_one_of_the_log() -> None:
    text = TextLines().format(record("incident", error=raised(DatabaseUnavailable(f"gone{FORGED}"))))
    first, *more = text.splitlines()
    assert first.endswith("incident")
    assert more
    assert all(line.startswith("    ") for line in more)
    assert "\x1b" not in text


def test_the_words_of_an_exception_stay_out_unless_its_class_answers_for_them() -> None:
    def nested() -> None:
        try:
            raise KeyError("customer 42")
        except KeyError as error:
            raise ExceptionGroup(
                "of 42", [ValueError("value 42"), FileNotFoundError(2, "none", "a.txt")]
            ) from error

    try:
        nested()
    except ExceptionGroup as error:
        text = traceback_text(error)
        line = parsed("failed: %s", error, error=sys.exc_info())
    assert "42" not in text
    assert "a.txt" in text
    assert text.index("KeyError") < text.index("ExceptionGroup") < text.index("ValueError")
    assert f"{__file__}:" in text
    assert (line["message"], line["exception"]) == ("failed: ExceptionGroup", text)


def test_an_exception_that_is_itself_the_message_is_treated_so_too() -> None:
    assert parsed(KeyError("customer 42"))["message"] == "KeyError"


def test_a_mistake_in_the_call_of_the_log_loses_no_line() -> None:
    assert parsed("%d of %d", "x")["message"] == "%d of %d"


@given(st.sampled_from(["x", "é", "\U0001f600", "\x00"]), st.integers(0, 20_000))
def test_no_line_of_json_is_longer_than_what_a_pipe_takes_in_one_piece(letter: str, count: int) -> None:
    long = letter * count
    fields = dict.fromkeys(("method", "request_id", "trace_id", "model"), long)
    line = JsonLines().format(record("%s", long, fields=fields, error=raised(DatabaseUnavailable(long))))
    assert len(line) + 1 <= LONGEST_BYTES
    assert json.loads(line)["level"] == "WARNING"


OPERATIONS = (Path(__file__).parents[3] / "docs/operations.md").read_text()


def test_the_page_of_operations_has_every_field_as_the_code_has_it() -> None:
    rows = "".join(f"| `{name}` | {meaning} |\n" for name, meaning in FIELDS.items())
    assert f"holds them against the code -->\n| field | what it is |\n| --- | --- |\n{rows}\n" in OPERATIONS


def test_the_fields_that_the_pages_pipelines_ask_for_are_there() -> None:
    (pipelines,) = re.findall(r"```sh\n(jq .*?)```", OPERATIONS, re.DOTALL)
    asked = re.findall(r"(?<=[ (\[])\.([a-z_]+)", pipelines)
    assert asked
    assert set(asked) <= FIELDS.keys()
    assert set(re.findall(r"\.ms\.([a-z]+)", pipelines)) <= set(re.findall("`([a-z]+)`", FIELDS["ms"]))
