"""What can stop a training, split by what the person who trains can do.

TrainingError
├── NotEnoughRows      extract more customers or dates, or another horizon
├── LeakFound          drop the named features, or allow them by name
└── BadFeatureValue    mend the view: a feature is infinite, too large, or null where it must not be
"""

from collections.abc import Mapping


class TrainingError(Exception):
    """A training that cannot go on; the message says what was expected, what came and what to do."""

    @property
    def for_log(self) -> str:
        """What a log may have of it: no id and no value of a customer."""
        return str(self)


class NotEnoughRows(TrainingError):
    """A side of the split has no rows, or knows one answer only."""


class BadFeatureValue(TrainingError):
    """A feature is infinite or beyond float32 somewhere, or null where the view says it never is."""

    @property
    def for_log(self) -> str:
        """What its cause, which knows the row, leaves for a log."""
        return str(getattr(self.__cause__, "for_log", type(self).__name__))


class LeakFound(TrainingError):
    """Features that know the answer alone.

    Attributes:
        features: The AUC that each reaches, by name.
        limit: The AUC from which a feature is refused.

    Args:
        features: As the attribute.
        headings: How to call them; by its name what is not in it.
        limit: As the attribute.
        dated: Whether it was measured on later dates; a view without dates hears nothing of time.
    """

    def __init__(
        self, features: Mapping[str, float], headings: Mapping[str, str], limit: float, *, dated: bool
    ) -> None:
        self.features = dict(features)
        self.limit = limit
        named = "; ".join(f"{headings.get(name, name)}, AUC {auc:.3f}" for name, auc in features.items())
        measured, otherwise = "AUC on other customers", ", if it was filled in once the answer was known"
        if dated:
            measured, otherwise = "out-of-time AUC", " or let it see only what was known at the as-of time"
        super().__init__(
            f"expected every feature alone to reach an {measured} below {limit:.2f}, got {named}. "
            f"Such a feature usually knows the answer. Remove it from the view{otherwise}; if it is honest, "
            "allow it by name (`--allow-leak NAME`) or raise the limit"
        )
