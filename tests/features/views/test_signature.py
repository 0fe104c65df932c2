"""What the database says of a view before it runs, and what it refuses with file, line and mend."""

import dataclasses
import hashlib

import pytest

from staunch_features.errors import ViewError
from staunch_features.postgres.deadlines import Deadline
from staunch_features.views.file import parse_view
from staunch_features.views.signature import check_horizon, features_digest
from staunch_features.views.source import FeatureSource
from staunch_features.views.types import FeatureColumn

FROM = "FROM unnest($1::bigint[]) u(id) JOIN clients_bigint c ON c.id = u.id"


async def signature(clients, statement: str | None = None, **options):
    return await clients.source(statement, **options).signature(Deadline.after(5))


@pytest.mark.parametrize(("sql_type", "id_type"), [("bigint", "int64"), ("text", "text"), ("uuid", "uuid")])
async def test_a_signature_tells_types_names_and_documentation(clients, sql_type, id_type):
    found = await signature(clients, id_type=sql_type)
    assert (found.id_type, found.id_column, found.uses_as_of, found.has_eligible) == (
        id_type,
        "id",
        True,
        True,
    )
    a, b = found.features
    assert (a.name, a.type, a.nullable, a.unit, a.description) == ("a", "number", False, "", "A.")
    assert (b.name, b.nullable, b.unit) == ("b", True, "CAD")
    assert found.features_digest == features_digest([a, b])
    assert found.features_digest != features_digest([b, a])


def test_the_digest_of_features_is_that_of_their_names_and_types_as_versions_carry_it():
    columns = [FeatureColumn(name, "number", True, "CAD", "Told to people.") for name in ("a", "b")]
    named = hashlib.sha256(b'[["a","number"],["b","number"]]').hexdigest()
    assert features_digest(columns) == f"sha256:{named}"


async def test_a_view_may_tell_why_somebody_is_not_eligible(clients):
    assert not (await signature(clients)).has_why
    found = await signature(clients, f"SELECT c.id, c.a, c.b, true AS _eligible, 'x'::text AS _why {FROM}")
    assert [column.name for column in found.features] == ["a", "b"]
    assert (found.has_eligible, found.has_why) == (True, True)


async def test_a_header_says_who_is_eligible_of_a_view_that_asks_and_of_no_other(clients):
    told = clients.view(f"SELECT c.id, c.a, c.b {FROM}").text.replace(
        "[features]", 'eligible = "has a contract"\n[features]'
    )
    source = FeatureSource(clients.database, parse_view("v", told, "v.sql"))
    with pytest.raises(ViewError, match="the view returns no _eligible, so all are; return _elig") as caught:
        await source.signature(Deadline.after(5))
    assert caught.value.line == 5


async def test_columns_that_begin_with_an_underscore_are_no_features(clients):
    found = await signature(
        clients,
        f"SELECT c.id, c.a, c.b, 'x'::text AS _note, now_::text AS _at {FROM}, (VALUES (1)) AS v(now_)",
    )
    assert [column.name for column in found.features] == ["a", "b"]
    assert not found.has_eligible


