"""The header of a view or label: the line of each key, what is taken from it, and what is left over."""

import tomllib

import pytest

from staunch_features.errors import ViewError
from staunch_features.views.header import Header, header_line

HEADER = """/* staunch
description = "A customer."
entity = "customer"
population = "SELECT id FROM clients ORDER BY id;"

[time_columns]
orders = ["ordered_at", "recorded_at"]

[features]
age = { unit = "years", description = "Age.", source = ["clients.age"], window = "", null = "not told" }
orders = { description = "Orders.", null = "never" }
*/
"""


def test_a_table_with_a_schema_has_its_line():
    text = HEADER.replace("orders = [", '"shop.orders" = [')
    assert header_line(text, "time_columns.shop.orders") == 7
    assert header_line(text, "features.orders.null") == 11


def test_a_key_of_another_table_has_no_line_by_a_feature_of_its_name():
    text = HEADER.partition("[time_columns]")[0] + "[features.orders]\nnull = 'never'\n*/"
    assert header_line(text, "features.orders") == 6
    assert header_line(text, "features.orders.null") == 7
    assert header_line(text, "time_columns.orders") is None


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a.b", '"a.b"'),
        ('the "X" / 日本', '"the \\"X\\" / 日本"'),
        ('the "X"', "'the \"X\"'"),
        ("tab\there", '"tab\\there"'),
        ("é", '"\\u00e9"'),
        ("two words", '"two words"'),
    ],
)
def test_a_name_is_found_as_toml_writes_it(name, written):
    text = HEADER.replace("age = {", written + " = {")
    assert tomllib.loads(text.partition("staunch")[2].partition("*/")[0])["features"][name]
    assert header_line(text, f"features.{name}") == header_line(text, f"features.{name}.null") == 10


def test_what_is_taken_is_known_and_the_rest_is_refused_with_its_line() -> None:
    header = Header.read(HEADER + "SELECT 1;", "clients.sql")
    assert header.string("description") == "A customer."
    assert header.table("time_columns") == {"orders": ["ordered_at", "recorded_at"]}
    assert header.table("absent") == {}
    with pytest.raises(ViewError, match="header key entity: no such key") as caught:
        header.refuse_unknown_keys()
    assert (caught.value.file, caught.value.line) == ("clients.sql", 3)


def test_the_statement_stands_behind_as_many_lines_as_the_header_has() -> None:
    assert Header.read(HEADER + "SELECT 1;", "clients.sql").statement == "\n" * 12 + "SELECT 1"
