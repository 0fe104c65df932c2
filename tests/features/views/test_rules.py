"""What a key and a value may be, and that each refusal says what mends it."""

import math

import numpy as np
import pytest

from staunch_features.errors import ViewError
from staunch_features.views.file import parse_view
from staunch_features.views.rules import (
    ELIGIBLE_IS_NULL,
    LARGEST_VALUE,
    bad_values,
    broken_promise,
    canonical_id,
    check_population,
    problem_for_log,
    refuse_nulls,
    row_hint,
    value_problem,
    why_no_id,
)

TEXT = """/* staunch
description = "A client."
entity = "client"
population = "SELECT id FROM clients"
[features]
a = { description = "A.", null = "never" }
"is b" = { description = "B.", null = "not told" }
*/
SELECT id, a, b AS "is b", true
  AS _eligible
FROM unnest($1::bigint[]) AS u (id)"""
VIEW = parse_view("clients", TEXT, "clients.sql")


@pytest.mark.parametrize(
    ("id_type", "raw", "why"),
    [
        ("int64", 1, ""),
        ("int64", 2**63 - 1, ""),
        ("int64", 0, "expected an id from 1 to 2^63 - 1, got 0"),
        ("int64", -5, "expected an id from 1 to 2^63 - 1, got -5"),
        ("text", "é" * 32, ""),
        ("text", "é" * 33, "expected a key of 1 to 64 bytes, got 66"),
        ("text", "", "expected a key of one or more characters without NUL, got ''"),
        ("uuid", "{6F9619FF-8B86-D011-B42D-00CF4FC964FF}", ""),
        ("uuid", "6f96", "expected a uuid, got '6f96'"),
    ],
)
def test_an_id_that_no_call_can_ask_for_says_why(id_type, raw, why):
    assert why_no_id(id_type, raw) == why
    if why:
        with pytest.raises(ValueError, match="expected"):
            canonical_id(id_type, raw)


def test_a_population_of_distinct_ids_that_can_be_asked_for_is_good():
    for id_type, ids in (("int64", [3, 1]), ("text", ["a", "A", " "]), ("uuid", [])):
        refuse_nulls(VIEW, ids)
        check_population(VIEW, id_type, ids)


@pytest.mark.parametrize(
    ("id_type", "ids", "twice", "message"),
    [
        ("int64", [7, 0, -5], [], r"got -5; leave out .* from 1 to 2\^63 - 1, got -5; add WHERE \.\.\. > 0$"),
        ("int64", [7, 3, 7, 3], [], "got 3 more than once; SELECT DISTINCT"),
        ("int64", [7, 3], [7], "got 7 more than once; SELECT DISTINCT"),
        ("int64", [0, 0], [], "got 0 more than once"),
        (
            "text",
            ["a", ""],
            [],
            r"got ''; .* add WHERE octet_length\(convert_to\(\.\.\., 'UTF8'\)\) BETWEEN 1 AND 64$",
        ),
    ],
)
def test_a_bad_population_is_refused_by_its_least_bad_id(id_type, ids, twice, message):
    with pytest.raises(ViewError, match="expected the population to list each id once, " + message) as caught:
        check_population(VIEW, id_type, ids, twice)
    assert (caught.value.file, caught.value.line) == ("clients.sql", 4)


def test_a_null_in_a_population_is_refused():
    with pytest.raises(ViewError, match=r"got a null; add WHERE \.\.\. IS NOT NULL"):
        refuse_nulls(VIEW, [1, None])


def test_values_that_no_model_may_be_given_are_found():
    values = np.array(
        [[0.0, math.nan, -LARGEST_VALUE], [math.inf, math.nan, math.nan], [3.5e38, -1e300, 1.0]]
    )
    never = np.array([True, False, True])
    assert bad_values(values, never).tolist() == [
        [False, False, False],
        [True, False, True],
        [True, True, False],
    ]


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        (math.nan, "is null, but the view says it never is", "(NaN counts as null), or give the column"),
        (-math.inf, "is infinite", "CASE WHEN abs(...) <= 3.4e38 THEN ... END"),
        (-1e39, "is -1e+39, and no learner takes more than 3.4e+38", "CASE WHEN abs(...) <= 3.4e38"),
    ],
)
def test_a_value_that_is_refused_is_named_with_its_line_and_a_hint(value, message, hint):
    problem = value_problem("is b", value)
    assert problem == f'feature "is b" {message}'
    error = broken_promise(VIEW, problem, ": id 3")
    assert (error.line, error.message) == (7, f"{problem}: id 3")
    assert hint in error.hint


def test_a_row_that_does_not_say_whether_it_belongs_is_shown_where_it_should():
    error = broken_promise(VIEW, ELIGIBLE_IS_NULL, " for 1 of 3 ids")
    assert (error.line, error.message) == (
        10,
        "expected _eligible to be true or false, got null for 1 of 3 ids",
    )
    assert error.hint.startswith("write (...) IS TRUE")


def test_what_the_database_said_of_a_row_has_no_hint_of_ours():
    assert row_hint("the database refuses it: division by zero") == ""


def test_a_log_hears_of_a_problem_which_feature_it_is_and_neither_the_value_nor_the_databases_words() -> None:
    problems = {
        value_problem("spend", float("nan")): "feature spend is null, but the view says it never is",
        value_problem("spend", float("-inf")): "feature spend is infinite",
        value_problem(
            "spend", 7.6543e38
        ): "feature spend is too large, and no learner takes more than 3.4e+38",
        ELIGIBLE_IS_NULL: ELIGIBLE_IS_NULL,
        'the database refuses it: invalid input syntax: "42"': "the database refuses to read the row",
    }
    assert {problem: problem_for_log(problem) for problem in problems} == problems


def test_a_population_that_is_refused_leaves_its_ids_out_of_the_log() -> None:
    for ids in ([424242, 424242], [-424242]):
        with pytest.raises(ViewError, match="424242") as refused:
            check_population(VIEW, "int64", ids)
        assert "424242" not in refused.value.for_log
        assert "expected the population to list each id once" in refused.value.for_log
