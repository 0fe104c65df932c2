"""The files of `staunch score`: written beside their target, and moved there when complete."""

import csv
import json
import sys
from collections import Counter
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

from staunch_cli.printing import formatting
from staunch_cli.printing.excel_safe import excel_safe
from staunch_cli.printing.explanation import (
    FOR_PEOPLE,
    FOR_PROGRAMS,
    SUMS,
    cells_for_people,
    cells_for_programs,
    reason_columns,
    reasons_json,
)
from staunch_cli.printing.pending_file import PendingFile
from staunch_cli.shared.customers import import_pyarrow
from staunch_cli.shared.errors import CommandError
from staunch_cli.shared.id_columns import CUSTOMER, EXCEL_SAFE, QUOTED

if TYPE_CHECKING:
    from staunch import Score

COLUMNS = (CUSTOMER, "probability", "risk_band", "model", "as_of", "has_warnings")
ERROR_COLUMNS = (CUSTOMER, "code", "reason", "message")

STANDARD_OUTPUT = Path("-")
"""The name of a file of scores that is printed as CSV; none of errors stands beside it."""

_GROUP_ROWS = 50_000  # of a parquet file's row groups


def errors_path(out: Path) -> Path | None:
    """Gives the file that names the customers without a score; None where the scores are printed."""
    return None if out == STANDARD_OUTPUT else out.with_suffix(".errors.csv")


class ScoreFile(Protocol):
    """Takes scores, and becomes the file by `commit`; leaving the block without that leaves no trace."""

    def __enter__(self) -> Self:
        """Begins the file."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Removes what was not committed."""

    def add(self, score: "Score") -> None:
        """Writes one row."""

    def commit(self) -> None:
        """Completes the file and moves it to its place."""


def open_scores(out: Path, *, numeric_ids: bool, for_excel: bool = False, reasons: int = 0) -> ScoreFile:
    """Chooses the format by the file's ending.

    Args:
        out: The file.
        numeric_ids: Whether the ids are numbers.
        for_excel: Whether a spreadsheet will open it, and shall run nothing that stands in it.
        reasons: How many reasons each score has.

    Raises:
        CommandError: Parquet needs a package that is not installed, or the file is not for spreadsheets.
    """
    if out == STANDARD_OUTPUT:
        return _PrintedScores(out, for_excel=for_excel, reasons=reasons)
    if out.suffix == ".csv":
        return _CsvScores(out, for_excel=for_excel, reasons=reasons)
    if for_excel:
        raise CommandError(f"expected a .csv with --excel-safe, got {out}: no spreadsheet opens {out.suffix}")
    if out.suffix == ".jsonl":
        return _JsonScores(out)
    return _ParquetScores(out, numeric_ids=numeric_ids, reasons=reasons)


def open_errors(out: Path, *, for_excel: bool = False) -> "ErrorFile":
    """Gives the file of the customers without a score, or what only counts them where scores are printed."""
    errors = errors_path(out)
    return _CountedErrors(out) if errors is None else ErrorFile(errors, for_excel=for_excel)


