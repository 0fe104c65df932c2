"""Cells that no spreadsheet runs: a formula begins with = + - @, and may do what its writer wants."""

import re

# Blanks before it do not stop every spreadsheet, and those of Asia take the wide forms too. A tab or the end
# of a line may split the cell, and what follows begins another.
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")  # noqa: RUF001 -- the wide forms are meant
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def excel_safe(cell: str) -> str:
    """Puts an apostrophe before what a spreadsheet would take for a formula; a negative number stays one."""
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell
