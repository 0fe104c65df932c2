"""What a text uses: functions by their texts, and the function through which each thing is used."""

import pytest

from staunch_features.postgres.deadlines import Deadline
from staunch_features.views.clock_words import Name, references_in
from staunch_features.views.reached_code import reached_code

RETURNS = "RETURNS float8 LANGUAGE plpgsql STABLE AS"


@pytest.fixture
async def reach(clients):
    """Makes functions in the schema `used`, and finds what a text uses."""
    await clients.owner.execute("CREATE SCHEMA used; GRANT USAGE ON SCHEMA used TO PUBLIC")

    async def found(text: str, *made: str):
        for statement in made:
            await clients.owner.execute(statement)
        return await reached_code(clients.owner, references_in(text), frozenset(), Deadline.after(5))

    yield found
    await clients.owner.execute("DROP SCHEMA used CASCADE")


async def test_what_a_function_uses_is_used_through_the_function_that_is_called(reach):
    reached = await reach(
        "SELECT used.outermost()",
        f"CREATE FUNCTION used.innermost() {RETURNS} 'BEGIN RETURN (SELECT b FROM used.v); END'",
        f"CREATE FUNCTION used.outermost() {RETURNS} 'BEGIN RETURN used.innermost(); END'",
        "CREATE VIEW used.v AS SELECT max(b) AS b FROM clients_bigint",
    )
    assert [(code.kind, code.word) for code in reached] == [
        ("function", "outermost"),
        ("function", "innermost"),
        ("view", "v"),
    ]
    assert {code.function().word for code in reached} == {"outermost"}
    assert reached[1].tables == {Name("used", "v")}


async def test_what_a_text_reads_through_a_view_alone_is_used_through_no_function(reach):
    (code,) = await reach("SELECT b FROM used.v", "CREATE VIEW used.v AS SELECT b FROM clients_bigint")
    assert (code.kind, code.function()) == ("view", None)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("BEGIN EXECUTE 'SELECT 1'; RETURN 1; END", "executes a string"),
        ("BEGIN RETURN length('EXECUTE'); -- EXECUTE\n END", ""),
        ("BEGIN RETURN 1; END", ""),
    ],
)
async def test_a_function_that_executes_a_string_does_not_show_what_it_reads(reach, body, why):
    (code,) = await reach("SELECT used.f()", f"CREATE FUNCTION used.f() {RETURNS} $body$ {body} $body$")
    assert code.opaque == why