REFUSED = {
    "SELECT c.id,\n  c.a,\n  nonsense\n" + FROM: (11, "nonsense"),
    "SELECT c.id, c.a, c.b\nFORM clients c": (10, "syntax error"),
    "SELECT c.id, c.a, c.b\nFROM absent c": (10, "absent"),
    "SELECT c.id, c.a, c.b FROM unnest($1) c(id)": (9, "not unique"),
    "SELECT 1": (None, "expected the parameters .* got none"),
    "SELECT c.id, c.a, c.b FROM clients_bigint c WHERE c.id = $1": (None, "got int8"),
    "SELECT c.id, c.a, c.b FROM clients_bigint c WHERE c.id = ANY ($1::int[])": (None, r"got int4\[\]"),
    f"SELECT c.id, c.a, c.b {FROM} WHERE c.a > $2": (None, r"got int8\[\], float8"),
    f"SELECT c.id, c.a, c.b {FROM} WHERE c.a > $2::date - $3::date": (None, "got int8"),
    f"SELECT c.a, c.b {FROM}": (9, "expected the id as first column, bigint as in .1, got a float8"),
    f"SELECT c.id::text, c.a, c.b {FROM}": (9, "got id text"),
    f"SELECT c.id, c.a, c.b, c.a {FROM}": (9, "a more than once"),
    f"SELECT c.id, c.a {FROM}": (7, "described, not returned: b"),
    f"SELECT c.id, c.a, c.b,\n  c.b AS extra {FROM}": (10, "not described: extra"),
    f"SELECT c.id, c.a,\n  c.b::int AS b {FROM}": (10, "feature b as float8, got int4"),
    f"SELECT c.id, c.a,\n  c.b::text AS b {FROM}": (
        10,
        r"feature b as float8, got text; encode a category as a number: \(b = 'yes'\)::int::float8; a text "
        r"that holds numbers: nullif\(b, ''\)::float8$",
    ),
    f"SELECT c.id, c.a,\n  '2020-01-01'::date AS b {FROM}": (
        10,
        r"got date; count the days: date_part\('epoch', ",
    ),
    f"SELECT c.id, c.a,\n  $2::timestamptz AS b {FROM}": (10, r"timestamptz; .* date_part\('epoch', b\)$"),
    f"SELECT c.id, c.a,\n  $2::timestamptz - '2020-01-01Z'::timestamptz AS b {FROM}": (
        10,
        r"got interval; count the seconds: date_part\('epoch', b\)$",
    ),
    f"SELECT c.id, c.a, 1 - c.b {FROM}": (7, r"returned: b; .* without a name: name it .* \(...\) AS b"),
    f"SELECT c.id, c.a, coalesce(c.b, 0) {FROM}": (7, r"returned: b; coalesce is .* \(...\) AS b"),
    f"SELECT c.id, c.a, round(c.b) {FROM}": (7, r"returned: b; round is .* without a name: name it with AS"),
    f"SELECT c.id, c.a,\n  c.b AS renamed {FROM}": (10, "returned: b; add or remove the entries"),
    f"SELECT c.id, c.a, c.b, 1 AS _eligible {FROM}": (9, "_eligible boolean, got int4"),
    f"SELECT c.id, c.a, c.b, true AS _eligible,\n  current_setting('x', true)::date AS _why {FROM}": (
        10,
        r"expected _why text, got date; cast it: \(...\)::text AS _why",
    ),
    f"SELECT c.id, c.a, c.b, true AS _eligible, 'x'::varchar AS _why {FROM}": (9, "_why text, got varchar"),
    f"SELECT c.id, c.a, c.b,\n  'left'::text AS _why {FROM}": (10, "expected _eligible beside _why"),
    f"SELECT c.id, c.a, c.b, 1 {FROM}": (None, r"cast it: \(\.\.\.\)::float8, and name it with AS"),
    f"SELECT c.id, c.a,\n  c.b > 1 AS b {FROM}": (10, r"got bool; cast it: \(b\)::int::float8$"),
    f"SELECT c.id, c.a, c.b > 1 {FROM}": (None, r"got bool; cast it: .* name it with AS"),
    "SELECT c.id, c.a, c.b\nFROM unnest($1::text[]) u(id) JOIN clients_bigint c ON c.id = u.id": (
        10,
        "cast its operands",
    ),
    f"SELECT c.id, c.a,\n  random() AS b {FROM}": (10, "random"),
    f"SELECT c.id, c.a,\n  date_part('epoch', now()) AS b {FROM}": (10, "now"),
    f"SELECT c.id, c.a,\n  date_part('day', CURRENT_DATE) AS b {FROM}": (10, "CURRENT_DATE"),
    f"SELECT c.id, c.a,\n  date_part('day', localtimestamp) AS b {FROM}": (10, "LOCALTIMESTAMP"),
    f"SELECT c.id, c.a,\n  date_part('epoch', 'now'::timestamptz) AS b {FROM}": (10, "'now'"),
    f"SELECT c.id, c.a,\n  date_part('epoch', 'Today 04:05 UTC'::timestamptz) AS b {FROM}": (
        10,
        "'Today 04:05",
    ),
    f"SELECT c.id, c.a,\n  date_part('epoch', E' yesterday'::timestamptz) AS b {FROM}": (10, "yesterday"),
    f"SELECT c.id, c.a,\n  date_part('epoch', clock_timestamp()) AS b {FROM}": (10, "clock_timestamp"),
    f"SELECT c.id, c.a, date_part('year', age('2000-01-01'::timestamptz)) AS b {FROM}": (
        9,
        "age with one argument",
    ),
    f"SELECT c.id, c.a, hidden_clock.b {FROM}, hidden_clock": (9, "now in view hidden_clock"),
    f"SELECT c.id, c.a, inlined_clock() AS b {FROM}": (9, r"now in function inlined_clock\(\)"),
    f"SELECT c.id, c.a, c.b {FROM} WHERE pg_sleep(0) IS NOT NULL": (9, "pg_sleep"),
    f"SELECT c.id, c.a, counted() AS b {FROM}": (9, "counted"),
    "DELETE FROM clients_bigint WHERE id = ANY ($1::bigint[]) RETURNING id, a, b": (9, "got DELETE"),
    "UPDATE clients_bigint SET a = 1 WHERE id = ANY ($1::bigint[])": (9, "got UPDATE"),
    "WITH gone AS (DELETE FROM clients_bigint RETURNING id, a, b)\n"
    "SELECT c.id, c.a, c.b FROM gone c WHERE c.id = ANY ($1::bigint[])": (
        9,
        "data-modifying.*one SELECT that only reads",
    ),
    f"SELECT c.id, c.a, c.b {FROM}, secret": (None, "permission denied.*; as .* GRANT SELECT ON"),
}


