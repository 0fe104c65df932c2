"""Files of ids: each id as it stands in them, whatever it looks like; a number only where ids are numbers."""

import csv
import io
import os
import re
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch_cli.printing.score_files import ErrorFile
from staunch_cli.shared.customers import count_customers, open_customers
from staunch_cli.shared.errors import CommandError
from staunch_cli.shared.id_columns import IdColumns, whole_number

ANY_ID, NUMBERS = IdColumns(), IdColumns(numeric=True)
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


KNOWN = ["customer", "customer_id", "Customer ID", "CUSTOMER_KEY", "Customer-Key"]


@pytest.mark.parametrize("header", [*KNOWN, "id", "N° client", "Kündigung"])
def test_above_numbers_any_word_is_a_header_and_above_keys_the_known_names_alone(tmp_path, header):
    path = tmp_path / "ids.csv"
    path.write_text(f"{header},name\n7,a\n{header},b\n")
    with open_customers(str(path), NUMBERS) as customers:
        assert list(customers) == ["7", header]
    assert count_customers(str(path), NUMBERS) == 2
    assert read(path) == ([] if header in KNOWN else [header]) + ["7", header]


OWN = (
    "customer,probability,risk_band,model,as_of,has_warnings\n{},0.5,low,churn@1,2026-06-01T00:00:00Z,false\n"
)

FORMS = [
    ("ids.csv", OWN.format("A 1"), "own output"),
    ("-", OWN.format("A 1"), "own output through a pipe"),
    ("ids", "customer\nA 1\n", "a header above lines"),
    ("ids.csv", "\ufeffCustomer_ID;Name\r\nA 1;Anna, née Roy\r\n", "a spreadsheet's semicolons"),
    ("ids.csv", 'sep=;\r\n"customer_id";"Name"\r\n"A 1";"a;b"\r\n', "a spreadsheet's first line"),
    ("ids.csv", "name\tcustomer key\nAnna\tA 1\n", "tabs"),
    ("ids.tsv", "A 1\tAnna, Roy; x\n", "tabs by the name"),
    ("ids.csv", ",customer\n0,A 1\n", "a data frame with its index"),
    ("ids.csv", '\n\n"customer"\n\n"A 1"\n', "empty lines and quotes"),
    ("ids.csv", "account;note\nA 1;x\n", "the view's own name"),
    ("ids.jsonl", '{"customer": "A 1", "probability": 0.5}\n\n{"customer": null}\n', "lines of JSON"),
    ("-", '{"customer_key": "A 1"}\n', "lines of JSON through a pipe"),
    ("ids.ndjson", '"A 1"\n', "bare values of JSON"),
]


@pytest.mark.parametrize(("name", "content"), [form[:2] for form in FORMS], ids=[form[2] for form in FORMS])
def test_every_form_that_names_the_customer_is_read(tmp_path, monkeypatch, name, content):
    path = name if name == "-" else str(tmp_path / name)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    (tmp_path / name).write_bytes(content.encode())
    with open_customers(path, IdColumns(view_column="account")) as customers:
        assert list(customers) == ["A 1"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ids.csv", OWN.format(" 7")),
        ("ids.csv", "\ufeffKunde;Betrag\r\n 7;1,5\r\n"),
        ("ids.csv", " 7;1,5\n"),
        ("ids.csv", " 7,a;b\n"),
        ("ids", "Kundennummer\n 7\n"),
        ("ids", "nom;client\n 7;x\n"),
        ("ids.csv", '"name";"customer_id"\n"x";" 7"\n'),
    ],
)
def test_numbers_are_told_from_words_whatever_separates_the_columns(tmp_path, name, content):
    (tmp_path / name).write_bytes(content.encode())
    with open_customers(str(tmp_path / name), NUMBERS) as customers:
        assert list(customers) == [" 7"]


