"""What `view check` says of a view beside its figures: what must be mended, and what is only advised."""

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

import numpy as np

from staunch_features.checks.data_span import Span
from staunch_features.checks.execution import Scan
from staunch_features.checks.findings import LabelCheck
from staunch_features.checks.index_advice import BIG_TABLE_ROWS
from staunch_features.checks.look_ahead import Probe
from staunch_features.errors import ViewError
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.file import FeatureView, LabelText
from staunch_features.views.header import header_line
from staunch_features.views.rules import ELIGIBLE_IS_NULL, FEWEST_ANSWERS, broken_promise
from staunch_features.views.source import FeatureSource, read_whys
from staunch_features.views.sql_text import line_of_column
from staunch_features.views.types import FeatureBatch, Id

_WHYS = 500  # ids of either kind whose `_why` is read: who writes one sees soon whether it speaks
_WINDOW = re.compile(r"(\d+) (hour|day|week|month|year)s?")
_SIDES = 3  # of a training: train, validation, test
_SURE_ANSWERS = 30  # with so many it is 99 % sure that a fifth of the customers has two of them
_UNIT_DAYS = {"hour": 1 / 24, "day": 1, "week": 7, "month": 30, "year": 365}


def broken_at_either(
    view: FeatureView, now: FeatureBatch, before: FeatureBatch, ids: list[Id]
) -> list[ViewError]:
    """Lists the promises broken at the moment asked for, and those broken only where training reads."""
    errors = [error for batch in (before, now) for error in broken_promises(view, batch, ids)]
    return list({(error.line, error.hint): error for error in errors}.values())


def broken_promises(view: FeatureView, batch: FeatureBatch, ids: list[Id]) -> list[ViewError]:
    """Lists what rows break of what is promised of them: one error a kind, with the first id that has it."""
    problems = {row: batch.problems[row] for row in sorted(batch.problems, key=lambda row: ids[row])}
    untold = sum(problem == ELIGIBLE_IS_NULL for problem in problems.values())
    errors = [
        broken_promise(
            view,
            problem,
            f" for {untold} of {len(ids)} ids"
            if problem == ELIGIBLE_IS_NULL
            else f": id {ids[row]!r}{_as_of(batch)}",
        )
        for row, problem in problems.items()
    ]
    return list({(error.line, error.hint): error for error in reversed(errors)}.values())[::-1]


def look_ahead_errors(view: FeatureView, probes: tuple[Probe, ...]) -> list[ViewError]:
    """Refuses the features that changed when later rows were hidden."""
    return [
        ViewError(
            file=view.file,
            line=header_line(view.text, f"features.{name}"),
            message=f"feature {name} as of {probe.as_of:%Y-%m-%d %H:%M} UTC changes when later rows of "
            f"{probe.table} are hidden",
            hint=f"compare every time column of {probe.table} with $2::timestamptz",
        )
        for probe in probes
        for name in probe.changed
    ]


def missing_row_errors(view: FeatureView, now: FeatureBatch, before: FeatureBatch) -> list[ViewError]:
    """Refuses a population none of whose ids has a row, now or before."""
    if now.found.any() or before.found.any():
        return []
    dated = ", and give --as-of a moment at which there are rows" if now.as_of else ""
    return [
        ViewError(
            file=view.file,
            line=header_line(view.text, "population"),
            message=f"expected rows for the ids of the population, got none for the {len(now.found):,} tried"
            f"{_as_of(now)}",
            hint=f"see that the population and the view read the same keys{dated}",
        )
    ]


def nobody_eligible(now: FeatureBatch, before: FeatureBatch) -> Iterator[str]:
    """Says that nobody could be scored now, and when somebody could."""
    if now.eligible.any() or not (now.found.any() or before.found.any()):
        return
    if not before.eligible.any():
        yield "no id of the population is eligible, so none can be scored: see the joins and _eligible"
        return
    yield (
        f"nobody is eligible{_as_of(now)}, so nobody would be scored, but {before.eligible.sum():,} are"
        f"{_as_of(before)}: if the rows end early, look at a moment when they still come, with --as-of"
    )


