"""Writes the two files of a draft."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from staunch_features.drafts.answers import ZONE, Answer, moment_sql
from staunch_features.drafts.catalogue import Relation
from staunch_features.drafts.feature import Clock, Feature
from staunch_features.drafts.keys import Key
from staunch_features.drafts.names import comment, plain_name, prose, toml, unused_name, words_of
from staunch_features.errors import CONTROL
from staunch_features.views.feature_doc import MOST_TITLE_LETTERS

HORIZON_DAYS = 30
"""The outcome window of a dated label until somebody sets another."""

_ELIGIBLE = "has no {} yet"  # in words that follow "a customer who"

_CAST_ALONE = re.compile(r't\.(?:"(?:[^"]|"")+"|\w+)(?:::\w+)?')
_DATED_RULE = (
    "What has no time of its own is as the table holds it now: training on a past moment sees a value that "
    "was changed since. Leave such columns out, or keep when they changed."
)


@dataclass(frozen=True, slots=True)
class Draft:
    """What the two files are written from.

    Attributes:
        relation: The table.
        key: The column that callers name.
        answer: The column that the label reads.
        clock: The column that says when a row became known, or else what ages are counted to.
        features: The features in the order of the columns.
        left_out: The columns that are no features, each with why.
    """

    relation: Relation
    key: Key
    answer: Answer
    clock: Clock
    features: tuple[Feature, ...]
    left_out: tuple[tuple[str, str], ...]


def view_text(draft: Draft) -> str:
    """Writes the feature view."""
    relation, key_name = draft.relation, plain_name(draft.key.column.name, "id")
    named = list(_named(draft.features, key_name))
    lines = [
        "/* staunch",
        f"description = {prose(relation.comment or f'A row of {relation.sql}.')}",
        f"entity = {prose(_singular(relation.name))}",
        f"population = {toml(_population(draft))}",
        *_eligible(draft),
        *_rules(draft),
        *_time_columns(draft),
        "",
        "[features]",
        *(_entry(name, feature, relation) for name, feature in named),
        *_left_out(draft),
        "*/",
        "SELECT",
        ",\n".join(_columns(draft, key_name, named)),
        *_from(draft),
    ]
    return "\n".join(lines) + "\n"


def _population(draft: Draft) -> str:
    where = f" WHERE {draft.key.usable}" if draft.key.left_out else ""
    return f"SELECT t.{draft.key.listed} FROM {draft.relation.sql} AS t{where} ORDER BY 1"


def _columns(draft: Draft, key_name: str, named: Sequence[tuple[str, Feature]]) -> Iterator[str]:
    yield f"  u.key AS {key_name}"
    for name, feature in named:
        yield f"  {_cast(feature.sql)} AS {name}"
    if draft.clock.time is not None:
        yield f"  (({draft.answer.sql} > $2::timestamptz) IS NOT FALSE)::boolean AS _eligible"


def label_text(draft: Draft) -> str:
    """Writes the label."""
    key_name = plain_name(draft.key.column.name, "id")
    name = unused_name(plain_name(draft.answer.column.name, "answer"), {key_name})
    lines = ["/* staunch", f"description = {prose(f'{draft.answer.words}.')}"]
    value = draft.answer.sql if _CAST_ALONE.fullmatch(draft.answer.sql) else f"({draft.answer.sql})"
    if draft.clock.time is not None:
        lines += [f"horizon_days = {HORIZON_DAYS}", "gap_days = 0", "observation_days = 0"]
        moment = draft.answer.sql
        value = f"({moment} > $3::timestamptz AND {moment} <= $4::timestamptz) IS TRUE"
    lines += ["*/", "SELECT", f"  u.key AS {key_name},", f"  {value} AS {name}", *_from(draft)]
    if draft.clock.time is not None:
        lines.append(f"WHERE ({draft.answer.sql} > $2::timestamptz) IS NOT FALSE")
    return "\n".join(lines) + "\n"


def _named(features: Sequence[Feature], key_name: str) -> Iterator[tuple[str, Feature]]:
    used = {key_name}
    for feature in features:
        name = unused_name(feature.name, used)
        used.add(name)
        yield name, feature


def _singular(name: str) -> str:
    words = words_of(name).lower()
    return words[:-1] if words.endswith("s") and not words.endswith("ss") else words


def _eligible(draft: Draft) -> Iterator[str]:
    if draft.clock.time is not None:
        yield f"eligible = {prose(_ELIGIBLE.format(' '.join(draft.answer.column.name.split())))}"


def _rules(draft: Draft) -> Iterator[str]:
    if draft.clock.time is not None:
        yield f"rules = [{prose(_DATED_RULE)}]"
    elif any(feature.unit == "days" and f"'{draft.clock.day}" in feature.sql for feature in draft.features):
        rule = f"Days are counted to {draft.clock.day}, the last day that the table knows."
        yield f"rules = [{prose(rule)}]"


def _time_columns(draft: Draft) -> Iterator[str]:
    time = draft.clock.time
    if time is not None:
        zone = "" if time.type == "timestamptz" else f" AT TIME ZONE '{ZONE}'"
        yield from ("", "[time_columns]", f"{toml(draft.relation.sql)} = [{toml(f'{time.name}{zone}')}]")


def _entry(name: str, feature: Feature, relation: Relation) -> str:
    unit = f"unit = {prose(feature.unit)}, " if feature.unit else ""
    source = toml(f"{relation.name}.{feature.source}")
    described = (
        f"description = {prose(feature.description)}, source = [{source}], null = {prose(feature.null)}"
    )
    return f"{name} = {{ {unit}{described}{_labels(feature)} }}"


def _labels(feature: Feature) -> str:
    """What stands below the bars of a picture and beside a reason: each short and on one line."""
    if not feature.labels:
        return ""
    lines = {
        code: " ".join(CONTROL.sub(" ", label).split())[:MOST_TITLE_LETTERS].strip() or "''"
        for code, label in feature.labels.items()
    }
    return ", labels = { " + ", ".join(f"{code} = {toml(line)}" for code, line in lines.items()) + " }"


def _left_out(draft: Draft) -> Iterator[str]:
    if draft.left_out:
        yield ""
        yield "# Left out:"
        yield from (comment(f"  {name}: {why}") for name, why in draft.left_out)


def _cast(sql: str) -> str:
    return f"{sql}::float8" if _CAST_ALONE.fullmatch(sql) else f"({sql})::float8"


def _from(draft: Draft) -> Iterator[str]:
    known = f" AND {moment_sql(draft.clock.time)} <= $2::timestamptz" if draft.clock.time is not None else ""
    yield f"FROM unnest($1::{draft.key.sql_type}[]) AS u (key)"
    yield f"JOIN {draft.relation.sql} AS t ON {draft.key.lookup}{known}"
