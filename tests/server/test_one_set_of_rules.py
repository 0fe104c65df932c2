"""The real check, training and server over one view: what one refuses all refuse, in the same words.

A version is trained on good rows. Then the table is spoiled, and all three are asked anew: nothing stands in
for any of them, so their rules cannot drift apart.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from tests.harness.databases import DatabaseFactory, TestDatabase, execute, in_own_loop

from staunch import AsyncClient, RowError, StaunchError
from staunch_features.checks.check import check_view
from staunch_features.errors import ViewError
from staunch_features.postgres.pool import Database
from staunch_features.views.file import FeatureView, LabelText, parse_label, parse_view
from staunch_features.views.rules import LARGEST_VALUE
from staunch_model_store.store import ModelStore
from staunch_server.process.server import serving
from staunch_server.settings import load_settings
from staunch_training.errors import TrainingError
from staunch_training.train import TrainSettings, train

GOOD = """
DROP SCHEMA IF EXISTS agreed CASCADE;
CREATE SCHEMA agreed;
CREATE TABLE agreed.things AS
SELECT i::bigint AS number, 'key ' || i AS word, md5(i::text)::uuid AS uid,
       (i % 13)::float8 AS v, (i % 7)::float8 AS w, true AS active, hashint4(i) % 3 = 0 AS y
FROM generate_series(1, 400) AS i;
GRANT USAGE ON SCHEMA agreed TO PUBLIC;
GRANT SELECT ON agreed.things TO PUBLIC;
"""
VIEW = """/* staunch
description = "A thing."
entity = "thing"
population = "SELECT {key} FROM agreed.things ORDER BY 1"
[features]
v = {{ description = "V.", null = "never" }}
w = {{ description = "W.", null = "not told" }}
*/
SELECT t.{key}, t.v, t.w,
  t.active AS _eligible
