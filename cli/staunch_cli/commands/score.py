"""`staunch score`: many customers into a file, through BatchPredict.

The file appears when it is complete and not before; a run that is killed leaves an old one as it was.
Customers without a score stand in a second file beside it, `scores.errors.csv` for `scores.csv`.
"""

import asyncio
import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, _SubParsersAction
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, aclosing, closing, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from staunch_cli.printing import formatting
from staunch_cli.printing.json_results import print_json
from staunch_cli.printing.progress import ProgressLine
from staunch_cli.printing.score_files import (
    STANDARD_OUTPUT,
    ErrorFile,
    ScoreFile,
    errors_path,
    open_errors,
    open_scores,
)
from staunch_cli.shared.arguments import Handler, add_json, file_ending
from staunch_cli.shared.call_arguments import (
    ModelArguments,
    ServerArguments,
    add_language,
    add_model,
    add_server,
)
from staunch_cli.shared.client import in_plain_words, new_client
from staunch_cli.shared.customers import count_customers, open_customers
from staunch_cli.shared.errors import CommandError
from staunch_cli.shared.id_columns import IdColumns, whole_number
from staunch_cli.shared.settings_arguments import SettingsArguments, add_settings

if TYPE_CHECKING:
    from staunch import AsyncClient, BatchIncomplete, Model, RowError, Score

NOT_IN_POPULATION = {"CUSTOMER_NOT_ELIGIBLE", "CUSTOMER_NOT_FOUND"}
"""Why a candidate of a view's population has no score without anything being wrong."""

MOST_REASONS = 10
"""The most reasons of a score, by the contract."""

_LOOK_S = 60.0  # what the view reads, and whether row-level security hides it
_CHUNK_ROWS = 2000  # small enough that a stream of them leaves the server room for single calls


