"""The waterfall of an explanation: it ends where the score is, and names things as people do."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from staunch import (
    Contribution,
    Explanation,
    ExplanationMethod,
    FeatureWarning,
    FeatureWarningKind,
    ModelReference,
    OutputSpace,
    Prediction,
    RiskBand,
)
from staunch_cli.pictures.waterfall import draw
from staunch_cli.pictures.words import picture_words
from staunch_cli.shared.errors import CommandError

PARTS = (
    Contribution("province_west_to_east", 8.0, 0.4, False, "Province", "", "ON"),
    Contribution("tenure_days", -5.0, -0.3, True, "Tenure", "days"),
    Contribution("income", None, 0.1, False, "Income", "$"),
)
WARNING = FeatureWarning("tenure_days", "Tenure", FeatureWarningKind.IMPOSSIBLE, -5.0, "", 0.0, None)


def explanation(space: OutputSpace = OutputSpace.LOG_ODDS, base: float = -2.0) -> Explanation:
    model, moment = ModelReference("churn", 3, "sha256:1"), datetime(2026, 11, 22, 16, 29, tzinfo=UTC)
    prediction = Prediction(0.142, RiskBand.MEDIUM, model, moment, None, warnings=(WARNING,))
    method = ExplanationMethod.TREE_PATH_DEPENDENT
    return Explanation(
        prediction=prediction,
        output_space=space,
        method=method,
        base_value=base,
        output_value=base + 0.2,
        contributions=PARTS,
        remainder=0.0,
        remainder_count=7,
        additivity_error=0.0,
        language="en",
    )


def texts(tmp_path, found: Explanation, language: str = "en", customer: str = "c-42") -> list[str]:
    draw(found, customer, picture_words(language), tmp_path / "why", ".svg")
    return re.findall(r"<!-- (.*?) -->", (tmp_path / "why").read_text())


def test_it_says_who_and_how_likely_by_which_version_as_of_when(tmp_path):
    found = texts(tmp_path, explanation())
    assert "Customer c-42: 14.2%, medium risk" in found
    assert "churn@3  ·  as of 2026-11-22 16:29 UTC" in found


def test_each_contribution_has_title_value_with_unit_or_label_and_figure(tmp_path):
    found = texts(tmp_path, explanation())
    for text in (
        "Province",
        "ON",
        "+0.400",
        "Tenure*",
        "-5 days",
        "\N{MINUS SIGN}0.300",
        "Income",
        "missing",
    ):
        assert text in found
    assert not any("province_west_to_east" in text for text in found)
    assert "7 others" in found


def test_a_long_key_is_cut_and_not_the_score(tmp_path):
    (title,) = [text for text in texts(tmp_path, explanation(), customer="W" * 64) if "WWW" in text]
    assert title.startswith("Customer WWW")
    assert title.endswith("W…: 14.2%, medium risk")


def test_a_title_that_is_cut_keeps_the_star_that_the_note_is_about(tmp_path):
    long = replace(explanation(), contributions=(replace(PARTS[1], title="W" * 80),))
    assert any(text.endswith("W…*") for text in texts(tmp_path, long))


def test_margins_have_their_probabilities_beside_them(tmp_path):
    found = texts(tmp_path, explanation())
    assert "\N{MINUS SIGN}2.000 = 11.9%" in found
    assert "\N{MINUS SIGN}1.800 = 14.2%" in found
    assert {"log-odds", "probability", "15%"} <= set(found)


def test_in_probability_there_is_one_axis_in_percent(tmp_path):
    found = texts(tmp_path, explanation(OutputSpace.PROBABILITY, 0.1))
    assert {"10.00%", "30.00%", "+40.00%"} <= set(found)
    assert "log-odds" not in found


def test_what_was_set_and_what_is_impossible_stands_below(tmp_path):
    found = "\n".join(texts(tmp_path, explanation()))
    assert "* set by you\nwarning: Tenure -5: impossible (at least 0)" in found


def test_it_speaks_french(tmp_path):
    found = texts(tmp_path, explanation(), "fr")
    assert "Client c-42\u00a0: 14,2\u00a0%, risque moyen" in found
    assert {"7 autres", "manquant", "+0,400", "Ensemble", "log-cotes"} <= set(found)
    assert "avertissement\u00a0: Tenure -5\u00a0: impossible (au moins 0)" in "\n".join(found)


@pytest.mark.parametrize(("ending", "begins"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_the_ending_says_what_it_becomes_and_the_same_answer_is_the_same_picture(tmp_path, ending, begins):
    for name in ("one", "two"):
        draw(explanation(), 42, picture_words("en"), tmp_path / name, ending)
    assert (tmp_path / "one").read_bytes().startswith(begins)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize(("base", "share"), [(-1e6, "0.0%"), (1e6, "100.0%")])
def test_log_odds_beyond_all_bounds_are_drawn_too(tmp_path, base, share):
    found = texts(tmp_path, explanation(base=base))
    assert sum(text.endswith(f" = {share}") for text in found) == 2


def test_so_many_contributions_that_no_png_holds_them_are_refused_with_what_does(tmp_path):
    many = replace(explanation(), contributions=PARTS * 500)
    with pytest.raises(
        CommandError, match=r"got 1500: choose the largest by --top, or let --plot end in \.svg"
    ):
        draw(many, 42, picture_words("en"), tmp_path / "why", ".png")
