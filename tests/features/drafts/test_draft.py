"""Views drafted from tables of every kind: good at once, and true to their rows."""

import pytest
from tests.features.drafts.conftest import Shop, left_out, view_of

from staunch_features.drafts.draft import Wishes, draft_view
from staunch_features.errors import DraftError


async def test_a_flat_table_of_85_columns_is_good_at_once(shop: Shop) -> None:
    columns = ", ".join(f"(n * {place} % 11)::int AS f{place}" for place in range(85))
    await shop.table(columns, rows=500)
    drafted = await shop.checked()
    assert list(view_of(drafted).features) == [f"f{place}" for place in range(85)]
    assert left_out(drafted) == {}
    assert await shop.values(drafted, "f7", [1, 2, 3]) == [7, 3, 10]


async def test_a_table_of_odd_names_is_good_at_once(shop: Shop) -> None:
    longest = "abcdefghij" * 6 + "ab"
    await shop.make(
        f'CREATE TABLE shop."Odd ""Table"" . */" AS SELECT n AS "Thing ID", n % 3 = 0 AS "Churned?", '
        f'n AS "select", n AS "Group", n AS group_, n AS "{longest}x", n AS "{longest}y", n AS "*/ ; --", '
        f'n AS "it\'s", n AS "日本", n AS "_eligible", n AS "1st", n AS "{{brace}}", n AS "$1" '
        "FROM generate_series(1, 100) AS n;"
        'ALTER TABLE shop."Odd ""Table"" . */" ADD PRIMARY KEY ("Thing ID")'
    )
    drafted = await shop.checked('shop."Odd ""Table"" . */"')
    names = list(view_of(drafted).features)
    assert (drafted.name, len(names)) == ("odd_table", 12)
    assert names[:3] == ["select", "group", "group_2"]
    assert all(len(name) <= 63 for name in names)
    assert await shop.values(drafted, "select", [5]) == [5]


async def test_a_view_and_a_partitioned_table_are_good_at_once(shop: Shop) -> None:
    await shop.table("n % 7 AS kind, n AS size")
    await shop.make(
        "CREATE VIEW shop.seen AS SELECT id AS thing_id, churned, kind FROM shop.things;"
        "CREATE TABLE shop.parted (id bigint, day date, kind int, churned boolean, PRIMARY KEY (id, day)) "
        "PARTITION BY RANGE (day);"
        "CREATE TABLE shop.part_1 PARTITION OF shop.parted FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');"
        "CREATE TABLE shop.part_2 PARTITION OF shop.parted FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');"
        "INSERT INTO shop.parted SELECT id, date '2020-06-01' + id, kind, churned FROM shop.things"
    )
    seen = await shop.checked("shop.seen")
    parted = await shop.checked("shop.parted")
    assert seen.draft.key.column.name == "thing_id"
    assert "no index says so" in seen.draft.key.why
    assert list(view_of(parted).features) == ["days_since_day", "kind"]


async def test_every_type_is_a_number_or_left_out_with_the_reason(shop: Shop) -> None:
    await shop.make(
        "CREATE TYPE shop.tier AS ENUM ('gold', 'base', 'it''s'); CREATE DOMAIN shop.fee AS money"
    )
    await shop.table(
        "n::smallint AS small, n::bigint AS big, n / 4.0 AS exact, n::real AS rough, "
        "n * 1.5::float8 AS wide, (n * 1.25)::numeric::money::shop.fee AS paid, n % 2 = 0 AS flag, "
        "(ARRAY['gold', 'base', 'it''s'])[1 + n % 3]::shop.tier AS tier, date '2024-01-01' + n AS day, "
        "timestamptz '2024-01-01 12:00Z' + n * interval '1 day' AS at, timestamp '2024-01-01' AS naive, "
        "time '06:30' AS wakes, interval '36 hours' AS took, ARRAY[n, n, 1] AS many, '{}'::text[] AS none, "
        "n::bit(8) AS bits, B'1011'::varbit AS more_bits, gen_random_uuid() AS token, "
        "int4range(1, 9) AS span, inet '10.0.0.1' AS host, '\\x00'::bytea AS bytes, point(1, 2) AS place"
    )
    drafted = await shop.checked()
    # 2024-07-19 is the last day that the table knows.
    expected = {
        **{"small": 5, "big": 5, "exact": 1.25, "rough": 5, "wide": 7.5, "paid": 6.25, "flag": 0, "tier": 3},
        **{"days_since_day": 195, "days_since_at": 194.5, "days_since_naive": 200, "wakes": 6.5, "took": 1.5},
        **{"many": 3, "none": 0, "bits": 2, "more_bits": 3},
    }
    assert {name: (await shop.values(drafted, name, [5]))[0] for name in expected} == expected
    assert list(view_of(drafted).features) == list(expected)
    assert set(left_out(drafted)) == {"token", "span", "host", "bytes", "place"}
    assert left_out(drafted)["span"].startswith("int4range: no number is made of that type")
    assert "# " in drafted.view
    assert "token: uuid" in drafted.view


