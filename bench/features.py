"""Measures the churn view live from raw rows: time, CPU, buffers, planning, decoding, flatness.

    .venv/bin/python bench/features.py                      # 10,000 and 100,000 customers
    .venv/bin/python bench/features.py --heavy              # and 1,000 customers of 10,000 more rows
    .venv/bin/python bench/features.py --customers 1000000  # 25 GB of disk and 15 minutes to begin with

It starts a PostgreSQL of its own in --state, writes worlds there once and finds them again the next time,
and writes bench/results/features.md. Each base is first asked cold: a new server, whose operating system
may have let go of the files as well. Then each connection reads everyone once, and what follows is warm, as
on a server that has been at work for a while. Beside every warm figure stands the floor of the same run: a
plain read of precomputed rows, the same columns through the same packing. These machines are shared, so
compare ratios, not runs. Loopback only, bounded in count, stops by itself; remove the folder when done.
"""

import argparse
import asyncio
import os
import platform
import random
import statistics
import time
import timeit
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import uvloop

import staunch_sql
from staunch_features.checks.execution import QueryPlan, explain
from staunch_features.postgres.connection import Connection, connect
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.migrations import migrate
from staunch_features.postgres.pool import Database
from staunch_features.views.file import FeatureView, load_view, parse_view
from staunch_features.views.source import FeatureSource, _unpack
from staunch_features.views.types import Id
from staunch_local.postgres.cluster import OWNER, READER, SUPERUSER
from staunch_local.postgres.memory import shared_buffers
from staunch_local.postgres.server import EmbeddedPostgres
from staunch_local.simulation.world import write_world

RESULTS = Path(__file__).parent / "results"
UNTIL = datetime(2026, 11, 1, tzinfo=UTC)
SEED = 42
CALLS = {1: 2_000, 10: 600, 100: 150, 1_000: 30, 10_000: 6}
"""How many calls are made for each number of ids, in each of ROUNDS rounds."""

ROUNDS = 3
COLD_CALLS = 1_000
CHUNK = 10_000
HEAVY_CUSTOMERS, HEAVY_ROWS = 1_000, 10_000
TIMEOUT_S = 600.0

Ids = Sequence[Id]


@dataclass
class Sample:
    """What calls of one size came to.

    Attributes:
        ids: How many ids each call asked for.
        times_ms: The time of each call.
        backend_us: Backend CPU an id, one figure a round.
        client_us: CPU an id of this process: asking, receiving, decoding; one figure a round.
    """

    ids: int
    times_ms: list[float]
    backend_us: list[float]
    client_us: list[float]

    def at(self, share: float) -> float:
        """The time that this share of the calls stayed below, in ms."""
        return sorted(self.times_ms)[min(int(len(self.times_ms) * share), len(self.times_ms) - 1)]


class Reader:
    """A feature source with one connection of its own, whose backend's CPU time can be read."""

    def __init__(self, url: str, view: FeatureView) -> None:
        self.database = Database(url, size=1)
        self.source = FeatureSource(self.database, view)

    async def read(self, ids: Ids) -> None:
        """Fetches the rows of ids as of the end of the world."""
        signature = await self.source.signature(Deadline.after(TIMEOUT_S))
        as_of = UNTIL if signature.uses_as_of else None
        batch = await self.source.fetch(ids, as_of, deadline=Deadline.after(TIMEOUT_S))
        if not batch.found.any() or batch.problems:
            raise SystemExit(f"expected rows, got none or faulty ones: {batch.problems}")

    async def cpu_s(self) -> float:
        """CPU seconds that the backend has used."""
        async with self.database.connection(Deadline.after(TIMEOUT_S)) as connection:
            return cpu_s_of(connection.get_server_pid())

    async def measure(self, draw: Callable[[], Ids], calls: int, into: Sample) -> None:
        """One round of calls, after one that warms up."""
        asked = [draw() for _ in range(calls)]
        await self.read(asked[0])
        backend_s, client_s = await self.cpu_s(), time.process_time()
        for ids in asked:
            started = time.perf_counter()
            await self.read(ids)
            into.times_ms.append((time.perf_counter() - started) * 1e3)
        rows = calls * into.ids
        into.client_us.append((time.process_time() - client_s) / rows * 1e6)
        into.backend_us.append((await self.cpu_s() - backend_s) / rows * 1e6)


