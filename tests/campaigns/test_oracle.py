"""The oracle itself: it agrees with what the trees give, and no wrong answer passes it."""

from datetime import timedelta
from math import nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.campaigns.oracle import FEATURES, Asked, Oracle, _expectation
from tests.server.small_models import EPOCH, expected_margin, small_trees, stamp

from staunch.v1 import prediction_service_pb2 as pb

ORACLE = Oracle(people=200, bases={1: 0.0, 2: 0.5})
MOMENT = EPOCH + timedelta(hours=300)
ASKED = Asked(customer=23, sent_at=MOMENT - timedelta(seconds=1), overrides={})
LATER = MOMENT + timedelta(seconds=1)


def right(asked: Asked = ASKED, version: int = 2) -> pb.PredictResponse:
    values = ORACLE.values(asked, MOMENT)
    margin = expected_margin((values["a"], values["b"], values["hours"]), ORACLE.bases[version])
    probability = 1 / (1 + np.exp(-margin))
    band = "HIGH" if probability >= 0.7 else "MEDIUM" if probability >= 0.3 else "LOW"
    return pb.PredictResponse(
        probability=probability,
        risk_band=pb.RiskBand.Value(f"RISK_BAND_{band}"),
        model=pb.ModelReference(name="churn", version=version),
        as_of_time=stamp(MOMENT),
    )


def errors(answer: pb.PredictResponse, asked: Asked = ASKED) -> list[str]:
    return list(ORACLE.prediction_errors(asked, answer, LATER))


def test_a_right_answer_passes() -> None:
    assert errors(right()) == []


def test_no_wrong_answer_passes() -> None:
    changes: dict[str, dict[str, Any]] = {
        "of the other version": {"model": pb.ModelReference(name="churn", version=1)},
        "of no version": {"model": pb.ModelReference(name="churn", version=3)},
        "of another model": {"model": pb.ModelReference(name="other", version=2)},
        "a little off": {"probability": right().probability + 1e-9},
        "of another band": {"risk_band": pb.RISK_BAND_UNSPECIFIED},
        "stale": {"as_of_time": stamp(ASKED.sent_at - timedelta(seconds=1))},
        "of the future": {"as_of_time": stamp(LATER + timedelta(seconds=1))},
    }
    for name, change in changes.items():
        answer = right()
        for field, value in change.items():
            if isinstance(value, float | int):
                setattr(answer, field, value)
            else:
                getattr(answer, field).CopyFrom(value)
        assert errors(answer), name


def test_a_score_of_somebody_else_or_of_one_who_has_none_is_wrong() -> None:
    other = Asked(customer=27, sent_at=ASKED.sent_at, overrides={})
    assert errors(right(), other)
    for customer in (0, 22, 201):
        assert errors(right(), Asked(customer=customer, sent_at=ASKED.sent_at, overrides={}))


def test_values_that_were_not_set_as_asked_are_wrong() -> None:
    asked = Asked(customer=23, sent_at=ASKED.sent_at, overrides={"a": 9.0, "b": nan})
    assert errors(right(asked), asked) == []
    assert errors(right(), asked)


def test_another_moment_than_asked_for_is_wrong() -> None:
    asked = Asked(customer=23, sent_at=ASKED.sent_at, overrides={}, as_of=MOMENT)
    assert errors(right(asked), asked) == []
    asked = Asked(customer=23, sent_at=ASKED.sent_at, overrides={}, as_of=MOMENT - timedelta(hours=1))
    assert errors(right(), asked)


def explained(asked: Asked = ASKED) -> pb.ExplainResponse:
    answer = pb.ExplainResponse(prediction=right(asked))
    values = ORACLE.values(asked, MOMENT)
    answer.explanation.base_value = _expectation(values, set()) + ORACLE.bases[2]
    for name in FEATURES:
        answer.explanation.contributions.add(feature=name, contribution=ORACLE._contribution(name, values))
    return answer


def test_explanations_are_the_shapley_values_and_add_up() -> None:
    assert list(ORACLE.explanation_errors(ASKED, explained(), LATER)) == []
    wrong = explained()
    wrong.explanation.contributions[0].contribution += 1e-6
    assert list(ORACLE.explanation_errors(ASKED, wrong, LATER))
    wrong = explained()
    wrong.explanation.base_value += 1e-6
    assert list(ORACLE.explanation_errors(ASKED, wrong, LATER))
    wrong = explained()
    del wrong.explanation.contributions[0]
    assert list(ORACLE.explanation_errors(ASKED, wrong, LATER))


@given(
    a=st.floats(0, 10),
    b=st.one_of(st.just(nan), st.floats(0, 1)),
    hours=st.floats(0, 200),
)
def test_what_it_knows_of_the_trees_is_what_they_are(a: float, b: float, hours: float) -> None:
    values = {"a": a, "b": b, "hours": hours}
    trees = small_trees(0.5)
    assert _expectation(values, {"a", "b", "hours"}) + 0.5 == pytest.approx(
        trees.margin(np.array([[a, b, hours]]))[0], abs=1e-12
    )
    assert _expectation(values, set()) + 0.5 == pytest.approx(trees.base_value(), abs=1e-12)


def test_who_can_be_scored() -> None:
    assert ORACLE.refusals(11) == {"CUSTOMER_NOT_ELIGIBLE"}
    assert ORACLE.refusals(201) == {"CUSTOMER_NOT_FOUND"}
    assert ORACLE.refusals(12) == set()
