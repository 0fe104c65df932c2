"""Numbers, times and columns as people read them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from staunch_cli.printing.formatting import facts, number, quantity, table, utc_time


@pytest.mark.parametrize(
    ("value", "written"), [(None, "missing"), (0.0, "0"), (1234567.0, "1.23457e+06"), (0.1234567, "0.123457")]
)
def test_a_feature_value_has_six_digits(value, written):
    assert number(value) == written


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        (None, "days", "missing"),
        (0.123456, "CAD", "0.1235 CAD"),
        (999.94, "", "999.9"),
        (1000.0, "days", "1,000 days"),
        (-1234.56, "", "-1,235"),
    ],
)
def test_a_quantity_has_four_digits_or_all_before_the_point(value, unit, written):
    assert quantity(value, unit) == written


def test_times_are_in_utc_whatever_zone_they_came_in():
    noon = datetime(2026, 6, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert utc_time(noon) == "2026-06-01T10:00:00Z"
    assert utc_time(datetime(2026, 6, 1, 0, 0, 0, 123456, tzinfo=UTC)) == "2026-06-01T00:00:00.123456Z"
    assert utc_time(None) == ""


def test_facts_without_a_value_are_left_out_and_take_no_room():
    assert facts([("a", "1"), ("longer", ""), ("bcd", "2")]) == "a    1\nbcd  2"
    assert facts([]) == ""


def test_a_table_is_aligned_and_its_last_column_is_not_padded():
    assert table(("model", ""), [("churn@1", "x"), ("a", "")]) == "model\nchurn@1  x\na"
