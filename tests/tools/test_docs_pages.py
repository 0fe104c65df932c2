"""The pages made from the code are what the code says now."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.architecture.rooms import PACKAGES
from tools.docs_pages import PAGES, main, metric_families

import staunch_server

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCES = Path(staunch_server.__file__).parent
NO_METRICS = {
    *PACKAGES,
    "staunch_",
    "staunch_metrics_port",
    "staunch_owner",
    "staunch_reader",
    "staunch_reads_all",
}
"""What else begins as our metrics do: packages, names of settings in files, roles of the database."""


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_made_from_the_code_is_not_old(name: str) -> None:
    message = "run `make docs`"
    assert (DOCS / name).read_text() == PAGES[name](), message


def test_every_metric_named_in_the_sources_stands_in_the_docs() -> None:
    texts = [path.read_text() for path in SOURCES.rglob("*.py")]
    named = {name for text in texts for name in re.findall(r'"(staunch_[a-z_]+)",? ?"?[A-Z\n]', text)}
    page = (DOCS / "metrics.md").read_text()
    assert {"staunch_calls", "staunch_workers_ready", "staunch_worker_restarts"} <= named
    assert [name for name in sorted(named) if f"`{name}" not in page] == []


def series() -> dict[str, set[str]]:
    """The labels of every series there can be."""
    endings = {"counter": ["_total"], "histogram": ["", "_bucket", "_sum", "_count"]}
    return {
        family.name + ending: {*labels, "le"}
        for family, labels in metric_families()
        for ending in endings.get(family.type, [""])
    }


def test_every_metric_and_label_in_docs_and_alerts_exists() -> None:
    files = [ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.glob("*.md"), DOCS / "alerts.yml"]
    known, named = series(), set()
    for file in files:
        text = file.read_text()
        for name, labels in re.findall(r"\b(staunch_\w*|process_\w+_\w+)\b(?:{([^}]*)})?", text):
            if name not in NO_METRICS:
                assert name in known, f"{file.name}: {name}"
                assert set(re.findall(r"(\w+)!?=", labels)) <= known[name], f"{file.name}: {name}{labels}"
                named.add(name)
    assert {"staunch_calls_total", "staunch_call_seconds_bucket", "process_max_fds"} <= named


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus is not installed")
def test_prometheus_takes_the_rules() -> None:
    subprocess.run(["promtool", "check", "rules", DOCS / "alerts.yml"], check=True, capture_output=True)


def test_the_pages_are_written_where_they_belong(tmp_path: Path) -> None:
    main(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "errors.md",
        "features.fr.md",
        "features.md",
        "metrics.md",
        "settings.md",
    ]
