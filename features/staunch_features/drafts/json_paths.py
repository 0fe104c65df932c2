"""Features of the values within a json column: the paths that its rows have, and what stands there."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from staunch_features.drafts.categories import text_feature
from staunch_features.drafts.contents import LARGEST
from staunch_features.drafts.feature import Feature, Found, Outcome
from staunch_features.drafts.names import literal, words_of

MAX_PATHS = 40
"""The most values of one column that become features: those that most rows have."""

_DEEPEST = 4  # names one within the other
_RAREST = 0.01  # of the rows that hold anything

Path = tuple[str, ...]


def features_in_json(found: Found) -> Outcome:
    """Drafts a feature for each path of a json column that enough rows have."""
    documents = [document for text in found.texts if (document := _parsed(text)) is not None]
    if not documents:
        return "holds nothing in the rows looked at"
    held: defaultdict[Path, list[object]] = defaultdict(list)
    for document in documents:
        for path, value in _values(document, ()):
            held[path].append(value)
    often = Counter({path: len(values) for path, values in held.items()})
    paths = [path for path, count in often.most_common(MAX_PATHS) if count >= _RAREST * len(documents)]
    # In the order in which the rows have them, as a reader of the documents would.
    drafted = [_of_path(found, path, held[path]) for path in held if path in set(paths)]
    features = [feature for feature in drafted if feature is not None]
    return features or "no numbers, yes or no, or categories in the rows looked at"


def _parsed(text: str | None) -> object:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None


def _values(value: object, path: Path) -> Iterator[tuple[Path, object]]:
    """Yields each value that is no object, with the names that lead to it."""
    if isinstance(value, dict):
        for name, inner in value.items() if len(path) < _DEEPEST else ():
            yield from _values(inner, (*path, name))
    elif value is not None:
        yield path, value


def _of_path(found: Found, path: Path, values: Sequence[object]) -> Feature | None:
    """Drafts the feature of one path; None if what stands there is no feature."""
    name = " ".join((found.name, *path)) if path else found.name
    # A path may be absent where the column is not null; what is said of the column says nothing of its paths.
    column = replace(found.column, comment="") if path else found.column
    inner = replace(
        found,
        column=column,
        name=name,
        value=_text_at(found.value, path),
        never_null=False,
        words=f"{words_of(' '.join(path))} in {found.column.name}" if path else "",
    )
    kinds = {_kind(value) for value in values}
    if kinds == {"array"}:
        return _entries(inner, found, path)
    if kinds == {"boolean"}:
        sql = f"CASE {inner.value} WHEN 'true' THEN 1 WHEN 'false' THEN 0 END"
        return inner.feature(sql, f"{inner.title}: 1 if true, 0 if false.")
    if kinds == {"number"}:
        return _number(inner, found, path, values)
    if kinds - {"string", "number", "boolean"}:
        return None
    texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
    drafted = text_feature(replace(inner, texts=texts), inner.value)
    return None if isinstance(drafted, str) else drafted[0]


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return "string" if isinstance(value, str) else "array"


def _entries(inner: Found, found: Found, path: Path) -> Feature:
    kind, at = found.column.type, _json_at(found.value, path)
    sql = f"CASE {kind}_typeof({at}) WHEN 'array' THEN {kind}_array_length({at}) END"
    return inner.feature(sql, f"{inner.title}: how many entries.")


def _number(inner: Found, found: Found, path: Path, values: Sequence[object]) -> Feature | None:
    if any(abs(value) > LARGEST for value in values if isinstance(value, (int, float))):
        return None
    at = _json_at(found.value, path)
    sql = f"CASE {found.column.type}_typeof({at}) WHEN 'number' THEN {inner.value}::float8 END"
    return inner.feature(sql, f"{inner.title}.", null="missing, or not a number")


def _json_at(value: str, path: Path) -> str:
    return " -> ".join([value, *map(literal, path)])


def _text_at(value: str, path: Path) -> str:
    if not path:
        return f"({value} #>> '{{}}')"
    return f"({_json_at(value, path[:-1])} ->> {literal(path[-1])})"
