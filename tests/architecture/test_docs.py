"""The docs are true: what they name exists, and what exists is named."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "client/README.md")),
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("examples/*/README.md"),
]


def test_every_link_between_pages_leads_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_page_is_linked_from_another():
    links = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    }
    assert [page.name for page in ROOT.glob("docs/*.md") if page.resolve() not in links] == []


def test_every_make_target_is_explained_where_people_look():
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    told = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    assert [target for target in targets if f"make {target}" not in told] == []


def test_every_dependency_is_justified():
    declared = (ROOT / "pyproject.toml").read_text() + (ROOT / "client/pyproject.toml").read_text()
    named = set(re.findall(r'^\s+"([a-z][a-z0-9-]+)[><=;"\[]', declared, re.MULTILINE))
    told = (ROOT / "CONTRIBUTING.md").read_text()
    ours = {"staunch-client", "xgboost-cpu", "numba"}
    assert sorted(name for name in named - ours if name not in told) == []
