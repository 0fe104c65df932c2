"""Which columns are the answer and the time: named by a person, or else guessed where it is clear."""

from collections.abc import Sequence
from dataclasses import dataclass

from staunch_features.drafts.catalogue import Column, find_column
from staunch_features.drafts.contents import TIMES, Contents
from staunch_features.drafts.names import literal, plain_name, shown
from staunch_features.errors import DraftError

_ANSWERS = frozenset(
    {"churn", "churned", "churner", "attrition", "attrited", "exited", "left", "leaves", "lapsed", "lost"}
    | {"cancelled", "canceled", "cancels", "label", "target", "outcome", "y", "responded", "converted"}
)
_ENDS = frozenset(
    {"left", "churned", "cancelled", "canceled", "closed", "ended", "exited", "terminated", "deleted", "lost"}
    | {"churn", "cancellation", "exit", "termination", "departure", "lapsed"}
)
_YES_AND_NO = (
    *(("yes", "no"), ("y", "n"), ("true", "false"), ("t", "f"), ("on", "off"), ("1", "0")),
    *(("oui", "non"), ("ja", "nein"), ("si", "no"), ("sí", "no"), ("sim", "não")),
)
_MANY = 8  # names in a message

ZONE = "UTC"
"""The zone in which dates and timestamps that tell none were written down, until somebody names another."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The column that the label reads.

    Attributes:
        column: The column.
        sql: What is true or false of a row; of a dated label the moment.
        true: The values that are true; empty for a moment.
        words: What true means, for people.
        why: How it was found, for people.
    """

    column: Column
    sql: str
    true: frozenset[str]
    words: str
    why: str

    def of(self, text: str | None) -> bool | None:
        """What a value says; None if nothing. Of a moment: whether there is one."""
        if not self.true:
            return text is not None
        return None if text is None or not text.strip() else text in self.true


def choose_answer(
    columns: Sequence[Column], contents: Contents, key: Column, time: Column | None, wanted: str | None
) -> Answer:
    """Chooses the column that the label reads.

    Args:
        columns: Those of the table.
        contents: What they hold.
        key: The key's column.
        time: The column of the as-of time: then the label needs a moment, else true and false.
        wanted: What a person typed: a column, or COLUMN=VALUE; None to guess.

    Raises:
        DraftError: None can be chosen, or the one that was named cannot be.
    """
    if wanted is not None:
        return _named(columns, contents, time, wanted)
    others = [column for column in columns if column.readable and column not in (key, time)]
    guess = _guess_moment if time else _guess_yes_or_no
    return guess(others, contents)


def _named(columns: Sequence[Column], contents: Contents, time: Column | None, wanted: str) -> Answer:
    is_name = any(wanted.lower() == column.name.lower() for column in columns)
    name, separator, value = (wanted, "", "") if is_name else wanted.rpartition("=")
    column = find_column(columns, name if separator else wanted, "--label")
    if not column.readable:
        raise DraftError(f"--label {wanted}: the reader may not read that column: GRANT SELECT to it")
    if time is not None:
        return _named_moment(columns, contents, column, time, wanted)
    if column.type in TIMES:
        return _is_over(column, contents, "as --label says")
    counts = contents.texts[column.name]
    if separator:
        if value not in counts:
            raise DraftError(
                f"--label {wanted}: expected a value of {column.name}, found none like it; there are "
                f"{_values(counts)}"
            )
        return _is_value(column, frozenset({value}), "as --label says", others=None)
    pair = _yes_and_no(column, counts)
    if pair is None:
        raise DraftError(_not_two(column, counts, wanted))
    return _is_value(column, pair[0], "as --label says", others=pair[1])


def _named_moment(
    columns: Sequence[Column], contents: Contents, column: Column, time: Column, wanted: str
) -> Answer:
    if column == time:
        raise DraftError(f"--label {wanted}: expected another column than --time names")
    if column.type not in TIMES:
        moments = [one.name for one in columns if one.type in TIMES and one != time]
        others = f" ({', '.join(moments[:_MANY])})" if moments else ""
        raise DraftError(
            f"--label {wanted} says whether, not when: beside --time the label is the column of the moment "
            f"when it happened, a date or a timestamp{others}; or leave --time out, and the view is one "
            "without dates"
        )
    return _happens(column, contents, "as --label says")


