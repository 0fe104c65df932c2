"""At which figures exactly a view is advised."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from staunch_features.checks.data_span import Span
from staunch_features.checks.execution import Scan
from staunch_features.checks.findings import LabelCheck
from staunch_features.checks.notes import (
    few_answers,
    label_advice,
    label_errors,
    labels_beyond_rows,
    outcome_delay,
    rows_end_early,
    sample_cut_short,
    too_few_answers,
    vacuum_advice,
    window_advice,
)
from staunch_features.views.feature_doc import FeatureDoc

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def label(clients):
    """A label that looks 90 days ahead after 7, over 9 days of observation."""
    return clients.label("SELECT 1")


@pytest.mark.parametrize(
    ("heap_fetches", "kind", "table_rows", "is_told"),
    [
        (11, "Index Only Scan", 10_000, True),
        (10, "Index Only Scan", 10_000, False),
        (11, "Index Only Scan", 9_999, False),
        (11, "Index Scan", 10_000, False),
    ],
)
def test_vacuum_is_advised_for_big_tables_from_a_tenth_of_the_rows_on(
    heap_fetches, kind, table_rows, is_told
):
    scan = Scan("shop.orders", kind, "orders_pkey", 100, heap_fetches)
    notes = list(vacuum_advice(scan, table_rows))
    assert notes == ["shop.orders: 11 of 100 rows came from the table itself: VACUUM it"] * is_told


def test_a_label_without_answers_is_wrong_from_the_moment_its_window_has_closed(label):
    check = LabelCheck(NOON, 5, 0, 0)
    closed = NOON + timedelta(days=97)
    assert closed == NOON + outcome_delay(label)
    (error,) = label_errors(label, check, closed)
    assert "got none for the 5 tried" in str(error)
    assert label_errors(label, check, closed - timedelta(microseconds=1)) == []
    assert label_errors(label, replace(check, known=1), closed) == []
    assert label_errors(label, replace(check, rows=0), closed) == []


@pytest.mark.parametrize(("known", "true", "count"), [(5, 0, 1), (5, 1, 0), (5, 4, 0), (5, 5, 1), (0, 0, 1)])
def test_a_label_is_advised_on_if_one_answer_is_missing(label, known, true, count):
    assert len(list(label_advice(label, LabelCheck(NOON, 5, known, true)))) == count


@pytest.mark.parametrize(
    ("known", "true", "few"), [(12, 6, False), (12, 5, True), (12, 7, True), (0, 0, False), (9, 9, True)]
)
def test_a_label_of_too_few_answers_is_refused_where_all_are_known(label, known, true, few):
    check = LabelCheck(None, 12, known, true)
    assert bool(too_few_answers(label, check, is_whole=True)) == few
    assert not too_few_answers(label, check, is_whole=False)
    assert not too_few_answers(label, replace(check, as_of=NOON), is_whole=True)
    assert too_few_answers(label, LabelCheck(None, 0, 0, 0), is_whole=True)


@pytest.mark.parametrize(
    ("true", "told"),
    [
        (0, ""),
        (1, "true for 1 of"),
        (29, "true for 29"),
        (30, ""),
        (970, ""),
        (971, "false for 29"),
        (1000, ""),
    ],
)
def test_answers_that_may_not_reach_every_side_are_told_where_all_are_known(label, true, told):
    check = LabelCheck(None, 1000, 1000, true)
    notes = list(few_answers(label, check, is_whole=True))
    assert (len(notes), told in "".join(notes)) == (bool(told), True)
    assert list(few_answers(label, check, is_whole=False)) == []
    assert list(few_answers(label, replace(check, as_of=NOON), is_whole=True)) == []


@pytest.mark.parametrize(
    ("window", "declared"),
    [("9 days", None), ("217 hours", 10), ("2 weeks", 14), ("1 month", 30), ("1 year", 365)],
)
def test_a_window_is_longer_from_the_first_hour_on(clients, label, window, declared):
    view = clients.view()
    view = replace(view, features={"a": FeatureDoc("", "A.", (), window, "never")})
    notes = list(window_advice(view, label))
    assert [note.partition("declare ")[2].partition(",")[0] for note in notes] == (
        [] if declared is None else [str(declared)]
    )


def test_a_label_that_declares_no_observation_is_named_without_a_line(clients, label):
    undeclared = replace(label, text=label.text.replace("observation_days = 9", ""), observation_days=0)
    view = replace(clients.view(), features={"a": FeatureDoc("", "A.", (), "9 days", "never")})
    (note,) = window_advice(view, undeclared)
    assert note.startswith(f"{label.file}: observation_days is 0")


def test_fewer_ids_than_drawn_are_told(label):
    assert list(sample_cut_short(10_000, 10_000, 3.0)) == []
    (note,) = sample_cut_short(9_999, 10_000, 3.0)
    assert note.startswith("only 9,999 of 10,000 sampled ids were tried")


@pytest.mark.parametrize(
    ("horizon_days", "quiet"),
    [(90, timedelta(days=9)), (10, timedelta(days=1)), (11, timedelta(days=1.1)), (1, timedelta(days=1))],
)
def test_rows_end_early_beyond_a_tenth_of_the_horizon_and_a_day(label, horizon_days, quiet):
    label = replace(label, horizon_days=horizon_days, gap_days=0)
    span = Span(NOON - timedelta(days=400), NOON)
    assert list(rows_end_early(span, label, NOON + quiet)) == []
    (note,) = rows_end_early(span, label, NOON + quiet + timedelta(microseconds=1))
    assert note.endswith("train with --until 2026-01-02")
    shown_at = NOON + quiet - outcome_delay(label)
    assert list(labels_beyond_rows(span, label, shown_at)) == []
    (note,) = labels_beyond_rows(span, label, shown_at + timedelta(microseconds=1))
    assert f"--as-of {datetime(2026, 1, 2, tzinfo=UTC) - outcome_delay(label):%Y-%m-%d}" in note


def test_nothing_is_said_of_what_is_not_known(label):
    assert list(rows_end_early(None, label, NOON)) == []
    assert list(labels_beyond_rows(Span(NOON, NOON), label, None)) == []
    assert np.isfinite(outcome_delay(label).total_seconds())
