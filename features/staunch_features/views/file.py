"""The files that say what a model sees (feature views) and what it must foretell (labels).

Both are one SQL statement behind one block comment of TOML::

    /* staunch
    description = "What is known of a customer at a moment."
    entity = "customer"
    population = "SELECT customer_id FROM staunch.customers ORDER BY customer_id"
    eligible = "has a contract"
    rules = ["A window of n days is (t - n * 24 hours, t]."]

    [time_columns]
    transactions = ["occurred_at", "recorded_at"]

    [features]
    age = { unit = "years", description = "...", source = ["customers.birth_date"], null = "never" }
    */
    SELECT ...

A feature view takes `$1` the ids and, if it likes, `$2` the as-of time, and returns the id first,
then one `float8` column for each feature. Columns that begin with `_` are no features; `_eligible`
says whether the id belongs to the population, and `_why`, a text, why it does not. A label takes `$1`
the ids, `$2` the as-of time, `$3` and `$4` the start and end of the outcome window, and returns the id, a
boolean and perhaps `_group`.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from staunch_features.errors import ViewError
from staunch_features.views.header import Header
from staunch_features.views.sql_text import (
    has_code,
    has_parameters,
    line_of_word,
    other_than_reading,
    split_statement,
)

NEVER = "never"
"""The value of `null` that promises a column without nulls."""

MISSING = "missing"
"""The value of `null` where the header says nothing: nothing is promised, and nothing explained."""

ELIGIBLE = "is eligible"
"""What is said of who belongs where the view asks for something and the header does not say what."""

_ELIGIBLE_LENGTH = 120  # of a sentence that a caller reads

ENTITY = "customer"
"""What an id names where the header does not say it."""

VIEW_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""What a view or label may be called."""


@dataclass(frozen=True, slots=True)
class FeatureDoc:
    """What a view says of one of its columns.

    Attributes:
        unit: The unit of the values, for example `CAD` or `days`; empty for a plain number.
        description: What the value means, in one sentence.
        source: The columns it is computed from, as `table.column`.
        window: How far back it looks, for example `90 days`; empty for all that is known.
        null: What a null means, or `never`.
    """

    unit: str
    description: str
    source: tuple[str, ...]
    window: str
    null: str

    @property
    def nullable(self) -> bool:
        """Whether a null is a value like others here."""
        return self.null != NEVER


@dataclass(frozen=True, slots=True)
class FeatureView:
    """A feature view as its file tells it; the database has not seen it yet.

    Attributes:
        name: The name it is found by.
        text: The whole file.
        file: Where it came from, for messages.
        sha256: Hex digest of the text's UTF-8 bytes.
        statement: The SQL statement alone, without its semicolon, on the same lines as in the file.
        description: What one row is, in one sentence.
        entity: What an id names, for example `customer`.
        population: SQL that returns every candidate id, ordered.
        eligible: What who belongs has or does, as words that follow "a customer who", for example `has a live
            subscription`; empty if the statement asks for nothing.
        rules: What holds of many features, or of who is eligible, a sentence or two each.
        time_columns: For each table, the columns that say when something happened or became known.
        features: The documented columns, in the file's order.
    """

    name: str
    text: str
    file: str
    sha256: str
    statement: str
    description: str
    entity: str
    population: str
    eligible: str
    rules: tuple[str, ...]
    time_columns: Mapping[str, tuple[str, ...]]
    features: Mapping[str, FeatureDoc]


@dataclass(frozen=True, slots=True)
class LabelText:
    """A label as its file tells it.

    Attributes:
        name: The name it is found by.
        text: The whole file.
        file: Where it came from, for messages.
        sha256: Hex digest of the text's UTF-8 bytes.
        statement: The SQL statement alone, without its semicolon, on the same lines as in the file.
        description: What true means, in one sentence.
        horizon_days: Length of the outcome window in days; 0 for a label without dates.
        gap_days: Days between the as-of time and the outcome window.
        observation_days: Days before the as-of time that the features look back at most.
    """

    name: str
    text: str
    file: str
    sha256: str
    statement: str
    description: str
    horizon_days: int
    gap_days: int
    observation_days: int


def load_view(name: str, folders: Sequence[Path]) -> FeatureView:
    """Reads `NAME.sql` from the first folder that has it.

    Raises:
        ViewError: No folder has it, or the file is not a feature view.
    """
    file = _find(name, folders, "features")
    return parse_view(name, _text(file), str(file))


def load_label(name: str, folders: Sequence[Path]) -> LabelText:
    """Reads the label `NAME.sql` from the first folder that has it.

    Raises:
        ViewError: No folder has it, or the file is not a label.
    """
    file = _find(name, folders, "labels")
    return parse_label(name, _text(file), str(file))


