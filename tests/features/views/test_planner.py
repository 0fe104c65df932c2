"""What the planner says of a statement, and that nothing of it is run."""

import pytest

from staunch_features.errors import ViewError
from staunch_features.postgres.deadlines import Deadline
from staunch_features.views.planner import nodes_in, planned, planned_for_any, strings_in, tables_in

STATEMENT = """SELECT c.id, c.a + 1 AS a
FROM clients_bigint AS c JOIN visits AS v ON v.client = c.id
WHERE c.id = ANY ($1::bigint[])"""


async def test_a_plan_names_the_tables_and_expressions(clients):
    async with clients.database.connection(Deadline.after(5)) as connection:
        plan = await planned(connection, clients.view(), STATEMENT, ([1],), timeout_s=5)
        generic = await planned_for_any(connection, clients.view(), STATEMENT, ["'{}'"], timeout_s=5)
    for found in (plan, generic):
        assert set(tables_in(found)) == {"public.clients_bigint", "public.visits"}
        assert any("c.a" in text for text in strings_in(found))
        assert {node["Relation Name"] for node in nodes_in(found) if "Relation Name" in node} == {
            "clients_bigint",
            "visits",
        }


async def test_a_table_is_told_as_often_as_it_is_read(clients):
    twice = STATEMENT.replace("visits AS v ON v.client", "clients_bigint AS v ON v.id")
    plan = await planned(clients.owner, clients.view(), twice, ([1],), timeout_s=5)
    assert list(tables_in(plan)) == ["public.clients_bigint"] * 2


async def test_planning_runs_nothing_and_leaves_no_statement_behind(clients):
    endless = "SELECT pg_sleep(60) FROM unnest($1::bigint[])"
    async with clients.database.connection(Deadline.after(5)) as connection:
        for _ in range(2):
            await planned_for_any(connection, clients.view(), endless, ["'{1}'"], timeout_s=5)
        names = await connection.fetch("SELECT name FROM pg_prepared_statements")
    assert not [row for row in names if row["name"].startswith("staunch_")]


async def test_a_statement_at_fault_is_a_views_error(clients):
    async with clients.database.connection(Deadline.after(5)) as connection:
        for values, plan in (([[1]], planned), (["'{}'"], planned_for_any)):
            with pytest.raises(ViewError, match="does not exist"):
                await plan(connection, clients.view(), "SELECT absent, $1::bigint[]", values, timeout_s=5)
