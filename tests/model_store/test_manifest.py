"""A manifest is read back as it was written, and nothing else passes for one."""

import json
import math
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.model_store.model_examples import a_manifest, booster, forest

from staunch_model_store.errors import ModelRefused
from staunch_model_store.manifest import MAX_GOLDEN_TOLERANCE, FileEntry, LearnedValues, Manifest, Thresholds

FILES = {
    name: FileEntry(sha256=f"{number}" * 64, size_bytes=number)
    for number, name in enumerate(("features.sql", "golden.npz", "model.onnx"))
}
WRITTEN = a_manifest(booster(), files=FILES)


def edited(path: str, value: Any) -> bytes:
    """The manifest with one field, named like "training.seed", set or (None of Ellipsis) removed."""
    content = json.loads(WRITTEN.dump())
    place, *names = content, *path.split(".")
    for name in names[:-1]:
        place = place[name]
    if value is ...:
        del place[names[-1]]
    else:
        place[names[-1]] = value
    return json.dumps(content).encode()


def test_a_manifest_is_read_back_as_it_was_written() -> None:
    assert Manifest.parse(WRITTEN.dump()) == WRITTEN


def test_a_manifest_without_thresholds_and_calibration_is_read_back_too() -> None:
    plain = a_manifest(forest(), files=FILES, thresholds=None)
    assert Manifest.parse(plain.dump()) == plain


def test_a_manifest_that_was_written_before_it_named_the_key_is_read() -> None:
    assert Manifest.parse(edited("id_column", ...)).id_column == ""
    told = replace(WRITTEN, id_column="member_id")
    assert Manifest.parse(told.dump()) == told


def test_a_manifest_that_was_written_before_it_told_what_was_learned_is_read() -> None:
    content = json.loads(WRITTEN.dump())
    for feature in content["features"]:
        del feature["learned"]
    assert Manifest.parse(json.dumps(content).encode()) == WRITTEN


def test_what_was_learned_is_read_back() -> None:
    learned = LearnedValues(minimum=-0.1, maximum=13.0, null=True, values=(1.0, 13.0))
    told = replace(WRITTEN, features=(replace(WRITTEN.features[0], learned=learned), *WRITTEN.features[1:]))
    assert Manifest.parse(told.dump()).features[0].learned == learned
    nothing = LearnedValues(minimum=None, maximum=None, null=True)
    told = replace(WRITTEN, features=(replace(WRITTEN.features[0], learned=nothing), *WRITTEN.features[1:]))
    assert Manifest.parse(told.dump()) == told


@pytest.mark.parametrize(
    "wrong",
    [
        {"minimum": 2.0, "maximum": 1.0},
        {"minimum": None},
        {"values": [2.0, 1.0]},
        {"values": [1.0, 1.0]},
        {"null": None},
        {"more": 1},
    ],
)
def test_what_cannot_have_been_learned_is_refused(wrong: dict[str, Any]) -> None:
    content = json.loads(WRITTEN.dump())
    content["features"][0]["learned"] = {"minimum": 0.0, "maximum": 1.0, "null": False, "values": []} | wrong
    with pytest.raises(ModelRefused, match=r"manifest\.json: .*features"):
        Manifest.parse(json.dumps(content).encode())


def test_half_a_letter_which_no_answer_can_carry_is_refused() -> None:
    content = json.loads(WRITTEN.dump()) | {"view": "\ud800"}
    with pytest.raises(ModelRefused, match=r"manifest\.view: expected a text"):
        Manifest.parse(json.dumps(content).encode())
    pair = json.dumps(json.loads(WRITTEN.dump()) | {"label": "\U0001f600"}).encode()
    assert b"\\ud83d\\ude00" in pair
    assert Manifest.parse(pair).label == "\U0001f600"


def test_the_same_manifest_gives_the_same_bytes() -> None:
    assert WRITTEN.dump() == replace(WRITTEN).dump() == Manifest.parse(WRITTEN.dump()).dump()


