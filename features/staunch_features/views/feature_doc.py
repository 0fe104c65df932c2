"""What a view's header says of each feature, in its own language and in others."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from staunch_features.views.header import OWN, Header

NEVER = "never"
"""The value of `null` that promises a column without nulls."""

MISSING = "missing"
"""The value of `null` where the header says nothing: nothing is promised, and nothing explained."""

ANY = (-math.inf, math.inf)
"""The range of a feature of which the header names none."""

MOST_TITLE_LETTERS = 80
"""The longest title, label or unit: what stands in a table, below a bar, on an axis."""

Translations = Mapping[str, Mapping[str, Any]]
"""Language, in small letters, to the attributes that differ in it."""

_TEXTS = dict.fromkeys(("title", "unit", "description", "window", "null"), str) | {"labels": dict}
_KEYS = (*_TEXTS, "source", "range")


@dataclass(frozen=True, slots=True)
class FeatureDoc:
    """What a view says of one of its columns.

    Attributes:
        unit: The unit of the values, for example `CAD` or `days`; empty for a plain number.
        description: What the value means, in one sentence.
        source: The columns it is computed from, as `table.column`.
        window: How far back it looks, for example `90 days`; empty for all that is known.
        null: What a null means, or `never`.
        title: What people call it, for example `Province`.
        labels: What coded values stand for, 8 to `ON`; empty if the value is a quantity.
        possible: The least and the greatest value that can be; infinite where there is no bound.
        translations: What differs in other languages.
    """

    unit: str
    description: str
    source: tuple[str, ...]
    window: str
    null: str
    title: str = ""
    labels: Mapping[float, str] = field(default_factory=dict)
    possible: tuple[float, float] = ANY
    translations: Translations = field(default_factory=dict)

    @property
    def nullable(self) -> bool:
        """Whether a null is a value like others here."""
        return self.null != NEVER

    def in_language(self, code: str) -> "FeatureDoc":
        """Returns it in a language, small letters; a text that is not given in it stays in the view's own."""
        return replace(self, **self.translations.get(code, {}))


def find_language(asked: str, languages: Collection[str]) -> str | None:
    """Returns the language that serves who asks for `fr-CA`: that, or else `fr`; None if neither is there.

    Args:
        asked: A BCP 47 tag, in any letters.
        languages: Those there are, in small letters.
    """
    tag = asked.lower()
    while tag and tag not in languages:
        tag = tag.rpartition("-")[0]
    return tag or None


def read_features(header: Header, own: str) -> Mapping[str, FeatureDoc]:
    """Takes the entries of `[features]`, and what tables such as `["features.fr"]` add in other languages.

    Args:
        header: The header.
        own: The language that it is written in.

    Raises:
        ViewError: An entry is missing or wrong; with its line.
    """
    entries = header.table("features")
    elsewhere = _tables_by_language(header, entries, own)
    docs = {
        name: _feature(header, name, value, elsewhere.get(name, {}), own) for name, value in entries.items()
    }
    if not docs:
        raise header.error("features", "expected one entry for each feature column", {})
    return MappingProxyType(docs)


def _tables_by_language(
    header: Header, entries: Mapping[str, Any], own: str
) -> dict[str, dict[str, Mapping[str, Any]]]:
    """What `["features.fr"]` and its kin say: feature to language to entry."""
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for table in [key for key in header.values if key.startswith("features.")]:
        language = header.as_language(table.removeprefix("features."), table, own)
        for name, entry in header.table(table).items():
            where = f"{table}.{name}"
            if name not in entries:
                raise header.error(where, "expected a feature of [features]", name)
            if not isinstance(entry, dict) or not entry.keys() <= set(_TEXTS):
                raise header.error(where, f"expected a table of {', '.join(_TEXTS)}", entry)
            if language in found.setdefault(name, {}):  # ["features.fr"] and ["features.FR"]
                raise header.error(where, f"the texts in {language} are given twice", entry)
            found[name][language] = entry
    return found


def _feature(
    header: Header, name: str, value: object, elsewhere: Mapping[str, Mapping[str, Any]], own: str
) -> FeatureDoc:
    where = f"features.{name}"
    if not name.strip():
        raise header.error("features", "expected the name of a column", name)
    if not isinstance(value, dict):
        raise header.error(where, f"expected a table {{ {', '.join(_KEYS)} }}", value)
    texts = header.by_language(value, _TEXTS, own, f"{where}.")
    for language, entry in elsewhere.items():
        given = texts.setdefault(language, {})
        if twice := sorted(given.keys() & entry.keys()):
            raise header.error(f"features.{language}.{name}.{twice[0]}", "the text is given twice", entry)
        given.update(entry)
    plain = texts.pop(OWN)
    if unknown := sorted(set(plain) - set(_KEYS)):
        raise header.error(where, f"expected {', '.join(_KEYS)}", unknown, _table_hint(name, value))
    doc = _own_doc(header, name, plain, where)
    # What a text in another language may say depends on what it translates, so that comes last.
    translations = {}
    for language, entry in ((each, entry) for each, entry in texts.items() if entry):
        apart = elsewhere.get(language, {})
        named = {
            key: f"features.{language}.{name}.{key}" if key in apart else f"{where}.{key}.{language}"
            for key in entry
        }
        translations[language] = _translated(header, doc, entry, named)
    return replace(doc, translations=MappingProxyType(translations))