async def test_what_is_never_null_is_promised_and_nothing_else_is(shop: Shop) -> None:
    await shop.table("n AS told, nullif(n, 7) AS gappy, n AS free, 'NaN'::float8 AS nan, 1.5 AS sound")
    await shop.make(
        "ALTER TABLE shop.things ALTER told SET NOT NULL, ALTER nan SET NOT NULL, ALTER sound SET NOT NULL"
    )
    features = view_of(await shop.checked()).features
    assert {name: doc.null for name, doc in features.items()} == {
        **{"told": "never", "gappy": "missing", "free": "missing"},
        **{"nan": "missing", "sound": "never"},
    }


async def test_a_rare_value_that_no_learner_takes_is_missing(shop: Shop) -> None:
    rare = [
        "'infinity'::float8",
        "'-infinity'::float8",
        "1e300::float8",
        "'infinity'::numeric",
        "1e300",
        "-1e39",
    ]
    columns = {f"size_{place}": value for place, value in enumerate(rare)}
    await shop.table(
        ", ".join(f"CASE n WHEN 19000 THEN {value} ELSE n END AS {name}" for name, value in columns.items()),
        rows=25_000,
    )
    drafted = await shop.checked()
    for name, value in columns.items():
        assert await shop.values(drafted, name, [18_999, 19_000]) == [18_999, None], value
        assert view_of(drafted).features[name].null == "missing, infinite or too large", value


@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz"])
@pytest.mark.parametrize("time", [None, "joined"])
async def test_a_moment_in_no_year_of_the_calendar_has_no_age(
    shop: Shop, kind: str, time: str | None
) -> None:
    last = "5874897-12-31" if kind == "date" else "294276-12-31"
    odd = f"ARRAY['infinity', '-infinity', '{last}', '4713-01-01 BC', '0044-03-15 BC']::{kind}[]"
    await shop.table(
        f"coalesce(({odd})[n], '2020-01-01') AS at, date '2019-01-01' AS joined, NULL::date AS left_on"
    )
    drafted = await shop.draft(time=time, label="left_on" if time else None)
    ages = await shop.values(drafted, "days_since_at", [1, 2, 3, 4, 5, 6])
    assert ages[:5] == [None] * 5
    assert ages[5] is not None


async def test_texts_are_codes_yes_and_no_numbers_or_left_out(shop: Shop) -> None:
    await shop.table(
        "(ARRAY['basic', 'pro, really', 'it''s */ \\ odd', ''])[1 + n % 5 % 4] AS plan, "
        "(ARRAY['Yes', 'no', NULL])[1 + n % 3] AS agrees, "
        "CASE n WHEN 9 THEN ' ' ELSE (n / 8.0)::text END AS paid, lpad((n % 5)::text, 4, '0') AS branch, "
        "'Name ' || n AS name, (date '2024-01-01' + n)::text AS born, NULL::text AS nothing, "
        "repeat('x', 300) AS essay, (ARRAY['ON', 'QC'])[1 + n % 2]::char(4) AS province"
    )
    drafted = await shop.checked()
    ids: list[int | str] = [1, 2, 3, 4, 9]
    features = view_of(drafted).features
    assert await shop.values(drafted, "plan", ids) == [3, 2, None, 1, 1]
    assert features["plan"].description == "Plan: 1 basic, 2 'it''s */ \\ odd', 3 'pro, really'."
    assert await shop.values(drafted, "agrees", ids) == [0, None, 1, 0, 1]
    assert features["plan"].labels == {1: "basic", 2: "it's */ \\ odd", 3: "pro, really"}
    assert features["agrees"].description == "Agrees: 1 if Yes, 0 if no."
    assert features["agrees"].labels == {0: "no", 1: "Yes"}
    assert await shop.values(drafted, "paid", ids) == [0.125, 0.25, 0.375, 0.5, None]
    assert await shop.values(drafted, "branch", ids) == [2, 3, 4, 5, 5]
    assert await shop.values(drafted, "province", [1, 2]) == [2, 1]
    reasons = left_out(drafted)
    assert set(reasons) == {"name", "born", "nothing", "essay"}
    assert reasons["name"] == "200 different texts in 200 rows: too many to be a category"
    assert "look like dates" in reasons["born"]
    assert "holds nothing" in reasons["nothing"]