@pytest.mark.parametrize("record", ['{"customer_id": 7}', "7", '{"customer": "7", "customer_id": null}'])
def test_a_number_of_json_is_the_id_that_it_spells(tmp_path, record):
    (tmp_path / "ids.jsonl").write_text(record)
    with open_customers(
        str(tmp_path / "ids.jsonl"), IdColumns(chosen="" if "null" not in record else "customer")
    ) as found:
        assert list(found) == ["7"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "ids.csv",
            "a;b\n",
            "line 1 of .*ids.csv can be read in two ways, since a semicolon may .*: put a header",
        ),
        ("ids.csv", "\na;b,c\n", "line 2 of .* since a comma or a semicolon may separate columns"),
        ("ids.csv", "customer;x,customer\n", "line 1 of .* can be read in two ways"),
        (
            "ids.csv",
            "anna,customer\n",
            "since its column 2 is 'customer': if it is a header, say --ids-column",
        ),
        (
            "ids.csv",
            "customer,customer_id\nA,1\n",
            "to have one column of ids, got customer, customer_id: choose",
        ),
        ("ids.csv", "name,customer_id\nA,1\nB\n", "expected line 3 of .* to have 2 columns, .* got 1: put"),
        (
            "ids.jsonl",
            '{"customer": "A"}\n{"client": "B"}',
            "line 2 of .*a column customer, got client: it may",
        ),
        ("ids.jsonl", '{"customer": 7.0}', "line 1 of .* a text or a whole number, got 7.0: quote a key"),
        ("ids.jsonl", "true", "line 1 of .* got true"),
        ("ids.jsonl", '\n{"customer": ', "expected line 2 of .* to be JSON, got other text"),
        ("ids.xlsx", "PK", "got a workbook: save the sheet as CSV UTF-8"),
        ("ids.csv", "\ufeffcustomer\n7\n".encode("utf-16"), "other bytes: .* saves it as CSV UTF-8"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused_with_the_line_and_what_to_do(tmp_path, name, content, words):
    raw = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(CommandError, match=words):
        read(tmp_path / name)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_the_column_that_the_user_names_has_the_ids(tmp_path, ending):
    table = pyarrow.table({"customer": ["x"], "Kunde": ["A 1"]})
    path = tmp_path / f"ids.{ending}"
    if ending == "parquet":
        pyarrow.parquet.write_table(table, path)
    else:
        path.write_text(
            "customer,Kunde\nx,A 1\n" if ending == "csv" else '{"customer": "x", "Kunde": "A 1"}\n'
        )
    with open_customers(str(path), IdColumns(chosen="Kunde")) as customers:
        assert list(customers) == ["A 1"]
    with pytest.raises(
        CommandError, match="to have a column nom, got customer, Kunde: name another with --ids"
    ):
        count_customers(str(path), IdColumns(chosen="nom"))


def test_a_header_that_might_be_a_customer_is_said_and_so_is_a_customer_that_might_be_a_header(tmp_path):
    path = tmp_path / "ids"
    for content, ids, note, first in [
        ("customer\nx\n", ANY_ID, "line 1 of .*ids, 'customer', is taken for a header; if it is a cus", None),
        ("Kunde\n7\n", NUMBERS, "line 1 of .*ids, 'Kunde', is taken for a header", None),
        ("customer\n7\n", NUMBERS, "$", None),
        ("customer,score\nx,1\n", ANY_ID, "$", None),
        ("Kunde\nx\n", ANY_ID, "$", "Kunde"),
        ("CUST-7\nx\n", ANY_ID, "$", None),
    ]:
        path.write_text(content)
        with open_customers(str(path), ids) as customers:
            assert re.match(note, customers.note), (content, customers.note)
            assert customers.first == first


@given(st.lists(ANY_KEY | st.sampled_from([*AWKWARD, "=1+1", "'=1", "'", "-5", "@x", "\tx"]), min_size=1))
def test_the_keys_of_a_file_for_spreadsheets_are_read_back_byte_for_byte(tmp_path_factory, keys):
    path = tmp_path_factory.mktemp("excel") / "scores.errors.csv"
    with ErrorFile(path, for_excel=True) as file:
        for key in keys:
            file.add(key, "NOT_FOUND", "CUSTOMER_NOT_FOUND", "look\rit up")
        file.commit()
    assert read(path) == keys


def test_an_apostrophe_that_nobody_marked_is_part_of_the_key(tmp_path):
    (tmp_path / "ids.csv").write_text("customer,excel_safe\n'=x,\n'=y,quoted\n")
    assert read(tmp_path / "ids.csv") == ["'=x", "=y"]


def test_a_float_of_a_table_is_the_whole_number_that_it_holds(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"customer_id": [7.0, None, 7.5]}), tmp_path / "ids.parquet")
    assert read(tmp_path / "ids.parquet") == ["7", "7.5"]


@pytest.mark.parametrize("first", ["7", "CUST-7", "1e3", "-1", " ", "7.0", "٤x", ""])
def test_what_may_be_a_number_spelled_wrong_is_no_header(tmp_path, first):
    path = tmp_path / "ids.csv"
    path.write_text(f'"{first}"\n8\n')
    with open_customers(str(path), NUMBERS) as customers:
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
