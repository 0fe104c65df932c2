"""A file of scores is on the disk before it has its name, and is whole or not there."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet
import pytest

from staunch import ModelReference, RiskBand, Score
from staunch_cli.printing.score_files import ErrorFile, errors_path, open_scores
from staunch_cli.shared.errors import CommandError

MODEL = ModelReference("churn", 1, "sha256:1")
AS_OF = datetime(2026, 6, 1, tzinfo=UTC)


def score(customer: int | str, probability: float = 0.5) -> Score:
    return Score(customer, probability, RiskBand.LOW, MODEL, AS_OF)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
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


@pytest.mark.parametrize("ending", ["csv", "parquet"])
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
        'customer,probability,risk_band,model,as_of\n"a,b",0.30000000000000004,low,churn@1,2026-06-01T00:00:00Z\n'
    )


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


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_in_a_folder_that_is_not_there_says_which_folder_to_make(tmp_path, ending):
    missing = tmp_path / "missing"
    scores = open_scores(missing / f"scores.{ending}", numeric_ids=True)
    with pytest.raises(CommandError, match=f"make the folder {missing}, or choose another place"), scores:
        pass


def test_a_folder_in_the_way_is_reported_under_the_name_that_was_asked_for(tmp_path):
    (tmp_path / "scores.csv").mkdir()
    written = open_scores(tmp_path / "scores.csv", numeric_ids=True)
    with written as scores, pytest.raises(CommandError, match=r"scores\.csv to be a file that can be"):
        scores.commit()
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]


def test_parquet_without_its_package_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CommandError, match=r"pip install 'staunch-server\[score\]', or write a \.csv"):
        open_scores(tmp_path / "scores.parquet", numeric_ids=True)