def _own_doc(header: Header, name: str, entry: Mapping[str, Any], where: str) -> FeatureDoc:
    """Reads what an entry says in the header's own language."""

    def text(key: str, default: str) -> str:
        return _text(header, key, entry.get(key, default), f"{where}.{key}")

    title = text("title", spelled_out(name))
    doc = FeatureDoc(
        unit=text("unit", ""),
        description=text("description", f"{title}."),
        source=header.as_strings(entry.get("source", []), f"{where}.source"),
        window=text("window", ""),
        null=text("null", MISSING),
        title=title,
        labels=_labels(header, entry.get("labels", {}), f"{where}.labels"),
        possible=_range(header, entry.get("range"), f"{where}.range"),
    )
    low, high = doc.possible
    if beyond := [number for number in doc.labels if not low <= number <= high]:
        raise header.error(f"{where}.range", f"expected a range that holds {beyond[0]:g}", [low, high])
    return doc


def _table_hint(name: str, value: Mapping[str, Any]) -> str:
    """How to mend `[features.fr]`, which is the entry of a feature called fr."""
    if value and all(isinstance(each, dict) for each in value.values()):
        return f'if {name} is a language and no feature, quote the whole name: ["features.{name}"]'
    return ""


def _translated(
    header: Header, doc: FeatureDoc, entry: Mapping[str, Any], named: Mapping[str, str]
) -> Mapping[str, Any]:
    """The texts of a feature in another language, each of the kind that it translates."""
    found: dict[str, Any] = {}
    for key, value in entry.items():
        if key == "labels":
            found[key] = _labels(header, value, named[key])
            if strange := [number for number in found[key] if number not in doc.labels]:
                raise header.error(named[key], "expected a value that labels names", f"{strange[0]:g}")
            # A label that is not translated stays as it is.
            found[key] = MappingProxyType(dict(doc.labels) | dict(found[key]))
        elif key == "null" and NEVER in (value, doc.null):
            raise header.error(named[key], f"expected no text, for {NEVER!r} is a promise and no text", value)
        else:
            found[key] = _text(header, key, value, named[key])
    return MappingProxyType(found)


def _labels(header: Header, value: object, where: str) -> Mapping[float, str]:
    """Reads `{ 8 = "ON", "0.5" = "half" }`, ordered by value."""
    expected = 'expected a text for each number, { 8 = "ON" }'
    if not isinstance(value, dict):
        raise header.error(where, expected, value)
    labels: dict[float, str] = {}
    for written, text in value.items():
        if isinstance(text, dict):
            hint = f'a number with a point is written in quotes: "{written}.{next(iter(text), 0)}"'
            raise header.error(where, expected, {written: text}, hint)
        try:
            number = float(written)
        except ValueError:
            raise header.error(where, expected, written) from None
        if not math.isfinite(number) or number in labels:
            raise header.error(where, "expected finite numbers, each once", written)
        labels[number] = header.as_line(text, where, MOST_TITLE_LETTERS)
    return MappingProxyType(dict(sorted(labels.items())))


def _text(header: Header, key: str, value: object, where: str) -> str:
    """Takes a text of an entry: one line where it stands in tables and pictures."""
    if key == "description":
        return header.as_prose(value, where)
    most = None if key == "null" else MOST_TITLE_LETTERS
    return header.as_line(value, where, most, may_be_empty=key in ("unit", "window"))


def _range(header: Header, value: object, where: str) -> tuple[float, float]:
    """Reads `[0, 36500]`; `inf` and `-inf` are no bound."""
    if value is None:
        return ANY
    if not isinstance(value, list) or len(value) != 2 or not all(map(_is_number, value)):
        raise header.error(where, "expected the least and the greatest value, [0, 100] or [0, inf]", value)
    low, high = map(_float, value)
    if not low <= high or math.inf in (low, -high):
        raise header.error(where, "expected the least value first, and one that can be", value)
    return low, high


def _float(value: float) -> float:
    """The number; TOML has whole ones beyond all floats, which are as good as infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def spelled_out(name: str) -> str:
    """What a feature is called where nobody names it: `visits_30d` is "Visits 30d"."""
    words = (name.replace("_", " ").strip() or name)[:MOST_TITLE_LETTERS]
    return f"{words[0].upper()}{words[1:]}"


def heading(name: str, doc: FeatureDoc) -> str:
    """Gives a feature's title with its name behind it; the name alone where nobody gave a title."""
    return name if doc.title == spelled_out(name) else f"{doc.title} ({name})"
