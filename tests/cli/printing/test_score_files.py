"""A file of scores is on the disk before it has its name, and is whole or not there."""

import json
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet
import pytest

from staunch import (
    Contribution,
    ExplanationMethod,
    ModelReference,
    OutputSpace,
    RiskBand,
    RowExplanation,
    Score,
)
from staunch_cli.printing.score_files import ErrorFile, errors_path, open_scores
from staunch_cli.shared.errors import CommandError

MODEL = ModelReference("churn", 1, "sha256:1")
AS_OF = datetime(2026, 6, 1, tzinfo=UTC)


def score(customer: int | str, probability: float = 0.5) -> Score:
    return Score(customer, probability, RiskBand.LOW, MODEL, AS_OF)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_file_is_synced_whole_before_it_takes_its_name(tmp_path, monkeypatch, ending):
    out, synced = tmp_path / f"scores.{ending}", []
    real_fsync = os.fsync

    def watched_fsync(descriptor: int) -> None:
        file = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        synced.append((file.parent, file.read_bytes(), out.exists()))
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    with open_scores(out, numeric_ids=True) as scores:
        scores.add(score(1))
        scores.commit()
    assert synced == [(tmp_path, out.read_bytes(), False)]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_without_a_commit_the_old_file_stays_and_no_other(tmp_path, ending):
    out = tmp_path / f"scores.{ending}"
    out.write_text("old")
    with open_scores(out, numeric_ids=True) as scores:
        scores.add(score(1))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(out.name, "old")]


def test_a_csv_has_every_digit_of_a_probability(tmp_path):
    with open_scores(tmp_path / "scores.csv", numeric_ids=False) as scores:
        scores.add(score("a,b", 0.1 + 0.2))
        scores.commit()
    assert (tmp_path / "scores.csv").read_text() == (
        "customer,probability,risk_band,model,as_of,has_warnings\n"
        '"a,b",0.30000000000000004,low,churn@1,2026-06-01T00:00:00Z,false\n'
    )


REASONS = RowExplanation(
    output_space=OutputSpace.LOG_ODDS,
    method=ExplanationMethod.TREE_PATH_DEPENDENT,
    base_value=-2.0,
    output_value=-1.5,
    contributions=(
        Contribution("province", 8.0, 0.30000000000000004, False, "Province", "", "ON"),
        Contribution("days_left", None, -0.1, False, "Days left", "days", ""),
        Contribution("bill", 1234.5, 0.05, False, "Bill", "CAD", ""),
    ),
    remainder=0.25,
    language="en",
)


def explained(customer: int | str) -> Score:
    return Score(customer, 0.5, RiskBand.LOW, MODEL, AS_OF, explanation=REASONS)


def test_a_csv_says_the_reasons_as_people_do(tmp_path):
    with open_scores(tmp_path / "scores.csv", numeric_ids=True, reasons=3) as scores:
        scores.add(explained(7))
        scores.commit()
    header, row = (tmp_path / "scores.csv").read_text().splitlines()
    assert header.endswith("reason_3_value,reason_3_contribution,base_value,output_value,remainder")
    assert row == (
        "7,0.5,low,churn@1,2026-06-01T00:00:00Z,false,Province,ON,0.30000000000000004,Days left,missing,-0.1,"
        'Bill,"1,234 CAD",0.05,-2.0,-1.5,0.25'
    )


def test_a_line_of_json_has_the_reasons_as_explain_prints_them(tmp_path):
    with open_scores(tmp_path / "scores.jsonl", numeric_ids=False, reasons=3) as scores:
        scores.add(explained("é"))
        scores.add(replace(score(8), as_of=None, has_warnings=True))
        scores.commit()
    first, second = map(json.loads, (tmp_path / "scores.jsonl").read_text().splitlines())
    assert (first["customer"], first["as_of"], first["base_value"]) == ("é", "2026-06-01T00:00:00Z", -2.0)
    assert first["contributions"][1] == {
        "feature": "days_left",
        "title": "Days left",
        "value": None,
        "value_label": "",
        "unit": "days",
        "contribution": -0.1,
        "overridden": False,
    }
    assert second == {
        "customer": 8,
        "probability": 0.5,
        "risk_band": "low",
        "model": "churn@1",
        "as_of": None,
        "has_warnings": True,
    }