async def test_a_value_that_comes_later_is_missing_and_breaks_nothing(shop: Shop) -> None:
    await shop.table("(ARRAY['a', 'b'])[1 + n % 2] AS kind, (n % 70)::text AS paid")
    drafted = await shop.checked()
    await shop.owner.execute("UPDATE shop.things SET kind = 'new', paid = '1e400' WHERE id = 1")
    assert await shop.values(drafted, "kind", [1, 2]) == [None, 1]
    assert await shop.values(drafted, "paid", [1, 2]) == [None, 2]


async def test_the_paths_of_json_are_features(shop: Shop) -> None:
    await shop.table(
        """jsonb_build_object('age', n, 'vip', n % 2 = 0, 'plan', jsonb_build_object('name', 'p' || n % 3,
           'since', '2024-01-01'), 'tags', jsonb_build_array(1, n), 'it''s */', 3, 'mixed',
           CASE WHEN n % 2 = 0 THEN '"7"'::jsonb ELSE '8' END, 'none', NULL, 'huge', 1e400) AS profile,
           json_build_object('a b', CASE WHEN n % 5 > 0 THEN n END) AS raw, '[1, 2, 3]'::jsonb AS list,
           CASE n % 3 WHEN 0 THEN '{}' WHEN 1 THEN '5' ELSE 'null' END::jsonb AS odd,
           NULL::jsonb AS nothing"""
    )
    drafted = await shop.checked()
    expected = {
        **{"profile_age": 5, "profile_vip": 0, "profile_tags": 2, "profile_it_s": 3, "profile_mixed": 8},
        **{"profile_plan_name": 3, "raw_a_b": None, "list": 3, "odd": None},
    }
    assert {name: (await shop.values(drafted, name, [5]))[0] for name in expected} == expected
    features = view_of(drafted).features
    assert set(features) == set(expected)
    assert features["profile_plan_name"].description == "Plan name in profile: 1 p0, 2 p1, 3 p2."
    assert features["profile_age"].source == ("things.profile",)
    assert "holds nothing" in left_out(drafted)["nothing"]


async def test_what_the_owner_says_of_tables_and_columns_is_their_description(shop: Shop) -> None:
    await shop.table("n AS size")
    await shop.make(
        "COMMENT ON TABLE shop.things IS E'Our \"things\",\nall of them */.'; "
        "COMMENT ON COLUMN shop.things.size IS E'How big /* it is,\\x1bin cm.\\r\\n'"
    )
    view = view_of(await shop.checked())
    assert view.description == 'Our "things", all of them */.'
    assert view.features["size"].description == "How big /* it is, in cm."


async def test_what_identifies_or_knows_the_answer_is_left_out(shop: Shop) -> None:
    await shop.table(
        "n * 10 AS number, 'x' || n AS mail, CASE WHEN n % 4 = 0 THEN 'price' END AS reason, "
        "CASE WHEN n % 4 = 0 THEN 'gone' ELSE 'here' END AS state, "
        "CASE WHEN n % 4 = 0 THEN date '2024-01-01' + n END AS left_on, n % 5 AS kind, 1 + n % 90 AS owner_id"
    )
    await shop.make(
        "ALTER TABLE shop.things ADD UNIQUE (mail), ADD UNIQUE (number);"
        "CREATE TABLE shop.owners AS SELECT n AS id FROM generate_series(1, 90) AS n;"
        "ALTER TABLE shop.owners ADD PRIMARY KEY (id);"
        "ALTER TABLE shop.things ADD FOREIGN KEY (owner_id) REFERENCES shop.owners"
    )
    reasons = left_out(await shop.checked())
    assert set(reasons) == {"number", "mail", "reason", "state", "left_on", "owner_id"}
    assert reasons["mail"] == reasons["number"] == "identifies the row, as the key does"
    assert reasons["owner_id"] == "names a row of shop.owners: join what that says"
    assert reasons["reason"].startswith("knows the answer")


async def test_a_column_that_the_reader_may_not_read_is_left_out(shop: Shop) -> None:
    await shop.table("n AS size, n AS secret")
    await shop.owner.execute(
        "REVOKE SELECT ON shop.things FROM staunch_reader; "
        "GRANT SELECT (id, churned, size) ON shop.things TO staunch_reader"
    )
    assert left_out(await shop.checked()) == {"secret": "the reader may not read it"}


async def test_rows_that_no_call_can_name_are_left_out_of_the_population(shop: Shop) -> None:
    await shop.table("n AS size")
    await shop.owner.execute("INSERT INTO shop.things VALUES (0, true, 1), (-5, false, 1)")
    drafted = await shop.checked()
    assert drafted.draft.key.left_out == 2
    assert (await shop.check(drafted)).found == 200


