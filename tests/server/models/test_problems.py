"""Problems that last are logged once, and so is their end."""

import logging

import pytest

from staunch_server.models.problems import Problems


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
