"""The Telco example: a flat table with text keys, missing values and categories, served by two SQL files."""

import csv
import hashlib
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from staunch import Client, InvalidRequest, NotFound, Score
from staunch_cli.printing.how_to_call import how_to_call
from staunch_model_store.store import ModelStore
from staunch_server.settings import Settings

pytestmark = pytest.mark.walk

EXAMPLE = Path(__file__).parent.parent.parent / "examples/telco"
NEVER_BILLED = "4472-LVYGI"


@pytest.fixture(scope="module")
def walked(walk: Any) -> Any:
    return walk(EXAMPLE / "README.md", files=EXAMPLE)


@pytest.fixture
def client(walked: Any) -> Any:
    with Client(walked.address) as client:
        yield client


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, str]]:
    with (EXAMPLE / "Telco-Customer-Churn.csv").open() as file:
        return {row["customerID"]: row for row in csv.DictReader(file)}


def test_the_file_is_the_one_that_the_page_names() -> None:
    digest = hashlib.sha256((EXAMPLE / "Telco-Customer-Churn.csv").read_bytes()).hexdigest()
    assert digest in (EXAMPLE / "README.md").read_text()


def test_the_model_reaches_what_the_file_allows(walked: Any) -> None:
    manifest = ModelStore(walked.folder / ".staunch/models").read("telco", 1).manifest
    metrics = {metric.name: metric.value for metric in manifest.metrics}
    assert metrics["auc_in_5_folds"] >= 0.845
    assert metrics["auc"] >= 0.84
    assert (manifest.id_type, manifest.uses_as_of) == ("text", False)


@pytest.mark.skipif(
    sys.version_info >= (3, 12),
    reason="newer Pythons take newer learners, to which other features matter most",
)
def test_the_page_shows_the_explanation_that_is_given(walked: Any) -> None:
    for command, shown in walked.shown.items():
        assert walked.words_of(shown) == walked.words_of(walked.outputs[command])


def test_features_are_the_file_recoded(client: Client, rows: dict[str, dict[str, str]]) -> None:
    for key in list(rows)[:25]:
        got = client.predict(key, include_features=True).features
        row = rows[key]
        assert got is not None
        assert got["tenure"] == float(row["tenure"])
        assert got["total_charges"] == float(row["TotalCharges"])
        contract = {"Month-to-month": 1, "One year": 12, "Two year": 24}[row["Contract"]]
        assert got["contract"] == contract
        assert got["has_support"] == {"Yes": 1, "No": 0}.get(row["TechSupport"])


def test_a_missing_value_is_served_and_explained_as_missing(client: Client) -> None:
    why = client.explain(NEVER_BILLED)
    values = {part.feature: part.value for part in why.contributions}
    assert values["total_charges"] is None
    assert values["charge_rise"] is None
    assert (
        abs(why.base_value + sum(part.contribution for part in why.contributions) - why.output_value) < 1e-9
    )


def test_predict_batch_and_score_agree_on_every_key(
    walked: Any, client: Client, rows: dict[str, dict[str, str]]
) -> None:
    with (walked.folder / "scores.csv").open() as file:
        scored = {row["customer"]: float(row["probability"]) for row in csv.DictReader(file)}
    assert scored.keys() == rows.keys()
    some = list(rows)[:50]
    batch = list(client.batch_predict(some))
    assert all(isinstance(row, Score) and row.as_of is None for row in batch)
    assert [row.probability for row in batch] == pytest.approx([scored[key] for key in some], abs=1e-12)
    for key in some[:5]:
        assert client.predict(key).probability == pytest.approx(scored[key], abs=1e-12)


def test_wrong_keys_and_times_are_refused_in_words_that_help(client: Client) -> None:
    with pytest.raises(NotFound, match="nobody"):
        client.predict("nobody")
    with pytest.raises(InvalidRequest, match="customer_key"):
        client.predict(7590)
    with pytest.raises(InvalidRequest, match="no time in it"):
        client.predict("7590-VHVEG", as_of=datetime(2026, 1, 1, tzinfo=UTC))


def test_the_server_says_how_to_call_it_by_a_key_that_answers(walked: Any, client: Client) -> None:
    log = (walked.folder / "serve.log").read_text()
    shown = re.search(r'\{"customer_key": "(.*)"\}', log)
    assert shown is not None
    assert 0 < client.predict(shown[1]).probability < 1
    assert "CUSTOMER_NOT_ELIGIBLE" not in log
    settings = Settings(store=walked.folder / ".staunch/models", default_model="churn")
    calls = how_to_call(settings, {"telco@1": "champion"})
    assert calls[0].endswith("staunch predict --model telco KEY")
    assert '{"customer_key": "KEY", "model": "telco"}' in calls[2]
    assert 'predict("KEY", model="telco")' in calls[3]
    assert how_to_call(settings, {})[0].endswith("staunch predict ID")


def test_a_key_of_digits_alone_can_be_asked_for(walked: Any) -> None:
    for flag in ("", "--key"):
        said = walked.run(f"staunch predict {flag} 007590 2>&1 || true")
        assert "CUSTOMER_NOT_FOUND: Expected a customer that the view knows now, got 007590;" in said
    found = json.loads(walked.run("staunch predict --json 7590-VHVEG"))
    assert found["customer"] == "7590-VHVEG"
