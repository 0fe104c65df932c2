"""The accounts example: a view drafted from a table with a jsonb column, made ours, trained and served."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from staunch import Client
from staunch_features.views.file import load_label, load_view
from staunch_model_store.store import ModelStore

pytestmark = pytest.mark.walk

EXAMPLE = Path(__file__).parent.parent.parent / "examples/accounts"


@pytest.fixture(scope="module")
def walked(walk: Any) -> Any:
    return walk(EXAMPLE / "README.md", files=EXAMPLE)


def test_the_page_shows_what_is_printed(walked: Any) -> None:
    (command,) = walked.shown
    # The counts of rows are the same wherever the same numbers are drawn.
    assert [line.split(":")[0] for line in walked.shown[command].splitlines()] == [
        line.split(":")[0] for line in walked.outputs[command].splitlines()
    ]


def test_the_files_are_the_drafted_ones_with_a_header_made_ours(walked: Any) -> None:
    drafts = walked.folder / "drafts"
    drafted = load_view("drafted", [drafts / "features"])
    ours = load_view("accounts", [EXAMPLE / "features"])
    assert ours.statement.strip() == drafted.statement.strip()
    assert ours.features.keys() == drafted.features.keys()
    label = load_label("drafted", [drafts / "labels"])
    assert load_label("accounts", [EXAMPLE / "labels"]).statement.strip() == label.statement.strip()


def test_the_drafted_files_pass_as_they_are(walked: Any) -> None:
    assert "drafted is good" in walked.run("staunch view check drafted --views drafts")


def test_the_page_shows_a_line_of_the_view(walked: Any) -> None:
    (shown,) = re.findall(r"```sql\n(.*)\n```", (EXAMPLE / "README.md").read_text())
    assert f"  {shown}," in (EXAMPLE / "features/accounts.sql").read_text().splitlines()


def test_features_are_what_the_documents_hold(walked: Any) -> None:
    rows = walked.run('staunch psql --reader -- -Atc "SELECT account_id, profile FROM app.accounts LIMIT 25"')
    with Client(walked.address) as client:
        for line in rows.splitlines():
            key, _, text = line.partition("|")
            profile = json.loads(text)
            got = client.predict(key, include_features=True).features
            assert got is not None
            assert got["profile_usage_logins_30d"] == profile["usage"]["logins_30d"]
            assert got["profile_plan_yearly"] == int(profile["plan"]["yearly"])
            assert got["profile_languages"] == len(profile["languages"])
            said = profile.get("newsletter")
            assert got["profile_newsletter"] == (None if said is None else int(said))


def test_the_model_learns_from_the_document(walked: Any) -> None:
    manifest = ModelStore(walked.folder / ".staunch/models").read("accounts", 1).manifest
    metrics = {metric.name: metric.value for metric in manifest.metrics}
    assert metrics["auc_in_5_folds"] > 0.75
