"""`staunch predict`, and what `staunch explain` shares with it: what they send and what people read."""

import json

import pytest

from staunch_server.errors import Reason, Refusal


def test_predict_prints_the_score_its_model_and_its_moment(staunch):
    result = staunch("predict", 42)
    assert result.out.splitlines() == [
        "customer     42",
        "probability  0.2500  medium risk",
        "model        churn@3",
        "as of        2023-11-14T22:13:20.123456Z",
    ]


def test_predict_shows_the_features_used_when_asked(staunch):
    assert "Income  missing   income" in staunch("predict", 42, "--features").out


def test_flags_travel(staunch, service):
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
    sent = service.seen[0]
    assert (sent.customer_id, sent.model, sent.as_of_time.seconds) == (42, "churn@2", 1780272000)
    assert sent.overrides["age"].number_value == 20.0
    assert sent.overrides["income"].WhichOneof("kind") == "null_value"


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["42"], "customer_id", 42),
        (["42", "--key"], "customer_key", "42"),
        (["007", "--key"], "customer_key", "007"),
        (["7590-X"], "customer_key", "7590-X"),
        (["9" * 20], "customer_key", "9" * 20),
        (["9" * 40, "--key"], "customer_key", "9" * 40),
        ([" 7 ", "--key"], "customer_key", " 7 "),
        (["--key", "--", "-X 7"], "customer_key", "-X 7"),
    ],
)
def test_digits_are_an_id_unless_they_are_said_to_be_a_key(staunch, service, words, field, value):
    staunch("predict", *words)
    assert getattr(service.seen[0], field) == value


@pytest.mark.parametrize(
    "words",
    [
        ["\udce9"],  # what a terminal of another encoding gives is no text
        ["\udce9", "--key"],
        ["42", "--set", "age"],
        ["42", "--set", "age=old"],
        ["42", "--as-of", "soon"],
        ["42", "--timeout", "0"],
    ],
)
def test_flags_that_make_no_sense_are_misuse(staunch, service, words):
    result = staunch("predict", *words)
    assert result.code == 2
    assert "expected" in result.err
    assert service.seen == []


def test_json_is_one_object_with_all_digits(staunch):
    result = json.loads(staunch("predict", 42, "--json", "--features").out)
    assert result["probability"] == 0.25
    assert result["model_digest"] == "sha256:3"
    assert result["features"] == {"age": 41.0, "income": None}


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


def test_features_are_shown_by_their_titles_in_the_language_asked_for(staunch):
    english = staunch("predict", 42, "--features").out.splitlines()
    french = staunch("predict", 42, "--features", "--language", "fr").out.splitlines()
    assert "Age     41 years  age" in english
    assert "Âge     41 ans    age" in french
    assert "probabilité  0,2500  risque moyen" in french


def test_a_value_that_cannot_be_is_scored_with_a_warning(staunch):
    assert "warning      Age -5: impossible (at least 0)" in staunch("predict", 42, "--set", "age=-5").out
    french = staunch("explain", 42, "--set", "age=-5", "--language", "fr").out
    assert "avertissement  Age -5\u00a0: impossible (au moins 0)" in french
    alone = staunch("predict", 42, "--set", "age=-5", "--language", "fr-CA").out
    assert "avertissement  Âge -5\u00a0: impossible (au moins 0)" in alone
    (warning,) = json.loads(staunch("predict", 42, "--set", "age=-5", "--json").out)["warnings"]
    assert (warning["feature"], warning["kind"], warning["value"]) == ("age", "impossible", -5.0)
    assert "warnings" not in json.loads(staunch("predict", 42, "--set", "age=5", "--json").out)


@pytest.mark.parametrize("command", ["predict", "explain"])
@pytest.mark.parametrize(
    ("misspelt", "hint"),
    [
        ("agee", "did you mean age?"),
        ("Âge", "did you mean age?"),
        ("zzz", "`staunch models churn@3` lists them"),
    ],
)
def test_a_misspelt_feature_is_answered_with_the_nearest(staunch, service, command, misspelt, hint):
    service.script.append(Refusal(Reason.FEATURE_UNKNOWN, "as told", metadata={"model": "churn@3"}))
    result = staunch(command, 42, "--set", "age=20", "--set", f"{misspelt}=1")
    expected = f"expected a feature of churn@3 with --set, got {misspelt!r}: {hint}"
    assert (result.code, result.out, result.err) == (1, "", f"staunch: {expected}\n")
