"""How the database goes about a view: the scans of the plan that serving uses."""

from tests.features.checks.visits import vacuum
from tests.features.churn.histories import MOMENTS, crowd, write

from staunch_features.checks.execution import Scan, explain
from staunch_features.postgres.deadlines import Deadline


async def scans_of(churn, ids, t) -> dict[str, Scan]:
    """How the churn view reads each of the tables that grow with the customers."""
    signature = await churn.source.signature(Deadline.after(5))
    async with churn.database.connection(Deadline.after(5)) as connection:
        plan = await explain(connection, churn.source.view, signature, ids, t, timeout_s=10)
    grown = {f"staunch.{table}" for table in churn.source.view.time_columns}
    scans = [scan for scan in plan.scans if scan.table in grown]
    assert len(scans) == len(grown)
    return {scan.table: scan for scan in scans}


async def test_every_scan_of_the_churn_view_is_index_only(churn_on, database):
    t = MOMENTS[-1]
    async with churn_on(database) as churn:
        some = crowd(t, 2000, transactions=12)
        await write(churn.owner, *some)
        for table in churn.source.view.time_columns:
            await vacuum(churn.owner, f"staunch.{table}")
        ids = [history.customer_id for history in some[:500]]
        scans = await scans_of(churn, ids, t)
        assert {scan.kind for scan in scans.values()} == {"Index Only Scan"}, scans
        assert {scan.heap_fetches for scan in scans.values()} == {0}
        # Rows on freshly written pages are looked up in the table, and no others: the new ones, and those of
        # the page that was not full, 150 rows at most.
        fresh = crowd(t, 20, transactions=12, seed=3)
        await write(churn.owner, *fresh)
        both = ids + [history.customer_id for history in fresh]
        for table, scan in (await scans_of(churn, both, t)).items():
            assert scan.kind == "Index Only Scan"
            written = sum(len(history.tables[table.removeprefix("staunch.")]) for history in fresh)
            assert 0 < scan.heap_fetches <= written + 150
