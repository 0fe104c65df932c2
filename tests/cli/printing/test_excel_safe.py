"""What a spreadsheet would run is text, and what it would not is as it was."""

import pytest

from staunch_cli.printing.excel_safe import excel_safe


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "=cmd|'/C calc'!A0",
        "+7",
        "-x",
        "-5 CAD",
        "-inf",
        "@SUM(A1)",
        "\tx",
        "\rx",
        "\nx",
        " =1",
        "\u00a0=1",
        "＝1",  # noqa: RUF001 -- the wide form is meant
    ],
)
def test_what_a_spreadsheet_would_run_begins_with_an_apostrophe(cell):
    assert excel_safe(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "7", "-5", "-0.25", "-1e-05", "1.5e+3", "A-1", "a=b", "'=1", " 7", "é"])
def test_what_it_would_not_run_and_negative_numbers_stay_as_they_are(cell):
    assert excel_safe(cell) == cell
