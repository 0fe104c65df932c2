"""The figures of an interval, read from what a server's own metrics serve."""

import math

import pytest
from tests.cli.top.served import served

from staunch_cli.top.figures import Figures, figures_of, short_method
from staunch_cli.top.readings import Interval, read_metrics


@pytest.fixture(scope="module")
def figures() -> Figures:
    with served() as server:
        server.call("UNAVAILABLE", "OVERLOADED")
        before = read_metrics(server.address)
        for _ in range(9):
            server.call()
        server.call("NOT_FOUND", "ENTITY_NOT_FOUND")
        model = server.metrics.model("churn@3")
        for rows in (1, 3):
            model.joined_rows.observe(rows)
            model.sql_seconds.observe(0.002)
        model.rows_scored.inc(4)
        model.scores.observe(0.25)
        server.metrics.set_database_up(False)
        server.metrics.calls_in_progress.labels("unary").set(5)
        server.metrics.calls_in_progress.labels("stream").set(2)
        server.metrics.not_serving.labels("empty").set(1)
        server.cpu.labels("10").inc(0.5)
        return figures_of(Interval(before, read_metrics(server.address)))


def test_the_state_of_the_server(figures):
    state = figures.state
    assert (state.workers, state.workers_ready, state.database_up) == (2, 1, False)
    assert (state.unary, state.streams, state.not_serving) == (5, 2, "empty")


def test_calls_and_what_went_wrong(figures):
    (calls,) = figures.calls
    assert calls.method == "Predict"
    assert calls.per_s * figures.interval_s == pytest.approx(10)
    assert calls.errors_per_s * figures.interval_s == pytest.approx(1)
    assert 0.003 <= calls.p50_s <= calls.p99_s <= calls.p999_s <= 0.005
    # What goes on stands above what has been, which is still counted.
    assert [(each.reason, each.total) for each in figures.errors] == [
        ("ENTITY_NOT_FOUND", 1),
        ("OVERLOADED", 1),
    ]
    assert figures.errors[0].per_s > figures.errors[1].per_s == 0


def test_stages_and_sizes_of_queries(figures):
    stages = {each.stage: each for each in figures.stages}
    assert stages["SQL, interactive"].mean_s == pytest.approx(0.002)
    assert math.isnan(stages["SQL, batch"].p99_s)
    interactive, batch = figures.queries
    assert (interactive.mean_rows, math.isnan(batch.mean_rows)) == (2.0, True)
    assert interactive.rows_per_s * figures.interval_s == pytest.approx(4)


def test_every_version_in_its_present_state_in_order(figures):
    shown = [(each.model, each.state, each.mean_score) for each in figures.versions]
    assert shown[0] == ("churn@3", "READY", 0.25)
    assert shown[1][:2] == ("churn@10", "REFUSED")
    assert figures.versions[0].rows_per_s * figures.interval_s == pytest.approx(4)


def test_every_process_in_the_order_of_its_number(figures):
    assert [each.worker for each in figures.processes] == ["0", "2", "10", "supervisor"]
    assert figures.processes[2].cores * figures.interval_s == pytest.approx(0.5)
    assert figures.processes[0].memory_bytes == 100 << 20


def test_the_name_of_a_method_alone():
    assert short_method("/grpc.health.v1.Health/Check") == "Check"
    assert short_method("unknown") == "unknown"
