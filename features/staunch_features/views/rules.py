"""What a key and a value may be: decided here, for `view check`, for training and for the server alike.

NaN is missing, as null is: in a column, in the features that a caller gives, and in overrides. Data frames
and models take it so, and nobody has to tell the two apart.
"""

import json
import re
import uuid
from collections import Counter
from collections.abc import Iterable
from typing import cast

import numpy as np
from numpy.typing import NDArray

from staunch_features.errors import ViewError, shown
from staunch_features.views.file import FeatureView
from staunch_features.views.header import header_line
from staunch_features.views.sql_text import line_of_column
from staunch_features.views.types import Id

MAX_KEY_BYTES = 64
"""The longest text key that a call may have, in bytes of UTF-8."""

LARGEST_VALUE = float(np.finfo(np.float32).max)
"""The largest value of a feature, either way: learners compare in float32, and models were learned so."""

FEWEST_ANSWERS = 2
"""Rows of each answer that each of training's three sides needs: below that no loss can be measured."""

ELIGIBLE_IS_NULL = "expected _eligible to be true or false, got null"
"""What is wrong with a row that does not say whether it belongs; null is often meant as true."""

_NULL = "is null, but the view says it never is"
_INFINITE = "is infinite"
_TOO_LARGE = f", and no learner takes more than {LARGEST_VALUE:.2g}"
_PROBLEM = re.compile(
    rf"feature (?P<name>.*) (?:{_NULL}|{_INFINITE}|is [-+.\de]+{re.escape(_TOO_LARGE)})", re.DOTALL
)
_HINTS = {
    _NULL: "say in the header what null means (NaN counts as null), or give the column a value with "
    "coalesce(nullif(..., 'NaN'), 0)",
    _INFINITE: "let it be a finite number or null: CASE WHEN abs(...) <= 3.4e38 THEN ... END",
    _TOO_LARGE: "let it be smaller, or null: CASE WHEN abs(...) <= 3.4e38 THEN ... END",
    ELIGIBLE_IS_NULL: "write (...) IS TRUE, or (...) IS NOT FALSE if what is not known belongs",
}
# In UTF-8, as calls carry it, whatever the encoding of the database.
_CAN_BE_ASKED = {
    "int64": "{} > 0",
    "text": f"octet_length(convert_to({{}}, 'UTF8')) BETWEEN 1 AND {MAX_KEY_BYTES}",
    "uuid": "{} IS NOT NULL",
}

# As PostgreSQL reads a uuid. Python's own reader takes blanks, signs and underscores for digits, so that the
# key of nobody would be answered by somebody's score.
_UUID = re.compile(r"(?:urn:uuid:)?({)?(?:[0-9A-Fa-f]{4}-?){7}[0-9A-Fa-f]{4}(?(1)})")


def canonical_id(id_type: str, raw: Id) -> Id:
    """Returns an id in the one form in which the database gives it back.

    Args:
        id_type: `int64`, `text` or `uuid`.
        raw: What the caller gave.

    Raises:
        ValueError: It is no id of that type, or longer than a call takes.
    """
    if id_type == "int64":
        if isinstance(raw, int) and 1 <= raw < 2**63:
            return raw
        raise ValueError(f"expected an id from 1 to 2^63 - 1, got {raw!r}")
    if not isinstance(raw, str) or not raw or "\0" in raw:
        raise ValueError(f"expected a key of one or more characters without NUL, got {raw!r}")
    if (size := len(raw.encode())) > MAX_KEY_BYTES:
        raise ValueError(f"expected a key of 1 to {MAX_KEY_BYTES} bytes, got {size}")
    if id_type == "text":
        return raw
    if not _UUID.fullmatch(raw):
        raise ValueError(f"expected a uuid, got {raw!r}")
    return str(uuid.UUID(raw))


def can_be_asked_sql(id_type: str, key: str) -> str:
    """Returns SQL that says of a key in the database what `canonical_id` says of one in a call.

    Args:
        id_type: `int64`, `text` or `uuid`.
        key: The key as SQL, of that type.
    """
    return _CAN_BE_ASKED[id_type].format(key)


def why_no_id(id_type: str, raw: Id) -> str:
    """Returns why no call can ask for an id; empty if one can."""
    try:
        canonical_id(id_type, raw)
    except ValueError as error:
        return str(error)
    return ""


