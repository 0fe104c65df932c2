"""Which column has the ids: a known name, or the one that the user names, spelled as tables spell it."""

import pytest

from staunch_cli.shared.errors import CommandError
from staunch_cli.shared.id_columns import ANY_KEY, IdColumns, Layout, find_layout, separator_line


@pytest.mark.parametrize(
    "name", ["customer", " Customer ", "customer_id", "CUSTOMER ID", "customer-key", "member_id"]
)
def test_case_and_what_joins_the_words_of_a_known_name_do_not_matter(name):
    assert IdColumns(view_column="member_id").place(["x", name], "it") == 1


def test_a_column_that_is_spelled_as_the_user_names_it_comes_before_one_that_is_nearly():
    assert IdColumns(chosen="Customer").place(["customer", "Customer"], "it") == 1
    with pytest.raises(CommandError, match="expected it to have one column of ids, got customer, CUSTOMER"):
        IdColumns(chosen="Customer").place(["customer", "CUSTOMER"], "it")


@pytest.mark.parametrize(
    ("line", "declared"), [("sep=;\r\n", ";"), ('"sep=\t"\n', "\t"), ("sep=;x", ""), ("sep=x", ""), ("", "")]
)
def test_the_separator_that_a_spreadsheet_declares_is_taken(line, declared):
    assert separator_line(line) == declared


def test_where_a_line_is_an_id_separators_count_in_a_header_alone():
    assert find_layout("a;b,c\n", ANY_KEY, "it", is_csv=False) == Layout("", has_header=False)
    found = find_layout("a;customer_id\n", ANY_KEY, "it", is_csv=False)
    assert found == Layout(";", has_header=True, column=1, columns=2)


def test_a_line_that_is_too_long_for_a_name_is_no_header():
    assert not find_layout("x" * 200_000, ANY_KEY, "it", is_csv=False).has_header
