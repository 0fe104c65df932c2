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
    age = { title = "Age", unit = "years", source = ["customers.birth_date"], null = "never" }
    province = { title = "Province", "title.fr" = "Province", labels = { 8 = "ON" }, range = [1, 13] }
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
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from staunch_features.errors import ViewError
from staunch_features.views.feature_doc import FeatureDoc, Translations, find_language, read_features
from staunch_features.views.header import OWN, Header
from staunch_features.views.sql_text import (
    has_code,
    has_parameters,
    line_of_word,
    other_than_reading,
    split_statement,
)

ELIGIBLE = "is eligible"
"""What is said of who belongs where the view asks for something and the header does not say what."""

_ELIGIBLE_LENGTH = 120  # of a sentence that a caller reads

ENTITY = "customer"
"""What an id names where the header does not say it."""

_TEXTS = {"description": str, "entity": str, "eligible": str, "rules": list}

VIEW_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""What a view or label may be called."""


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
        language: The language that all these texts are in, a BCP 47 tag in small letters.
        translations: What differs of its own texts, features aside, in other languages.
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
    language: str = "en"
    translations: Translations = field(default_factory=dict)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that texts are given in, the one they are in now first, the others sorted."""
        others = {language for doc in self.features.values() for language in doc.translations}
        return (self.language, *sorted(others.union(self.translations) - {self.language}))

    def in_language(self, asked: str) -> "FeatureView":
        """Returns the view with its texts in a language; itself for one that it has nothing in.

        Args:
            asked: A BCP 47 tag: for `fr-CA` what is given in `fr` serves too.
        """
        language = find_language(asked, self.languages)
        if language in (None, self.language):
            return self
        features = {name: doc.in_language(language) for name, doc in self.features.items()}
        texts = self.translations.get(language, {})
        return replace(self, **texts, features=MappingProxyType(features), language=language)


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
    own = header.take_own_language()
    texts = _texts(header, own)
    view = FeatureView(
        name=name,
        text=text,
        file=file,
        sha256=_digest(text),
        statement=header.statement,
        **texts.pop(OWN),
        population=_population(header),
        time_columns=_time_columns(header),
        features=read_features(header, own),
        language=own,
        translations=MappingProxyType(texts),
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
        description=header.as_prose(header.string("description"), "description"),
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


def _texts(header: Header, own: str) -> dict[str, dict[str, Any]]:
    """Takes what a view says of itself, by language; absent texts have their defaults in its own."""
    given = header.take_by_language(_TEXTS, own)
    eligible = ELIGIBLE if line_of_word(header.statement, "_eligible") else ""
    given[OWN] = {"description": None, "entity": ENTITY, "rules": []} | given[OWN]
    texts = {
        language: {key: _text_of(header, key, value, language) for key, value in some.items()}
        for language, some in given.items()
    }
    texts[OWN].setdefault("eligible", eligible)
    return texts


def _text_of(header: Header, key: str, value: object, language: str) -> str | tuple[str, ...]:
    named = f"{key}.{language}" if language else key
    if key == "rules":
        return tuple(header.as_prose(rule, named) for rule in header.as_strings(value, named))
    if key == "description":
        return header.as_prose(value, named)
    text = header.as_line(value, named)
    return _eligible(header, text, named) if key == "eligible" else text


def _eligible(header: Header, words: str, named: str) -> str:
    """Returns the words on who belongs; they stand in the middle of sentences, so they are no sentence."""
    if words.endswith(".") or words[0].isupper() or len(words) > _ELIGIBLE_LENGTH:
        problem = (
            'expected words that follow "a customer who", as in "has a live subscription", without a full '
            f"stop, on one line of at most {_ELIGIBLE_LENGTH} characters"
        )
        raise header.error(named, problem, words)
    return words


def _time_columns(header: Header) -> Mapping[str, tuple[str, ...]]:
    tables = header.table("time_columns").items()
    for name, value in tables:
        if isinstance(value, dict):  # TOML reads a.b = [] as a table in a table
            quoted = ", ".join(f'"{name}.{inner}"' for inner in value)
            raise header.error(f"time_columns.{name}", f"a name with a schema is quoted, {quoted}", value)
    return MappingProxyType(
        {name: header.as_strings(columns, f"time_columns.{name}", least=1) for name, columns in tables}
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