def test_the_bytes_say_their_format_first_and_keep_accents() -> None:
    assert WRITTEN.dump().startswith(b'{\n "format": 1,\n')
    assert "né à Québec".encode() in WRITTEN.dump()


def test_the_views_digest_is_that_of_its_text() -> None:
    assert WRITTEN.view_sha256 == "0" * 64
    assert WRITTEN.feature_names[:2] == ("f0", "f1")


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("format", 2, "use the release"),
        ("format", ..., "use the release"),
        ("name", "Churn", "name"),
        ("name", "../churn", "name"),
        ("name", 7, "a text"),
        ("version", 0, "version"),
        ("version", 1.0, "a whole number"),
        ("version", True, "a whole number"),
        ("view", ..., "fields"),
        ("id_type", "int32", "one of"),
        ("uses_as_of", 1, "true or false"),
        ("features", [], "features"),
        ("features", {}, "a list"),
        ("create_time", "yesterday", "ISO 8601"),
        ("create_time", "2026-01-01T00:00:00", "offset"),
        ("base_value", "0.5", "a finite number"),
        ("base_value", float("nan"), "JSON"),
        ("base_value", 10**400, "a finite number"),
        ("horizon_days", 2**63, "63 bits"),
        ("horizon_days", 2**31, "horizon_days: expected 0 to 36500"),
        ("horizon_days", 36_501, "horizon_days: expected 0 to 36500"),
        ("horizon_days", -1, "horizon_days"),
        ("view", "", r"view: expected \[a-z\]"),
        ("view", "../churn", r"view: expected \[a-z\]"),
        ("view", "churn\n\x1b[31m", r"view: expected \[a-z\]"),
        ("training.seed", 0.5, "training.seed"),
        ("training.more", 1, "training"),
        ("training.parameters", [], "an object"),
        ("training.parameters", {"depth": None}, "training.parameters.depth"),
        ("thresholds.costs", {"contact": "5"}, "thresholds.costs.contact"),
        ("golden_tolerance.output", 0.5, "golden_tolerance"),
        ("golden_rows", -1, "golden_rows: expected 0 to 10000"),
        ("golden_rows", 10_001, "golden_rows: expected 0 to 10000"),
        ("golden_rows", True, "golden_rows: expected a whole number"),
        ("files", {}, "files"),
        ("files.../x", {"sha256": "0" * 64, "size_bytes": 1}, "files"),
        ("files.x", {"sha256": "0", "size_bytes": 1}, "files"),
        ("files.x", {"sha256": "0" * 64, "size_bytes": -1}, "files: expected 0 to 2147483647 bytes together"),
        ("files.x", {"sha256": "0" * 64, "size_bytes": 2**31 - 1}, "files: expected 0 to 2147483647 bytes"),
        ("files.x", {"sha256": "0" * 64, "size_bytes": 10**15}, "files: expected 0 to 2147483647 bytes"),
    ],
)
def test_a_wrong_field_is_refused_by_name(path: str, value: Any, named: str) -> None:
    raw = edited(path, value) if path != "files.../x" else edited("files", {"../x": value} | _files())
    with pytest.raises(ModelRefused, match=f"manifest.json.*{named}"):
        Manifest.parse(raw)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sha256"])
def test_no_file_of_a_version_has_the_name_of_what_proves_it(name: str) -> None:
    with pytest.raises(ModelRefused, match="files: expected none that proves the others"):
        Manifest.parse(edited("files", _files() | {name: _files()["model.onnx"]}))


def test_the_ends_of_what_is_bounded_are_taken() -> None:
    taken = sum(entry["size_bytes"] for entry in _files().values())
    rest = {"sha256": "0" * 64, "size_bytes": 2**31 - 1 - taken}
    assert Manifest.parse(edited("files", _files() | {"rest": rest})).files["rest"].size_bytes > 2**30
    assert Manifest.parse(edited("horizon_days", 36_500)).horizon_days == 36_500
    assert Manifest.parse(edited("golden_rows", 10_000)).golden_rows == 10_000


