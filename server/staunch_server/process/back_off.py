"""How long a worker that died is left dead."""

FIRST_BACK_OFF_S = 0.2
"""The pause before a worker that died is started again; doubled each time it dies young."""

LONGEST_BACK_OFF_S = 10.0
"""The longest such pause."""

SETTLED_S = 30.0
"""A worker that lived this long begins with the first back-off again."""


class BackOff:
    """How long to wait before a worker that died is started again: twice as long each time it dies young."""

    def __init__(self) -> None:
        self._next_s = FIRST_BACK_OFF_S

    def after(self, lived_s: float) -> float:
        """Returns the pause in seconds after a life of so many."""
        pause_s = FIRST_BACK_OFF_S if lived_s >= SETTLED_S else self._next_s
        self._next_s = min(2 * pause_s, LONGEST_BACK_OFF_S)
        return pause_s
