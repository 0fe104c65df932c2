"""Commands in a folder that is not ours: they say where they looked and what to set, and make nothing."""

import os

import pytest

from staunch_features.views.file import load_view
from staunch_sql import FEATURES_FOLDER

DIGEST = f"sha256:{load_view('churn', [FEATURES_FOLDER]).sha256}"

NEED_A_DATABASE = [
    ["train"],
    ["train", "--view", "churn", "--until", "2026-01-01"],
    ["view", "check", "churn"],
    ["view", "show", "churn"],
    ["view", "plot", "churn"],
    ["score", "--out", "scores.csv"],
    ["score", "--out", "scores.parquet"],
    ["simulate"],
    ["simulate", "--customers", "5"],
    ["migrate"],
]

ASK_A_SERVER = [
    ["models"],
    ["models", "show", "churn"],
    ["models", "reload"],
    ["predict", "42"],
    ["explain", "42"],
]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty folder to work in, with nothing set that says where Staunch's things are."""
    for name in [name for name in os.environ if name.startswith("STAUNCH_") and name != "STAUNCH_SERVER"]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words", NEED_A_DATABASE, ids=" ".join)
def test_a_command_that_needs_a_database_says_where_it_looked_and_makes_none(
    staunch, service, elsewhere, words
):
    service.view_digest = DIGEST
    result = staunch(*words)
    assert (result.code, result.out) == (1, "")
    (line,) = result.err.splitlines()
    assert line.startswith(
        f"staunch: expected the database of a `staunch run` in the state folder {elsewhere}/.staunch, "
        "got no such folder: "
    )
    for name in ("STAUNCH_STATE_FOLDER", "STAUNCH_DATABASE_READER_URL", "`staunch run` makes one"):
        assert name in line
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("words", ASK_A_SERVER, ids=" ".join)
def test_a_command_that_asks_a_server_makes_nothing(staunch, elsewhere, words):
    assert staunch(*words).code == 0
    assert list(elsewhere.iterdir()) == []


def test_a_version_whose_text_is_not_here_names_the_store_that_was_looked_into(staunch, service, elsewhere):
    service.view_digest = "sha256:" + "0" * 64
    result = staunch("score", "--out", "scores.csv")
    assert result.code == 1
    (line,) = result.err.splitlines()
    assert f"the store {elsewhere}/.staunch/models is no folder" in line
    assert "--store (STAUNCH_STORE)" in line
    assert list(elsewhere.iterdir()) == []
