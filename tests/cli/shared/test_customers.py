"""Files of ids: each id as it stands in them, whatever it looks like; a number only where ids are numbers."""

import csv
import io
import os
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch_cli.printing.score_files import ErrorFile
from staunch_cli.shared.customers import count_customers, open_customers, whole_number
from staunch_cli.shared.errors import CommandError

ANY_KEY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
"""What a text of PostgreSQL can hold."""

AWKWARD = [
    *(" 7", "7 ", "007", "1e3", "+7", "-0", "9" * 40, " ", "\t", "\u00a0", "a,b", '"', 'say "x"', "'", "#x"),
    *("é", "e\u0301", "A", "a", "İ", "\u200b", "\u2028x", "x\x85y", "x\x0cy", "\ufeffx", "customer2"),
]


def read(path: Path) -> list[str]:
    with open_customers(str(path)) as customers:
        return list(customers)


@given(st.lists(ANY_KEY | st.sampled_from(AWKWARD)))
def test_the_first_column_of_a_written_csv_is_read_back_byte_for_byte(tmp_path_factory, keys):
    path = tmp_path_factory.mktemp("csv") / "scores.errors.csv"
    with ErrorFile(path) as file:
        for key in keys:
            file.add(key, "NOT_FOUND", "CUSTOMER_NOT_FOUND", "look\rit up")
        file.commit()
    assert (read(path) if keys else []) == keys
    assert not keys or count_customers(str(path)) == len(keys)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@given(keys=st.lists(ANY_KEY.filter(lambda key: not set("\r\n") & set(key)) | st.sampled_from(AWKWARD)))
def test_a_line_is_an_id_whatever_it_holds_but_for_its_end(tmp_path_factory, keys, end):
    keys = [keys[0].lstrip("\ufeff") or "x", *keys[1:]] if keys else []
    path = tmp_path_factory.mktemp("lines") / "ids.txt"
    path.write_bytes("".join(key + end for key in keys).encode())
    assert read(path) == keys
    assert count_customers(str(path)) == len(keys)


@pytest.mark.parametrize(
    ("name", "content", "keys"),
    [
        ("ids.txt", "\ufeff007\r\n\r\n 7\r\n", ["007", " 7"]),
        ("ids.txt", 'a,b\n"c"\ncustomer\n \n\n', ["a,b", '"c"', "customer", " "]),
        ("ids", "7", ["7"]),
        ("ids.csv", "\ufeffcustomer,score\r\n007,1\r\n\r\n 7,2\r\n", ["007", " 7"]),
        ("ids.CSV", '"a,b"\n"c\nd"\n"say ""x"""\n"customer"\n', ["a,b", "c\nd", 'say "x"', "customer"]),
        ("ids.csv", 'customer\n"customer"\n""\n7', ["customer", "", "7"]),
        ("ids.csv", "", []),
    ],
)
def test_the_ends_of_lines_a_mark_of_byte_order_and_a_header_are_no_part_of_an_id(
    tmp_path, name, content, keys
):
    (tmp_path / name).write_bytes(content.encode())
    assert read(tmp_path / name) == keys


@pytest.mark.parametrize("header", ["customer", "customer_id", "Customer ID", "id", "N° client", "Kündigung"])
def test_above_numbers_any_word_is_a_header_and_above_keys_one_alone(tmp_path, header):
    path = tmp_path / "ids.csv"
    path.write_text(f"{header},name\n7,a\n{header},b\n")
    with open_customers(str(path), numeric_ids=True) as customers:
        assert list(customers) == ["7", header]
    assert count_customers(str(path), numeric_ids=True) == 2
    assert read(path) == ([] if header == "customer" else [header]) + ["7", header]


@pytest.mark.parametrize("first", ["7", "CUST-7", "1e3", "-1", " ", "7.0", "٤x", ""])
def test_what_may_be_a_number_spelled_wrong_is_no_header(tmp_path, first):
    path = tmp_path / "ids.csv"
    path.write_text(f'"{first}"\n8\n')
    with open_customers(str(path), numeric_ids=True) as customers:
        assert list(customers) == [first, "8"]


@pytest.mark.parametrize("content", ['7\n"a"b\n', '7\n"never closed\n'])
def test_a_csv_that_is_none_is_refused_with_what_to_do(tmp_path, content):
    (tmp_path / "ids.csv").write_text(content)
    with pytest.raises(
        CommandError, match=r"ids\.csv to be CSV, since its name ends so, .*; quote what needs"
    ):
        read(tmp_path / "ids.csv")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, 'to be a file that can be read, got "No such file'),
        (b"7\n", "to be parquet, since its name ends so, got"),
        (pyarrow.table({"id": [7]}), "to have a column customer, got id"),
    ],
)
def test_a_parquet_that_is_none_or_has_no_customers_is_refused(tmp_path, content, words):
    path = tmp_path / "ids.parquet"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        pyarrow.parquet.write_table(content, path)
    with pytest.raises(CommandError, match=words):
        read(path)


def test_the_customers_of_a_parquet_are_read_as_text_and_nulls_are_none(tmp_path):
    for customers in ([7, None, 8], [" 7", "007", None]):
        pyarrow.parquet.write_table(pyarrow.table({"customer": customers}), tmp_path / "ids.parquet")
        assert read(tmp_path / "ids.parquet") == [str(one) for one in customers if one is not None]


def test_standard_input_is_read_as_a_file_is_whatever_the_locale(tmp_path, monkeypatch):
    raw = io.BytesIO("\ufeff 7\r\né\n".encode())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(raw, encoding="latin-1"))
    assert count_customers("-") is None
    assert read(Path("-")) == [" 7", "é"]


def test_what_can_be_read_but_once_is_not_counted(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert count_customers(str(tmp_path / "pipe")) is None


@given(st.integers(-(10**20) + 1, 10**20 - 1), st.text("0", max_size=30), st.text(" \t"), st.text(" \t"))
def test_blanks_around_a_sign_and_leading_zeros_do_not_change_a_number(number, zeros, before, after):
    digits = f"{zeros}{abs(number)}"
    signs = ["-"] if number < 0 else ["", "+"]
    assert {whole_number(f"{before}{sign}{digits}{after}") for sign in signs} == {number}


@pytest.mark.parametrize(
    "text", ["", "-", "1e3", "7.0", "1_000", "1,000", "0x7", "٤", "7\n", "7\u00a0", "9" * 21]
)
def test_what_is_no_whole_number_of_20_digits_is_none(text):
    assert whole_number(text) is None


def test_rows_of_one_column_are_read_by_other_readers_of_csv_too(tmp_path):
    with ErrorFile(tmp_path / "e.csv") as file:
        file.add("a\rb", "NOT_FOUND", "R", "")
        file.commit()
    with (tmp_path / "e.csv").open(newline="") as written:
        assert [row["customer"] for row in csv.DictReader(written)] == ["a\rb"]
