"""Customers as people write them: a key is text, byte for byte; a number is one where the ids are numbers."""

import csv
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from staunch_cli.shared.errors import CommandError, cannot_read

CUSTOMER = "customer"
"""The name of the column of ids in files of scores, and the header that is passed over in files of ids."""

STANDARD_INPUT = "-"
"""The name of a file of ids that is read from standard input."""

# As PostgreSQL reads a bigint: blanks around it, a sign and leading zeros do not change a number. More than
# 20 digits are no id, and Python refuses to read very many.
_NUMBER = re.compile(r"[ \t]*([+-]?)0*([0-9]{1,20})[ \t]*")

_ENCODING = "utf-8-sig"  # a mark of the order of bytes, as spreadsheets write it, is no part of the first id


def whole_number(text: str) -> int | None:
    """Gives the whole number that a text says; None if it says none, or one of more than 20 digits."""
    found = _NUMBER.fullmatch(text)
    return int(found[1] + found[2]) if found else None


@contextmanager
def open_customers(name: str, *, numeric_ids: bool = False) -> Iterator[Iterable[str]]:
    """Gives the ids of a file, each as it stands there.

    A file whose name ends in .csv has them in its first column, quoted where they need it, perhaps below the
    header `customer`, and one that ends in .parquet in its column `customer`, as files of scores have. Any
    other has one a line. Blanks are part of an id; the end of a line is not, be it LF, CRLF or CR, and an
    empty line is no id.

    Args:
        name: The file, "-" for standard input.
        numeric_ids: Whether the ids are numbers: then a .csv may begin with any other header too. Of keys
            every other word may be one.

    Raises:
        CommandError: It cannot be read, is no UTF-8, no CSV or no parquet with such a column.
    """
    if name.lower().endswith(".parquet"):
        with _opened_parquet(name) as customers:
            yield customers
        return
    with _opened(name) as file:
        try:
            is_csv = name.lower().endswith(".csv")
            yield _first_fields(file, numeric_ids=numeric_ids) if is_csv else _lines(file)
        except UnicodeDecodeError as error:
            raise CommandError(f"expected {name} to be text in UTF-8, got other bytes: {error}") from error
        except csv.Error as error:
            message = f"expected {name} to be CSV, since its name ends so, got other text: {error}"
            raise CommandError(
                f"{message}; quote what needs it, or name it .txt if it has an id a line"
            ) from error


def count_customers(name: str, *, numeric_ids: bool = False) -> int | None:
    """Counts the ids of a file; None of what can be read but once, such as standard input or a pipe.

    Args:
        name: The file, "-" for standard input.
        numeric_ids: Whether the ids are numbers.
    """
    if name == STANDARD_INPUT or not Path(name).is_file():
        return None
    with open_customers(name, numeric_ids=numeric_ids) as customers:
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


@contextmanager
def _opened_parquet(name: str) -> Iterator[Iterator[str]]:
    pyarrow = import_pyarrow()
    try:
        file = pyarrow.parquet.ParquetFile(name)
    except OSError as error:
        raise cannot_read(name, error) from error
    except pyarrow.ArrowInvalid as error:
        raise CommandError(f"expected {name} to be parquet, since its name ends so, got: {error}") from error
    with file:
        if CUSTOMER not in file.schema_arrow.names:
            raise CommandError(
                f"expected {name} to have a column {CUSTOMER}, got {', '.join(file.schema_arrow.names)}"
            )
        batches = file.iter_batches(columns=[CUSTOMER])
        customers = (customer for batch in batches for customer in batch.column(0).to_pylist())
        yield (str(customer) for customer in customers if customer is not None)


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


def _lines(file: TextIO) -> Iterator[str]:
    for line in file:
        if text := line.removesuffix("\n").removesuffix("\r"):
            yield text


def _first_fields(file: TextIO, *, numeric_ids: bool) -> Iterator[str]:
    records = (record for record in csv.reader(file, strict=True) if record)
    for number, record in enumerate(records):
        if number or not _is_header(record[0], numeric_ids=numeric_ids):
            yield record[0]


def _is_header(field: str, *, numeric_ids: bool) -> bool:
    """Whether the first field of all is a word above the ids, and not a number that was spelled wrong."""
    is_word = any(map(str.isalpha, field)) and not any(map(str.isnumeric, field))
    return field == CUSTOMER or (numeric_ids and is_word)
