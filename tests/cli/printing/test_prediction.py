"""A score for people and for programs."""

from dataclasses import replace
from datetime import UTC, datetime

from staunch import ModelReference, Prediction, RiskBand
from staunch_cli.printing.prediction import as_json, headline

PREDICTION = Prediction(
    0.123456789, RiskBand.HIGH, ModelReference("churn", 1, "sha256:1"), datetime(2026, 6, 1, tzinfo=UTC), None
)


def test_people_read_four_digits_the_band_and_what_they_set():
    assert headline("k", PREDICTION, {"age": None}) == [
        ("customer", "k"),
        ("probability", "0.1235  high risk"),
        ("model", "churn@1"),
        ("as of", "2026-06-01T00:00:00Z"),
        ("set by you", "age = missing"),
    ]


def test_a_model_without_thresholds_has_no_band():
    unbanded = replace(PREDICTION, risk_band=RiskBand.UNSPECIFIED)
    assert headline(1, unbanded, {})[1] == ("probability", "0.1235")


def test_programs_get_every_digit_and_null_where_there_is_no_moment():
    assert as_json(1, replace(PREDICTION, as_of=None), {}) == {
        "customer": 1,
        "probability": 0.123456789,
        "risk_band": "high",
        "model": "churn@1",
        "model_digest": "sha256:1",
        "as_of": None,
    }
    with_features = as_json(1, replace(PREDICTION, features={"age": 1.0}), {"age": 1.0})
    assert with_features["features"] == with_features["overrides"] == {"age": 1.0}
