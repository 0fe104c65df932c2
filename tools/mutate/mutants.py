"""The mutants of a source file: poodle's changes, two kinds of our own, and what is left alone.

A mutant is one small change at one place: `<` becomes `<=`, a number doubles, a call is dropped. Where the
tests still pass, they say nothing about that place. Changes that cannot matter, or that every import would
notice, are not made:

- annotations, type aliases, protocols and `assert`, which the type checker reads; `__slots__`, `__version__`;
- docstrings, f-strings, texts of several words or of a raised error, log calls, which people read;
- decorators with their arguments, and the first setting of an attribute, without which a name is missing.
"""

import ast
import random
import re
import warnings
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from poodle import mutators as poodle_mutators

Span = tuple[int, int, int, int]  # line, byte, end line, end byte, as in the syntax tree: lines from 1

_POODLES = (
    poodle_mutators.BinaryOperationMutator,
    poodle_mutators.AugAssignMutator,
    poodle_mutators.UnaryOperationMutator,
    poodle_mutators.ComparisonMutator,
    poodle_mutators.KeywordMutator,
    poodle_mutators.NumberMutator,
    poodle_mutators.StringMutator,
    poodle_mutators.ReturnMutator,
)
_LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
_NAMES_FOR_TOOLS = {"__slots__", "__version__", "__all__"}


@dataclass(frozen=True, order=True)
class Mutant:
    """One change that can be made.

    Attributes:
        path: The file, relative to the tree's root.
        span: What is replaced.
        text: What stands there then.
    """

    path: str
    span: Span
    text: str

    def __str__(self) -> str:
        line, byte = self.span[:2]
        return f"{self.path}:{line}:{byte} {self.text}"


def mutants_of(path: str, source: str) -> list[Mutant]:
    """Returns every mutant of a file that still compiles, sorted."""
    tree = ast.parse(source)
    constructors = {id(part) for node in ast.walk(tree) if _is_constructor(node) for part in ast.walk(node)}
    spared = [_span(node) for node in _spared(tree)]
    found = {
        Mutant(path, span, text)
        for node in ast.walk(tree)
        for span, text in (*_changes_of_poodle(node), *_changes_of_ours(node, constructors))
        if not any(start[:2] <= span[:2] and span[2:] <= start[2:] for start in spared)
    }
    return sorted(mutant for mutant in found if _compiles(mutated(source, mutant)))


def mutated(source: str, mutant: Mutant) -> str:
    """Returns the file's text with the one change made."""
    line, start, end_line, end = mutant.span
    lines = source.encode().splitlines(keepends=True)
    before, after = lines[line - 1][:start], lines[end_line - 1][end:]
    return b"".join([*lines[: line - 1], before + mutant.text.encode() + after, *lines[end_line:]]).decode()


def draw(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """Draws places, then one of the changes of each.

    So a comparison, which can change in two ways, comes no oftener than a call, which can in one.

    Args:
        mutants: All there are.
        count: How many to draw; all places if there are fewer.
        seed: The same seed draws the same from the same files.
    """
    generator = random.Random(seed)  # noqa: S311 - reproducible on purpose
    places: dict[tuple[str, Span], list[Mutant]] = {}
    for mutant in sorted(mutants):
        places.setdefault((mutant.path, mutant.span), []).append(mutant)
    drawn = generator.sample(sorted(places), min(count, len(places)))
    return sorted(generator.choice(places[place]) for place in drawn)


# What is changed ------------------------------------------------------------------------------


def _changes_of_poodle(node: ast.AST) -> Iterator[tuple[Span, str]]:
    # Each node alone: poodle's visitors do not look into a node that they have changed, so that the
    # comparison in `a and b < c` would be passed over.
    for kind in _POODLES:
        if not hasattr(kind, f"visit_{type(node).__name__}"):
            continue
        mutator = kind(config=SimpleNamespace(mutator_opts={}), echo=print)
        alone = ast.Module(body=[deepcopy(node)], type_ignores=[])  # type: ignore[list-item]
        for change in mutator.create_mutations(parsed_ast=alone):
            span = (change.lineno, change.col_offset, change.end_lineno, change.end_col_offset)
            if span == _span(node):
                yield span, change.text


def _changes_of_ours(node: ast.AST, constructors: set[int]) -> Iterator[tuple[Span, str]]:
    match node:
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            if not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Constant):
                yield _span(test), f"not ({ast.unparse(test)})"
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.Raise() | ast.Delete() | ast.Return(value=None):
            yield _span(node), "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) | ast.AugAssign():
            if id(node) not in constructors:
                yield _span(node), "pass"


def _compiles(source: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # `x is ' '` is a mistake that Python itself tells
            compile(source, "<mutant>", "exec")
    except SyntaxError:
        return False
    return True


# What is left alone ---------------------------------------------------------------------------


def _spared(tree: ast.Module) -> Iterator[Any]:
    for node in ast.walk(tree):
        yield from _read_by_checkers(node)
        yield from _read_by_people(node)


def _read_by_checkers(node: ast.AST) -> Iterator[Any]:
    match node:
        case ast.Assert() | ast.If(test=ast.Name(id="TYPE_CHECKING")):
            yield node
        case ast.arg(annotation=ast.expr() as annotation) | ast.AnnAssign(annotation=annotation):
            yield annotation
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from (part for part in (node.returns, *node.decorator_list) if part)
        case ast.ClassDef():
            yield from [node] * any("Protocol" in ast.unparse(base) for base in node.bases)
            yield from node.decorator_list
        case ast.Assign(targets=[ast.Name(id=name)]) if name in _NAMES_FOR_TOOLS or _names_a_type(name):
            yield node
        case ast.Call(func=ast.Name(id="cast" | "TypeVar"), args=[first, *_]):
            yield first


def _read_by_people(node: ast.AST) -> Iterator[Any]:
    match node:
        case ast.JoinedStr() | ast.Expr(value=ast.Constant()):
            yield node
        case ast.Constant(value=str() as text) if re.search(r"\w \w", text):
            yield node
        case ast.Raise():
            yield from (part for part in ast.walk(node) if _is_text(part))
        case ast.Call(func=ast.Attribute(attr=method, value=owner)) if method in _LOG_METHODS:
            yield from [node] * ("log" in ast.unparse(owner).lower())


def _is_constructor(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "__init__"


def _names_a_type(name: str) -> bool:
    return re.fullmatch(r"_?[A-Z][A-Za-z0-9]*", name) is not None and not name.isupper()


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _span(node: Any) -> Span:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset
