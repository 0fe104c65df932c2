"""What a text uses of the database: functions and views, and what those use in turn, as far as it shows."""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

import asyncpg

import staunch_sql
from staunch_features.postgres.connection import Connection
from staunch_features.postgres.deadlines import Deadline
from staunch_features.views.clock_words import Name, References, references_in, tables_in_body
from staunch_features.views.file import FeatureView, LabelText
from staunch_features.views.sql_text import code_of, line_of_word

_VOLATILE = "v"
_IMMUTABLE = "i"
_READABLE = frozenset({"sql", "plpgsql", "internal", "c"})
_EXECUTES = re.compile(r"\bEXECUTE\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Code:
    """A text that is looked into: the user's own, or a function or a view of the database that it uses.

    Attributes:
        kind: `function` or `view`; `text` for the user's own.
        oid: Its number.
        name: What it is called in full.
        word: Its name alone.
        clocks: What in it depends on the moment.
        calls: The functions that it may call.
        names: The views that it may read, and all other names.
        tables: The tables and views that it may read, if it is a function.
        opaque: Why it cannot be seen what it reads; empty if it can.
        owner: The number of the role as which it runs whoever calls it; None if as its caller.
        uses: What it is known to use, as (kind, number); every relation is a `view`.
        user: What uses it; None for the user's own text.
        counts: Whether the text does what this says. What it takes from a view that it reads is not all that
            the view says: it shows in the plan, but for functions that are worked out beforehand.
    """

    kind: str
    oid: int
    name: str
    word: str
    clocks: tuple[str, ...]
    calls: frozenset[Name]
    names: frozenset[Name]
    tables: frozenset[Name]
    opaque: str
    owner: int | None
    uses: frozenset[tuple[str, int]]
    user: "Code | None"
    counts: bool

    @classmethod
    def of_text(cls, calls: frozenset[Name], names: frozenset[Name]) -> "Code":
        """The user's own."""
        nothing = frozenset[Name]()
        return cls("text", 0, "", "", (), calls, names, nothing, "", None, frozenset(), None, counts=True)

    @classmethod
    def of_row(cls, row: asyncpg.Record, user: "Code", *, counts: bool) -> "Code":
        """What was found, and by whom it is used."""
        references, folders = references_in(row["body"] or ""), _search_path(row["settings"] or ())
        clocks = (
            [row["name"]] if row["volatility"] == _VOLATILE else [clock for _, clock in references.clocks]
        )
        return cls(
            row["kind"],
            row["oid"],
            row["name"],
            row["word"],
            tuple(clocks),
            _by_path(references.calls, folders),
            _by_path(references.names, folders),
            _by_path(tables_in_body(row["body"] or ""), folders)
            if row["kind"] == "function"
            else frozenset(),
            _why_opaque(row["language"], row["body"] or ""),
            row["runs_as"],
            frozenset(
                [("function", oid) for oid in row["functions"] or ()]
                + [("view", oid) for oid in row["relations"] or ()]
            ),
            user,
            counts,
        )

    def may_use(self, row: asyncpg.Record) -> bool:
        """Whether it names that, or is known to use it."""
        names = self.calls if row["kind"] == "function" else self.names
        return (row["kind"], row["oid"]) in self.uses or any(name.word == row["word"] for name in names)

    def holder(self) -> "Code | None":
        """What must be mended: itself, or what uses it if PostgreSQL brings it along; None for the text."""
        is_built_in = self.kind == "function" and self.name == self.word  # the others' have arguments
        holder = self.user if is_built_in else self
        return holder if holder and holder.word else None

    def function(self) -> "Code | None":
        """The function that it is or is used through, the outermost; None if there is none."""
        outer = self.user.function() if self.user else None
        return outer or (self if self.kind == "function" else None)

    def called(self) -> "Code":
        """The function through which the text uses it; itself if there is none."""
        return self.function() or self

    def runs_as(self) -> int | None:
        """The number of the role as which it reads; None if as whoever runs the text."""
        return self.owner or (self.user.runs_as() if self.user else None)

    def line_in(self, text: FeatureView | LabelText) -> int | None:
        """The line on which the text names it, or else what it is used through."""
        line = line_of_word(text.statement, self.word)
        return self.user.line_in(text) if line is None and self.user and self.user.word else line

    def place(self) -> str:
        """Where it stands, for messages."""
        through = f" used by {self.user.place()}" if self.user and self.user.word else ""
        return f"{self.kind} {self.name}{through}"


async def reached_code(
    connection: Connection, own: References, shown: frozenset[Name], deadline: Deadline
) -> list[Code]:
    """Finds what a text uses, what that uses, and so on, nearest first.

    Args:
        connection: Where to ask.
        own: What the text says.
        shown: The functions that its plan calls.
        deadline: Until when all questions may take together.
    """
    # Breadth first, so that what is refused is named by the shortest way to it, and each round asks once for
    # all. A function or view may be met twice, first through what does not count: then it is looked into
    # again.
    reached: dict[tuple[str, int], Code] = {}
    # What only the plan shows comes last, so that it is told through which view it is used if through one.
    for calls, names in ((own.calls, own.names), (shown, frozenset[Name]())):
        users = [Code.of_text(calls, names)]
        while users:
            rows = await _find_used(connection, users, deadline)
            found = [_as_used(row, users, {name.word for name in shown}) for row in rows]
            users = [code for code in found if code and _is_new(code, reached)]
            reached |= {(code.kind, code.oid): code for code in users}
    return list(reached.values())


async def _find_used(
    connection: Connection, users: Sequence[Code], deadline: Deadline
) -> list[asyncpg.Record]:
    calls = sorted({name for user in users for name in user.calls})
    names = sorted({name for user in users for name in user.names})
    uses = {use for user in users for use in user.uses}
    return await connection.fetch(
        staunch_sql.query("views/reached_code"),
        [name.schema for name in calls],
        [name.word for name in calls],
        [name.schema for name in names],
        [name.word for name in names],
        [oid for kind, oid in uses if kind == "function"],
        [oid for kind, oid in uses if kind == "view"],
        timeout=deadline.left_or_raise(),
    )


def _as_used(row: asyncpg.Record, users: Iterable[Code], shown: Set[str]) -> Code | None:
    """What was found, as used by one that makes it count, if there is one; None for what tells nothing."""
    # What the text itself calls counts. What a view of the database calls may have been left out by the
    # planner: it counts if the plan shows it, or if it is immutable, since such calls are worked out
    # beforehand and show nowhere.
    fitting = [user for user in users if user.may_use(row)]
    for user in fitting:
        if row["kind"] == "view":
            counts = user.counts and user.kind != "text"
        else:
            counts = user.counts or row["volatility"] == _IMMUTABLE or row["word"] in shown
        if counts:
            return Code.of_row(row, user, counts=True)
    return Code.of_row(row, fitting[0], counts=False) if row["kind"] == "view" else None


def _is_new(code: Code, reached: Mapping[tuple[str, int], Code]) -> bool:
    before = reached.get((code.kind, code.oid))
    return before is None or (code.counts and not before.counts)


def _why_opaque(language: str, body: str) -> str:
    """Why it cannot be seen what code reads; what is written in C is taken to read nothing."""
    if language not in _READABLE:
        return f"is written in {language}"
    return "executes a string" if language == "plpgsql" and _EXECUTES.search(code_of(body)) else ""


def _search_path(settings: Iterable[str]) -> list[str]:
    """The schemas of `SET search_path` in a function's settings."""
    path = next((each.partition("=")[2] for each in settings if each.startswith("search_path=")), "")
    return [folder.strip().strip('"') for folder in path.split(",") if folder.strip()]


def _by_path(names: frozenset[Name], folders: Iterable[str]) -> frozenset[Name]:
    """The names as they stand, and those without a schema in each of a function's own."""
    return names | {Name(folder, name.word) for folder in folders for name in names if not name.schema}