def cpu_s_of(pid: int) -> float:
    """CPU seconds of a process, user and system (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# The databases ------------------------------------------------------------------------------------


async def administer(server: EmbeddedPostgres, database: str, *statements: str) -> None:
    """Runs statements as the superuser."""
    connection = await connect(server.url_for(database, SUPERUSER))
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def exists(server: EmbeddedPostgres, name: str) -> bool:
    """Whether a database has been made whole before."""
    connection = await connect(server.url_for("postgres", SUPERUSER))
    found = await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", name)
    await connection.close()
    return bool(found)


async def prepare(server: EmbeddedPostgres, customers: int, view: FeatureView) -> str:
    """Makes the database of a world unless it is there, and returns its name."""
    name, unfinished = f"world_{customers}", f"unfinished_{customers}"
    if await exists(server, name):
        return name
    await administer(server, "postgres", f"DROP DATABASE IF EXISTS {unfinished}")
    await administer(server, "postgres", f"CREATE DATABASE {unfinished} OWNER {OWNER}")
    url, started = server.url_for(unfinished, OWNER), time.monotonic()
    connection = await connect(url)
    await migrate(connection)
    await write_world(url, customers=customers, seed=SEED, until=UNTIL)
    print(f"world of {customers:,} customers written in {time.monotonic() - started:.0f} s", flush=True)
    await precompute(server, unfinished, view)
    await connection.close()
    await administer(server, "postgres", f"ALTER DATABASE {unfinished} RENAME TO {name}")
    return name


async def precompute(server: EmbeddedPostgres, database: str, view: FeatureView) -> None:
    """Writes the table that the floor reads: one row a customer, the view's own columns."""
    connection = await connect(server.url_for(database, OWNER))
    await connection.execute("CREATE SCHEMA IF NOT EXISTS bench; DROP TABLE IF EXISTS bench.precomputed")
    await connection.execute(
        f"PREPARE nobody AS {view.statement}; "
        f"CREATE TABLE bench.precomputed AS EXECUTE nobody('{{}}', '{UNTIL.isoformat()}'); "
        "ALTER TABLE bench.precomputed ADD PRIMARY KEY (customer_id)"
    )
    ids = [row[0] for row in await connection.fetch(view.population)]
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK]
        await connection.execute(f"INSERT INTO bench.precomputed {view.statement}", chunk, UNTIL)
    await connection.execute(
        f"GRANT USAGE ON SCHEMA bench TO {READER}; GRANT SELECT ON bench.precomputed TO {READER}"
    )
    await connection.execute("VACUUM (ANALYZE) bench.precomputed")
    await connection.close()


def floor_of(view: FeatureView) -> FeatureView:
    """The view that reads the precomputed rows: the same columns in the same order."""
    columns = ", ".join(f'p."{name}"' for name in [*view.features, "_eligible"])
    header = view.text[: view.text.index("*/") + 2]
    statement = (
        f"SELECT p.customer_id, {columns} FROM unnest($1::bigint[]) AS u (id) "
        "JOIN bench.precomputed p ON p.customer_id = u.id"
    )
    return parse_view(view.name, f"{header}\n{statement}\n", view.file)


async def add_heavy(server: EmbeddedPostgres, name: str) -> str:
    """Copies a world and gives its first customers thousands of settled payments in the last year each."""
    heavy = f"{name}_heavy"
    if await exists(server, heavy):
        return heavy
    unfinished = f"unfinished_{heavy}"
    await administer(server, "postgres", f"DROP DATABASE IF EXISTS {unfinished}")
    await administer(server, "postgres", f"CREATE DATABASE {unfinished} OWNER {OWNER} TEMPLATE {name}")
    # As a replica: 10,000,000 foreign keys need no look-up here.
    await administer(
        server,
        unfinished,
        "SET session_replication_role = replica",
        "INSERT INTO staunch.transactions (customer_id, transaction_id, kind, status, amount_cents, method,"
        " occurred_at, recorded_at) "
        "SELECT c, 1000000000 + r, CASE WHEN r % 2 = 0 THEN 'payment' ELSE 'charge' END, 'settled',"
        " 1000 + r % 977, 'none', moment, moment "
        f"FROM generate_series(1, {HEAVY_CUSTOMERS}) AS c, generate_series(1, {HEAVY_ROWS}) AS r,"
        f" LATERAL (SELECT '{UNTIL.isoformat()}'::timestamptz - r * interval '52 minutes' AS moment) AS m",
        "VACUUM (ANALYZE) staunch.transactions",
    )
    await administer(server, "postgres", f"ALTER DATABASE {unfinished} RENAME TO {heavy}")
    return heavy


