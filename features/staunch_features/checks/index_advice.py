"""Says by the plan alone, before anything runs, which big tables want an index, and which one."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import staunch_sql
from staunch_features.checks.tables import Table, declared_tables, find_table
from staunch_features.postgres.connection import Connection
from staunch_features.postgres.pool import Database
from staunch_features.views.file import FeatureView, LabelText
from staunch_features.views.planner import planned_for_any, strings_in
from staunch_features.views.signature import SQL_TYPES, check_label
from staunch_features.views.sql_text import code_of, quoted
from staunch_features.views.types import ViewSignature

BIG_TABLE_ROWS = 10_000
"""Reading a smaller table whole costs nothing."""

_MOST_COLUMNS = 32  # of an index
_ROW_BY_ROW = frozenset({"Seq Scan", "Index Scan", "Bitmap Heap Scan"})
_CONDITIONS = ("Filter", "Index Cond", "Recheck Cond", "Hash Cond", "Merge Cond", "Join Filter")
_WORD = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_COLUMN = re.compile(rf'(?<![\w$."])(?P<alias>{_WORD})\.(?P<column>{_WORD}|\*)')
_SIDE = rf"\({_WORD}\.{_WORD}\)::[a-z ]+(?:\(\d+\))?|{_WORD}\.{_WORD}|\$\d+"
_EQUAL = re.compile(rf"(?P<left>{_SIDE}) = (?P<right>ANY \(\$\d+\)|{_SIDE})")


@dataclass(frozen=True, slots=True)
class IndexAdvice:
    """One table that another index would make faster to read.

    Attributes:
        whole: Whether it is read from its beginning to its end.
        note: How it is read, and the statement that makes the index where the plan says enough.
    """

    whole: bool
    note: str


async def index_advice(
    database: Database,
    view: FeatureView,
    signature: ViewSignature,
    label: LabelText | None,
    *,
    timeout_s: float,
) -> tuple[IndexAdvice, ...]:
    """Asks for the plans of a view and its label, runs neither, and advises on every big table.

    Args:
        database: The reader's connections.
        view: The view.
        signature: Its signature.
        label: The label beside it, if there is one.
        timeout_s: How long each question may take, in seconds.

    Raises:
        ViewError: The view or the label is at fault, or its time columns are not there.
        DatabaseUnavailable: The database is away.
    """
    ids, now = f"'{{}}'::{SQL_TYPES[signature.id_type]}[]", "'2000-01-01Z'::timestamptz"
    async with database.connection(timeout_s) as connection:
        declared = await declared_tables(connection, view, timeout_s=timeout_s)
        times = {table.whole: columns for table, columns in declared}
        values = [ids, now] if signature.uses_as_of else [ids]
        plan = await planned_for_any(connection, view, view.statement, values, timeout_s=timeout_s)
        found = await _wishes(connection, plan, times, timeout_s)
        if label is not None:
            sql = staunch_sql.query("views/read_labels").format(
                ids=f"{SQL_TYPES[signature.id_type]}[]", statement=label.statement
            )
            await check_label(connection, label, sql, signature.id_type, timeout_s=timeout_s)
            plan = await planned_for_any(connection, label, sql, [ids, now, now, now], timeout_s=timeout_s)
            # Nobody waits for a label: an index that finds its rows will do.
            found += [each for each in await _wishes(connection, plan, times, timeout_s) if each.whole]
    return tuple(wish.advice() for wish in _united(found))


@dataclass(frozen=True, slots=True)
class _Wish:
    """An index that one way of reading one table would like.

    Attributes:
        table: The table in SQL.
        kind: PostgreSQL's name of how it is read.
        each: Whether it is read again for each id.
        keys: What to index it by; empty if the plan does not say.
        included: The other columns read; None if there are too many.
    """

    table: str
    kind: str
    each: bool
    keys: tuple[str, ...]
    included: tuple[str, ...] | None

    @property
    def whole(self) -> bool:
        """Whether the table is read from its beginning to its end."""
        return self.kind == "Seq Scan"

    def advice(self) -> IndexAdvice:
        """The wish in words."""
        if self.whole:
            how = f"{self.table} is read whole {'for each id' if self.each else 'by each call'}"
        else:
            how = f"{self.table} is read by {self.kind}: let an index INCLUDE all columns read"
        otherwise = ": index it by the id and the time" if self.whole else ""
        return IndexAdvice(self.whole, how + (f": {self._definition()}" if self.keys else otherwise))

    def _definition(self) -> str:
        included = f" INCLUDE ({', '.join(self.included)})" if self.included else ""
        return f"CREATE INDEX ON {self.table} ({', '.join(self.keys)}){included}"


def _united(wishes: Sequence[_Wish]) -> Iterator[_Wish]:
    """One index for all that wish for the same keys of a table, said of the first of them."""
    for wish in wishes:
        alike = [each for each in wishes if (each.table, each.keys) == (wish.table, wish.keys)]
        if alike[0] is not wish:
            continue
        several = [each.included for each in alike]
        names = dict.fromkeys(name for included in several for name in included or ())
        yield replace(wish, included=None if None in several else tuple(names))


async def _wishes(
    connection: Connection, plan: Any, times: Mapping[str, Sequence[str]], timeout_s: float
) -> list[_Wish]:
    found = []
    for node, each in _scans(plan[0]["Plan"], "\n".join(strings_in(plan)), each=False):
        if node["Node Type"] not in _ROW_BY_ROW:
            continue
        name = f"{quoted(node['Schema'])}.{quoted(node['Relation Name'])}"
        table = await find_table(connection, name, timeout_s=timeout_s)
        if table is not None and table.rows >= BIG_TABLE_ROWS:
            index = _index(plan, node, table, times.get(table.whole, ()))
            found.append(_Wish(table.whole, node["Node Type"], each, *index))
    return found


def _scans(node: Mapping[str, Any], said: str, *, each: bool) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """Lists what reads a table, and whether it does so again for each id."""
    if "Relation Name" in node:
        yield node, each
    for child in node.get("Plans", ()):
        place = child["Parent Relationship"]
        if place == "SubPlan":
            again = f"hashed {child.get('Subplan Name')}" not in said
        elif place == "InitPlan" or node["Node Type"] in ("Hash", "Materialize"):
            again = False
        else:
            again = each or (node["Node Type"] == "Nested Loop" and place == "Inner")
        yield from _scans(child, said, each=again)


def _index(
    plan: Any, node: Mapping[str, Any], table: Table, times: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """The keys and the other columns of an index that holds all that the plan reads of a table."""
    key = _key(plan, node, table)
    if not key:
        return (), None
    read = _columns_read(plan, node, table)
    time = next((column for column in times if column in read and column != key), "")
    keys = (read.get(key, f"({key})"), *([read[time]] if time else []))
    others = [read[column] for column in table.columns if column in read and column not in (key, time)]
    too_many = "*" in read or len(keys) + len(others) > _MOST_COLUMNS
    return keys, None if too_many else tuple(others)


def _key(plan: Any, node: Mapping[str, Any], table: Table) -> str:
    """The column, or the expression over it, that is compared with the ids, or else with another table."""
    alias = node["Alias"]
    asked = {f"{each['Alias']}." for each in _nodes(plan) if each.get("Function Name") == "unnest"}
    found: list[tuple[bool, str]] = []
    for text in [*_conditions(_nodes(node)), *_conditions(_nodes(plan))]:
        for equal in _EQUAL.finditer(code_of(text)):
            for mine, other in (equal.groups(), equal.groups()[::-1]):
                if _is_of(mine, alias) and not _is_of(other, alias):
                    found.append(("$" not in other and not other.startswith(tuple(asked)), mine))
    if found:
        return _without_alias(min(found, key=lambda each: each[0])[1], table)
    # A hashed sub-plan, as of NOT EXISTS, hands up the one column that the ids are looked for in.
    handed_up = node.get("Output", ())
    return _plain(handed_up[0].rpartition(".")[2]) if node.get("Subplan Name") and len(handed_up) == 1 else ""


def _is_of(side: str, alias: str) -> bool:
    column = _COLUMN.search(side)
    return column is not None and _plain(column["alias"]) == alias


def _without_alias(side: str, table: Table) -> str:
    column = _COLUMN.search(side)
    assert column is not None
    name = _plain(column["column"])
    if not side.startswith("(") or (name in table.varchars and side.endswith("::text")):
        return name
    return side.replace(column[0], column["column"])


def _columns_read(plan: Any, node: Mapping[str, Any], table: Table) -> dict[str, str]:
    """The columns of a table that a plan needs, with their names in SQL.

    A scan may hand up all that there are, since that costs it nothing: its own word does not count then.
    """
    alias, whole = node["Alias"], [_plain(each.rpartition(".")[2]) for each in node.get("Output", ())]
    texts = list(strings_in(plan))
    if whole == list(table.columns):
        for text in node["Output"]:
            texts.remove(text)
    code = "\n".join(map(code_of, texts))
    named = {
        _plain(each["column"]): each["column"] for each in _COLUMN.finditer(code) if _is_of(each[0], alias)
    }
    if sum("Alias" in each for each in _nodes(plan)) == 1:  # then nothing says whose a column is
        named |= {_plain(each[0]): each[0] for each in re.finditer(_WORD, code)}
    return {name: word for name, word in named.items() if name in (*table.columns, "*")}


def _nodes(plan: Any) -> Iterator[Mapping[str, Any]]:
    """Lists the nodes of a plan, from the top."""
    for part in plan if isinstance(plan, list) else [plan]:
        node = part.get("Plan", part)
        yield node
        yield from _nodes(list(node.get("Plans", ())))


def _conditions(nodes: Iterator[Mapping[str, Any]]) -> list[str]:
    return [node[key] for node in nodes for key in _CONDITIONS if key in node]


def _plain(word: str) -> str:
    return word[1:-1].replace('""', '"') if word.startswith('"') else word
