"""`staunch predict` and `staunch explain`: what they send and what people read."""

import io
import json

import pytest

from staunch import (
    Contribution,
    Explanation,
    ExplanationMethod,
    ModelReference,
    OutputSpace,
    Prediction,
    RiskBand,
)
from staunch_cli.commands.explain import picture
from staunch_cli.printing.display import Paper

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


def paper(encoding: str = "utf-8") -> Paper:
    return Paper(io.TextIOWrapper(io.BytesIO(), encoding=encoding))


def test_predict_prints_the_score_its_model_and_its_moment(staunch):
    told = staunch("predict", 42)
    assert told.out.splitlines() == [
        "customer     42",
        "probability  0.2500  medium risk",
        "model        churn@3",
        "as of        2023-11-14T22:13:20.123456Z",
    ]


def test_predict_shows_the_features_used_when_asked(staunch):
    assert "income  missing" in staunch("predict", 42, "--features").out


def test_flags_travel(staunch, toy):
    staunch(
        "predict",
        42,
        "--model",
        "churn@2",
        "--as-of",
        "2026-06-01",
        "--set",
        "age=20",
        "--set",
        "income=null",
    )
    sent = toy.seen[0]
    assert (sent.customer_id, sent.model, sent.as_of_time.seconds) == (42, "churn@2", 1780272000)
    assert sent.overrides["age"].number == 20.0
    assert not sent.overrides["income"].HasField("kind")


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["42"], "customer_id", 42),
        (["42", "--key"], "customer_key", "42"),
        (["007", "--key"], "customer_key", "007"),
        (["7590-X"], "customer_key", "7590-X"),
    ],
)
def test_digits_are_an_id_unless_they_are_said_to_be_a_key(staunch, toy, words, field, value):
    staunch("predict", *words)
    assert getattr(toy.seen[0], field) == value


@pytest.mark.parametrize(
    "words",
    [
        ["9" * 30],
        ["42", "--set", "age"],
        ["42", "--set", "age=old"],
        ["42", "--as-of", "soon"],
        ["42", "--timeout", "0"],
    ],
)
def test_flags_that_make_no_sense_are_misuse(staunch, toy, words):
    told = staunch("predict", *words)
    assert told.code == 2
    assert "expected" in told.err
    assert toy.seen == []


def test_json_is_one_object_with_all_digits(staunch):
    told = json.loads(staunch("predict", 42, "--json", "--features").out)
    assert told["probability"] == 0.25
    assert told["model_digest"] == "sha256:3"
    assert told["features"] == {"age": 41.0, "income": None}


def test_explain_draws_a_bar_for_each_contribution(staunch):
    lines = staunch("explain", 42).out.splitlines()
    raises = next(line for line in lines if "tickets_open" in line)
    lowers = next(line for line in lines if "income*" in line)
    assert raises.split("│")[1].strip() == "█" * len(raises.split("│")[1])
    assert raises.index("│") == lowers.index("│")
    assert lowers.split("│")[0].endswith("█")
    assert any("7 others" in line for line in lines)
    assert "\033" not in "".join(lines)


@pytest.mark.parametrize("command", ["predict", "explain"])
def test_what_was_set_by_hand_is_always_shown(staunch, command):
    """Among "7 others" it would be seen nowhere else."""
    words = [command, 42, "--set", "age=20", "--set", "seldom=null"]
    assert "set by you   age = 20, seldom = missing\n" in staunch(*words).out
    assert json.loads(staunch(*words, "--json").out)["overrides"] == {"age": 20.0, "seldom": None}


@pytest.mark.parametrize("command", ["predict", "explain"])
def test_nothing_is_said_of_setting_where_nothing_was_set(staunch, command):
    assert "set by you  " not in staunch(command, 42).out
    assert "overrides" not in json.loads(staunch(command, 42, "--json").out)


def test_explain_asks_for_the_top_contributions_only(staunch, toy):
    staunch("explain", 42)
    staunch("explain", 42, "--top", 0)
    asked = [request for request in toy.seen if type(request).__name__ == "ExplainRequest"]
    assert [request.max_contributions for request in asked] == [10, 0]


def test_explain_in_json_adds_up(staunch):
    told = json.loads(staunch("explain", 42, "--json").out)
    total = (
        told["base_value"] + sum(part["contribution"] for part in told["contributions"]) + told["remainder"]
    )
    assert total == pytest.approx(told["output_value"])


def test_a_picture_fits_80_columns_whatever_the_names():
    why = explanation(("n" * 60, 123456.789, 0.5), ("short", None, -0.00001), ("set", 1e-12, -2.0))
    lines = picture(why, UNITS, paper()).splitlines()
    assert max(map(len, lines)) <= 80
    assert "~" in lines[1]


def test_values_carry_their_units_and_the_sum_is_said_in_words():
    drawn = picture(explanation(("big", 1234.56, 1.0), ("short", 0.123456, -0.5)), UNITS, paper())
    assert "1,235 days" in drawn
    assert "0.1235 CAD per 30 days" in drawn
    assert drawn.endswith("average -2.000 + features 0.500 = log-odds -1.500, a probability of 20.0%")


def test_a_small_contribution_still_shows():
    drawn = picture(explanation(("big", 1.0, 5.0), ("small", 1.0, 0.001)), UNITS, paper())
    assert drawn.splitlines()[2].endswith("│█")


def test_without_unicode_bars_are_ascii():
    picture(explanation(("a", 1.0, 1.0), ("b", 2.0, -1.0)), UNITS, paper("ascii")).encode("ascii")


def test_an_explanation_of_nothing_is_still_drawn():
    assert "average" in picture(explanation(), UNITS, paper())


def test_colour_is_for_terminals_that_want_it(monkeypatch):
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\033[31m" in Paper(Terminal()).bar(1.0, 4)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033" not in Paper(Terminal()).bar(1.0, 4)
