"""Rows encoded for COPY arrive as they were."""

import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from staunch_features.postgres.connection import connect
from staunch_local.simulation.background.clock import EPOCH, NEVER, NEVER_DAY, microseconds
from staunch_local.simulation.background.tables import WorldColumn, WorldTable
from staunch_local.simulation.rows.binary_copy import encode

_TABLE = WorldTable(
    "staunch.copied",
    (
        WorldColumn("id", "bigint"),
        WorldColumn("maybe", "bigint", nullable=True),
        WorldColumn("small", "int", nullable=True),
        WorldColumn("share", "float8"),
        WorldColumn("day", "date", nullable=True),
        WorldColumn("at", "time", nullable=True),
        WorldColumn("until", "time"),
        WorldColumn("key", "uuid"),
        WorldColumn("name", "text"),
        WorldColumn("word", "label", nullable=True, labels=("a", "longer")),
        WorldColumn("plan_code", "label"),
    ),
)
_CREATE = """
CREATE TABLE staunch.copied (id bigint, maybe bigint, small int, share float8, day date, at timestamptz,
  until timestamptz, key uuid, name text, word text, plan_code text)
"""


async def test_every_kind_of_value_null_and_infinity_arrives(database: Any) -> None:
    time, day, key = datetime(2024, 2, 29, 12, 0, 0, 7, tzinfo=UTC), date(1950, 6, 1), uuid.uuid4()
    columns = {
        "id": np.array([1, 2**62]),
        "maybe": np.array([5, -1]),
        "small": np.array([-1, 7]),
        "share": np.array([0.1, 1 / 3]),
        "day": np.array([(day - EPOCH.date()).days, NEVER_DAY]),
        "at": np.array([NEVER, microseconds(time)]),
        "until": np.array([microseconds(time), NEVER]),
        "key": np.frombuffer(key.bytes * 2, dtype="V16"),
        "name": np.array(["Zoë, de l'Île".encode(), b"x"]),
        "word": np.array([1, -1]),
        "plan_code": np.array([0, 1]),
    }
    connection = await connect(database.owner_url)
    await connection.execute(_CREATE)

    async def source() -> Any:
        for piece in encode(_TABLE, columns, {"plan_code": ["tv", "wireless_basic"]}):
            yield piece

    await connection.copy_to_table("copied", schema_name="staunch", source=source(), format="binary")
    first, second = await connection.fetch("SELECT * FROM staunch.copied ORDER BY id")
    await connection.close()
    forever = datetime.max.replace(tzinfo=UTC)
    assert tuple(first) == (1, 5, None, 0.1, day, None, time, key, "Zoë, de l'Île", "longer", "tv")
    assert tuple(second)[:6] == (2**62, None, 7, 1 / 3, None, time)
    assert second["until"].replace(tzinfo=UTC) >= forever - timedelta(days=1)
    assert tuple(second)[7:] == (key, "x", None, "wireless_basic")


def test_long_tables_are_encoded_in_pieces() -> None:
    table = WorldTable("staunch.copied", (WorldColumn("id", "bigint"),))
    pieces = list(encode(table, {"id": np.arange(100_000)}, {}))
    assert len(pieces) == 2 + 4
    assert max(map(len, pieces)) == 32_768 * (2 + 4 + 8)
    assert sum(map(len, pieces)) == 19 + 100_000 * 14 + 2