@dataclass(frozen=True)
class ScoreArguments(ModelArguments, ServerArguments, SettingsArguments):
    """Whom to score where, and the file to write.

    Attributes:
        out: The file of the scores.
        ids: The file of the ids, as `open_customers` reads it; None for the whole population.
        ids_column: Which column of it has the ids; empty for one of a known name, or else the first.
        excel_safe: Whether a spreadsheet will open the files, and shall run nothing that stands in them.
        reasons: How many reasons each score has.
        language: That of the reasons; empty for the view's own.
        chunk_rows: How many ids a message has.
        json: Whether to print one JSON object.
    """

    out: Path
    ids: str | None
    ids_column: str
    excel_safe: bool
    reasons: int
    language: str
    chunk_rows: int
    json: bool


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch score`."""
    parser = subparsers.add_parser(
        "score",
        description="Scores all eligible customers of the model's view, or those of a file, into a file.",
    )
    parser.add_argument(
        "--out",
        type=_scores_file,
        required=True,
        metavar="FILE",
        help="scores.csv, scores.jsonl or scores.parquet; - prints the CSV",
    )
    # What is in the files of ids and scores comes before what is asked of the server.
    parser.add_argument(
        "--ids",
        metavar="FILE",
        help="score these: one id a line, blanks and all, or the column customer or customer_id of a .csv, "
        ".jsonl or .parquet, such as a file of scores; - for standard input (default: all eligible)",
    )
    parser.add_argument(
        "--ids-column",
        default="",
        metavar="NAME",
        help="the column of --ids that has them (default: one of a known name, else the first)",
    )
    parser.add_argument(
        "--excel-safe",
        action="store_true",
        help="put an apostrophe before cells that a spreadsheet would run as formulas",
    )
    parser.add_argument(
        "--reasons",
        type=_reasons,
        default=0,
        metavar="N",
        help=f"write why: the N largest contributions to each score, 0 to {MOST_REASONS} (default: 0)",
    )
    add_language(parser)
    add_model(parser)
    parser.add_argument(
        "--chunk-rows",
        type=_chunk_rows,
        default=_CHUNK_ROWS,
        metavar="N",
        help=f"ids a message, 1 to 10000 (default: {_CHUNK_ROWS})",
    )
    add_json(parser)
    add_server(parser)
    add_settings(parser, "database_url", "database_reader_url", "views", "state_folder", "store")
    parser.set_defaults(handler=Handler(ScoreArguments, run))


def run(arguments: ScoreArguments) -> int:
    """Scores and says how many; 1 if chunks failed as a whole, or nobody was scored who was to be.

    Raises:
        CommandError: There is a language and nothing to say in it.
    """
    if arguments.language and not arguments.reasons:
        raise CommandError("expected --reasons with --language: only reasons have words; add --reasons 3")
    tally = asyncio.run(_score(arguments))
    # What goes to standard output is either the scores or what is said of them.
    with redirect_stdout(sys.stderr) if arguments.out == STANDARD_OUTPUT else nullcontext():
        if arguments.json:
            print_json(tally.facts(arguments.out))
        else:
            print(tally.summary(arguments.out, arguments.as_of))
    if tally.incomplete is not None:
        print(f"staunch: {tally.incomplete}", file=sys.stderr)
        if place := errors_path(arguments.out):
            print(f"staunch: for them: --ids {place} and another --out", file=sys.stderr)
        return 1
    return 0 if tally.scored or not (tally.failed or tally.outside) else 1


@dataclass
class Tally:
    """What became of the customers.

    Attributes:
        scored: How many have a score.
        flagged: How many of them have values that the model did not learn from.
        outside: How many candidates are not in the population.
        failed: How many have none, by reason.
        last_score: Any score, for the model and the moment.
        uses_as_of: Whether the view takes an as-of time.
        eligible: Who is eligible, in the words of the view.
        first: The first id where it may as well be a header that is not known; None if it may not.
        first_not_found: Whether no customer is called so.
        incomplete: What the batch says of chunks that failed as a whole, whose rows are among those failed.
    """

    scored: int = 0
    flagged: int = 0
    outside: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    last_score: "Score | None" = None
    uses_as_of: bool = True
    eligible: str = ""
    first: str | None = None
    first_not_found: bool = False
    incomplete: "BatchIncomplete | None" = None

    @property
    def done(self) -> int:
        """How many customers have been answered for."""
        return self.scored + self.outside + self.failed.total()

    def facts(self, out: Path) -> dict[str, Any]:
        """Says it for programs."""
        errors = errors_path(out)
        return {
            "out": out,
            "errors_out": errors if self.failed else None,
            "model": str(self.last_score.model) if self.last_score else None,
            "as_of": self.last_score.as_of if self.last_score else None,
            "scored": self.scored,
            "flagged": self.flagged,
            "not_eligible": self.outside,
            "failed": self.failed,
            "incomplete": str(self.incomplete) if self.incomplete else None,
        }

    def summary(self, out: Path, as_of: datetime | None) -> str:
        """Says it in a few lines; `as_of` is the moment that was asked for."""
        by = f" by {self.last_score.model}" if self.last_score else ""
        when = (
            f" as of {formatting.utc_time(self.last_score.as_of)}"
            if self.last_score and self.last_score.as_of
            else ""
        )
        name = "standard output" if out == STANDARD_OUTPUT else out
        lines = [f"{name}: {self.scored:,} customers scored{by}{when}"]
        # First what came of those with a score, then of those without.
        if self.flagged:
            lines.append(
                f"{self.flagged:,} of them have values that the model never learned from: has_warnings "
                "is true, and `staunch predict` names them"
            )
        if self.outside and self.scored:
            lines.append(f"{self.outside:,} candidates were not eligible then")
        elif self.outside:
            lines.append(self._why_nobody(as_of))
        if self.failed:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.failed.most_common())
            place = errors_path(out) or "not written"
            lines.append(f"{place}: {self.failed.total():,} have no score ({reasons})")
        if self.first_not_found:
            lines.append(
                f"the first line of the ids, {self.first!r}, is no customer: if it is a header, name the "
                "column of the ids with --ids-column"
            )
        return "\n".join(lines)

    def _why_nobody(self, as_of: datetime | None) -> str:
        """Why there is no score although nothing failed: above all, rows that end long before now."""
        if not self.uses_as_of:
            return f"none of {self.outside:,} candidates is eligible: see what _eligible of the view asks for"
        when = f"as of {formatting.utc_time(as_of)}" if as_of else "as of now"
        return (
            f"none of {self.outside:,} candidates was eligible {when}: if your rows end in the past, give a "
            "moment at which they had not ended with --as-of; else see what _eligible of the view asks for"
        )


async def _score(arguments: ScoreArguments) -> Tally:
    from staunch import AsyncClient, Unavailable

    async with new_client(AsyncClient, arguments) as client:
        try:
            model = await client.get_model(arguments.model)
            return await _score_with(client, model, arguments)
        except Unavailable as error:
            raise in_plain_words(error, arguments) from error


async def _score_with(client: "AsyncClient", model: "Model", arguments: ScoreArguments) -> Tally:
    """Pulls ids, streams them and writes what comes back."""
    from staunch import BatchIncomplete

    with ExitStack() as stack:
        numeric_ids, for_excel = model.id_type == "int64", arguments.excel_safe
        scores = stack.enter_context(
            open_scores(
                arguments.out, numeric_ids=numeric_ids, for_excel=for_excel, reasons=arguments.reasons
            )
        )
        errors = stack.enter_context(open_errors(arguments.out, for_excel=for_excel))
        manifest = json.loads(model.manifest_json)
        customers: Iterable[int | str]
        total: int | None
        first = None
        if arguments.ids:
            ids = IdColumns(numeric_ids, manifest.get("id_column", ""), arguments.ids_column)
            total = count_customers(arguments.ids, ids)
            texts = stack.enter_context(open_customers(arguments.ids, ids))
            customers, first = _numbers(texts, errors) if numeric_ids else texts, texts.first
            if texts.note:
                print(f"staunch: {texts.note}", file=sys.stderr, flush=True)
        else:
            customers = population = await _population(model, arguments)
            total = len(population)
        show_done = stack.enter_context(_progress(total))
        tally = Tally(failed=errors.reasons, eligible=model.eligible, first=first)
        tally.uses_as_of = manifest.get("uses_as_of", True)
        batch = client.batch_predict(
            customers,
            model=str(model.reference),
            as_of=arguments.as_of,
            top_contributions=arguments.reasons,
            language=arguments.language,
            chunk_size=arguments.chunk_rows,
        )
        show_done(0)
        try:
            async with aclosing(batch) as rows:
                async for row in rows:
                    _write(row, scores, errors, tally, population=not arguments.ids)
                    if tally.done % arguments.chunk_rows == 0:
                        show_done(tally.done)
        except BatchIncomplete as error:  # every row has come by then: what has a score is kept
            tally.incomplete = error
        show_done(tally.done)
        # The scores last: while they are not there, the run has not ended.
        errors.commit()
        scores.commit()
    return tally


def _write(
    row: "Score | RowError", scores: ScoreFile, errors: ErrorFile, tally: Tally, *, population: bool
) -> None:
    from staunch import RowError

    if not isinstance(row, RowError):
        scores.add(row)
        tally.scored += 1
        tally.flagged += row.has_warnings
        tally.last_score = row
    elif population and row.reason in NOT_IN_POPULATION:
        tally.outside += 1
    else:
        tally.first_not_found |= row.customer == tally.first and row.reason == "CUSTOMER_NOT_FOUND"
        errors.add(row.customer, row.code.name, row.reason, row.message or _meaning(row.reason, tally))


def _meaning(reason: str, tally: Tally) -> str:
    """What a reason says of a row; nothing for one that only a newer server knows."""
    from staunch_server.errors import Reason

    if reason == "CUSTOMER_NOT_ELIGIBLE" and tally.eligible:
        return f"Expected a customer who {tally.eligible}."
    return Reason[reason].meaning if reason in Reason.__members__ else ""


async def _population(model: "Model", arguments: ScoreArguments) -> list[int | str]:
    """Reads every candidate of the view that answers: some bytes an id, and no transaction open meanwhile."""
    from staunch_cli.shared.database import database
    from staunch_cli.shared.view_lookup import served_view
    from staunch_features.checks.row_security import refuse_hidden, secured_tables
    from staunch_features.postgres.deadlines import Deadline
    from staunch_features.postgres.pool import Database
    from staunch_features.views.source import FeatureSource

    settings = arguments.load_settings()
    view = served_view(model, settings)
    with database(settings) as urls:
        pool = Database(urls.reader, size=1)
        try:
            source = FeatureSource(pool, view)
            signature = await source.signature(Deadline.after(_LOOK_S))
            secured = await secured_tables(pool, view, signature, None, timeout_s=_LOOK_S)
            refuse_hidden(secured)
            for each in secured:
                print(f"staunch: {each.advice()}", file=sys.stderr, flush=True)
            return [customer async for chunk in source.population(10_000) for customer in chunk]
        finally:
            await pool.close()


def _numbers(texts: Iterable[str], errors: ErrorFile) -> Iterator[int]:
    """Reads ids that are numbers; what says no number goes to the errors at once."""
    for text in texts:
        number = whole_number(text)
        if number is None:
            errors.add(text, "INVALID_ARGUMENT", "CUSTOMER_ID_INVALID", "expected a whole number")
        else:
            yield number


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[int], None]]:
    """Shows on the error stream how many are done, as a share of the total if that is known."""
    with closing(ProgressLine(sys.stderr)) as line:
        if total is None:
            yield lambda done: line.count("scoring", done)
        else:
            yield lambda done: line("scoring", done / total if total else 1.0)


def _scores_file(text: str) -> Path:
    return (
        STANDARD_OUTPUT if text == str(STANDARD_OUTPUT) else file_ending(".csv", ".jsonl", ".parquet")(text)
    )


def _chunk_rows(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise ArgumentTypeError(f"expected 1 to 10000, got {text!r}")
    return int(text)


def _reasons(text: str) -> int:
    if text not in map(str, range(MOST_REASONS + 1)):
        raise ArgumentTypeError(
            f"expected 0 to {MOST_REASONS} reasons, got {text!r}; `staunch explain` lists all of one customer"
        )
    return int(text)
