"""Files of customers: a key is text, byte for byte; a number is one where the ids are numbers."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from staunch_cli.shared.errors import CommandError, cannot_read
from staunch_cli.shared.id_columns import (
    ANY_KEY,
    CUSTOMER,
    QUOTED,
    IdColumns,
    Layout,
    find_layout,
    is_word,
    separator_line,
)

STANDARD_INPUT = "-"
"""The name of a file of ids that is read from standard input."""

_ENCODING = "utf-8-sig"  # a mark of the order of bytes, as spreadsheets write it, is no part of the first id
_COLUMNS, _RECORDS, _WORKBOOKS = (".csv", ".tsv"), (".jsonl", ".ndjson"), (".xlsx", ".xls", ".ods")
_EXACT = 2**53  # below it a float holds each whole number


@dataclass(frozen=True, slots=True)
class Customers:
    """The ids of a file, to be gone through once.

    Attributes:
        texts: Each id as it stands there.
        note: What the user should know of how the file is read; empty if nothing.
        first: The first id where it may as well be a header that we do not know; None if it may not.
    """

    texts: Iterable[str]
    note: str = ""
    first: str | None = None

    def __iter__(self) -> Iterator[str]:
        """Goes through the ids."""
        return iter(self.texts)


@contextmanager
def open_customers(name: str, ids: IdColumns = ANY_KEY) -> Iterator[Customers]:
    """Gives the ids of a file, each as it stands there.

    A file has them in the column that a header names: the cells of the first line of a .csv or .tsv, the
    keys of each object of a .jsonl, the columns of a .parquet. Without a header they are in the first column.
    Any other file, and standard input, has an id a line, unless its first line is such a header or object.
    Blanks are part of an id; the end of a line is not, be it LF, CRLF or CR, and an empty line is no id.

    Args:
        name: The file, "-" for standard input.
        ids: What is known of them and of their column.

    Raises:
        CommandError: It cannot be read, is not what its name says, or can be read in two ways.
    """
    ending = Path(name).suffix.lower()
    if ending == ".parquet":
        with _opened_parquet(name, ids) as customers:
            yield customers
        return
    if ending in _WORKBOOKS:
        raise CommandError(f"expected {name} to be text, got a workbook: save the sheet as CSV UTF-8")
    with _opened(name) as file:
        try:
            yield _records_of(file, name, ids) if ending in _RECORDS else _texts(file, name, ids, ending)
        except UnicodeDecodeError as error:
            raise CommandError(
                f"expected {name} to be text in UTF-8, got other bytes: {error}; a spreadsheet saves it as "
                "CSV UTF-8"
            ) from error
        except csv.Error as error:
            message = f"expected {name} to be CSV, since its name ends so, got other text: {error}"
            raise CommandError(
                f"{message}; quote what needs it, or name it .txt if it has an id a line"
            ) from error


def count_customers(name: str, ids: IdColumns = ANY_KEY) -> int | None:
    """Counts the ids of a file; None of what can be read but once, such as standard input or a pipe.

    Args:
        name: The file, "-" for standard input.
        ids: What is known of them and of their column.
    """
    if name == STANDARD_INPUT or not Path(name).is_file():
        return None
    with open_customers(name, ids) as customers:
        return sum(1 for _ in customers)


@contextmanager
def _opened(name: str) -> Iterator[TextIO]:
    """Opens a file without touching the ends of its lines, which may be part of a quoted id."""
    if name == STANDARD_INPUT:
        if isinstance(sys.stdin, TextIOWrapper):
            sys.stdin.reconfigure(encoding=_ENCODING, errors="strict", newline="")
        yield sys.stdin
        return
    try:
        file = Path(name).open(encoding=_ENCODING, newline="")  # noqa: SIM115 -- closed below
    except OSError as error:
        raise cannot_read(name, error) from error
    with file:
        yield file


def _texts(file: TextIO, name: str, ids: IdColumns, ending: str) -> Customers:
    """Reads the first line that holds something, and chooses by it how the others are read."""
    is_csv = ending in _COLUMNS
    blank, line = _first_line(file)
    separator = separator_line(line) if is_csv else ""
    if separator:
        more_blank, line = _first_line(file)
        blank += 1 + more_blank
    elif ending == ".tsv":
        separator = "\t"
    if not is_csv and _names_a_customer(line, ids):
        return _records_of(chain([line], file), name, ids, skipped=blank)
    where = f"line {blank + 1} of {_shown(name)}"
    layout = find_layout(line, ids, where, is_csv=is_csv, separator=separator)
    lines = chain([line], file)
    if layout.separator:
        texts = _fields(lines, layout, _shown(name), skipped=blank)
    else:
        texts = _lines(lines, has_header=layout.has_header)
    return Customers(texts, _note(line, layout, where, ids), _may_be_header(line, layout, ids))


def _first_line(file: TextIO) -> tuple[int, str]:
    """Passes over empty lines; gives how many there were, and the first that is none."""
    blank = 0
    while (line := file.readline()) and not line.strip("\r\n"):
        blank += 1
    return blank, line


def _shown(name: str) -> str:
    return "standard input" if name == STANDARD_INPUT else name


def _note(line: str, layout: Layout, where: str, ids: IdColumns) -> str:
    """Says that a line was taken for a header where it might have been a customer."""
    known = layout.has_header and bool(ids.places([line]))
    if ids.chosen or not layout.has_header or layout.columns > 1 or (known and ids.numeric):
        return ""
    shown = line.strip()
    return f"{where}, {shown!r}, is taken for a header; if it is a customer, put a line `{CUSTOMER}` above it"


def _may_be_header(line: str, layout: Layout, ids: IdColumns) -> str | None:
    if layout.has_header or ids.numeric or not line:
        return None
    first = (
        next(csv.reader([line], delimiter=layout.separator))[0] if layout.separator else line.rstrip("\r\n")
    )
    return first if is_word(first) else None


def _lines(lines: Iterable[str], *, has_header: bool) -> Iterator[str]:
    texts = (line.removesuffix("\n").removesuffix("\r") for line in lines)
    for number, text in enumerate(texts):
        if text and (number or not has_header):
            yield text


def _fields(lines: Iterable[str], layout: Layout, name: str, *, skipped: int) -> Iterator[str]:
    reader = csv.reader(lines, delimiter=layout.separator, strict=True)
    records = (record for record in reader if record)
    if layout.has_header:
        next(records, None)
    for record in records:
        if len(record) <= layout.column:
            where = f"line {skipped + reader.line_num} of {name}"
            raise CommandError(
                f"expected {where} to have {layout.columns} columns, as its header has, got {len(record)}: "
                f"put the id into column {layout.column + 1}, or take the line out"
            )
        yield _unquoted(record, layout)


def _unquoted(record: Sequence[str], layout: Layout) -> str:
    """Gives the id of a row, without the apostrophe that `score --excel-safe` put before it."""
    text = record[layout.column]
    marked = layout.marks is not None and record[layout.marks : layout.marks + 1] == [QUOTED]
    return text.removeprefix("'") if marked else text


def _names_a_customer(line: str, ids: IdColumns) -> bool:
    """Whether a line is a JSON object that has a customer."""
    if not line.startswith("{"):
        return False
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return isinstance(record, dict) and bool(ids.places(list(record)))


def _records_of(lines: Iterable[str], name: str, ids: IdColumns, skipped: int = 0) -> Customers:
    numbered = ((number, line) for number, line in enumerate(lines, 1 + skipped) if line.strip())
    found = (_record_id(line, f"line {number} of {_shown(name)}", ids) for number, line in numbered)
    return Customers(text for text in found if text is not None)


def _record_id(line: str, where: str, ids: IdColumns) -> str | None:
    """Reads the id of one line of JSON: an object's, or the value itself; None if it is null."""
    try:
        value = json.loads(line)
    except ValueError as error:
        raise CommandError(f"expected {where} to be JSON, got other text: {error}") from error
    if isinstance(value, dict):
        cells = list(value)
        value = value[cells[ids.place(cells, where)]]
    if value is None or isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return None if value is None else str(value)
    shown = json.dumps(value)[:60]
    raise CommandError(
        f"expected {where} to have an id that is a text or a whole number, got {shown}: quote a key, and "
        "write a number without a point"
    )


@contextmanager
def _opened_parquet(name: str, ids: IdColumns) -> Iterator[Customers]:
    pyarrow = import_pyarrow()
    try:
        file = pyarrow.parquet.ParquetFile(name)
    except OSError as error:
        raise cannot_read(name, error) from error
    except pyarrow.ArrowInvalid as error:
        raise CommandError(f"expected {name} to be parquet, since its name ends so, got: {error}") from error
    with file:
        columns = file.schema_arrow.names
        batches = file.iter_batches(columns=[columns[ids.place(columns, name)]])
        customers = (customer for batch in batches for customer in batch.column(0).to_pylist())
        yield Customers(_text(customer) for customer in customers if customer is not None)


def _text(value: object) -> str:
    """Writes an id of a table; a column of whole numbers with gaps comes as floats from a data frame."""
    whole = isinstance(value, float) and value.is_integer() and abs(value) < _EXACT
    return str(int(value) if whole else value)  # type: ignore[call-overload]


def import_pyarrow() -> Any:
    """Imports what reads and writes parquet.

    Raises:
        CommandError: It is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise CommandError(
            "parquet needs the extra `score`: pip install 'staunch-server[score]', or write a .csv"
        ) from error
    return pyarrow