@pytest.mark.parametrize("statement", REFUSED, ids=[message for _, message in REFUSED.values()])
async def test_what_is_no_view_is_refused_with_file_line_and_mend(clients, statement):
    line, message = REFUSED[statement]
    with pytest.raises(ViewError, match=message) as caught:
        await signature(clients, statement)
    assert caught.value.file == "clients.sql"
    assert caught.value.line == line
    assert caught.value.hint


@pytest.mark.parametrize(
    ("entry", "column", "hint"),
    [
        ("_b", "_b", "columns that begin with _ are no features: call it b$"),
        ("x" * 64, "x" * 64, "PostgreSQL cuts a name after 63 bytes: use a shorter one$"),
        ("é" * 32, "é" * 32, "PostgreSQL cuts a name after 63 bytes: use a shorter one$"),
        ("PlanB", "PlanB", 'PostgreSQL reads a name in small letters unless it is quoted: AS "PlanB"$'),
    ],
)
async def test_a_name_that_postgresql_takes_otherwise_is_told_to_be_another(clients, entry, column, hint):
    text = clients.view(f"SELECT c.id, c.a, c.b AS {column} {FROM}").text.replace("\nb =", f'\n"{entry}" =')
    with pytest.raises(ViewError, match=hint) as caught:
        await FeatureSource(clients.database, parse_view("v", text, "v.sql")).signature(Deadline.after(5))
    assert caught.value.line in (7, 9)


@pytest.mark.parametrize("name", ["two words", 'the "X"', "50 %", "(b)", "é (ü)", "AS b"])
async def test_a_column_of_any_name_has_its_line(clients, name):
    written = name.replace('"', '""')
    with pytest.raises(ViewError, match="got int4; cast it: ") as caught:
        await signature(clients, f'SELECT c.id, c.a,\n  c.b,\n  1 AS "{written}" {FROM}')
    assert caught.value.line == 11


