"""Views over the visits of three clients, and a VACUUM that is known to have come through."""

import asyncio

TIMES = '[time_columns]\nvisits = ["at", "known_at"]\n[features]'
VISITS = """SELECT u.id, v.a, v.b
FROM unnest($1::bigint[]) AS u (id)
CROSS JOIN LATERAL (
  SELECT count(*)::float8 AS a, max(visits.rank) AS b
  FROM {table} WHERE visits.client = u.id AND {seen}
) AS v"""
LEAKING = "$2::timestamptz IS NOT NULL"
HONEST = "visits.at <= $2::timestamptz AND visits.known_at <= $2::timestamptz"


def visiting(clients, seen: str, table: str = "visits"):
    return clients.view(VISITS.format(table=table, seen=seen), times=TIMES)


async def vacuum(owner, table: str) -> None:
    """Vacuums until every page is known to be visible to all: an autovacuum at work may hold that back."""
    for _ in range(100):
        await owner.execute(f"VACUUM (ANALYZE) {table}")
        pages = "SELECT relpages = relallvisible FROM pg_class WHERE oid = $1::text::regclass"
        if await owner.fetchval(pages, table):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(table)
