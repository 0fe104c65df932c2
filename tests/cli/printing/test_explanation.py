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
from staunch_cli.printing.words import ENGLISH, FRENCH

UNITS = {"short": "CAD per 30 days", "big": "days"}
TITLES = {"province_code": "Province", "long": "Support requests that are still open after 30 days"}
LABELS = {("province_code", 8.0): "ON"}
PREDICTION = Prediction(0.2, RiskBand.LOW, ModelReference("churn", 1, "sha256:1"), None, None)


def explanation(*parts: tuple[str, float | None, float], remainder_count: int = 0) -> Explanation:
    return Explanation(
        prediction=PREDICTION,
        output_space=OutputSpace.LOG_ODDS,
        method=ExplanationMethod.TREE_PATH_DEPENDENT,
        base_value=-2.0,
        output_value=-2.0 + sum(part[2] for part in parts),
        contributions=tuple(
            Contribution(
                name,
                value,
                share,
                name == "set",
                TITLES.get(name, name),
                UNITS.get(name, ""),
                LABELS.get((name, value), ""),
            )
            for name, value, share in parts
        ),
        remainder=0.0,
        remainder_count=remainder_count,
        additivity_error=0.0,
    )


def canvas(encoding: str = "utf-8") -> TextCanvas:
    return TextCanvas(io.TextIOWrapper(io.BytesIO(), encoding=encoding))


def test_a_picture_fits_80_columns_whatever_the_names():
    why = explanation(("n" * 60, 123456.789, 0.5), ("short", None, -0.00001), ("set", 1e-12, -2.0))
    lines = picture(why, ENGLISH, canvas()).splitlines()
    assert max(map(len, lines)) <= 80
    assert "~" in lines[1]


def test_values_carry_their_units_and_the_sum_is_put_in_words():
    drawn = picture(explanation(("big", 1234.56, 1.0), ("short", 0.123456, -0.5)), ENGLISH, canvas())
    assert "1,235 days" in drawn
    assert "0.1235 CAD per 30 days" in drawn
    assert drawn.endswith("average -2.000 + features 0.500 = log-odds -1.500, a probability of 20.0%")


def test_a_small_contribution_still_shows():
    drawn = picture(explanation(("big", 1.0, 5.0), ("small", 1.0, 0.001)), ENGLISH, canvas())
    assert drawn.splitlines()[2].endswith("│█")


def test_without_unicode_bars_are_ascii():
    picture(explanation(("a", 1.0, 1.0), ("b", 2.0, -1.0)), ENGLISH, canvas("ascii")).encode("ascii")


def test_an_explanation_of_nothing_is_still_drawn():
    assert "average" in picture(explanation(), ENGLISH, canvas())


def test_programs_get_every_figure_of_an_explanation():
    read = explanation_json(explanation(("set", 1.5, 0.25), ("short", None, -0.5), remainder_count=3))
    assert (read["base_value"], read["output_value"], read["remainder_count"]) == (-2.0, -2.25, 3)
    assert (read["output_space"], read["method"]) == ("log_odds", "tree_path_dependent")
    assert read["contributions"] == [
        {
            "feature": "set",
            "title": "set",
            "value": 1.5,
            "value_label": "",
            "unit": "",
            "contribution": 0.25,
            "overridden": True,
        },
        {
            "feature": "short",
            "title": "short",
            "value": None,
            "value_label": "",
            "unit": "CAD per 30 days",
            "contribution": -0.5,
            "overridden": False,
        },
    ]


def test_a_contribution_is_called_by_its_title_and_a_coded_value_by_its_label():
    drawn = picture(explanation(("province_code", 8.0, 1.0), ("big", 2.0, 0.5)), ENGLISH, canvas())
    assert "  Province     ON     +1.0000" in drawn
    assert "province_code" not in drawn


def test_a_title_that_is_too_long_goes_on_below():
    lines = picture(explanation(("long", 3.0, 1.0), ("big", 2.0, 0.5)), ENGLISH, canvas()).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("  Support requests that are")
    assert lines[2] == "    open after 30 days"


def test_french_is_french_to_the_last_comma():
    drawn = picture(
        explanation(("big", 1234.56, 1.0), ("set", None, -0.5), remainder_count=7), FRENCH, canvas()
    )
    assert "diminue|augmente" in drawn
    assert "1\u00a0235 days" in drawn
    assert "+1,0000" in drawn
    assert "set*" in drawn
    assert "manquant" in drawn
    assert "7 autres" in drawn
    assert "* fixé par vous" in drawn
    assert drawn.endswith(
        "moyenne -2,000 + variables 0,500 = log-cotes -1,500, soit une probabilité de 20,0\u00a0%"
    )


def test_programs_get_names_and_what_people_call_them():
    (part,) = explanation_json(explanation(("province_code", 8.0, 1.0)))["contributions"]
    assert (part["feature"], part["title"], part["value"], part["value_label"], part["unit"]) == (
        "province_code",
        "Province",
        8.0,
        "ON",
        "",
    )
