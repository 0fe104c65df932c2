"""One hand: how names, docstrings, comments and SQL are written."""

import ast
import re
import tokenize
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
from tests.architecture.rooms import (
    FUNCTIONS,
    PACKAGES,
    ROOT,
    Function,
    body_lines,
    functions,
    modules,
    place,
    shipped,
    tree,
)

PUBLIC_NAMESPACE = "staunch"
"""The one module with `__all__`: what a caller may use of the client."""

UNCOMMENTED_LINES = 25

SECTIONS = ("Args:", "Attributes:", "Raises:", "Returns:", "Yields:")

NOUNS = {"A", "Row"}
"""First words of docstrings that an `s` turns into another first word, and that are no verbs."""

UNCOMMENTED: Mapping[str, str] = {}
"""Functions of many lines without a comment, each with the reason why none is needed."""


def documented() -> Iterator[tuple[str, ast.AST, str]]:
    """Yields each module, class and function that has a docstring, with its place and the docstring."""
    for module in modules():
        for node in ast.walk(tree(module)):
            if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)):
                docstring = ast.get_docstring(node)
                if docstring:
                    yield place(module, node), node, docstring


def public(node: ast.Module | ast.ClassDef) -> Iterator[Function | ast.ClassDef]:
    """Yields the public functions and classes of a module or class, and what is public in those classes."""
    for child in node.body:
        if isinstance(child, (*FUNCTIONS, ast.ClassDef)) and not child.name.startswith("_"):
            yield child
            if isinstance(child, ast.ClassDef):
                yield from public(child)


def is_overload(node: ast.AST) -> bool:
    return any("overload" in ast.unparse(one) for one in getattr(node, "decorator_list", ()))


def test_every_public_name_says_what_it_is() -> None:
    silent = [
        f"{place(module, node)} {node.name}"
        for module in modules()
        for node in public(tree(module))
        if not ast.get_docstring(node) and not is_overload(node)
    ]
    assert silent == []


def test_every_module_says_what_it_is_for() -> None:
    assert [module for module in modules() if not ast.get_docstring(tree(module))] == []


def test_functions_say_what_they_do_in_the_third_person() -> None:
    first = {
        where: docstring.split()[0].rstrip(".,:;")
        for where, node, docstring in documented()
        if isinstance(node, FUNCTIONS)
    }
    begun = {word.lower() for word in first.values()}
    # "Return" is wrong beside a "Returns", "Carry" beside a "Carries": no list of verbs is needed for that.
    wrong = {
        f"{where} {word}"
        for where, word in first.items()
        if word not in NOUNS and third_person(word.lower()) & begun
    }
    assert wrong == set()


def third_person(verb: str) -> set[str]:
    """Returns what the third person of a verb may look like."""
    return {f"{verb}s", f"{verb}es", f"{verb[:-1]}ies" if verb.endswith("y") else f"{verb}s"}


@pytest.mark.parametrize("name", ["__all__", "Final"])
def test_modules_do_without(name: str) -> None:
    found = {
        place(module, node)
        for module in modules()
        if module != PUBLIC_NAMESPACE
        for node in ast.walk(tree(module))
        if name in {getattr(node, "id", None), getattr(node, "attr", None), getattr(node, "name", None)}
    }
    assert found == set()


def test_the_client_names_what_a_caller_may_use() -> None:
    assert any(getattr(node, "id", None) == "__all__" for node in ast.walk(tree(PUBLIC_NAMESPACE)))


def test_no_module_imports_from_the_future() -> None:
    text = {module: file.read_text() for module, file in modules().items()}
    assert [module for module in text if "from __future__" in text[module]] == []


def test_code_in_docstrings_stands_in_single_back_ticks() -> None:
    assert [str(file) for file in modules().values() if "``" in file.read_text()] == []


def entries(docstring: str) -> Iterator[tuple[str, str]]:
    """Yields name and text of each entry in the sections of a Google-style docstring."""
    lines = iter([*docstring.splitlines(), ""])
    for line in lines:
        if line.strip() in SECTIONS:
            indent = len(line) - len(line.lstrip()) + 4
            for entry in lines:
                if not entry.strip() or len(entry) - len(entry.lstrip()) < indent:
                    break
                match = re.match(rf" {{{indent}}}([*\w.`]+): (.*)", entry)
                if match:
                    yield match[1], match[2]