@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz"])
async def test_a_time_makes_a_view_as_of_a_moment(shop: Shop, kind: str) -> None:
    await shop.table(
        f"(now() - n * interval '5 days')::{kind} AS \"joined at\", "
        "CASE WHEN n % 3 = 0 THEN (now() - n * interval '60 hours')::date END AS left_on, "
        "(now() - n * interval '3 days')::timestamp AS renewed, n % 2 AS kind",
        rows=400,
    )
    drafted = await shop.checked(time="joined at", label="left_on")
    check = await shop.check(drafted)
    assert check.signature.uses_as_of
    assert check.signature.has_eligible
    assert [probe.changed for probe in check.probes] == [()]
    assert check.label is not None
    assert 0 < check.label.true < check.label.known
    view = view_of(drafted)
    zone = "" if kind == "timestamptz" else " AT TIME ZONE 'UTC'"
    assert view.time_columns == {"shop.things": (f"joined at{zone}",)}
    assert [note for note in check.advice if "zone" in note] == []
    assert list(view.features) == ["churned", "days_since_joined_at", "days_since_renewed", "kind"]
    assert view.features["days_since_joined_at"].null == "never"
    assert "as the table holds it now" in view.rules[0]
    assert view.eligible == "has no left_on yet"


@pytest.mark.parametrize(
    ("table", "wishes", "error"),
    [
        ("shop.thing", {}, r"expected a table shop.thing, found none; near it are shop\.things, "),
        ("nowhere.x", {}, r"expected a table nowhere\.x, found none; there are"),
        ("shop.empty", {}, r"expected rows in shop\.empty, got none"),
        ("shop.closed", {}, r"GRANT USAGE ON SCHEMA shop TO staunch_reader; GRANT SELECT ON shop\.closed TO"),
        ("shop.hidden", {}, "row-level security decides"),
        (
            "shop.bare",
            {},
            "expected columns of shop.bare that make features, got none: it has key and answer",
        ),
        ("shop.things", {"name": "No Name"}, "--name No Name: .* perhaps --name no_name"),
        (
            "shop.things",
            {"time": "size"},
            r"--time size: expected a date .*, got integer; the table has none",
        ),
        ('shop."日本"', {}, "cannot make a name for the view of .*, --name NAME"),
    ],
)
async def test_what_cannot_be_drafted_is_refused_with_the_way(
    shop: Shop, table: str, wishes: dict[str, str], error: str
) -> None:
    await shop.table("n AS size")
    for name in ("shop.closed", "shop.hidden", "shop.empty", 'shop."日本"'):
        await shop.table("n AS size", name=name)
    await shop.make("CREATE TABLE shop.bare AS SELECT id, churned FROM shop.things; DELETE FROM shop.empty")
    await shop.owner.execute("REVOKE SELECT ON shop.closed FROM staunch_reader")
    await shop.owner.execute("ALTER TABLE shop.hidden ENABLE ROW LEVEL SECURITY")
    with pytest.raises(DraftError, match=error):
        await shop.draft(table, **wishes)


async def test_a_name_that_two_schemas_have_is_asked_for_with_its_schema(shop: Shop) -> None:
    await shop.table("n AS size", name="shop.twice")
    await shop.make("CREATE SCHEMA other; CREATE TABLE other.twice (id int)")
    try:
        with pytest.raises(DraftError, match=r"got other\.twice, shop\.twice: name it with its schema"):
            await shop.draft("twice")
        assert (await shop.draft("SHOP.Twice")).name == "twice"
    finally:
        await shop.owner.execute("DROP SCHEMA other CASCADE")


async def test_what_takes_longer_than_it_may_says_how_to_wait(shop: Shop) -> None:
    await shop.table("n AS size")
    await shop.make("CREATE VIEW shop.slow AS SELECT *, pg_sleep(1) IS NULL AS s FROM shop.things OFFSET 0")
    with pytest.raises(
        DraftError, match=r"expected an answer within 0\.2 s, got none: wait longer with --timeout"
    ):
        await draft_view(shop.database, Wishes("shop.slow"), timeout_s=0.2)


async def test_a_label_that_no_line_could_hold_is_made_to_fit_one(shop: Shop) -> None:
    await shop.table("(ARRAY[E'two\\nlines\\x01 /* \"', 'plain'])[1 + n % 2] AS odd")
    assert view_of(await shop.checked()).features["odd"].labels == {1: "plain", 2: 'two lines /* "'}
