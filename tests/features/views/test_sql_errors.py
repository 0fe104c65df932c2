"""Which errors of the database are the text's own, on which line, and what is advised."""

import asyncpg
import pytest

from staunch_features.errors import ViewError
from staunch_features.views.file import FeatureView, parse_view
from staunch_features.views.sql_errors import in_time, view_errors

TEXT = """/* staunch
description = "A client."
entity = "client"
population = "SELECT id FROM clients"
[features]
a = { description = "A.", null = "never" }
*/
SELECT id,
  a
FROM clients"""
OF_THE_TEXT = [
    asyncpg.FeatureNotSupportedError,
    asyncpg.CaseNotFoundError,
    asyncpg.CardinalityViolationError,
    asyncpg.DivisionByZeroError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.SQLRoutineError,
    asyncpg.InvalidCursorNameError,
    asyncpg.ExternalRoutineError,
    asyncpg.ExternalRoutineInvocationError,
    asyncpg.UndefinedColumnError,
    asyncpg.StatementTooComplexError,
    asyncpg.RaiseError,
]
OF_OTHERS = [
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.SerializationError,
    asyncpg.OutOfMemoryError,
    asyncpg.AdminShutdownError,
    asyncpg.DataCorruptedError,
    asyncpg.InternalServerError,
    ValueError,
]


@pytest.fixture
def view() -> FeatureView:
    return parse_view("clients", TEXT, "clients.sql")


def told(view: FeatureView, error: Exception, sql: str | None = None) -> ViewError:
    with pytest.raises(ViewError) as caught, view_errors(view, sql or view.statement):
        raise error
    assert caught.value.__cause__ is error
    assert caught.value.file == "clients.sql"
    return caught.value


@pytest.mark.parametrize("kind", OF_THE_TEXT)
def test_what_blames_the_statement_is_the_texts_fault(view, kind):
    error = told(view, kind("no\nSELECT all of it"))
    assert error.message == "the database refuses it: no …"
    assert error.line is None
    assert error.hint


@pytest.mark.parametrize("kind", OF_OTHERS)
def test_what_blames_the_database_or_us_is_left_as_it_is(view, kind):
    with pytest.raises(kind), view_errors(view, view.statement):
        raise kind("no")


@pytest.mark.parametrize(
    ("around", "at", "line"), [("", "a\n", 9), ("SELECT\n(", "a\n", 9), ("", "FROM", 10)]
)
def test_a_place_in_what_was_sent_is_a_line_of_the_file(view, around, at, line):
    sql = around + view.statement
    error = asyncpg.UndefinedColumnError("no")
    error.position = str(sql.index(at, len(around)) + 1)
    assert told(view, error, sql).line == line


@pytest.mark.parametrize(("place", "line"), [(1, 1), (-1, 10)])
def test_a_place_around_the_statement_is_the_first_or_the_last_line(view, place, line):
    before, after = "\n" * 20 + "WITH ", "\n" * 20 + "LIMIT"
    sql = before + view.statement + after
    error = asyncpg.PostgresSyntaxError("no")
    error.position = str(place if place > 0 else len(sql))
    assert told(view, error, sql).line == line


def test_what_is_wrong_with_the_population_has_its_line_and_its_own_advice(view):
    error = told(
        view, asyncpg.InvalidTextRepresentationError("no"), f"SELECT count(*) FROM ({view.population})"
    )
    assert (error.line, error.hint) == (4, "let the population be one SELECT of the ids, of the type of $1")
    divided = told(view, asyncpg.DivisionByZeroError("no"), f"SELECT count(*) FROM ({view.population})")
    assert divided.hint == "divide by nullif(..., 0), which gives null"


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        (asyncpg.CharacterNotInRepertoireError, "leave them out, WHERE ... ~ '^[ -~]*$'"),
        (asyncpg.UntranslatableCharacterError, "encoding has no such character"),
        (asyncpg.TooManyColumnsError, "at most 1,664 columns"),
    ],
)
def test_what_a_text_or_its_database_cannot_hold_is_told_what_to_leave_out(view, kind, hint):
    assert hint in told(view, kind("no")).hint


def test_a_number_of_many_digits_is_cut_in_its_message(view):
    message = f'"{"1" * 400}" is out of range for type double precision'
    error = told(view, asyncpg.NumericValueOutOfRangeError(message))
    assert error.message.endswith("1 … " + message[-100:])
    assert len(error.message) < 250


def test_the_databases_own_advice_is_passed_on_where_we_have_none(view):
    error = asyncpg.UndefinedColumnError("no")
    assert told(view, error).hint == "mend the SQL"
    error = asyncpg.UndefinedColumnError("no")
    error.hint = "Perhaps you meant b."
    assert told(view, error).hint == "Perhaps you meant b."


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (
            asyncpg.InsufficientPrivilegeError(
                'query would be affected by row-level security policy for "a"'
            ),
            "row_security is off for the reader: as the table's owner CREATE POLICY",
        ),
        (
            asyncpg.UndefinedObjectError('unrecognized configuration parameter "my.client"'),
            "the SQL, a function or a policy of row-level security asks for a setting",
        ),
    ],
)
def test_what_a_policy_refuses_is_told_as_such(view, error, hint):
    assert told(view, error).hint.startswith(hint)


@pytest.mark.parametrize(
    ("hints", "advice"), [(["index a", "index b"], "index a; index b"), ([], "see by EXPLAIN")]
)
def test_an_answer_that_does_not_come_in_time_is_the_texts_fault(view, hints, advice):
    with pytest.raises(ViewError, match=r"within 0\.5 s, got none") as caught, in_time(view, 0.5, hints):
        raise TimeoutError
    assert (caught.value.file, caught.value.line) == ("clients.sql", None)
    assert caught.value.hint.startswith(advice)


def test_what_else_happens_in_the_time_given_is_left_as_it_is(view):
    with pytest.raises(KeyError), in_time(view, 0.5, []):
        raise KeyError
