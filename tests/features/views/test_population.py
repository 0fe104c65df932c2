"""What a population may list: by no cast of ours one id becomes another."""

import pytest

from staunch_features.checks.sample import draw
from staunch_features.errors import ViewError

TAKEN = [
    ("bigint", "SELECT 7::smallint", 7),
    ("bigint", "SELECT 7", 7),
    ("bigint", "SELECT 7::oid", 7),
    ("text", "SELECT '007'", "007"),
    ("text", "SELECT ' 7 '::varchar(9)", " 7 "),
    ("text", "SELECT ' 7 '::name", " 7 "),
    ("text", "SELECT 7::bigint", "7"),
    ("text", "SELECT '00000000-0000-0000-0000-00000000000a'::uuid", "00000000-0000-0000-0000-00000000000a"),
    (
        "uuid",
        "SELECT '{0000000000000000000000000000000A}'::uuid",
        "00000000-0000-0000-0000-00000000000a",
    ),
]
REFUSED = [
    ("bigint", "SELECT 7.4", "bigint", "numeric", "trunc"),
    ("bigint", "SELECT 7::numeric(10, 0)", "bigint", "numeric", "trunc"),
    ("bigint", "SELECT 7.4::float8", "bigint", "double precision", "trunc"),
    ("bigint", "SELECT 7::real", "bigint", "real", "trunc"),
    ("bigint", "SELECT '007'::text", "bigint", "text", "for texts"),
    ("bigint", "SELECT true", "bigint", "boolean", "::bigint"),
    ("text", "SELECT 7.4::float8", "text", "double precision", "::text"),
    ("text", "SELECT now()", "text", "timestamp with time zone", "::text"),
    ("uuid", "SELECT '{0000000000000000000000000000000A}'::text", "uuid", "text", "::uuid"),
]


async def listed(clients, id_type, population):
    source = clients.source(id_type=id_type, population=population)
    return [key async for chunk in source.population(10) for key in chunk]


async def drawn(clients, id_type, population):
    view = clients.view(id_type=id_type, population=population)
    names = {"bigint": "int64"}
    return await draw(clients.database, view, names.get(id_type, id_type), timeout_s=5)


@pytest.mark.parametrize("read", [listed, drawn])
@pytest.mark.parametrize(("id_type", "population", "key"), TAKEN)
async def test_what_becomes_an_id_without_a_loss_is_taken(clients, read, id_type, population, key):
    assert await read(clients, id_type, population) == [key]


@pytest.mark.parametrize("read", [listed, drawn])
@pytest.mark.parametrize(("id_type", "population", "expected", "got", "hint"), REFUSED)
async def test_what_a_cast_would_change_is_refused_with_its_type_its_line_and_what_to_write(
    clients, read, id_type, population, expected, got, hint
):
    with pytest.raises(ViewError) as caught:
        await read(clients, id_type, population)
    error = caught.value
    assert f"to list ids as {expected}, as $1 has them, got {got}" in str(error)
    assert hint in error.hint
    assert clients.view(population=population).text.splitlines()[error.line - 1].startswith("population = ")


@pytest.mark.parametrize("read", [listed, drawn])
async def test_the_labels_of_an_enum_and_the_values_of_a_domain_are_texts_too(clients, read):
    await clients.owner.execute("CREATE TYPE public.tier AS ENUM ('Gold', 'gold')")
    await clients.owner.execute("CREATE DOMAIN public.code AS text")
    try:
        population = "SELECT unnest(enum_range(NULL::public.tier))"
        assert sorted(await read(clients, "text", population)) == ["Gold", "gold"]
        assert await read(clients, "text", "SELECT ' 7 '::public.code") == [" 7 "]
    finally:
        await clients.owner.execute("DROP TYPE public.tier; DROP DOMAIN public.code")


async def test_the_advice_gives_a_population_that_is_taken(clients):
    population = "SELECT n::bigint FROM (VALUES (7.4), (8.0)) AS v(n) WHERE n = trunc(n)"
    assert await listed(clients, "bigint", population) == [8]
    population = r"SELECT n::bigint FROM (VALUES ('007'), ('8')) AS v(n) WHERE n ~ '^[1-9][0-9]*$'"
    assert await listed(clients, "bigint", population) == [8]