def test_a_manifest_that_was_written_before_it_told_how_many_golden_rows_there_are_is_read() -> None:
    assert Manifest.parse(edited("golden_rows", ...)).golden_rows == 0


JUST_ABOVE = math.nextafter(MAX_GOLDEN_TOLERANCE, 1)


@pytest.mark.parametrize("field", ["output", "contribution"])
def test_golden_rows_have_a_tolerance_from_nothing_to_a_hundredth(field: str) -> None:
    assert MAX_GOLDEN_TOLERANCE == 0.01
    for value in (0.0, MAX_GOLDEN_TOLERANCE):
        parsed = Manifest.parse(edited(f"golden_tolerance.{field}", value))
        assert getattr(parsed.golden_tolerance, field) == value
    for value in (-1e-300, JUST_ABOVE, 1e300):
        with pytest.raises(ModelRefused, match=r"golden_tolerance: expected numbers from 0 to 0\.01"):
            Manifest.parse(edited(f"golden_tolerance.{field}", value))


@pytest.mark.parametrize(("medium", "high"), [(0.0, 0.0), (0.25, 0.25), (1.0, 1.0), (0.0, 1.0)])
def test_thresholds_may_meet_and_reach_the_ends(medium: float, high: float) -> None:
    thresholds = {"medium": medium, "high": high, "costs": {}}
    assert Manifest.parse(edited("thresholds", thresholds)).thresholds == Thresholds(**thresholds)


@pytest.mark.parametrize(
    ("medium", "high"), [(-1e-300, 0.5), (0.5, math.nextafter(0.5, 0)), (0.5, 1.0000001)]
)
def test_thresholds_out_of_order_are_refused(medium: float, high: float) -> None:
    with pytest.raises(ModelRefused, match="thresholds: expected 0 <= medium <= high <= 1"):
        Manifest.parse(edited("thresholds", {"medium": medium, "high": high, "costs": {}}))


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63)])
def test_whole_numbers_have_64_bits(value: int) -> None:
    assert Manifest.parse(edited("training.seed", value)).training.seed == value
    with pytest.raises(ModelRefused, match="63 bits"):
        Manifest.parse(edited("training.seed", value + (1 if value > 0 else -1)))


def test_the_first_version_and_the_longest_names_are_taken() -> None:
    name, file = "a" * 63, "a" * 63
    assert Manifest.parse(edited("version", 1)).version == 1
    assert Manifest.parse(edited("name", name)).name == name
    assert file in Manifest.parse(edited("files", _files() | {file: _files()["model.onnx"]})).files
    with pytest.raises(ModelRefused, match="name"):
        Manifest.parse(edited("name", name + "a"))
    with pytest.raises(ModelRefused, match="files"):
        Manifest.parse(edited("files", _files() | {file + "a": _files()["model.onnx"]}))


def test_two_features_of_one_name_are_refused() -> None:
    twice = replace(WRITTEN, features=WRITTEN.features[:1] * 2)
    with pytest.raises(ModelRefused, match="distinct names"):
        Manifest.parse(twice.dump())


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"null", b"\xff", b"{" * 100_000, b'{"format": 1}', b"[" * 100_000]
)
def test_what_is_no_manifest_is_refused(raw: bytes) -> None:
    with pytest.raises(ModelRefused, match=r"manifest\.json"):
        Manifest.parse(raw)


@given(st.binary(max_size=3), st.integers(0, 10_000))
def test_a_damaged_manifest_is_refused_or_still_a_manifest(damage: bytes, at: int) -> None:
    raw = WRITTEN.dump()
    at %= len(raw)
    with suppress(ModelRefused):
        assert Manifest.parse(raw[:at] + damage + raw[at + len(damage) + 1 :]).name


def _files() -> dict[str, Any]:
    files: dict[str, Any] = json.loads(WRITTEN.dump())["files"]
    return files