async def why_advice(
    database: Database, source: FeatureSource, batch: FeatureBatch, ids: list[Id], *, timeout_s: float
) -> list[str]:
    """Says of a view's `_why` that it tells nothing of who is not eligible, or something of who is.

    Args:
        database: The reader's connections.
        source: Of the view.
        batch: The rows of the ids.
        ids: The ids.
        timeout_s: How long the statement may take, in seconds.

    Raises:
        ViewError: It fails for one of the ids.
    """
    deadline = Deadline.after(timeout_s)
    view, signature = source.view, await source.signature(deadline)
    outside, inside = (
        [ids[row] for row in np.flatnonzero(batch.found & side)[:_WHYS]]
        for side in (~batch.eligible, batch.eligible)
    )
    if not signature.has_why or not outside + inside:
        return []
    whys = await read_whys(
        database, view, signature, sorted({*outside, *inside}, key=str), batch.as_of, deadline=deadline
    )
    place = f"{view.file}:{line_of_column(view.statement, '_why')}"
    # Neither is an error: a refusal goes out without it, and what is said of the others is never read.
    notes = []
    if outside and not any(whys.get(key) for key in outside):
        notes.append(
            f"{place}: _why is null for all of {len(outside):,} ids tried that are not eligible"
            f"{_as_of(batch)}, so no caller reads why: let it say what _eligible asks for"
        )
    if spoken := sum(bool(whys.get(key)) for key in inside):
        notes.append(
            f"{place}: _why says something of {spoken:,} of {len(inside):,} ids tried that are eligible"
            f"{_as_of(batch)}, which nobody reads: let it be null where _eligible is true"
        )
    return notes


def label_errors(label: LabelText, check: LabelCheck, known: datetime) -> list[ViewError]:
    """Refuses a label that says nothing of anybody, although its outcome window had closed by `known`."""
    over = check.as_of is None or check.as_of + outcome_delay(label) <= known
    if check.known or not check.rows or not over:
        return []
    return [
        ViewError(
            file=label.file,
            line=None,
            message=f"expected labels of eligible ids, got none for the {check.rows:,} tried{_as_of(check)}",
            hint="see that label and view read the same keys, and the joins of the label",
        )
    ]


def too_few_answers(label: LabelText, check: LabelCheck, *, is_whole: bool) -> list[ViewError]:
    """Refuses a label of which no training can be made, if all rows that there are have been asked for.

    With dates there are more rows than those of one moment, and nothing is sure.
    """
    false, needed = check.known - check.true, _SIDES * FEWEST_ANSWERS
    reported = check.rows and not check.known  # by `label_errors`
    if check.as_of or not is_whole or reported or min(check.true, false) >= needed:
        return []
    return [
        ViewError(
            file=label.file,
            line=None,
            message=f"expected at least {needed} rows with the label and {needed} without, {FEWEST_ANSWERS} "
            f"each to train, to validate and to test, got {check.true:,} and {false:,}",
            hint="see that the label can be both true and false, and that some ids are eligible; or take "
            "more customers",
        )
    ]


def label_advice(label: LabelText, check: LabelCheck) -> Iterator[str]:
    """Says of a label that it tells nobody from anybody."""
    if check.rows and not check.known:
        yield f"{label.file}: the label is known for none of {check.rows:,} rows{_as_of(check)}"
    elif check.known and check.true in (0, check.known):
        answer = "true" if check.true else "false"
        dated = ", the horizon, and that the rows reach so far" if check.as_of else ""
        yield (
            f"{label.file}: the label is {answer} for all of {check.known:,} rows{_as_of(check)}: there "
            f"is nothing to learn from that; see the label{dated}"
        )


def few_answers(label: LabelText, check: LabelCheck, *, is_whole: bool) -> Iterator[str]:
    """Says of a label that its answers may not reach all sides of a training, though there are enough."""
    fewest = min(check.true, check.known - check.true)
    if is_whole and not check.as_of and 0 < fewest < _SURE_ANSWERS:
        answer = "true" if fewest == check.true else "false"
        yield (
            f"{label.file}: the label is {answer} for {fewest} of {check.known:,} rows: training refuses "
            f"it if fewer than {FEWEST_ANSWERS} of these are drawn to train, validate or test; take more rows"
        )


