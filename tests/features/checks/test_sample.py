"""The sample that `view check` and `view show` speak of: fair, the same each time, cheap."""

import pytest

from staunch_features.checks.check import check_view
from staunch_features.checks.sample import draw
from staunch_features.checks.summary import summarise
from staunch_features.errors import ViewError
from staunch_features.postgres.pool import Database

KEYS = {
    "int64": ("bigint", "n::bigint"),
    "text": ("text", "'clé-' || n"),
    "uuid": ("uuid", "lpad(n::text, 32, '0')::uuid"),
}
POPULATION = "SELECT {key} FROM generate_series(1, 40000) AS n ORDER BY n"
# What is true of the later half of the population alone.
LATE = """SELECT u.id, u.id::float8 AS a, (CASE WHEN u.id > 20000 THEN 1 END)::float8 AS b
FROM unnest($1::bigint[]) AS u (id)"""


@pytest.mark.parametrize("id_type", KEYS)
async def test_ids_come_from_all_parts_of_the_population_and_are_the_same_each_time(clients, id_type):
    sql_type, key = KEYS[id_type]
    view = clients.view(id_type=sql_type, population=POPULATION.format(key=key))
    ids = await draw(clients.database, view, id_type, timeout_s=10)
    assert len(set(ids)) == 10_000
    numbers = [int(str(one).rpartition("-")[2]) for one in ids]
    for quarter in range(4):
        assert sum(n > quarter * 10_000 for n in numbers) == pytest.approx(2_500 * (4 - quarter), abs=200)
    assert ids == await draw(clients.database, view, id_type, timeout_s=10)
    backwards = clients.view(id_type=sql_type, population=POPULATION.format(key=key) + " DESC")
    assert ids == await draw(clients.database, backwards, id_type, timeout_s=10)


async def test_keys_that_differ_by_blanks_zeros_case_or_accents_are_all_drawn_as_they_stand(clients):
    keys = [
        "7",
        " 7",
        "7 ",
        "007",
        "+7",
        "1e3",
        "a",
        "A",
        "\u00e9",
        "e\u0301",
        "a,b",
        '"',
        " ",
        "9" * 40,
    ]
    listed = ", ".join(f"'{key}'" for key in keys).replace('"', '\\"')
    population = f"SELECT unnest(ARRAY[{listed}])"
    view = clients.view(id_type="text", population=population)
    assert sorted(await draw(clients.database, view, "text", timeout_s=5)) == sorted(keys)


async def test_a_small_population_is_drawn_whole(clients):
    view = clients.view(population="SELECT id FROM clients_bigint")
    assert sorted(await draw(clients.database, view, "int64", timeout_s=5)) == [1, 2, 3]


async def test_what_the_commands_say_of_a_sample_holds_for_all(clients, clients_database):
    view = clients.view(LATE, population=POPULATION.format(key="n::bigint"))
    label = clients.label("SELECT u.id, u.id > 20000 AS left FROM unnest($1::bigint[]) AS u (id)")
    one = Database(clients_database.reader_url, size=1)  # neither needs a second connection
    found = await check_view(one, view, label)
    assert found.columns[1].nulls / found.columns[1].rows == pytest.approx(0.5, abs=0.02)
    assert found.label.true / found.label.known == pytest.approx(0.5, abs=0.02)
    summary = await summarise(one, view, label, None)
    assert summary.features[0].trend == pytest.approx((0, 0, 0.5, 1, 1), abs=0.1)
    await one.close()


@pytest.mark.parametrize(
    ("population", "message"),
    [
        ("SELECT 1::bigint FROM generate_series(1, 3)", "got 1 more than once; SELECT DISTINCT"),
        ("SELECT nullif(n, 7)::bigint FROM generate_series(1, 20000) n", "got a null; add WHERE"),
        ("SELECT n::bigint FROM generate_series(0, 9) n", "got 0; leave out what no call can ask for"),
        (
            "SELECT 'x'::bigint FROM clients_bigint",
            "invalid input syntax .* SELECT of the ids, of the type of .1",
        ),
        ("SELECT id FROM absent", "the database refuses it: relation .absent. does not exist"),
    ],
)
async def test_a_population_that_is_none_is_refused_with_its_line(clients, population, message):
    view = clients.view(population=population)
    with pytest.raises(ViewError, match=message) as caught:
        await draw(clients.database, view, "int64", timeout_s=5)
    assert (caught.value.file, caught.value.line) == ("clients.sql", 4)


async def test_a_key_that_no_call_may_ask_for_is_refused_and_the_longest_is_drawn(clients):
    population = "SELECT repeat('é', {count}) FROM clients_text WHERE id = 'a'"
    view = clients.view(id_type="text", population=population.format(count=33))
    with pytest.raises(ViewError, match="no call can ask for: expected a key of 1 to 64 bytes, got 66"):
        await draw(clients.database, view, "text", timeout_s=5)
    ascii_key = "SELECT repeat('k', 65) FROM clients_text WHERE id = 'a'"
    with pytest.raises(ViewError, match="expected a key of 1 to 64 bytes, got 65"):
        await draw(clients.database, clients.view(id_type="text", population=ascii_key), "text", timeout_s=5)
    view = clients.view(id_type="text", population=population.format(count=32))
    assert await draw(clients.database, view, "text", timeout_s=5) == ["é" * 32]
