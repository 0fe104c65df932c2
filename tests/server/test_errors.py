"""What is refused and why: exceptions of other rooms have their reason, and what nobody foresaw has none."""

import pytest

from staunch_features.errors import (
    DatabaseTooOld,
    DatabaseUnavailable,
    MigrationError,
    RowsNotUnique,
    ViewError,
)
from staunch_model_store.errors import AliasMoved, ModelNotFound, ModelRefused, NameInvalid
from staunch_server.errors import (
    Reason,
    Refusal,
    Resource,
    refusal_of,
)

MOVED = {"alias": "churn@champion", "expected_version": "2", "current_version": "3"}
AWAY = "The database did not answer as it should; try again a little later."


@pytest.mark.parametrize(
    ("error", "reason", "message"),
    [
        (DatabaseUnavailable("10.0.0.1 refused"), Reason.DATABASE_UNAVAILABLE, AWAY),
        (DatabaseTooOld("10.0.0.1 is 12"), Reason.DATABASE_UNAVAILABLE, AWAY),
        (ViewError("v.sql", 3, "no column", "add it"), Reason.MODEL_REFUSED, "v.sql:3: no column; add it"),
        (RowsNotUnique("v.sql", None, "two", "join"), Reason.MODEL_REFUSED, "v.sql: two; join"),
        (NameInvalid("no name", field="model", expected="a", got="b"), Reason.FIELD_INVALID, "no name"),
        (ModelNotFound("no model", model="churn", available=""), Reason.MODEL_NOT_FOUND, "no model"),
        (ModelRefused("damaged"), Reason.MODEL_REFUSED, "damaged"),
        (AliasMoved("moved", **MOVED), Reason.ALIAS_MOVED, "moved"),
        (
            TimeoutError(),
            Reason.DEADLINE_EXCEEDED,
            "The time was over before the answer; give a longer deadline.",
        ),
    ],
)
def test_an_exception_of_another_room_has_its_reason(error: Exception, reason: Reason, message: str) -> None:
    refusal = refusal_of(error, "churn@3")
    assert refusal is not None
    assert (refusal.reason, refusal.message, refusal.__cause__) == (reason, message, error)
    of_a_model = reason in (Reason.MODEL_NOT_FOUND, Reason.MODEL_REFUSED)
    assert refusal.resource == (Resource("model", "churn@3") if of_a_model else None)
    without = refusal_of(error)
    assert without is not None
    assert without.resource is None


def test_a_refusal_is_itself_and_what_nobody_foresaw_is_none() -> None:
    refusal = Refusal(Reason.CHUNK_EMPTY, "No.")
    assert refusal_of(refusal) is refusal
    assert refusal_of(MigrationError("half done")) is None
    assert refusal_of(KeyError("a")) is None