FROM unnest($1::{sql_type}[]) AS u (key) JOIN agreed.things AS t ON t.{key} = u.key
"""
LABEL = """/* staunch
description = "What it comes to."
horizon_days = 0
gap_days = 0
observation_days = 0
*/
SELECT t.{key}, t.y FROM unnest($1::{sql_type}[]) AS u (key) JOIN agreed.things AS t ON t.{key} = u.key
"""
SQL_TYPES = {"number": "bigint", "word": "text", "uid": "uuid"}
WELL = {"number": 9, "word": "key 9", "uid": "45c48cce-2e2d-7fbd-ea1a-fc51c7c6ad26"}
"""By the column that is the key: the thing that no case spoils."""

SETTINGS = TrainSettings(resamples=5, learner="xgboost")


@dataclass(frozen=True)
class Case:
    """A way to spoil the table.

    Attributes:
        sql: What spoils it.
        words: What check and training say, and the server where it can be asked.
        key: The column that is the key.
        asked: Whom the server is asked for, who is refused by these words; None where no call can name it.
        said: What the server says in place of the words: only what is wrong with the key.
        breaks: Whether the server refuses everyone.
    """

    sql: str
    words: str
    key: str = "number"
    asked: int | str | None = 5
    said: str = ""
    breaks: bool = False


def spoiled(change: str) -> str:
    return f"UPDATE agreed.things SET {change} WHERE number = 5"


def added(column: str, value: str) -> str:
    return f"INSERT INTO agreed.things ({column}, v, active, y) VALUES ({value}, 1, true, true)"


def altered(definition: str) -> str:
    return f"ALTER TABLE agreed.things ALTER COLUMN {definition}"


def computed(expression: str) -> str:
    return f"""ALTER TABLE agreed.things RENAME TO stored;
    CREATE VIEW agreed.things AS SELECT number, word, uid, {expression} AS v, w, active, y FROM agreed.stored;
    GRANT SELECT ON agreed.things TO PUBLIC"""


NULL = "feature v is null, but the view says it never is"
BAD = {
    "an id of 0": Case(
        added("number", "0"),
        "once, got 0; leave out what no call can ask for: expected an id from 1 to 2^63 - 1, got 0; add",
        asked=0,
        said="expected an id from 1 to 2^63 - 1, got 0",
    ),
    "an id below 0": Case(
        added("number", "-5"),
        "list each id once, got -5; leave out",
        asked=-5,
        said="expected an id from 1 to 2^63 - 1, got -5",
    ),
    "a null for an id": Case(
        added("number", "NULL"), "list each id once, got a null; add WHERE ... IS NOT NULL", asked=None
    ),
    "an id twice": Case(added("number", "5"), "list each id once, got 5 more than once", asked=None),
    "an empty text": Case(
        added("word", "''"),
        "list each id once, got ''; leave out",
        key="word",
        asked="",
        said="expected a key of one or more characters without NUL, got ''",
    ),
    "a text of 65 bytes": Case(
        added("word", "repeat('é', 32) || 'x'"),
        f"list each id once, got '{32 * 'é'}x'; leave out",
        key="word",
        asked=32 * "é" + "x",
        said="expected a key of 1 to 64 bytes, got 65",
    ),
    "a null where there is none": Case(spoiled("v = NULL"), NULL),
    "a NaN where there is none": Case(spoiled("v = 'NaN'"), NULL),
    "an infinity": Case(spoiled("v = 'Infinity'"), "feature v is infinite"),
    "an infinity below": Case(spoiled("w = '-Infinity'"), "feature w is infinite"),
    "beyond float32": Case(spoiled("v = 1e39"), "feature v is 1e+39, and no learner takes more than 3.4e+38"),
    "beyond float32 below": Case(
        spoiled("w = -1e300"), "feature w is -1e+300, and no learner takes more than"
    ),
    "nobody knows whether it belongs": Case(
        spoiled("active = NULL"), "expected _eligible to be true or false, got null"
    ),
    "what divides by zero": Case(
        computed("1 / (number - 5)::float8"), "the database refuses it: division by zero"
    ),
    "what float8 cannot hold": Case(
        computed("(CASE number WHEN 5 THEN 1e400 ELSE v::numeric END)::float8"),
        "is out of range for type double precision",
    ),
    "of a text key": Case(spoiled("v = 'NaN'"), NULL, key="word", asked="key 5"),
    "of a uuid key": Case(
        spoiled("v = 'NaN'"), NULL, key="uid", asked="e4da3b7f-bbce-2345-d777-2b0674a318d5"
    ),
    "a whole number": Case(
        altered("v TYPE int"), "expected feature v as float8, got int4; cast it: (v)::float8", breaks=True
    ),
    "money": Case(
        altered("v TYPE money USING v::numeric::money"),
        "expected feature v as float8, got money; cast it, by way of numeric: (v)::numeric::float8",
        breaks=True,
    ),
    "a document": Case(
        altered("w TYPE jsonb USING to_jsonb(w)"),
        "expected feature w as float8, got jsonb; take a",
        breaks=True,
    ),
    "a word for who belongs": Case(
        altered("active TYPE text"),
        "expected _eligible boolean, got text; make true or false of it",
        breaks=True,
    ),
    "another type of key": Case(
        altered("number TYPE numeric"),
        "expected the id as first column, bigint as in $1, got number numeric; return the key first",
        breaks=True,
    ),
    "a column that is gone": Case(
        "ALTER TABLE agreed.things DROP COLUMN w", "column t.w does not exist", breaks=True
    ),
}
FINE = {
    "as it was": "SELECT",
    "a NaN that may be": spoiled("w = 'NaN'"),
    "a null that may be": spoiled("w = NULL"),
    "the largest": spoiled(f"v = {LARGEST_VALUE!r}, w = -{LARGEST_VALUE!r}"),
    "whole numbers beyond 2^53": spoiled("v = 9007199254740993"),
    "the largest id": "UPDATE agreed.things SET number = 9223372036854775807 WHERE number = 5",
}


@dataclass
class Agreed:
    """A table that cases spoil, and a version trained on it when it was good, by key."""

    database: TestDatabase
    folder: Path
    stores: dict[str, ModelStore] = field(default_factory=dict)

    def view(self, key: str) -> FeatureView:
        return parse_view("things", VIEW.format(key=key, sql_type=SQL_TYPES[key]), "things.sql")

    def label(self, key: str) -> LabelText:
        return parse_label("things", LABEL.format(key=key, sql_type=SQL_TYPES[key]), "label.sql")

    def spoil(self, sql: str) -> None:
        execute(self.database.owner_url, f"{GOOD}; {sql}")

    async def check(self, key: str, label: LabelText | None = None) -> list[str]:
        """What `view check` has against the view."""
        pool = Database(self.database.reader_url, size=1)
        try:
            label = label or self.label(key)
            return [str(e) for e in (await check_view(pool, self.view(key), label, budget_s=30)).errors]
        except ViewError as error:
            return [str(error)]
        finally:
            await pool.close()

    async def train(self, key: str, store: ModelStore, label: LabelText | None = None) -> list[str]:
        """What training has against it; it publishes if nothing."""
        url, label = self.database.reader_url, label or self.label(key)
        try:
            await train(url, self.view(key), label, store, SETTINGS, lambda stage, done: None)
        except (ViewError, TrainingError) as error:
            return [str(error)]
        return []

    @asynccontextmanager
    async def client(self, key: str) -> AsyncIterator[AsyncClient]:
        """Calls a server of the version that was trained on good rows."""
        settings = {
            "port": 0,
            "store": self.stores[key].root,
            "database_reader_url": self.database.reader_url,
            "default_model": "things",
            "drain_s": 0.1,
        }
        async with (
            serving(load_settings(settings), CollectorRegistry(), again_s=1.0) as server,
            AsyncClient(f"127.0.0.1:{server.port}", timeout_s=10) as client,
        ):
            yield client


@pytest.fixture(scope="module")
def agreed(database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory) -> Agreed:
    made = Agreed(database_factory(template="template1"), tmp_path_factory.mktemp("agreed"))
    made.spoil("SELECT")
    for key in SQL_TYPES:
        made.stores[key] = ModelStore(made.folder / key)
        in_own_loop(trained_well(made, key))
    return made


async def trained_well(made: Agreed, key: str) -> None:
    assert await made.train(key, made.stores[key]) == []


async def refusal(client: AsyncClient, asked: int | str) -> tuple[str, str]:
    """The reason and the words with which a lone call is refused; a stream refuses the same."""
    with pytest.raises(StaunchError) as caught:
        await client.predict(asked)
    reason, message = caught.value.reason, caught.value.message
    rows: list[object] = []
    with suppress(StaunchError):  # the view is at fault for everyone
        rows = [row async for row in client.batch_predict([asked])]
    assert [row.reason for row in rows if isinstance(row, RowError)] == [reason] * len(rows)
    return reason, message


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
async def test_what_one_refuses_all_refuse_in_the_same_words(
    agreed: Agreed, case: Case, tmp_path: Path
) -> None:
    agreed.spoil(case.sql)
    (checked,) = await agreed.check(case.key)
    (trained,) = await agreed.train(case.key, ModelStore(tmp_path))
    assert case.words in checked
    assert case.words in trained
    async with agreed.client(case.key) as client:
        if case.asked is not None:
            reason, message = await refusal(client, case.asked)
            assert reason == ("CUSTOMER_ID_INVALID" if case.said else "MODEL_REFUSED")
            assert (case.said or case.words) in message
        if case.breaks:
            assert (await refusal(client, WELL[case.key]))[0] == "MODEL_REFUSED"
        else:  # nobody else suffers for it
            assert 0 < (await client.predict(WELL[case.key])).probability < 1


@pytest.mark.parametrize("sql", FINE.values(), ids=FINE)
async def test_what_the_check_passes_is_trained_on_and_answered(
    agreed: Agreed, sql: str, tmp_path: Path
) -> None:
    agreed.spoil(sql)
    assert await agreed.check("number") == []
    assert await agreed.train("number", ModelStore(tmp_path)) == []
    async with agreed.client("number") as client:
        asked = 2**63 - 1 if "9223372036854775807" in sql else 5
        found = await client.predict(asked, include_features=True)
        assert 0 < found.probability < 1
        assert found.features is not None
        # What a caller may give is what the view may give.
        given = await client.predict(features=found.features)
        assert given.probability == found.probability


LABELS = {
    "a text": ("t.y::text AS y", r"make true or false of it: \(y = 'yes'\)"),
    "a number": ("t.y::int AS y", r"make true or false of it: \(y <> 0\)"),
    "a column too many": (
        "t.y, 1 AS more",
        "expected the columns id bigint, label boolean and perhaps _group",
    ),
    "of nobody": (
        "nullif(t.y, t.y)",
        "got none for the 400 tried|got 0 and 0: see that the label returns rows",
    ),
    "true of everybody": ("t.y OR true", "expected at least .* with the label .* can be both true and false"),
    "two answers": ("unnest(ARRAY[true, false])", "expected one row for each id, got more than one for"),
}


@pytest.mark.parametrize("case", LABELS.values(), ids=LABELS)
async def test_a_label_that_one_refuses_both_refuse(
    agreed: Agreed, case: tuple[str, str], tmp_path: Path
) -> None:
    agreed.spoil("SELECT")
    expression, words = case
    text = agreed.label("number").text.replace("t.y FROM", f"{expression} FROM")
    label = parse_label("things", text, "label.sql")
    (checked,) = await agreed.check("number", label)
    (trained,) = await agreed.train("number", ModelStore(tmp_path), label)
    assert re.search(words, checked)
    assert re.search(words, trained)