def _guess_yes_or_no(columns: Sequence[Column], contents: Contents) -> Answer:
    pairs = {
        column.name: pair
        for column in columns
        if (pair := _yes_and_no(column, contents.texts[column.name])) is not None
    }
    named = [column for column in columns if _ANSWERS & set(plain_name(column.name, "").split("_"))]
    fitting = [column for column in named if column.name in pairs]
    if not fitting and len(pairs) == 1:
        fitting = [column for column in columns if column.name in pairs]
    if len(fitting) == 1:
        column = fitting[0]
        return _is_value(column, pairs[column.name][0], "guessed, see --label", others=pairs[column.name][1])
    ends = [column for column in _ends(columns) if contents.facts[column.name].nulls > 0]
    if not fitting and len(ends) == 1:
        return _is_over(ends[0], contents, "guessed, see --label")
    raise DraftError(_no_answer(fitting or named, list(pairs), columns, contents))


def _no_answer(
    named: Sequence[Column], pairs: Sequence[str], columns: Sequence[Column], contents: Contents
) -> str:
    begin = "cannot tell which column is the answer: name it, --label COLUMN"
    for column in named:
        values = sorted(_known(contents.texts[column.name]))
        if column.name not in pairs and len(values) == 2:
            return f"{begin}=VALUE; perhaps --label {_quoted_word(f'{column.name}={values[0]}')}"
    if pairs:
        names = ", ".join([column.name for column in named if column.name in pairs][:_MANY] or pairs[:_MANY])
        more = f" and {len(pairs) - _MANY} more" if not named and len(pairs) > _MANY else ""
        return f"{begin}; of yes and no, or 0 and 1, are {names}{more}"
    few = [column for column in columns if 2 <= len(_known(contents.texts[column.name])) <= _MANY]
    names = ", ".join(column.name for column in few[:_MANY])
    return f"{begin}, or --label COLUMN=VALUE" + (f"; few values have {names}" if names else "")


def _guess_moment(columns: Sequence[Column], contents: Contents) -> Answer:
    ends = _ends(columns)
    if len(ends) == 1:
        return _happens(ends[0], contents, "guessed, see --label")
    moments = ends or [column for column in columns if column.type in TIMES]
    names = ", ".join(column.name for column in moments[:_MANY])
    raise DraftError(
        "cannot tell which column is the moment that the label foretells: beside --time name one of dates or "
        "timestamps, --label COLUMN" + (f"; there are {names}" if names else "; the table has no other")
    )


def _ends(columns: Sequence[Column]) -> list[Column]:
    return [
        column
        for column in columns
        if column.type in TIMES and _ENDS & set(plain_name(column.name, "").split("_"))
    ]


def _happens(column: Column, contents: Contents, why: str) -> Answer:
    if contents.facts[column.name].nulls == 0 and contents.facts[column.name].beyond == 0:
        why = f"{why}; it is null in no row, so it comes for everyone: is that so?"
    words = f"{column.name} lies within the outcome window"
    return Answer(column, moment_sql(column), frozenset(), words, why)


def _is_over(column: Column, contents: Contents, why: str) -> Answer:
    """The answer of a flat table that says when: whether there is a moment at all."""
    facts = contents.facts[column.name]
    if facts.nulls == 0:
        raise DraftError(
            f"--label {column.name}: expected a moment that is null where it has not happened, got one in "
            "every row: name another column, or beside it the --time from which a row is known"
        )
    return Answer(column, f"t.{column.sql} IS NOT NULL", frozenset(), f"there is a {column.name}", why)


