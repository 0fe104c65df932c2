"""The docs are true: what they name exists, and what exists is named."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.rooms import ARROWS, PACKAGES, PROGRAMS, ROOT, parsed

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "client/README.md")),
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("examples/*/README.md"),
]


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_page_is_linked_from_another() -> None:
    links = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    }
    assert [page.name for page in ROOT.glob("docs/*.md") if page.resolve() not in links] == []


def test_every_make_target_is_explained_where_people_look() -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    told = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    assert [target for target in targets if f"make {target}" not in told] == []


def drawing(name: str) -> list[str]:
    """Returns the lines of a drawing in CONTRIBUTING.md, which a comment above it names."""
    found: str
    (found,) = re.findall(
        rf"<!-- {name}: .*? -->\n```\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL
    )
    return found.splitlines()


def drawn_folders() -> Iterator[Path]:
    """Yields the folders of the drawing; a deeper indent is a folder within the one above."""
    above: list[Path] = [ROOT]
    for line in drawing("rooms"):
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        above = [*above[: depth + 1], above[depth] / name]
        yield above[-1]


def test_the_drawing_of_the_rooms_names_folders_that_are_there() -> None:
    assert [str(folder) for folder in drawn_folders() if not folder.is_dir()] == []


def test_the_drawing_names_every_room() -> None:
    packages = {init.parent for top in PACKAGES.values() for init in top.rglob("__init__.py")}
    drawn = set(drawn_folders())
    assert {*packages, *PROGRAMS.values()} - drawn == set()
    tops = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))}
    made = {"build", "dist"}
    assert tops - made == {folder.relative_to(ROOT).parts[0] for folder in drawn}


def dotted(names: str) -> Iterator[str]:
    """Yields the rooms of a list such as `client, server.{types,metrics}` by their dotted names."""
    for name in re.findall(r"[\w.]+(?:\{[\w,]+\})?", names):
        stem, _, inner = name.partition("{")
        for one in inner.rstrip("}").split(","):
            head, dot, rest = f"{stem}{one}".partition(".")
            whole = head if head in {"staunch", *PROGRAMS} else f"staunch_{head}"
            yield "staunch" if head == "client" else f"{whole}{dot}{rest}"


def test_the_drawing_of_the_arrows_is_the_table() -> None:
    drawn = {}
    for line in drawing("arrows"):
        rooms, _, targets = line.partition(" ─> ")
        for room in dotted(rooms):
            if targets.startswith("everything"):
                drawn[room] = set(ARROWS) - {"staunch_cli", *PROGRAMS}
            elif targets == "server":
                drawn[room] = {name for name in ARROWS if name.startswith("staunch_server.")} - {room}
            else:
                drawn[room] = set(dotted(targets)) - {"staunch_nothing"}
    assert drawn == ARROWS


def test_the_changelog_says_what_comes_next_and_what_each_version_brought() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert titles[:2] == ["What a version promises", "Unreleased"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", title) for title in titles[2:])
    assert f"\n## {version} - " in text or f"will be {version}." in text
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= kinds


def test_files_named_in_the_notes_for_contributors_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", text)) - {"server/staunch_server/access/"}
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_what_a_package_says_of_its_files_is_true() -> None:
    wrong = {
        f"{init.relative_to(ROOT)} names {name}"
        for top in PACKAGES.values()
        for init in top.rglob("__init__.py")
        for name in re.findall(r"`([\w/]+\.py)`", ast.get_docstring(parsed(init.read_text())) or "")
        if not (init.parent / name).is_file()
    }
    assert wrong == set()
