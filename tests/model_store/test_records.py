"""Dataclasses come back from JSON as they were written; what does not fit is named, in few words."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from staunch_model_store import records
from staunch_model_store.errors import ModelRefused


@dataclass(frozen=True)
class Part:
    times: tuple[datetime, ...]
    share: float | None = None


@dataclass(frozen=True)
class Whole:
    name: str
    parts: Mapping[str, Part]


WHOLE = Whole("a", {"b": Part((datetime(2026, 1, 2, 3, 4, tzinfo=UTC),), 0.5), "c": Part(())})


def test_what_was_written_is_read_back() -> None:
    assert records.decode(Whole, records.encode(WHOLE), "whole") == WHOLE


def test_a_field_with_a_default_may_be_absent_and_no_other() -> None:
    assert records.decode(Part, {"times": []}, "part") == Part(())
    with pytest.raises(ModelRefused, match=r"manifest\.json: part: expected the fields"):
        records.decode(Part, {"share": 0.5}, "part")


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


HUGE = [nested(950), "x" * 10**6, {"a" * 10**6: 1}, [1] * 10**6, 10**4000]
FIELDS = ["name", "parts", "parts.b", "parts.b.times", "parts.b.times.0", "parts.b.share"]


@pytest.mark.parametrize("value", HUGE, ids=["nested", "text", "key", "list", "number"])
@pytest.mark.parametrize("field", FIELDS)
def test_whatever_stands_in_a_field_is_told_in_few_words(field: str, value: Any) -> None:
    if (field, value) == ("name", HUGE[1]):
        return  # a long name is a name
    written: Any = records.encode(WHOLE)
    place, *path = written, *field.split(".")
    for step in path[:-1]:
        place = place[step]
    place[int(path[-1]) if isinstance(place, list) else path[-1]] = value
    with pytest.raises(ModelRefused, match="whole") as refused:
        records.decode(Whole, written, "whole")
    assert len(str(refused.value)) < 600