@pytest.mark.parametrize("kind", ["int2", "int4", "int8", "float4", "numeric"])
async def test_a_number_of_another_type_is_told_to_be_cast_to_float8(clients, kind):
    with pytest.raises(ViewError, match=rf"as float8, got {kind}; cast it: \(b\)::float8$"):
        await signature(clients, f"SELECT c.id, c.a, c.b::{kind} AS b {FROM}")


UNNAMED = {
    "case": "CASE WHEN c.a > 1 THEN c.b END",
    "coalesce": "coalesce(c.b, 0)",
    "greatest": "greatest(c.b, 0)",
    "least": "least(c.b, 0)",
    "nullif": "nullif(c.b, 0)",
    "array": "ARRAY[c.b]",
    "row": "ROW(c.b)",
    "exists": "EXISTS (SELECT 1)",
    **{f"{kind}": f"(c.b + 1)::{kind}" for kind in ("int2", "int4", "int8", "float4", "float8", "numeric")},
    **{f"{kind}": f"(c.b || '')::{kind}" for kind in ("bool", "text", "varchar")},
    **{
        f"{kind}": f"('2020-01-0' || c.b)::{kind}"
        for kind in ("date", "timestamp", "timestamptz", "interval")
    },
}
"""By the name that PostgreSQL gives it: an expression without a name."""


@pytest.mark.parametrize("given", UNNAMED)
async def test_a_column_that_got_its_name_from_postgresql_is_told_to_be_named(clients, given):
    with pytest.raises(ViewError, match=r"name it"):
        await signature(clients, f"SELECT c.id, c.a, {UNNAMED[given]} {FROM}")


@pytest.mark.parametrize(
    "expression",
    [
        "date_part('epoch', $2::timestamptz - '2020-01-01'::date::timestamptz) / 86400",
        "date_part('epoch', '2020-01-01'::date)",
        "date_part('epoch', $2::timestamptz - '2020-01-01Z'::timestamptz)",
        "(c.id::text = 'yes')::int::float8",
        "nullif(c.id::text, '')::float8",
        "(c.id > 1)::int::float8",
    ],
)
async def test_every_mend_of_a_type_is_a_feature(clients, expression):
    found = await signature(clients, f"SELECT c.id, c.a, {expression} AS b {FROM}")
    assert [column.name for column in found.features] == ["a", "b"]


async def test_a_view_that_was_refused_is_asked_again_and_not_remembered(clients):
    source = clients.source(f"SELECT c.id, c.a, l.b {FROM} JOIN later l ON true")
    with pytest.raises(ViewError, match="later"):
        await source.signature(Deadline.after(5))
    await clients.owner.execute("CREATE TABLE later AS SELECT 1::float8 AS b")
    await clients.owner.execute("GRANT SELECT ON later TO PUBLIC")
    assert len((await source.signature(Deadline.after(5))).features) == 2
    await clients.owner.execute("DROP TABLE later")


async def test_words_that_look_like_a_clock_within_strings_are_none(clients):
    for word in ("now() is it", "now or never", "2026-01-01 10:00 utc"):
        await signature(
            clients, f"SELECT c.id, c.a, CASE WHEN '{word}' = 'x' THEN c.b ELSE 1 END AS b {FROM}"
        )


@pytest.mark.parametrize(
    ("dated", "horizon", "message"),
    [
        (False, 90, r"left.sql:3: the label looks 90 days ahead, but .*; let the view take \$2::timestamptz"),
        (True, 0, r"left.sql:3: expected an outcome window, .* got horizon_days = 0; say how many days"),
    ],
)
async def test_a_label_looks_ahead_beside_a_view_that_knows_time_and_no_other(
    clients, dated, horizon, message
):
    statement = f"SELECT c.id, c.a, c.b {FROM}" + " WHERE $2::timestamptz IS NOT NULL" * dated
    found = await signature(clients, statement)
    label = clients.label("SELECT 1")
    with pytest.raises(ViewError, match=message):
        check_horizon(found, dataclasses.replace(label, horizon_days=horizon))
    check_horizon(found, dataclasses.replace(label, horizon_days=90 - horizon))
