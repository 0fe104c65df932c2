"""Problems that last are logged once, and so is their end."""

import logging
from pathlib import Path

import pytest

from staunch_server.models.stored.problems import Problems, trouble


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="staunch.models")
    return caplog


def test_a_problem_is_logged_when_it_begins_and_when_it_changes(lines: pytest.LogCaptureFixture) -> None:
    problems = Problems()
    for text in ("broken", "broken", "broken otherwise", "broken"):
        problems.report("churn@1", text)
    problems.report("churn@2", "broken")
    expected = ["churn@1: broken", "churn@1: broken otherwise", "churn@1: broken", "churn@2: broken"]
    assert lines.messages == expected


def test_the_end_of_a_problem_is_logged_once_and_only_if_there_was_one(
    lines: pytest.LogCaptureFixture,
) -> None:
    problems = Problems()
    problems.solved("churn@1")
    problems.report("churn@1", "broken")
    problems.solved("churn@1")
    problems.solved("churn@1")
    problems.report("churn@1", "broken")
    assert lines.messages == ["churn@1: broken", "churn@1: well again", "churn@1: broken"]


def test_why_no_version_answers_is_the_store_then_its_versions_then_that_there_are_none() -> None:
    problems, store = Problems(), Path("/models")
    empty = trouble(store, {}, problems)
    assert (empty.cause, "/models" in empty.text, "staunch train" in empty.text) == ("empty", True, True)
    assert trouble(store, {"churn": 1}, problems).cause == "refused"
    problems.report("churn@2", "refused: damaged")
    problems.report("churn@1", "refused: another view")
    refused = trouble(store, {"churn": 1}, problems)
    assert refused == ("refused", "churn@1: refused: another view; churn@2: refused: damaged")
    problems.report("store", "cannot be read, so nothing changes: no permission")
    unreadable = trouble(store, {"churn": 1}, problems)
    assert unreadable == (
        "unreadable",
        "the store /models cannot be read, so nothing changes: no permission",
    )
