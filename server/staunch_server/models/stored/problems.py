"""Problems that last: each is logged when it begins or changes, not at every look."""

import logging
from collections.abc import Sized
from pathlib import Path
from typing import NamedTuple

from staunch_server.types import NoService

_LOG = logging.getLogger("staunch.models")


class Problems:
    """What is wrong at the moment, by what it is wrong with."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def report(self, subject: str, text: str) -> None:
        """Logs a problem with something, unless that was the last one logged about it."""
        if self._last.get(subject) != text:
            self._last[subject] = text
            _LOG.warning("%s: %s", subject, text)

    def texts(self) -> list[str]:
        """Returns what is wrong now, a line for each subject."""
        return [f"{subject}: {text}" for subject, text in sorted(self._last.items())]

    def of(self, subject: str) -> str:
        """Returns what is wrong with something; empty if nothing is."""
        return self._last.get(subject, "")

    def solved(self, subject: str) -> None:
        """Logs that something is well again, if there was a problem with it."""
        if self._last.pop(subject, None) is not None:
            _LOG.info("%s: well again", subject)


class Trouble(NamedTuple):
    """Why no version answers.

    Attributes:
        cause: In one word, for a metric.
        text: In words, for a person.
    """

    cause: NoService
    text: str


def trouble(store: Path, targets: Sized, problems: Problems) -> Trouble:
    """Returns why no version answers.

    Args:
        store: The folder of the models.
        targets: What aliases point at.
        problems: What is wrong with them.
    """
    if unreadable := problems.of("store"):
        return Trouble("unreadable", f"the store {store} {unreadable}")
    if texts := problems.texts():
        return Trouble("refused", "; ".join(texts))
    if targets:
        return Trouble("refused", "no version has been verified yet")
    return Trouble(
        "empty", f"no alias of the store {store} points at a version; `staunch train` publishes one"
    )
