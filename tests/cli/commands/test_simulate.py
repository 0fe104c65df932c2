"""`staunch simulate`: a world of the asked size, which grows by whole days."""

from datetime import UTC, date, datetime

import pytest
from tests.cli.documented import documented

from staunch_cli.commands.simulate import _midnight


@pytest.fixture
def simulate(staunch, database, tmp_path, monkeypatch):
    monkeypatch.setenv("STAUNCH_DATABASE_URL", database.owner_url)
    monkeypatch.setenv("STAUNCH_STATE_FOLDER", str(tmp_path / "state"))
    return lambda *words: staunch("simulate", *words)


def test_a_world_is_written_and_grows_by_the_days_since(simulate, staunch):
    result = simulate("--customers", 20, "--seed", 7, "--until", "2026-10-01")
    assert (result.code, result.err) == (0, "")
    assert "20 customers until 2026-10-01 written" in result.out
    result = simulate("--until", "2026-10-08")
    assert result.code == 0
    assert "2026-10-08" in result.out
    report = documented("simulate", simulate("--until", "2026-10-09", "--json").out)
    assert (report["action"], report["customers"]) == ("appended", 20)
    assert report["until"] == "2026-10-09T00:00:00Z"
    assert documented("migrate", staunch("migrate", "--json").out) == {"applied": []}


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["--until", "soon"], 2, "argument --until: expected a date such as 2026-06-30, got 'soon'"),
        (["--customers", "0"], 1, "STAUNCH_SIMULATION_CUSTOMERS (setting simulation_customers)"),
    ],
)
def test_a_world_that_cannot_be_is_refused(simulate, words, code, hint):
    result = simulate(*words)
    assert result.code == code
    assert hint in result.err


def test_a_world_ends_at_midnight_in_utc_by_default_of_today():
    assert _midnight(date(2026, 6, 1)) == datetime(2026, 6, 1, tzinfo=UTC)
    before = datetime.now(UTC).date()
    assert before <= _midnight(None).date() <= datetime.now(UTC).date()
    assert _midnight(None).time().isoformat() == "00:00:00"
