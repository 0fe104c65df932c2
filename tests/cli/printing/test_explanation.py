"""What a picture of an explanation shows, and in how many columns."""

import io

from staunch import (
    Contribution,
    Explanation,
    ExplanationMethod,
    ModelReference,
    OutputSpace,
    Prediction,
    RiskBand,
)
from staunch_cli.printing.canvas import TextCanvas
from staunch_cli.printing.explanation import explanation_json, picture

UNITS = {"short": "CAD per 30 days", "big": "days"}
PREDICTION = Prediction(0.2, RiskBand.LOW, ModelReference("churn", 1, "sha256:1"), None, None)


def explanation(*parts: tuple[str, float | None, float], remainder_count: int = 0) -> Explanation:
    return Explanation(
        PREDICTION,
        OutputSpace.LOG_ODDS,
        ExplanationMethod.TREE_PATH_DEPENDENT,
        -2.0,
        -2.0 + sum(part[2] for part in parts),
        tuple(Contribution(name, value, share, name == "set") for name, value, share in parts),
        0.0,
        remainder_count,
        0.0,
    )


def canvas(encoding: str = "utf-8") -> TextCanvas:
    return TextCanvas(io.TextIOWrapper(io.BytesIO(), encoding=encoding))


def test_a_picture_fits_80_columns_whatever_the_names():
    why = explanation(("n" * 60, 123456.789, 0.5), ("short", None, -0.00001), ("set", 1e-12, -2.0))
    lines = picture(why, UNITS, canvas()).splitlines()
    assert max(map(len, lines)) <= 80
    assert "~" in lines[1]


def test_values_carry_their_units_and_the_sum_is_put_in_words():
    drawn = picture(explanation(("big", 1234.56, 1.0), ("short", 0.123456, -0.5)), UNITS, canvas())
    assert "1,235 days" in drawn
    assert "0.1235 CAD per 30 days" in drawn
    assert drawn.endswith("average -2.000 + features 0.500 = log-odds -1.500, a probability of 20.0%")


def test_a_small_contribution_still_shows():
    drawn = picture(explanation(("big", 1.0, 5.0), ("small", 1.0, 0.001)), UNITS, canvas())
    assert drawn.splitlines()[2].endswith("│█")


def test_without_unicode_bars_are_ascii():
    picture(explanation(("a", 1.0, 1.0), ("b", 2.0, -1.0)), UNITS, canvas("ascii")).encode("ascii")


def test_an_explanation_of_nothing_is_still_drawn():
    assert "average" in picture(explanation(), UNITS, canvas())


def test_programs_get_every_figure_of_an_explanation():
    read = explanation_json(explanation(("set", 1.5, 0.25), ("short", None, -0.5), remainder_count=3))
    assert (read["base_value"], read["output_value"], read["remainder_count"]) == (-2.0, -2.25, 3)
    assert (read["output_space"], read["method"]) == ("log_odds", "tree_path_dependent")
    assert read["contributions"] == [
        {"feature": "set", "value": 1.5, "contribution": 0.25, "overridden": True},
        {"feature": "short", "value": None, "contribution": -0.5, "overridden": False},
    ]