def test_entries_of_sections_begin_with_a_capital() -> None:
    wrong = {
        f"{where} {name}: {text}"
        for where, _, docstring in documented()
        for name, text in entries(docstring)
        if text[:1].islower()
    }
    assert wrong == set()


def has_comment(module: str, function: Function) -> bool:
    """Returns whether a comment that speaks to readers, not to a linter, stands in a function."""
    return any(function.lineno <= line <= (function.end_lineno or 0) for line in comments(module))


@cache
def comments(module: str) -> frozenset[int]:
    """Returns the lines of a module on which a comment for readers stands."""
    with modules()[module].open("rb") as file:
        tokens = list(tokenize.tokenize(file.readline))
    found = [token for token in tokens if token.type == tokenize.COMMENT]
    return frozenset(t.start[0] for t in found if not re.match(r"#\s*(noqa|type:)", t.string))


def test_long_functions_say_why_they_are_as_they_are() -> None:
    silent = {
        f"{module}.{function.name}"
        for module in modules()
        for function in functions(module)
        if body_lines(function) > UNCOMMENTED_LINES and not has_comment(module, function)
    }
    assert silent - UNCOMMENTED.keys() == set()
    assert UNCOMMENTED.keys() - silent == set(), "these have a comment now, or are short: take the line out"


def test_every_ignored_rule_has_its_reason() -> None:
    ignored = re.compile(r"# noqa(?!: [A-Z0-9]+ --? \w)")
    wrong = {
        f"{file.relative_to(ROOT)}:{number}"
        for file in modules().values()
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if ignored.search(line)
    }
    assert wrong == set()


def test_sql_lives_in_sql_files() -> None:
    speaks_of = (" FROM ", " INTO ", " TABLE ", " ROLE ", " DATABASE ", " VIEW ", " SET ")
    begins = ("SELECT ", "INSERT ", "UPDATE ", "DELETE ", "CREATE ", "ALTER ", "DROP ", "WITH ")
    found = [
        place(module, node)
        for module in shipped()
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.lstrip().startswith(begins)
        and any(word in node.value for word in speaks_of)
        and not is_docstring(module, node)
    ]
    assert found == []


def is_docstring(module: str, node: ast.Constant) -> bool:
    return any(
        isinstance(holder, (ast.Module, ast.ClassDef, *FUNCTIONS))
        and holder.body
        and isinstance(holder.body[0], ast.Expr)
        and holder.body[0].value is node
        for holder in ast.walk(tree(module))
    )


@pytest.mark.parametrize("file", sorted(PACKAGES["staunch_sql"].rglob("*.sql")), ids=lambda file: file.name)
def test_every_sql_text_begins_with_what_it_is_for(file: Path) -> None:
    assert file.read_text().lstrip().startswith(("--", "/*"))


DIALECT = re.compile(r"mend|said|told|tells?$|telling|blam|complain|bury|buri")
"""How words of the house begin that stand for the field's: hint, error, report, reference."""


def words(identifier: str) -> list[str]:
    """Returns the words of an identifier in small letters, of `snake_case` and `CamelCase` alike."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)]


@pytest.mark.parametrize(
    "name",
    ["Mended", "amendHint_MENDING", "who_told", "tell", "ReaderTells", "blaming", "complained", "buried"],
)
def test_the_dialect_is_found_in_each_way_to_write_it(name: str) -> None:
    assert any(map(DIALECT.match, words(name)))


@pytest.mark.parametrize("name", ["recommended", "amend", "intelligent", "TelltaleBit", "aside", "BREAD"])
def test_a_word_that_only_holds_such_letters_is_none(name: str) -> None:
    assert not any(map(DIALECT.match, words(name)))


def identifiers(module: str) -> Iterator[tuple[str, ast.AST]]:
    """Yields what a module names: functions, classes, arguments, variables and attributes."""
    for node in ast.walk(tree(module)):
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            yield node.name, node
        elif isinstance(node, ast.arg):
            yield node.arg, node
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node


def test_identifiers_use_the_fields_words() -> None:
    wrong = [
        f"{place(module, node)} {name}"
        for module in modules()
        for name, node in identifiers(module)
        if any(map(DIALECT.match, words(name)))
    ]
    assert wrong == []
