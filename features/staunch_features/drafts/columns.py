"""Features of a column, by its type and by what its rows hold, or why there is none."""

from collections.abc import Callable, Mapping

from staunch_features.drafts.answers import compared, moment_sql
from staunch_features.drafts.catalogue import Column
from staunch_features.drafts.categories import enum_feature, text_feature
from staunch_features.drafts.contents import LARGEST, Contents, in_calendar
from staunch_features.drafts.feature import Clock, Found, Outcome
from staunch_features.drafts.json_paths import features_in_json
from staunch_features.drafts.names import plain_name
from staunch_features.views.feature_doc import MISSING, NEVER


def features_of(column: Column, contents: Contents, clock: Clock) -> Outcome:
    """Drafts the features of a column."""
    facts = contents.facts[column.name]
    # What was declared may have been broken behind the database's back: a view of it promises nothing.
    never_null = column.never_null and not facts.nulls and not facts.nans and not facts.beyond
    found = Found(column, column.name, f"t.{column.sql}", never_null, contents.texts[column.name], facts)
    if column.type.startswith("_"):  # as the catalogue calls an array of a type
        return [found.feature(f"cardinality({found.value})", f"{found.title}: how many entries.")]
    if column.labels:
        return enum_feature(found)
    recipe = _BY_TYPE.get(column.type)
    if recipe is None:
        return f"{column.declared}: no number is made of that type by itself"
    return recipe(found, clock)


# Numbers ----------------------------------------------------------------------------------------


def _plain(found: Found, _: Clock) -> Outcome:
    return [found.feature(found.value, f"{found.title}.")]


def _real(found: Found, _: Clock) -> Outcome:
    if not found.facts.beyond:
        return [found.feature(found.value, f"{found.title}.")]
    sql = f"CASE WHEN abs({found.value}) <= {LARGEST:g} THEN {found.value} END"
    return [found.feature(sql, f"{found.title}.", null="missing, infinite or too large")]


def _money(found: Found, _: Clock) -> Outcome:
    return [found.feature(f"{found.value}::numeric", f"{found.title}.")]


def _boolean(found: Found, _: Clock) -> Outcome:
    return [found.feature(f"{found.value}::int", f"{found.title}: 1 if true, 0 if false.")]


def _bits(found: Found, _: Clock) -> Outcome:
    return [found.feature(f"bit_count({found.value})", f"{found.title}: how many bits are set.")]


# Times ------------------------------------------------------------------------------------------


def _age(found: Found, clock: Clock) -> Outcome:
    if clock.time is not None:
        return _age_then(found, is_since_known=found.column == clock.time)
    if found.column.type == "date":
        sql = f"DATE '{clock.day}' - {found.value}"
    else:
        zone = "TIMESTAMPTZ '{}+00'" if found.column.type == "timestamptz" else "TIMESTAMP '{}'"
        until = zone.format(f"{clock.day} 00:00")
        sql = f"date_part('epoch', {until} - {found.value}) / 86400"
    if found.facts.beyond:
        sql = f"CASE WHEN {in_calendar(found.column)} THEN {sql} END"
    meaning = f"{found.title}: days from then to {clock.day}."
    null = "missing, or in no year from 1 to 9999" if found.facts.beyond else MISSING
    return [found.feature(sql, meaning, unit="days", null=null, name=_days_since(found))]


def _age_then(found: Found, *, is_since_known: bool) -> Outcome:
    moment, name = moment_sql(found.column), _days_since(found)
    sql = f"date_part('epoch', $2::timestamptz - {moment}) / 86400"
    meaning = f"{found.title}: days since then."
    if is_since_known and not found.facts.beyond:
        # Of a row that is known its moment lies in the past, or the row would not be joined.
        return [found.feature(sql, meaning, unit="days", null=NEVER, name=name)]
    # Only what lies before the as-of time was known by then.
    sql = f"CASE WHEN {moment} <= $2::timestamptz THEN {sql} END"
    if found.facts.beyond:  # before anything is cast that no cast takes
        sql = f"CASE WHEN {in_calendar(found.column)} THEN {sql} END"
    return [found.feature(sql, meaning, unit="days", null="missing, or later than asked", name=name)]


def _days_since(found: Found) -> str:
    return f"days_since_{plain_name(found.name, 'then')}"


def _interval(found: Found, _: Clock) -> Outcome:
    sql = f"date_part('epoch', {found.value}) / 86400"
    if found.facts.beyond:
        sql = f"CASE WHEN isfinite({found.value}) THEN {sql} END"
    null = "missing or infinite" if found.facts.beyond else MISSING
    return [found.feature(sql, f"{found.title}, in days.", unit="days", null=null)]


def _time_of_day(found: Found, _: Clock) -> Outcome:
    sql = f"date_part('epoch', {found.value}::time) / 3600"
    return [found.feature(sql, f"{found.title}, in hours from midnight.", unit="hours")]


# Texts and json ---------------------------------------------------------------------------------


def _text(found: Found, _: Clock) -> Outcome:
    return text_feature(found, compared(found.column))


def _json(found: Found, _: Clock) -> Outcome:
    return features_in_json(found)


_BY_TYPE: Mapping[str, Callable[[Found, Clock], Outcome]] = {
    **dict.fromkeys(("int2", "int4", "int8"), _plain),
    **dict.fromkeys(("float4", "float8", "numeric"), _real),
    "money": _money,
    "bool": _boolean,
    **dict.fromkeys(("bit", "varbit"), _bits),
    **dict.fromkeys(("date", "timestamp", "timestamptz"), _age),
    "interval": _interval,
    **dict.fromkeys(("time", "timetz"), _time_of_day),
    **dict.fromkeys(("text", "varchar", "bpchar", "citext", "name", "char"), _text),
    **dict.fromkeys(("json", "jsonb"), _json),
}
