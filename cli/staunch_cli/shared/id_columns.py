"""Which column of a file has the ids, and whether its first line is a header: one rule for every format."""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from staunch_cli.shared.errors import CommandError

CUSTOMER = "customer"
"""The name of the column of ids in files of scores."""

EXCEL_SAFE, QUOTED = "excel_safe", "quoted"
"""The column that `score --excel-safe` adds, and what it holds where an apostrophe stands before the id."""

_SEPARATORS = ",;\t"
_SEPARATOR_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
_IN_QUOTES = re.compile(r'"(?:[^"]|"")*(?:"|$)')
# A spreadsheet that reads CSV of another country's separator is told so by the file's first line.
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t])"?[\r\n]*')

# As PostgreSQL reads a bigint: blanks around it, a sign and leading zeros do not change a number. More than
# 20 digits are no id, and Python refuses to read very many.
_NUMBER = re.compile(r"[ \t]*([+-]?)0*([0-9]{1,20})[ \t]*")


def whole_number(text: str) -> int | None:
    """Gives the whole number that a text says; None if it says none, or one of more than 20 digits."""
    found = _NUMBER.fullmatch(text)
    return int(found[1] + found[2]) if found else None


@dataclass(frozen=True, slots=True)
class IdColumns:
    """What is known of the column of ids before a file is opened.

    Attributes:
        numeric: Whether the ids are numbers: then a first line that is a word is a header. Of keys every
            word may be one, so that only the known names are.
        view_column: How the view calls its key; empty if that is not known.
        chosen: The column that the user names; empty if none.
    """

    numeric: bool = False
    view_column: str = ""
    chosen: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names by which a header is known, for messages too."""
        known = (CUSTOMER, "customer_id", "customer_key", self.view_column)
        return (self.chosen,) if self.chosen else tuple(dict.fromkeys(filter(None, known)))

    def places(self, cells: Sequence[str]) -> list[int]:
        """Finds the cells that name the column of ids; case, and what joins two words, do not matter."""
        exact = [place for place, cell in enumerate(cells) if self.chosen and cell == self.chosen]
        names = {_plain(name) for name in self.names}
        return exact or [place for place, cell in enumerate(cells) if _plain(cell) in names]

    def place(self, cells: Sequence[str], where: str) -> int:
        """Finds the one cell that names the column of ids.

        Args:
            cells: The names of the columns.
            where: What has these columns, for messages.

        Raises:
            CommandError: None does, or several do.
        """
        places = self.places(cells)
        if len(places) == 1:
            return places[0]
        first, *others = self.names
        if places:
            shown = ", ".join(cells[place] for place in places)
            raise CommandError(
                f"expected {where} to have one column of ids, got {shown}: choose one with --ids-column"
            )
        also = f"it may also be called {' or '.join(others)}, or be named" if others else "name another"
        raise CommandError(
            f"expected {where} to have a column {first}, got {', '.join(cells) or 'none'}: "
            f"{also} with --ids-column"
        )


ANY_KEY = IdColumns()
"""Ids that are keys, in a column of any known name."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the lines of a file are read.

    Attributes:
        separator: What stands between columns; empty where a line is an id.
        has_header: Whether the first line is a header.
        column: Which column has the ids, from 0.
        marks: Which column says whether an apostrophe was put before the id; None if none does.
        columns: How many columns the first line has.
    """

    separator: str
    has_header: bool
    column: int = 0
    marks: int | None = None
    columns: int = 1


def separator_line(line: str) -> str:
    """Gives the separator that a first line `sep=;` declares; empty for another line."""
    found = _SEPARATOR_LINE.fullmatch(line)
    return found[1] if found else ""


def find_layout(line: str, ids: IdColumns, where: str, *, is_csv: bool, separator: str = "") -> Layout:
    """Tells by the first line how a file is to be read.

    A line is a header if a cell of it is a known name, or, where ids are numbers, if its first cell is a word
    without a digit. A separator counts only where cells come out by which the line can be told.

    Args:
        line: The first line that is not empty.
        ids: What is known of the column.
        where: Which line of which file it is, for messages.
        is_csv: Whether the file's name says that it has columns.
        separator: What separates columns, if that is known.

    Raises:
        CommandError: The line can be read in two ways, or the chosen column is not there.
    """
    found = separator or _separators(line)
    headers = [cut for cut in found or "," if _is_header(_cells(line, cut), ids)]
    headers = [cut for cut in headers if ids.places(_cells(line, cut))] or headers
    if len(headers) > 1:
        raise _ambiguous_separator(line, headers, where)
    if headers:
        return _with_header(_cells(line, headers[0]), headers[0], ids, where, is_csv=is_csv)
    if ids.chosen:
        ids.place(_cells(line, found[:1] or ","), where)
    if not is_csv:
        return Layout("", has_header=False)
    chosen = separator or _separator_of_ids(line, found, ids, where)
    return Layout(chosen, has_header=False, columns=len(_cells(line, chosen)))


def _with_header(cells: list[str], separator: str, ids: IdColumns, where: str, *, is_csv: bool) -> Layout:
    column = ids.place(cells, where) if ids.places(cells) else 0
    # "anna,customer" may be a row of someone's table as well as the head of it.
    if (
        not ids.numeric
        and not ids.chosen
        and column
        and cells[0].strip()
        and _plain(cells[column]) == CUSTOMER
    ):
        raise CommandError(
            f"{where} may be a header or a customer, since its column {column + 1} is {cells[column]!r}: if "
            f"it is a header, say --ids-column {cells[column]}; if not, put a line `{CUSTOMER},...` above it"
        )
    if not is_csv and len(cells) == 1:
        return Layout("", has_header=True)
    marks = cells.index(EXCEL_SAFE) if EXCEL_SAFE in cells else None
    return Layout(separator, has_header=True, column=column, marks=marks, columns=len(cells))


def _is_header(cells: list[str], ids: IdColumns) -> bool:
    if ids.chosen or not ids.numeric:
        return bool(ids.places(cells))
    return whole_number(cells[0]) is None and (bool(ids.places(cells)) or is_word(cells[0]))


def is_word(field: str) -> bool:
    """Whether a text is a word, and not a number that was spelled wrong."""
    return any(map(str.isalpha, field)) and not any(map(str.isnumeric, field))


def _separator_of_ids(line: str, found: str, ids: IdColumns, where: str) -> str:
    """Chooses what separates columns where no header says it: the comma, unless numbers tell otherwise."""
    if found in ("", ","):
        return ","
    if ids.numeric:
        numbers = [cut for cut in found if whole_number(_cells(line, cut)[0]) is not None]
        if len(numbers) == 1 or len(found) == 1:
            return (numbers or list(found))[0]
    raise _ambiguous_separator(line, found, where)


def _ambiguous_separator(line: str, found: Iterable[str], where: str) -> CommandError:
    ways = " or ".join(_SEPARATOR_NAMES[cut] for cut in found)
    return CommandError(
        f"{where} can be read in two ways, since {ways} may separate columns or belong to an id, got "
        f"{line.rstrip()[:60]!r}: put a header with `{CUSTOMER}` above the ids and quote ids that hold a "
        "separator, or name the file .txt if it has an id a line"
    )


def _separators(line: str) -> str:
    """Gives each separator that stands outside quotes."""
    outside = _IN_QUOTES.sub("", line)
    return "".join(cut for cut in _SEPARATORS if cut in outside)


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), []) or [""]
    except csv.Error:  # such as a field of 131,072 characters, which is no name of a column
        return [line]


def _plain(name: str) -> str:
    return re.sub(r"[ _-]+", "_", name.strip()).casefold()