def _is_value(column: Column, true: frozenset[str], why: str, *, others: frozenset[str] | None) -> Answer:
    """The answer that a column gives by its value.

    Args:
        column: The column.
        true: The values that are true.
        why: How it was found.
        others: Those that are false; None if all others are.
    """
    words = f"{column.name} is {' or '.join(map(shown, sorted(true)))}"
    if column.category == "B" and others is not None:
        return Answer(column, f"t.{column.sql}", true, words, why)
    value = compared(column)
    if column.category == "N" and others is not None:
        return Answer(column, f"{value} = 1", true, words, why)
    yes, no = (_in(value, values) for values in (true, others or ()))
    # What is neither says nothing, and such a row is left out of training.
    sql = yes if others is None else f"CASE WHEN {yes} THEN true WHEN {no} THEN false END"
    return Answer(column, sql, true, words, why)


def _in(value: str, values: frozenset[str] | tuple[()]) -> str:
    listed = ", ".join(literal(one) for one in sorted(values))
    return f"{value} = {listed}" if len(values) == 1 else f"{value} IN ({listed})"


def compared(column: Column) -> str:
    """A column as it is compared with texts: what is no text becomes one."""
    is_text = column.category == "S" and column.type in ("text", "varchar", "bpchar")
    return f"t.{column.sql}" if is_text or column.category == "N" else f"t.{column.sql}::text"


def moment_sql(column: Column) -> str:
    """A column as a moment, whatever time type it has; what tells no zone is read as UTC."""
    value = f"t.{column.sql}"
    if column.type == "timestamptz":
        return value
    return f"({value}{'::timestamp' if column.type == 'date' else ''} AT TIME ZONE '{ZONE}')"


def yes_no_values(values: set[str]) -> tuple[frozenset[str], frozenset[str]] | None:
    """Splits values into those that mean yes and those that mean no; None if they mean anything else."""
    spelled = {value: value.strip().lower() for value in values}
    for yes, no in _YES_AND_NO:
        if set(spelled.values()) == {yes, no}:
            return (
                frozenset(value for value, word in spelled.items() if word == yes),
                frozenset(value for value, word in spelled.items() if word == no),
            )
    return None


def _yes_and_no(column: Column, texts: Sequence[str | None]) -> tuple[frozenset[str], frozenset[str]] | None:
    values = _known(texts)
    if column.category == "N" and column.type != "money":
        ones = {value for value in values if _is_number(value, 1)}
        zeros = {value for value in values if _is_number(value, 0)}
        is_pair = ones and zeros and ones | zeros == values
        return (frozenset(ones), frozenset(zeros)) if is_pair else None
    return yes_no_values(values) if column.category in "BSE" else None


def _is_number(text: str, number: int) -> bool:
    try:
        return float(text) == number
    except ValueError:
        return False


def _known(texts: Sequence[str | None]) -> set[str]:
    return {text for text in texts if text is not None and text.strip()}


def _not_two(column: Column, texts: Sequence[str | None], wanted: str) -> str:
    values = sorted(_known(texts))
    if len(values) < 2:
        got = f"only {shown(values[0])}" if values else "no value at all"
        return f"--label {wanted}: expected two values, got {got}: name another column"
    hint = _quoted_word(f"{column.name}={values[0]}")
    return (
        f"--label {wanted}: expected yes and no, true and false, or 0 and 1, got {_values(texts)}: say which "
        f"of them is true, for example --label {hint}"
    )


def _values(texts: Sequence[str | None]) -> str:
    values = sorted(_known(texts))
    more = f" and {len(values) - _MANY} more" if len(values) > _MANY else ""
    return ", ".join(shown(value) for value in values[:_MANY]) + more


def _quoted_word(word: str) -> str:
    """A word as a shell takes it."""
    return (
        word if word.replace("_", "").replace("=", "").isalnum() else "'" + word.replace("'", "'\\''") + "'"
    )


def choose_time(columns: Sequence[Column], wanted: str | None) -> Column | None:
    """Finds the column that says when a row became known; None if none is named.

    Raises:
        DraftError: It is not there, or is no time.
    """
    if wanted is None:
        return None
    column = find_column(columns, wanted, "--time")
    if column.type in TIMES and column.readable:
        return column
    times = ", ".join(one.name for one in columns if one.type in TIMES)
    raise DraftError(
        f"--time {wanted}: expected a date or a timestamp that the reader may read, got {column.declared}"
        + (f"; there are {times}" if times else "; the table has none, leave --time out")
    )
