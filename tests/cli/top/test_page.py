"""The page of figures: what stands where, and how numbers are written."""

from dataclasses import replace
from math import nan
from pathlib import Path

import pytest

from staunch_cli.top.figures import (
    ErrorRates,
    Figures,
    MethodRates,
    ProcessUse,
    QuerySizes,
    ServerState,
    StageTimes,
    VersionRates,
)
from staunch_cli.top.page import memory, page, rate, time

DOCS = Path(__file__).parents[3] / "docs"

FIGURES = Figures(
    2.0,
    ServerState(2, 2, True, "", 31, 1),
    [
        MethodRates("BatchPredict", 0.0, 0.0, nan, nan, nan),
        MethodRates("Explain", 12.5, 0.0, 0.0021, 0.0098, 0.0144),
        MethodRates("Predict", 1204.3, 12.04, 0.00142, 0.0156, 0.0453),
    ],
    [
        StageTimes("queue", 1204.3, 0.00128, 0.001, 0.0087),
        StageTimes("SQL, interactive", 226.0, 0.00135, 0.000995, 0.0076),
        StageTimes("ONNX, score", 226.0, 0.000106, 0.0000908, 0.000411),
    ],
    [QuerySizes("interactive", 226.0, 1216.8, 5.38, 15.3), QuerySizes("batch", 4.0, 4000.0, 1000.0, 1000.0)],
    [VersionRates("churn@1", "READY", "sha256:3b1807cedb877ec4", 5204.3, 0.054912)],
    [
        ErrorRates("Predict", "NOT_FOUND", "ENTITY_NOT_FOUND", 12.04, 1491),
        ErrorRates("Predict", "UNAVAILABLE", "OVERLOADED", 0.0, 20),
    ],
    [ProcessUse("0", 0.814, 108 << 20, 33, 11), ProcessUse("supervisor", 0.004, 59 << 20, 15, 7)],
)


def test_the_docs_show_a_page_as_it_is():
    shown = (DOCS / "operations.md").read_text().partition("$ staunch top\n")[2].partition("```")[0]
    assert shown.splitlines() == page(FIGURES, "127.0.0.1:9464")


def test_trouble_is_said_at_the_top():
    state = replace(FIGURES.state, workers_ready=0, database_up=False, not_serving="empty")
    lines = page(replace(FIGURES, state=state), "x")
    assert "0 of 2 workers ready, DATABASE AWAY" in lines[0]
    assert lines[2] == "  not serving: empty"
    assert "not asked yet" in page(replace(FIGURES, state=replace(state, database_up=None)), "x")[0]


def test_a_server_without_errors_has_no_such_section_and_many_are_counted():
    assert not any(line.startswith("errors") for line in page(replace(FIGURES, errors=[]), "x"))
    assert "  and 12 more" in page(replace(FIGURES, errors=list(FIGURES.errors) * 10), "x")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.00 µs"),
        (5.514e-6, "5.51 µs"),
        (0.000995, "995 µs"),
        (0.0009996, "1.00 ms"),
        (0.0453, "45.3 ms"),
        (0.9999, "1.00 s"),
        (1234.5, "1,234.50 s"),
        (nan, "-"),
    ],
)
def test_times_have_three_digits(seconds, text):
    assert time(seconds) == text


@pytest.mark.parametrize(("per_s", "text"), [(0.0, "-"), (0.04, "0.0"), (99.94, "99.9"), (1e6, "1,000,000")])
def test_rates(per_s, text):
    assert rate(per_s) == text


def test_memory():
    assert memory(1 << 31) == "2,048 MiB"
