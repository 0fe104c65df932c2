"""Problems that last: each is logged when it begins or changes, not at every look."""

import logging

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

    def solved(self, subject: str) -> None:
        """Logs that something is well again, if there was a problem with it."""
        if self._last.pop(subject, None) is not None:
            _LOG.info("%s: well again", subject)
