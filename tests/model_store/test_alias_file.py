"""An aliases.json of any content is read as it was written, or refused in few words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch_model_store import alias_file

VERSIONS = {
    "text": b'"x"',
    "a number in quotes": b'"1"',
    "no whole number": b"1.9",
    "a whole number with a point": b"1.0",
    "true": b"true",
    "null": b"null",
    "a list": b"[1]",
    "zero": b"0",
    "below zero": b"-1",
    "above the last": b"2147483648",
    "Infinity": b"Infinity",
    "no number": b"NaN",
    "what overflows": b"1e999",
    "what overflows below": b"-1e999",
    "five thousand digits": b"9" * 5000,
    "deep": b"[" * 100_000 + b"]" * 100_000,
}


TARGETS = st.builds(
    alias_file.Target, st.integers(1, 2**31 - 1), st.just("") | st.from_regex(r"\Asha256:[0-9a-f]{64}\Z")
)


def of_champion(version: bytes) -> bytes:
    return b'{"format": 1, "aliases": {"champion": {"version": %s}}}' % version


CONTENTS = {
    **{f"version {name}": of_champion(text) for name, text in VERSIONS.items()},
    "empty": b"",
    "no JSON": b"\x8f\x00\xff",
    "null": b"null",
    "list": b"[]",
    "number": b"1",
    "a text of letters": b'"aliases"',
    "deep": b"[" * 100_000,
    "deep aliases": b'{"format": 1, "aliases": ' + b'{"a": ' * 100_000 + b"1" + b"}" * 100_001,
    "no format": b'{"aliases": {}}',
    "another format": b'{"format": 2, "aliases": {}}',
    "format true": b'{"format": true, "aliases": {}}',
    "format with a point": b'{"format": 1.0, "aliases": {}}',
    "no aliases": b'{"format": 1}',
    "a list of aliases": b'{"format": 1, "aliases": []}',
    "a bare version": b'{"format": 1, "aliases": {"champion": 1}}',
    "a bare true": b'{"format": 1, "aliases": {"champion": true}}',
    "no digest": b'{"format": 1, "aliases": {"champion": {"version": 1, "digest": true}}}',
    "an empty digest": b'{"format": 1, "aliases": {"champion": {"version": 1, "digest": ""}}}',
    "half a digest": b'{"format": 1, "aliases": {"champion": {"version": 1, "digest": "sha256:abc"}}}',
    "no version": b'{"format": 1, "aliases": {"champion": {}}}',
    "no name": b'{"format": 1, "aliases": {"Not A Name\\n\\u001b[31m": {"version": 1}}}',
    "a number as a name": b'{"format": 1, "aliases": {"1": {"version": 1}}}',
    "a name without end": b'{"format": 1, "aliases": {"%s": {"version": 1}}}' % (b"a" * 100_000),
    "half a letter": b'{"format": 1, "aliases": {"\\ud800": {"version": 1}}}',
    "one alias twice": b'{"format": 1, "aliases": {"a": {"version": 1}, "a": {"version": 2}}}',
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_whatever_is_not_ours_is_refused_in_few_printable_words(content: bytes) -> None:
    with pytest.raises(ValueError) as caught:
        alias_file.parse(content)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["format", "aliases", "version", "a"]), inner)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_bytes_raise_anything_else(content: bytes) -> None:
    try:
        aliases = alias_file.parse(content)
    except ValueError:
        return
    assert alias_file.parse(alias_file.dump(aliases)) == aliases


@given(st.dictionaries(st.from_regex(r"\A[a-z][a-z0-9_-]{0,62}\Z"), TARGETS))
def test_what_is_written_is_read(aliases: dict[str, alias_file.Target]) -> None:
    assert alias_file.parse(alias_file.dump(aliases)) == aliases


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_what_an_editor_of_another_system_saves_is_read(encoding: str) -> None:
    content = of_champion(b"3").decode().encode(encoding)
    assert alias_file.parse(content) == {"champion": alias_file.Target(3)}


def test_what_a_later_release_adds_to_a_target_is_passed_over() -> None:
    content = b'{"format": 1, "more": 0, "aliases": {"champion": {"version": 3, "more": [1]}}}'
    assert alias_file.parse(content) == {"champion": alias_file.Target(3)}
