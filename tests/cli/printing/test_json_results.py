"""Values as JSON has them; what each command prints is held by `tests/cli/test_json.py` and its own tests."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from pathlib import Path

import numpy as np
import pytest

from staunch_cli.printing.json_results import plain, print_json


class Colour(Enum):
    RED = "red"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Point:
    x: float
    at: datetime | None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2026, 5, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2026-05-01T00:00:00Z"),
        (Point(1.5, None), {"x": 1.5, "at": None}),
        ((float("nan"), float("inf"), np.float64("nan"), 0.5), [None, None, None, 0.5]),
        ({"a": np.int64(3), 7: np.float64(0.25)}, {"a": 3, "7": 0.25}),
        ([Colour.RED, Path("a/b")], ["red", "a/b"]),
        (frozenset({"one"}), ["one"]),
    ],
)
def test_values_become_what_json_has(value, expected):
    assert plain(value) == expected


def test_a_document_is_one_line(capsys):
    print_json({"text": "two\nlines", "share": float("nan")})
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"text": "two\nlines", "share": None}