class _CsvFile(PendingFile):
    columns: tuple[str, ...]

    def __init__(self, target: Path, *, for_excel: bool = False) -> None:
        super().__init__(target)
        self._for_excel = for_excel

    def open(self) -> None:
        """Opens the file and writes the header."""
        self._file = self._opened()
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._quoted_rows = csv.writer(self._file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        self._rows.writerow((*self.columns, EXCEL_SAFE) if self._for_excel else self.columns)

    def _opened(self) -> TextIO:
        return self.path.open("w", encoding="utf-8", newline="")

    def write(self, row: tuple[int | str, ...]) -> None:
        """Writes one row, such that what reads CSV reads back the same."""
        if self._for_excel:
            safe = tuple(excel_safe(cell) if isinstance(cell, str) else cell for cell in row)
            # Whoever reads it back must know the apostrophes that are ours. Quotes keep a semicolon in its
            # cell where a spreadsheet takes that for the separator.
            self._quoted_rows.writerow((*safe, QUOTED if safe[0] != row[0] else ""))
            return
        # Python quotes the line end that it writes, but not a lone CR, which ends a line for what reads it.
        returns = any("\r" in cell for cell in row if isinstance(cell, str))
        (self._quoted_rows if returns else self._rows).writerow(row)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class _CsvScores(_CsvFile):
    def __init__(self, target: Path, *, for_excel: bool = False, reasons: int = 0) -> None:
        super().__init__(target, for_excel=for_excel)
        self._reasons = reasons
        self.columns = (*COLUMNS, *reason_columns(reasons, FOR_PEOPLE))

    def add(self, score: "Score") -> None:
        """Writes one row; the probability with all its digits."""
        self.write(
            (
                score.customer,
                repr(score.probability),
                score.risk_band.value,
                str(score.model),
                formatting.utc_time(score.as_of),
                str(score.has_warnings).lower(),
                *(cells_for_people(score.explanation, self._reasons) if score.explanation else ()),
            )
        )


class _PrintedScores(_CsvScores):
    """Scores on standard output, as they come: nothing of it can be taken back."""

    def _opened(self) -> TextIO:
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", errors="strict")
        return sys.stdout

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass  # there is no file to remove

    def commit(self) -> None:
        """Sends what is still held back."""
        sys.stdout.flush()


class ErrorFile(_CsvFile):
    """The customers without a score; no file is left if there are none.

    Attributes:
        reasons: How many were written, by reason.
    """

    columns = ERROR_COLUMNS

    def __init__(self, target: Path, *, for_excel: bool = False) -> None:
        super().__init__(target, for_excel=for_excel)
        self.reasons: Counter[str] = Counter()

    def add(self, customer: int | str, code: str, reason: str, message: str) -> None:
        """Writes one row."""
        self.write((customer, code, reason, message))
        self.reasons[reason] += 1

    def commit(self) -> None:
        """Moves the file to its place, or removes one that an earlier run left there."""
        if self.reasons:
            super().commit()
        else:
            self.target.unlink(missing_ok=True)


class _CountedErrors(ErrorFile):
    """Counts the customers without a score, and writes nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def add(self, customer: int | str, code: str, reason: str, message: str) -> None:
        """Counts one."""
        self.reasons[reason] += 1

    def commit(self) -> None:
        """Has nothing to do."""


class _JsonScores(PendingFile):
    """A JSON object a line."""

    def open(self) -> None:
        """Opens the file."""
        self._file = self.path.open("w", encoding="utf-8")

    def add(self, score: "Score") -> None:
        """Writes one line."""
        line = dict(zip(COLUMNS, _plain(score), strict=True)) | {
            "as_of": formatting.utc_time(score.as_of) or None
        }
        if score.explanation:
            line |= reasons_json(score.explanation)
        self._file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _plain(score: "Score") -> tuple[Any, ...]:
    band, model = score.risk_band.value, str(score.model)
    return score.customer, score.probability, band, model, score.as_of, score.has_warnings


class _ParquetScores(PendingFile):
    def __init__(self, target: Path, *, numeric_ids: bool, reasons: int = 0) -> None:
        super().__init__(target)
        self._reasons = reasons
        self._arrow = pyarrow = import_pyarrow()
        self._parquet = pyarrow.parquet
        types = (
            pyarrow.int64() if numeric_ids else pyarrow.string(),
            pyarrow.float64(),
            pyarrow.string(),
            pyarrow.string(),
            pyarrow.timestamp("us", tz="UTC"),
            pyarrow.bool_(),
        )
        columns = list(zip(COLUMNS, types, strict=True))
        for name in reason_columns(reasons, FOR_PROGRAMS):
            number = name in SUMS or name.endswith(("_value", "_contribution"))
            columns.append((name, pyarrow.float64() if number else pyarrow.string()))
        self._schema = pyarrow.schema(columns)
        self._rows: list[tuple[Any, ...]] = []

    def open(self) -> None:
        """Opens the file."""
        self._writer = self._parquet.ParquetWriter(self.path, self._schema)

    def close(self) -> None:
        """Writes what is left and closes the file."""
        if self._writer.is_open:
            self._flush()
            self._writer.close()

    def add(self, score: "Score") -> None:
        """Takes one row; a group of them is written at a time."""
        why = score.explanation
        self._rows.append((*_plain(score), *(cells_for_programs(why, self._reasons) if why else ())))
        if len(self._rows) >= _GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        columns = zip(*self._rows, strict=True) if self._rows else [[] for _ in self._schema]
        arrays = [
            self._arrow.array(list(column), type=kind)
            for column, kind in zip(columns, self._schema.types, strict=True)
        ]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self._rows = []
