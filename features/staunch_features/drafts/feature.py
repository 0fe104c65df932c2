"""A feature as it is drafted, and what it is drafted from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from staunch_features.drafts.catalogue import Column
from staunch_features.drafts.contents import Facts
from staunch_features.drafts.names import plain_name, words_of
from staunch_features.views.feature_doc import MISSING, NEVER


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature as it is drafted.

    Attributes:
        name: What it should be called; another may have the name already.
        sql: Its value, before the cast to float8.
        unit: Its unit, empty for a plain number.
        description: What it means, in one sentence.
        source: The column that it is made of.
        null: What a null means, or `never`.
        labels: What each code stands for; empty for a quantity.
    """

    name: str
    sql: str
    unit: str
    description: str
    source: str
    null: str
    labels: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Clock:
    """What ages are counted to.

    Attributes:
        time: The column since whose moment a row is known: the view takes an as-of time, to which they are
            counted. None for a view without one.
        day: What they are counted to then: the last day that the table knows.
    """

    time: Column | None
    day: date


@dataclass(frozen=True, slots=True)
class Found:
    """A column, or a value within a json column, with what was found in its rows.

    Attributes:
        column: The column.
        name: How the value is called: by the column, within json also by the path.
        value: The SQL of the value; within json as a text.
        never_null: Whether a null is promised never to come.
        texts: What the sampled rows hold.
        facts: What was counted.
        words: What it is called in a sentence if not as the name is spelled.
    """

    column: Column
    name: str
    value: str
    never_null: bool
    texts: Sequence[str | None]
    facts: Facts
    words: str = ""

    def feature(
        self, sql: str, meaning: str, *, unit: str = "", null: str = MISSING, name: str = ""
    ) -> Feature:
        """Returns a feature of it.

        Args:
            sql: Its value.
            meaning: What it means, in one sentence.
            unit: Its unit.
            null: What a null means, if one may come.
            name: What it is called if not as the column.
        """
        return Feature(
            name=name or plain_name(self.name, "column"),
            sql=sql,
            unit=unit,
            description=" ".join(meaning.split()),
            source=self.column.name,
            null=NEVER if self.never_null and null == MISSING else null,
        )

    @property
    def title(self) -> str:
        """What it is, to begin a sentence with: the owner's own comment, or the name as words."""
        return self.column.comment.strip().rstrip(".") or self.words or words_of(self.name)


Outcome = list[Feature] | str
"""What comes of a column: its features, or why there is none."""