def refuse_nulls(view: FeatureView, ids: Iterable[Id | None]) -> None:
    """Refuses a population with a null, which is no id.

    Raises:
        ViewError: There is one.
    """
    if None in ids:
        raise _population_error(view, "a null", "add WHERE ... IS NOT NULL to it")


def check_population(view: FeatureView, id_type: str, ids: Iterable[Id], twice: Iterable[Id] = ()) -> None:
    """Refuses a population with an id that is there twice, or with one that no call can ask for.

    Args:
        view: The view.
        id_type: The type of its ids.
        ids: The ids, or enough of them to hold the bad ones.
        twice: Those that are known to be there more than once; such as stand in `ids` twice are found.

    Raises:
        ViewError: What is wrong, with the least of the ids that are so.
    """
    counts = Counter(ids)
    if again := {key for key, count in counts.items() if count > 1}.union(twice):
        hint = "SELECT DISTINCT, or read a table of one row an id"
        raise _population_error(view, f"{_least(again)!r} more than once", hint)
    if bad := [key for key in counts if why_no_id(id_type, key)]:
        least = _least(bad)
        why, where = why_no_id(id_type, least), can_be_asked_sql(id_type, "...")
        hint = f"leave out what no call can ask for: {why}; add WHERE {where}"
        raise _population_error(view, f"{least!r}", hint)


def _population_error(view: FeatureView, got: str, hint: str) -> ViewError:
    expected = "expected the population to list each id once"
    return ViewError(
        file=view.file,
        line=header_line(view.text, "population"),
        message=f"{expected}, got {got}",
        hint=hint,
        for_log=f"{expected}, as calls ask for them, got one more than once, or another",
    )


def bad_values(values: NDArray[np.float64], never_null: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Finds the values that no model may be given.

    Args:
        values: Float64 (n, features); NaN is missing.
        never_null: Bool (features,): which of them may not be missing.

    Returns:
        Bool (n, features).
    """
    bad: NDArray[np.bool_] = (np.abs(values) > LARGEST_VALUE) | (np.isnan(values) & never_null)
    return bad


def value_problem(name: str, value: float) -> str:
    """Says what is wrong with a value that `bad_values` found."""
    if np.isnan(value):
        return f"feature {shown(name)} {_NULL}"
    if np.isinf(value):
        return f"feature {shown(name)} {_INFINITE}"
    return f"feature {shown(name)} is {value:g}{_TOO_LARGE}"


def broken_promise(view: FeatureView, problem: str, about: str) -> ViewError:
    """Returns the error of a row with a problem: with the line to mend, and how.

    Args:
        view: The view.
        problem: What `value_problem` said, ELIGIBLE_IS_NULL, or what the database said of the row.
        about: Which row, or how many.
    """
    line = line_of_column(view.statement, "_eligible") if problem == ELIGIBLE_IS_NULL else None
    if named := _PROBLEM.fullmatch(problem):
        name = json.loads(named["name"]) if named["name"].startswith('"') else named["name"]
        line = header_line(view.text, f"features.{name}")
    return ViewError(
        file=view.file,
        line=line,
        message=f"{problem}{about}",
        hint=row_hint(problem),
        for_log=problem_for_log(problem),
    )


def row_hint(problem: str) -> str:
    """Returns what mends a row's problem in the view; nothing for what the database said."""
    return next((hint for kind, hint in _HINTS.items() if problem.endswith(kind)), "")


def problem_for_log(problem: str) -> str:
    """Returns what a log may have of a row's problem: which feature, and neither the value nor the row.

    Args:
        problem: As `broken_promise` takes it.
    """
    if named := _PROBLEM.fullmatch(problem):
        kind = next(kind for kind in (_NULL, _INFINITE, _TOO_LARGE) if problem.endswith(kind))
        words = f"is too large{kind}" if kind == _TOO_LARGE else kind
        return f"feature {named['name']} {words}"
    return problem if problem == ELIGIBLE_IS_NULL else "the database refuses to read the row"


def _least(ids: Iterable[Id]) -> Id:
    return min(cast("Iterable[int]", ids))  # one type or the other, never both