def look_ahead_not_tried(view: FeatureView) -> Iterator[str]:
    """Says of a view with an as-of time that its look-ahead could not be tried."""
    if not view.time_columns:
        yield (
            f"{view.file}: the header has no [time_columns], so it could not be tried whether the view looks "
            "ahead, nor when the rows end: name for each table the columns that say when a row happened or "
            "became known"
        )


def rows_end_early(span: Span | None, label: LabelText | None, until: datetime) -> Iterator[str]:
    """Says that training up to `until` would look for outcomes where there are no rows."""
    if span is not None and label is not None and span.ends_before(until, label):
        yield f"{span.outcome_warning(until)}: train with --until {span.next_day()}"


def labels_beyond_rows(span: Span | None, label: LabelText | None, moment: datetime | None) -> Iterator[str]:
    """Says that labels as of a moment would look for outcomes where there are no rows."""
    if span is None or label is None or moment is None:
        return
    closes = moment + outcome_delay(label)
    if span.ends_before(closes, label):
        last = datetime.combine(span.next_day(), time(), UTC) - outcome_delay(label)
        yield f"{span.outcome_warning(closes)}: show labels with --as-of {last:%Y-%m-%d}"


def window_advice(view: FeatureView, label: LabelText | None) -> Iterator[str]:
    """Says which windows cannot be read, and which look back further than the label declares."""
    for name, doc in view.features.items():
        if re.match(r"\s*\d", doc.window) and not _WINDOW.fullmatch(_past(doc.window)):
            place = f"{view.file}:{header_line(view.text, f'features.{name}')}"
            yield (
                f"{place}: cannot read the window {doc.window!r} of {name}: write a whole number of hours, "
                'days, weeks, months or years, as in "90 days"'
            )
    if label is not None:
        yield from _long_windows(view, label)


def _long_windows(view: FeatureView, label: LabelText) -> Iterator[str]:
    days = {name: _days(doc.window) for name, doc in view.features.items()}
    longer = [name for name, each in days.items() if each > label.observation_days]
    if not longer:
        return
    line = header_line(label.text, "observation_days")
    place = label.file if line is None else f"{label.file}:{line}"
    windows = ", ".join(f"{name} over {view.features[name].window}" for name in longer)
    yield (
        f"{place}: observation_days is {label.observation_days}, but the view looks back further: "
        f"{windows}; declare {math.ceil(max(days.values()))}, or look back less"
    )


def sample_cut_short(tried: int, drawn: int, budget_s: float) -> Iterator[str]:
    """Says that fewer ids were tried than a fair sample has."""
    if tried < drawn:
        yield (
            f"only {tried:,} of {drawn:,} sampled ids were tried: more at once would take longer than "
            f"{budget_s:g} s"
        )


def vacuum_advice(scan: Scan, table_rows: float) -> Iterator[str]:
    """Says which index of a big table answers only with the help of its table.

    An index-only scan looks a row up in the table where no VACUUM has marked its page since it was written.
    Some pages always are fresh: up to a tenth of the rows is nothing to speak of.
    """
    fresh = 10 * scan.heap_fetches > scan.rows
    if scan.kind == "Index Only Scan" and fresh and table_rows >= BIG_TABLE_ROWS:
        yield f"{scan.table}: {scan.heap_fetches} of {scan.rows} rows came from the table itself: VACUUM it"


def outcome_delay(label: LabelText) -> timedelta:
    """How long after its as-of time an outcome is known."""
    return timedelta(days=label.gap_days + label.horizon_days)


def _as_of(when: FeatureBatch | LabelCheck) -> str:
    """The moment, for messages; nothing for a view without one."""
    return f" as of {when.as_of:%Y-%m-%d %H:%M} UTC" if when.as_of else ""


def _past(window: str) -> str:
    """A window without the word that turns it round; windows ahead are for people alone."""
    return window.strip().lower().removesuffix(" ahead")


def _days(window: str) -> float:
    found = _WINDOW.fullmatch(window.strip().lower())
    return int(found[1]) * _UNIT_DAYS[found[2]] if found else 0