def parse_view(name: str, text: str, file: str) -> FeatureView:
    """Reads a feature view from its text; the statement itself is checked by the database later.

    Raises:
        ViewError: The header is missing or malformed, or there is not exactly one statement.
    """
    header = Header.read(text, file)
    view = FeatureView(
        name=name,
        text=text,
        file=file,
        sha256=_digest(text),
        statement=header.statement,
        description=header.string("description"),
        entity=header.string("entity", ENTITY),
        population=_population(header),
        eligible=_eligible(header),
        rules=_rules(header),
        time_columns=_time_columns(header),
        features=_features(header),
    )
    header.refuse_unknown_keys()
    return view


def parse_label(name: str, text: str, file: str) -> LabelText:
    """Reads a label from its text.

    Raises:
        ViewError: The header is missing or malformed, or there is not exactly one statement.
    """
    header = Header.read(text, file)
    label = LabelText(
        name=name,
        text=text,
        file=file,
        sha256=_digest(text),
        statement=header.statement,
        description=header.string("description"),
        horizon_days=header.days("horizon_days"),
        gap_days=header.days("gap_days"),
        observation_days=header.days("observation_days"),
    )
    header.refuse_unknown_keys()
    return label


def _find(name: str, folders: Sequence[Path], kind: str) -> Path:
    if not VIEW_NAME.fullmatch(name):
        raise ViewError(
            file=f"{kind}/{name}",
            line=None,
            message=f"expected a name of small letters, digits and underscores, got {name!r}",
            hint="give the name without .sql" if name.endswith(".sql") else "rename the file",
        )
    for folder in folders:
        if (folder / f"{name}.sql").is_file():
            return folder / f"{name}.sql"
    raise ViewError(
        file=f"{kind}/{name}.sql",
        line=None,
        message=f"expected the file {name}.sql in {' or '.join(map(str, folders))}, found none",
        hint="write it, and let STAUNCH_VIEWS name the folder that holds features/ and labels/",
    )


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")  # some editors begin a file with a mark
    except UnicodeDecodeError as error:
        raise ViewError(
            file=str(file),
            line=None,
            message=f"expected UTF-8 text, got byte {error.object[error.start]:#x} at {error.start}",
            hint="save the file as UTF-8",
        ) from error


def _population(header: Header) -> str:
    given = header.string("population")
    statement, _, rest = split_statement(given)
    if has_code(rest) or other_than_reading(statement) or has_parameters(statement):
        raise header.error("population", "expected one SELECT without parameters", given)
    return statement


def _eligible(header: Header) -> str:
    """Takes the words on who belongs; they stand in the middle of sentences, so they are no sentence."""
    if "eligible" not in header.values:
        return ELIGIBLE if line_of_word(header.statement, "_eligible") else ""
    words = header.string("eligible").strip()
    if "\n" in words or words.endswith(".") or words[0].isupper() or len(words) > _ELIGIBLE_LENGTH:
        problem = (
            'expected words that follow "a customer who", as in "has a live subscription", without a full '
            f"stop, on one line of at most {_ELIGIBLE_LENGTH} characters"
        )
        raise header.error("eligible", problem, words)
    return words


def _rules(header: Header) -> tuple[str, ...]:
    rules = header.as_strings(header.values.pop("rules", []), "rules")
    return tuple(header.as_string(rule, "rules") for rule in rules)


def _time_columns(header: Header) -> Mapping[str, tuple[str, ...]]:
    tables = header.table("time_columns").items()
    for name, value in tables:
        if isinstance(value, dict):  # TOML reads a.b = [] as a table in a table
            quoted = ", ".join(f'"{name}.{inner}"' for inner in value)
            raise header.error(f"time_columns.{name}", f"a name with a schema is quoted, {quoted}", value)
    return MappingProxyType(
        {name: header.as_strings(columns, f"time_columns.{name}", least=1) for name, columns in tables}
    )


def _features(header: Header) -> Mapping[str, FeatureDoc]:
    docs = {name: _feature(header, name, value) for name, value in header.table("features").items()}
    if not docs:
        raise header.error("features", "expected one entry for each feature column", {})
    return MappingProxyType(docs)


def _feature(header: Header, name: str, value: object) -> FeatureDoc:
    where = f"features.{name}"
    if not isinstance(value, dict):
        raise header.error(where, "expected a table { unit, description, source, window, null }", value)
    if unknown := set(value) - {"unit", "description", "source", "window", "null"}:
        raise header.error(where, "expected unit, description, source, window, null", sorted(unknown))
    return FeatureDoc(
        unit=header.as_string(value.get("unit", ""), f"{where}.unit", may_be_empty=True),
        description=header.as_string(value.get("description", _spelled_out(name)), f"{where}.description"),
        source=header.as_strings(value.get("source", []), f"{where}.source"),
        window=header.as_string(value.get("window", ""), f"{where}.window", may_be_empty=True),
        null=header.as_string(value.get("null", MISSING), f"{where}.null"),
    )


def _spelled_out(name: str) -> str:
    """What a feature is called where nobody describes it: `visits_30d` is "Visits 30d."."""
    words = name.replace("_", " ").strip() or name
    return f"{words[0].upper()}{words[1:]}."


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
