"""Row-level security makes a table look empty: it is named, with what to do, for whoever reads."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from staunch_features.checks.check import check_view
from staunch_features.checks.row_security import refuse_hidden, secured_tables
from staunch_features.errors import ViewError
from staunch_features.postgres.connection import connect
from staunch_features.postgres.deadlines import Deadline
from staunch_local.postgres.cluster import SUPERUSER

Make = Callable[[str], Awaitable[None]]
CLIENTS = "SELECT id FROM clients_bigint ORDER BY id"
COUNTS = "(SELECT count(*) FROM {0} AS s WHERE s.client = c.id AND s.at <= $2::timestamptz)"
POLICY = "CREATE POLICY p ON closed.visits FOR {0} TO {1} USING ({2})"


@pytest.fixture
async def make(clients) -> AsyncIterator[Make]:
    """Runs statements beside `closed.visits`, a table under row-level security without any policy."""
    await clients.owner.execute(
        "CREATE SCHEMA closed; GRANT USAGE ON SCHEMA closed TO PUBLIC; "
        "CREATE TABLE closed.visits AS SELECT * FROM visits; CREATE INDEX ON closed.visits (client, at); "
        "ALTER TABLE closed.visits ENABLE ROW LEVEL SECURITY; GRANT SELECT ON closed.visits TO PUBLIC; "
        "ALTER DEFAULT PRIVILEGES IN SCHEMA closed GRANT SELECT ON TABLES TO PUBLIC"
    )
    yield clients.owner.execute
    await clients.owner.execute("DROP SCHEMA closed CASCADE")


async def secured(clients, table: str = "closed.visits", population: str = CLIENTS, label=None):
    view = clients.view(a=COUNTS.format(table), population=population)
    signature = await clients.source(view.statement).signature(Deadline.after(5))
    return await secured_tables(clients.database, view, signature, label, timeout_s=5)


async def test_a_table_of_which_no_row_can_be_seen_is_an_error_with_its_line(clients, make):
    view = clients.view(a=COUNTS.format("closed.visits"), population=CLIENTS)
    (error,) = (await check_view(clients.database, view)).errors
    assert error.line == 9
    assert (
        "expected to see rows of closed.visits, got none: its row-level security applies to the role "
        "staunch_reader, and no policy lets it see any" in str(error)
    )
    await make(error.hint.partition("as the table's owner ")[2].partition(", or as")[0])
    assert (await check_view(clients.database, view)).errors == ()


@pytest.mark.parametrize(
    ("command", "role", "condition", "hidden", "none"),
    [
        ("SELECT", "PUBLIC", "client = 1", False, False),
        ("ALL", "staunch_reader", "client = 1", False, False),
        ("SELECT", "PUBLIC", "false", False, True),
        ("SELECT", "staunch_owner", "true", True, True),
        ("UPDATE", "PUBLIC", "true", True, True),
        ("SELECT", "PUBLIC", "client::text = current_setting('my.client', true)", False, True),
    ],
)
async def test_a_policy_lets_through_what_it_lets_through(
    clients, make, command, role, condition, hidden, none
):
    await make(POLICY.format(command, role, condition))
    (table,) = await secured(clients)
    assert (table.is_hidden, table.sees_none, table.reader) == (hidden, none, "staunch_reader")
    if not hidden:
        assert "closed.visits applies to the role staunch_reader" in table.advice()
        assert (", which sees none now:" in table.advice()) == none


async def test_rows_that_policies_hide_are_advice_and_no_error(clients, make):
    await make(POLICY.format("SELECT", "PUBLIC", "client = 1"))
    view = clients.view(a=COUNTS.format("closed.visits"), population=CLIENTS)
    found = await check_view(clients.database, view)
    assert found.errors == ()
    (note,) = [note for note in found.advice if "row-level security" in note]
    assert note.startswith(
        "clients.sql: row-level security of closed.visits applies to the role staunch_reader"
    )


@pytest.mark.parametrize("policy", [None, "false"])
async def test_a_population_that_looks_empty_is_not_called_empty(clients, make, policy):
    if policy:
        await make(POLICY.format("SELECT", "PUBLIC", policy))
    listed = "SELECT DISTINCT client AS id FROM closed.visits ORDER BY 1"
    view = clients.view(population=listed)
    with pytest.raises(ViewError, match=r"expected to see rows of closed\.visits, got none"):
        await check_view(clients.database, view)
    with pytest.raises(ViewError, match=r"CREATE POLICY staunch_reads_all ON"):
        refuse_hidden(await secured(clients, "visits", listed))


async def test_a_label_is_looked_into_too(clients, make):
    label = clients.label("SELECT client AS id, true AS left FROM closed.visits WHERE client = ANY ($1)")
    (table,) = await secured(clients, "visits", label=label)
    assert (table.error().file, table.error().line) == ("left.sql", 7)


@pytest.mark.parametrize(
    ("made", "table", "reader", "viewer"),
    [
        ("CREATE VIEW closed.v AS SELECT * FROM closed.visits", "closed.v", None, None),
        (
            "CREATE VIEW closed.v WITH (security_invoker) AS SELECT * FROM closed.visits",
            "closed.v",
            "staunch_reader",
            "closed.v",
        ),
        (
            "CREATE VIEW closed.v AS SELECT * FROM closed.visits; "
            "CREATE VIEW closed.w WITH (security_invoker = on) AS SELECT * FROM closed.v",
            "closed.w",
            None,
            None,
        ),
        (
            "ALTER TABLE closed.visits FORCE ROW LEVEL SECURITY; "
            "CREATE VIEW closed.v AS SELECT * FROM closed.visits",
            "closed.v",
            "staunch_owner",
            "closed.v",
        ),
        ("CREATE MATERIALIZED VIEW closed.m AS SELECT * FROM closed.visits", "closed.m", None, None),
    ],
)
async def test_below_a_view_it_applies_to_whom_it_applies_there(clients, make, made, table, reader, viewer):
    await make(made)
    found = [(each.reader, each.viewer) for each in await secured(clients, table)]
    assert found == ([(reader, viewer)] if reader else [])


async def test_the_owner_of_a_view_is_named_only_where_it_reads_as_its_owner(clients, make):
    await make(
        "CREATE VIEW closed.v WITH (security_invoker) AS SELECT * FROM closed.visits; "
        "CREATE VIEW closed.w AS SELECT * FROM closed.visits"
    )
    (table,) = await secured(clients, "closed.v")
    assert "applies to the role staunch_reader, and no policy" in str(table.error())
    assert table.error().line == 9
    await make("ALTER TABLE closed.visits FORCE ROW LEVEL SECURITY")
    (table,) = await secured(clients, "closed.w")
    assert "the role staunch_owner, the owner of the view closed.w, and" in str(table.error())


COUNTING = "CREATE FUNCTION closed.counted(n bigint) RETURNS bigint LANGUAGE {0} STABLE {1} AS $$ {2} $$"
COUNT = "SELECT count(*) FROM {0} WHERE client = n"
RETURNED = f"BEGIN RETURN ({COUNT}); END"
WITHIN = {
    "plpgsql": (COUNTING.format("plpgsql", "", RETURNED.format("closed.visits")), "staunch_reader"),
    "sql": (COUNTING.format("sql", "", COUNT.format("closed.visits")), "staunch_reader"),
    "definer": (
        COUNTING.format("plpgsql", "SECURITY DEFINER", RETURNED.format("closed.visits")),
        None,
    ),
    "forced": (
        COUNTING.format("plpgsql", "SECURITY DEFINER", RETURNED.format("closed.visits"))
        + "; ALTER TABLE closed.visits FORCE ROW LEVEL SECURITY",
        "staunch_owner",
    ),
    "view": (
        "CREATE VIEW closed.v AS SELECT * FROM closed.visits; "
        + COUNTING.format("plpgsql", "", RETURNED.format("closed.v")),
        None,
    ),
    "invoker": (
        "CREATE VIEW closed.v WITH (security_invoker) AS SELECT * FROM closed.visits; "
        + COUNTING.format("plpgsql", "", RETURNED.format("closed.v")),
        "staunch_reader",
    ),
}


@pytest.mark.parametrize("kind", WITHIN)
async def test_within_a_function_it_applies_to_whom_it_applies_there(clients, make, kind):
    made, reader = WITHIN[kind]
    await make(made)
    view = clients.view(a="closed.counted(c.id)", population=CLIENTS)
    errors = [
        error for error in (await check_view(clients.database, view)).errors if "row-level" in str(error)
    ]
    assert len(errors) == (reader is not None)
    if reader:
        (error,) = errors
        assert f"closed.visits, got none: its row-level security applies to the role {reader}" in str(error)
        assert "in the function closed.counted(bigint), and no policy lets it see any" in str(error)
        assert error.line == 9
        await make(error.hint.partition("as the table's owner ")[2].partition(", or as")[0])
        assert (await check_view(clients.database, view)).errors == ()


async def test_within_a_function_of_a_label_or_a_population_it_is_found_too(clients, make):
    await make(WITHIN["plpgsql"][0])
    label = clients.label(
        "SELECT id, closed.counted(id) > 0 AS left FROM clients_bigint WHERE id = ANY ($1::bigint[])"
    )
    (table,) = await secured(clients, "visits", label=label)
    assert (table.error().file, table.error().line) == ("left.sql", 7)
    listed = "SELECT id FROM clients_bigint WHERE closed.counted(id) > 0 ORDER BY 1"
    with pytest.raises(ViewError, match=r"expected to see rows of closed\.visits, got none"):
        refuse_hidden(await secured(clients, "visits", listed))


async def test_parts_are_read_by_the_rules_of_the_whole(clients, make):
    await make(
        "CREATE TABLE closed.whole (LIKE visits) PARTITION BY RANGE (at); "
        "CREATE TABLE closed.part PARTITION OF closed.whole DEFAULT; "
        "INSERT INTO closed.whole SELECT * FROM visits; ALTER TABLE closed.part ENABLE ROW LEVEL SECURITY"
    )
    assert await secured(clients, "closed.whole") == ()
    (table,) = await secured(clients, "closed.part")
    assert table.name == "part"
    await make("ALTER TABLE closed.whole ENABLE ROW LEVEL SECURITY")
    (table,) = await secured(clients, "closed.whole")
    assert table.name == "whole"


async def test_whoever_may_see_all_is_told_nothing(clients, make, postgres):
    assert await secured(clients, "visits") == ()
    superuser = await connect(postgres.url_for("postgres", SUPERUSER))
    try:
        await superuser.execute("ALTER ROLE staunch_reader BYPASSRLS")
        assert await secured(clients) == ()
    finally:
        await superuser.execute("ALTER ROLE staunch_reader NOBYPASSRLS")
        await superuser.close()
