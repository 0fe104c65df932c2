"""Drafts a feature view and its label from one table, and sees that both run."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from staunch_features.checks.budget import draw_in_time
from staunch_features.drafts.answers import choose_answer, choose_time
from staunch_features.drafts.catalogue import Column, Relation, columns_of, find_relation
from staunch_features.drafts.columns import features_of
from staunch_features.drafts.contents import TIMES, Contents, read_contents
from staunch_features.drafts.feature import Clock, Feature
from staunch_features.drafts.keys import choose_key
from staunch_features.drafts.names import plain_name
from staunch_features.drafts.texts import Draft, label_text, view_text
from staunch_features.errors import DraftError, ViewError
from staunch_features.postgres.connection import Connection
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.file import VIEW_NAME, parse_label, parse_view
from staunch_features.views.signature import check_horizon
from staunch_features.views.source import FeatureSource

_MANY_REFERENCES = 60  # names of rows of another table: more are no category
_FEWEST_ROWS = 100  # in fewer rows chance alone makes a column agree with the answer
_FEWEST_OF_EACH = 5
_FEW_VALUES = 20


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person named; None is to be guessed, but for the time: a table has none unless it is named.

    Attributes:
        table: The table.
        name: How the view is to be called.
        key: The column that callers name.
        label: The column of the answer, or COLUMN=VALUE.
        time: The column that says when a row became known.
    """

    table: str
    name: str | None = None
    key: str | None = None
    label: str | None = None
    time: str | None = None


@dataclass(frozen=True, slots=True)
class Drafted:
    """The two texts, and what they were written from.

    Attributes:
        name: How the view is called.
        view: The text of the feature view.
        label: The text of the label.
        draft: What they were written from.
        known: Of how many of the rows looked at the label says something.
        true: For how many it is true.
        rows: How many rows were looked at.
    """

    name: str
    view: str
    label: str
    draft: Draft
    known: int
    true: int
    rows: int


async def draft_view(database: Database, wishes: Wishes, *, timeout_s: float) -> Drafted:
    """Drafts both texts and runs them once.

    Args:
        database: The reader's connections.
        wishes: What a person named.
        timeout_s: How long a statement may take, in seconds.

    Raises:
        DraftError: There is no such table, or what the view needs cannot be guessed from it.
        DatabaseUnavailable: The database is away.
    """
    try:
        async with database.connection(Deadline.after(timeout_s)) as connection:
            drafted = await _draft(connection, wishes, timeout_s)
        await _try_out(database, drafted, timeout_s)
    except TimeoutError as error:
        raise DraftError(
            f"{wishes.table}: expected an answer within {timeout_s:g} s, got none: wait longer with --timeout"
        ) from error
    return drafted


async def _draft(connection: Connection, wishes: Wishes, timeout_s: float) -> Drafted:
    relation = await find_relation(connection, wishes.table, timeout_s=timeout_s)
    name = _view_name(wishes.name, relation)
    columns = await columns_of(connection, relation, timeout_s=timeout_s)
    time = choose_time(columns, wishes.time)
    # The key is counted over all rows, and of so many the contents are a share.
    key = await choose_key(connection, relation, columns, wishes.key, timeout_s=timeout_s)
    contents = await read_contents(connection, relation, columns, key.rows, timeout_s=timeout_s)
    answer = choose_answer(columns, contents, key.column, time, wishes.label)
    says = [answer.of(text) for text in contents.texts[answer.column.name]]
    if time is None and len(set(says) - {None}) < 2:
        raise DraftError(
            f"{answer.words}: expected rows of both kinds, got {says.count(True)} of {len(says)}"
        )
    others = [column for column in columns if column not in (key.column, answer.column)]
    clock = Clock(time, _last_day(contents))
    features, left_out = _features(relation, others, contents, says, clock)
    draft = Draft(relation, key, answer, clock, features, left_out)
    known = len(says) - says.count(None)
    return Drafted(name, view_text(draft), label_text(draft), draft, known, says.count(True), len(says))