@pytest.mark.parametrize("customers", [[], [7]])
def test_a_parquet_file_has_numbers_and_labels_of_the_reasons_apart(tmp_path, customers):
    with open_scores(tmp_path / "scores.parquet", numeric_ids=True, reasons=4) as scores:
        for customer in customers:
            scores.add(explained(customer))
        scores.commit()
    table = pyarrow.parquet.read_table(tmp_path / "scores.parquet")
    types = {name: str(table.schema.field(name).type) for name in table.schema.names}
    assert (types["reason_1"], types["reason_1_label"]) == ("string", "string")
    assert (types["reason_4_value"], types["reason_4_contribution"]) == ("double", "double")
    for row in table.to_pylist():
        assert (row["reason_1_value"], row["reason_1_label"]) == (8.0, "ON")
        assert (row["reason_2_value"], row["reason_2_label"], row["reason_4"]) == (None, None, None)


@pytest.mark.parametrize(("numeric_ids", "customer", "type_"), [(True, 7, "int64"), (False, "k", "string")])
def test_a_parquet_file_has_the_type_of_the_ids(tmp_path, numeric_ids, customer, type_):
    with open_scores(tmp_path / "scores.parquet", numeric_ids=numeric_ids) as scores:
        scores.add(score(customer))
        scores.commit()
    table = pyarrow.parquet.read_table(tmp_path / "scores.parquet")
    assert [str(field.type) for field in table.schema] == [
        type_,
        "double",
        "string",
        "string",
        "timestamp[us, tz=UTC]",
        "bool",
    ]
    assert table.column("customer").to_pylist() == [customer]


def test_a_parquet_file_of_more_than_one_group_has_every_row_once_and_in_order(tmp_path):
    with open_scores(tmp_path / "scores.parquet", numeric_ids=True) as scores:
        for customer in range(50_001):
            scores.add(score(customer))
        scores.commit()
    file = pyarrow.parquet.ParquetFile(tmp_path / "scores.parquet")
    assert file.num_row_groups == 2
    assert file.read().column("customer").to_pylist() == list(range(50_001))


def test_errors_are_counted_by_reason_and_a_file_without_any_is_not_left(tmp_path):
    place = errors_path(tmp_path / "scores.csv")
    assert place == tmp_path / "scores.errors.csv"
    with ErrorFile(place) as errors:
        errors.add(7, "NOT_FOUND", "CUSTOMER_NOT_FOUND", "none")
        errors.add(8, "NOT_FOUND", "CUSTOMER_NOT_FOUND", "none")
        errors.commit()
    assert errors.reasons == {"CUSTOMER_NOT_FOUND": 2}
    assert place.read_text().splitlines()[:2] == [
        "customer,code,reason,message",
        "7,NOT_FOUND,CUSTOMER_NOT_FOUND,none",
    ]
    with ErrorFile(place) as errors:
        errors.commit()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_file_in_a_folder_that_is_not_there_says_which_folder_to_make(tmp_path, ending):
    missing = tmp_path / "missing"
    scores = open_scores(missing / f"scores.{ending}", numeric_ids=True)
    with pytest.raises(CommandError, match=f"make the folder {missing}, or choose another place"), scores:
        pass


def test_a_folder_in_the_way_is_reported_under_the_name_that_was_asked_for(tmp_path):
    (tmp_path / "scores.csv").mkdir()
    written = open_scores(tmp_path / "scores.csv", numeric_ids=True)
    with pytest.raises(CommandError, match=r"scores\.csv to be a file that can be"), written:
        pytest.fail("the work had begun")
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]


def test_parquet_without_its_package_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CommandError, match=r"pip install 'staunch-server\[score\]', or write a \.csv"):
        open_scores(tmp_path / "scores.parquet", numeric_ids=True)
