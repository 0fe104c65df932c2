"""The pages made from the code are what the code says now."""

import re
from pathlib import Path

import pytest
from tools.docs_pages import PAGES, main

import staunch_server

DOCS = Path(__file__).parents[2] / "docs"
SOURCES = Path(staunch_server.__file__).parent


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


def test_the_pages_are_written_where_they_belong(tmp_path: Path) -> None:
    main(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "errors.md",
        "features.fr.md",
        "features.md",
        "metrics.md",
        "settings.md",
    ]