# What is measured ---------------------------------------------------------------------------------


def scattered(draw: random.Random, first: int, last: int, count: int) -> Callable[[], Ids]:
    """Draws distinct ids anywhere."""
    return lambda: draw.sample(range(first, last + 1), min(count, last - first + 1))


def key_range(draw: random.Random, last: int, count: int) -> Callable[[], Ids]:
    """Draws ids that follow each other."""

    def ids() -> Ids:
        start = draw.randint(1, max(last - count + 1, 1))
        return list(range(start, min(start + count, last + 1)))

    return ids


def live_and_floor(
    server: EmbeddedPostgres, name: str, view: FeatureView, floor: FeatureView
) -> tuple[Reader, Reader]:
    """A reader of the raw rows and one of the precomputed ones."""
    url = server.url_for(name, READER)
    return Reader(url, view), Reader(url, floor)


async def compare(readers: Sequence[Reader], draw: Callable[[], Ids], ids: int, calls: int) -> list[Sample]:
    """Measures several readers in turn, so that what else the machine does meets them all."""
    samples = [Sample(ids, [], [], []) for _ in readers]
    for _ in range(ROUNDS):
        for reader, sample in zip(readers, samples, strict=True):
            await reader.measure(draw, calls, sample)
    return samples


async def sizes(readers: Sequence[Reader], customers: int, draw: random.Random) -> list[str]:
    """The table of 1 to 10,000 scattered ids."""
    lines = [
        f"### {customers:,} customers, scattered ids",
        "",
        "| ids | live p50 | live p99 | backend CPU an id | client CPU an id | floor p50 | floor p99 "
        "| floor CPU an id | live / floor |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for ids, calls in CALLS.items():
        live, floor = await compare(readers, scattered(draw, 1, customers, ids), ids, calls)
        lines.append(
            f"| {ids:,} | {live.at(0.5):.2f} ms | {live.at(0.99):.2f} ms "
            f"| {statistics.median(live.backend_us):.1f} µs | {statistics.median(live.client_us):.2f} µs "
            f"| {floor.at(0.5):.2f} ms | {floor.at(0.99):.2f} ms "
            f"| {statistics.median(floor.backend_us):.1f} µs | {live.at(0.5) / floor.at(0.5):.1f} |"
        )
    return [*lines, ""]


async def cold(reader: Reader, customers: int) -> str:
    """One scattered id at a time on a server that has read nothing yet."""
    sample = Sample(1, [], [], [])
    await reader.measure(scattered(random.Random(4), 1, customers, 1), COLD_CALLS, sample)
    times = f"{sample.at(0.5):.2f} ms | {sample.at(0.99):.2f} ms"
    return f"| {customers:,} | {times} | {sample.backend_us[0]:.0f} µs "


async def warm(reader: Reader, customers: int) -> None:
    """Reads everyone once, so that this connection too has met the pages that it will be asked for."""
    for start in range(1, customers + 1, CHUNK):
        await reader.read(list(range(start, min(start + CHUNK, customers + 1))))


async def plans(reader: Reader, customers: int, draw: random.Random) -> list[str]:
    """Buffers, heap fetches and planning, as EXPLAIN tells them."""
    lines = [
        "| ids | blocks an id | heap fetches | planning, first time | planning, later | share of planning "
        "| scans that are not index-only |",
        "|---|---|---|---|---|---|---|",
    ]
    signature = await reader.source.signature(Deadline.after(TIMEOUT_S))
    for ids in (1, 100, 10_000):
        async with reader.database.connection(Deadline.after(TIMEOUT_S)) as connection:
            await connection.execute("DISCARD PLANS")
            asked = scattered(draw, 1, customers, ids)()
            plan = await explain(connection, reader.source.view, signature, asked, UNTIL, timeout_s=TIMEOUT_S)
            first_ms = await planning_ms(connection, reader.source.view)
        lines.append(_plan_line(plan, first_ms))
    return [*lines, ""]


async def planning_ms(connection: Connection, view: FeatureView) -> float:
    """What finding the generic plan costs a connection once, in ms."""
    times = []
    for _ in range(5):
        await connection.execute(f"PREPARE planned AS {view.statement}")
        first = f"EXPLAIN (SUMMARY) EXECUTE planned('{{1}}', '{UNTIL.isoformat()}')"
        lines = [row[0] for row in await connection.fetch(first)]
        times += [float(line.split()[2]) for line in lines if line.startswith("Planning Time")]
        await connection.execute("DEALLOCATE planned")
    return statistics.median(times)


def _plan_line(plan: QueryPlan, first_ms: float) -> str:
    fetches = sum(scan.heap_fetches for scan in plan.scans)
    small = sorted({scan.table for scan in plan.scans if scan.kind != "Index Only Scan"})
    share = plan.planning_ms / (plan.planning_ms + plan.execution_ms)
    return (
        f"| {plan.ids:,} | {plan.blocks / plan.ids:.1f} | {fetches} | {first_ms:.1f} ms "
        f"| {plan.planning_ms:.2f} ms | {share:.1%} | {', '.join(small)} |"
    )


async def flatness(reader: Reader, customers: int, draw: random.Random) -> str:
    """Backend CPU an id for 10,000 ids in a row and for 10,000 scattered ones."""
    figures = []
    for ids in (key_range(draw, customers, CHUNK), scattered(draw, 1, customers, CHUNK)):
        (sample,) = await compare([reader], ids, min(CHUNK, customers), 4)
        figures.append(f"{statistics.median(sample.backend_us):.1f} µs")
    return f"| {customers:,} | " + " | ".join(figures)


async def whole_base(server: EmbeddedPostgres, name: str, view: FeatureView) -> str:
    """Every customer over two connections: seconds, ids a second, backend CPU an id."""
    readers = [Reader(server.url_for(name, READER), view) for _ in range(2)]
    everyone = [chunk async for chunk in readers[0].source.population(CHUNK)]
    for reader in readers:
        await reader.read(everyone[0][:10])
    before = [await reader.cpu_s() for reader in readers]
    left, started = iter(everyone), time.perf_counter()

    async def take(reader: Reader) -> None:
        for chunk in left:
            await reader.read(chunk)

    await asyncio.gather(*map(take, readers))
    elapsed, count = time.perf_counter() - started, sum(map(len, everyone))
    used = sum([await reader.cpu_s() for reader in readers]) - sum(before)
    for reader in readers:
        await reader.database.close()
    return f" | {elapsed:.1f} s | {count / elapsed:,.0f} | {used / count * 1e6:.1f} µs |"


async def decoding(reader: Reader, customers: int) -> str:
    """What taking 10,000 packed rows apart costs, alone and warm, in µs an id."""
    source, ids = reader.source, random.Random(2).sample(range(1, customers + 1), CHUNK)
    signature = await source.signature(Deadline.after(TIMEOUT_S))
    async with reader.database.connection(Deadline.after(TIMEOUT_S)) as connection:
        (row,) = await connection.fetch(source._sql, sorted(ids), UNTIL)

    def unpack() -> None:
        _unpack(source.view, signature, ids, UNTIL, row["ids"], row["matrix"], source._not_nullable)

    alone_us = statistics.median(timeit.repeat(unpack, number=1, repeat=15)) / len(ids) * 1e6
    return f"Decoding alone, 10,000 rows of {len(signature.features)} features: {alone_us:.2f} µs an id."


async def heavy(server: EmbeddedPostgres, name: str, customers: int, view: FeatureView) -> list[str]:
    """Customers of 10,000 more rows in the window, and the others in the same table."""
    heavy_name = await add_heavy(server, name)
    before, after = (Reader(server.url_for(each, READER), view) for each in (name, heavy_name))
    draw = random.Random(3)
    # Both are warm and asked in turn, so that only the rows make the difference.
    for reader in (before, after):
        await warm(reader, customers)
    lines = [
        f"## {HEAVY_CUSTOMERS:,} of {customers:,} customers with {HEAVY_ROWS:,} more transactions",
        "",
        "| asked | p50 | p99 | backend CPU an id | before the rows came |",
        "|---|---|---|---|---|",
    ]
    for what, first, last, ids, calls in (
        ("1 heavy id", 1, HEAVY_CUSTOMERS, 1, 60),
        ("100 heavy ids", 1, HEAVY_CUSTOMERS, 100, 2),
        ("1 other id", HEAVY_CUSTOMERS + 1, customers, 1, 1_000),
        ("1,000 other ids", HEAVY_CUSTOMERS + 1, customers, 1_000, 20),
    ):
        old, new = await compare((before, after), scattered(draw, first, last, ids), ids, calls)
        lines.append(
            f"| {what} | {new.at(0.5):.2f} ms | {new.at(0.99):.2f} ms "
            f"| {statistics.median(new.backend_us):,.0f} µs | {statistics.median(old.backend_us):,.0f} µs |"
        )
    for reader in (before, after):
        await reader.database.close()
    return [*lines, ""]


async def measure(server: EmbeddedPostgres, args: argparse.Namespace) -> list[str]:
    """Runs everything and returns the lines of the page."""
    view = load_view("churn", [staunch_sql.FEATURES_FOLDER])
    floor, draw = floor_of(view), random.Random(1)
    for customers in args.customers:
        await prepare(server, customers, view)
    tables: list[str] = []
    explained: list[str] = []
    flat: list[str] = []
    first: list[str] = []
    for customers in args.customers:
        name = f"world_{customers}"
        # Started again, so that its cache is empty: the first reads are those of a cold server.
        server.stop()
        server.start()
        readers = live_and_floor(server, name, view, floor)
        first.append(await cold(readers[0], customers) + await whole_base(server, name, view))
        for reader in readers:
            await warm(reader, customers)
        tables += await sizes(readers, customers, draw)
        explained += [f"### {customers:,} customers", "", *await plans(readers[0], customers, draw)]
        alone = await decoding(readers[0], customers)
        flat.append(await flatness(readers[0], customers, draw) + await whole_base(server, name, view))
        for reader in readers:
            await reader.database.close()
        print("\n".join([*first, *tables, *explained, *flat]), flush=True)
    lines = [
        "## A server that has read nothing yet",
        "",
        "| customers | one scattered id, p50 | p99 | CPU | then everyone, over two connections | ids/s "
        "| CPU an id |",
        "|---|---|---|---|---|---|---|",
        *first,
        "",
    ]
    lines += ["## Time and CPU, warm", "", *tables, "## Buffers and planning", "", *explained]
    lines += [
        "## Flatness, and the whole base over two connections, warm",
        "",
        "| customers | CPU an id, 10,000 in a row | CPU an id, 10,000 scattered | everyone | ids/s "
        "| CPU an id of everyone |",
        "|---|---|---|---|---|---|",
        *flat,
        "",
        alone,
        "",
    ]
    if args.heavy:
        smallest = min(args.customers)
        lines += await heavy(server, f"world_{smallest}", smallest, view)
    return lines


def main() -> None:
    """Measures, prints, and writes the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--customers", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--heavy", action="store_true", help="customers of 10,000 rows in the smallest world")
    parser.add_argument("--state", type=Path, default=Path("/var/tmp/staunch-bench"))
    parser.add_argument("--out", type=Path, default=RESULTS / "features.md")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    server = EmbeddedPostgres(args.state)
    server.start()
    try:
        lines = uvloop.run(measure(server, args))  # the loop that serves
    finally:
        server.stop()
    machine = f"{len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
    head = (
        f"Measured {datetime.now(UTC):%Y-%m-%d} by `bench/features.py` on {machine}; "
        f"load average {load:.1f} at the start, {os.getloadavg()[0]:.1f} at the end; "
        f"shared_buffers {shared_buffers(args.state / 'data')}."
    )
    text = "\n".join(["# Features live from raw rows", "", head, "", *lines])
    print(text)
    args.out.write_text(text)


if __name__ == "__main__":
    main()