def _features(
    relation: Relation,
    columns: Sequence[Column],
    contents: Contents,
    says: Sequence[bool | None],
    clock: Clock,
) -> tuple[tuple[Feature, ...], tuple[tuple[str, str], ...]]:
    """Drafts the features of columns, and lists those that have none, with why."""
    identifies = {each.columns[0] for each in relation.unique if len(each.columns) == 1}
    features: list[Feature] = []
    left_out: list[tuple[str, str]] = []
    for column in columns:
        outcome = _why_left_out(column, contents, identifies, says) or features_of(column, contents, clock)
        if isinstance(outcome, str):
            left_out.append((column.name, outcome))
        else:
            features += outcome
    if not features:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out) or "it has key and answer alone"
        raise DraftError(f"expected columns of {relation.sql} that make features, got none: {reasons}")
    return tuple(features), tuple(left_out)


def _view_name(wanted: str | None, relation: Relation) -> str:
    name = plain_name(relation.name, "") if wanted is None else wanted
    if VIEW_NAME.fullmatch(name):
        return name
    if wanted is None:
        raise DraftError(f"cannot make a name for the view of {relation.sql}: give one, --name NAME")
    perhaps = plain_name(name, plain_name(relation.name, "mine"))
    raise DraftError(
        f"--name {name}: expected small letters, digits and underscores, a letter first, at most 63: perhaps "
        f"--name {perhaps}"
    )


def _last_day(contents: Contents) -> date:
    """The last day that the table knows; any day serves a table without one."""
    return max((facts.last for facts in contents.facts.values() if facts.last), default=date(2000, 1, 1))


def _why_left_out(
    column: Column, contents: Contents, identifies: set[str], says: Sequence[bool | None]
) -> str:
    """Why a column is no feature whatever its type; empty if it may be one."""
    if not column.readable:
        return "the reader may not read it"
    if column.name in identifies and column.type not in TIMES:
        return "identifies the row, as the key does"
    texts = contents.texts[column.name]
    if column.refers_to and len(set(texts)) > _MANY_REFERENCES:
        return f"names a row of {column.refers_to}: join what that says"
    if _knows_answer(texts, says):
        return "knows the answer: each of its values stands beside one answer alone"
    return ""


def _knows_answer(texts: Sequence[str | None], says: Sequence[bool | None]) -> bool:
    """Whether a column was filled in with the answer: that it is filled, or which of few values, says it."""
    counts = (says.count(True), says.count(False))
    if sum(counts) < _FEWEST_ROWS or min(counts) < _FEWEST_OF_EACH:
        return False
    filled = [None if text is None or not text.strip() else "filled" for text in texts]
    few = len(set(texts)) <= _FEW_VALUES
    return _decides(filled, says) or (few and _decides(texts, says))


def _decides(values: Sequence[str | None], says: Sequence[bool | None]) -> bool:
    """Whether the value says the answer, but for a slip in a hundred of the rarer one."""
    beside: defaultdict[str | None, Counter[bool]] = defaultdict(Counter)
    for value, answer in zip(values, says, strict=True):
        if answer is not None:
            beside[value][answer] += 1
    slips = sum(min(counts[True], counts[False]) for counts in beside.values())
    decided = {counts.most_common(1)[0][0] for counts in beside.values()}
    return len(decided) == 2 and 100 * slips <= min(says.count(True), says.count(False))


async def _try_out(database: Database, drafted: Drafted, timeout_s: float) -> None:
    """Runs both texts, so that nothing is written that does not pass."""
    name = drafted.name
    try:
        view = parse_view(name, drafted.view, f"features/{name}.sql")
        label = parse_label(name, drafted.label, f"labels/{name}.sql")
        source = FeatureSource(database, view)
        signature = await source.signature(Deadline.after(timeout_s))
        check_horizon(signature, label)
        moment = datetime.now(UTC) if signature.uses_as_of else None
        ids, _ = await draw_in_time(database, view, moment, timeout_s=timeout_s)
        batch = await source.fetch(ids, moment, deadline=Deadline.after(timeout_s))
        await source.labels(label, ids, moment, timeout_s=timeout_s)
    except ViewError as error:
        raise DraftError(_does_not_run(drafted, str(error))) from error
    if batch.problems:
        raise DraftError(_does_not_run(drafted, next(iter(batch.problems.values()))))


def _does_not_run(drafted: Drafted, why: str) -> str:
    return (
        f"the draft of {drafted.draft.relation.sql} does not run, so nothing was written: {why}. Draft from "
        "a view of the database without the column, and please report it"
    )
