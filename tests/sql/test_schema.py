"""The schema: what the database itself refuses."""

import asyncpg
import pytest

# The least that a row of each table needs, as SQL values.
_ROWS = {
    "customers": {
        "customer_id": "1",
        "given_name": "'Anne'",
        "family_name": "'Roy'",
        "email": "'anne@example.ca'",
        "birth_date": "'1990-02-28'",
        "gender": "'female'",
        "language": "'fr'",
        "joined_at": "'2024-01-01Z'",
        "recorded_at": "'2024-01-02Z'",
    },
    "customer_addresses": {
        "customer_id": "1",
        "address_id": "1",
        "street": "'1 rue A'",
        "city": "'Laval'",
        "province_code": "'QC'",
        "postal_code": "'H7A 1A1'",
        "valid_from": "'2024-01-01Z'",
        "recorded_at": "'2024-01-02Z'",
    },
    "subscriptions": {
        "customer_id": "1",
        "subscription_id": "1",
        "service": "'wireless'",
        "started_at": "'2024-01-01Z'",
        "started_recorded_at": "'2024-01-02Z'",
    },
    "subscription_terms": {
        "customer_id": "1",
        "subscription_id": "1",
        "term_id": "1",
        "plan_code": "'wireless_basic'",
        "contract_months": "24",
        "contract_starts_on": "'2024-01-31'",
        "contract_ends_on": "'2026-01-31'",
        "monthly_price_cents": "5000",
        "valid_from": "'2024-01-31Z'",
        "recorded_at": "'2024-01-31Z'",
    },
    "transactions": {
        "customer_id": "1",
        "transaction_id": "1",
        "kind": "'charge'",
        "status": "'settled'",
        "amount_cents": "5000",
        "method": "'none'",
        "occurred_at": "'2024-02-01Z'",
        "recorded_at": "'2024-02-01Z'",
    },
    "support_tickets": {
        "customer_id": "1",
        "ticket_id": "1",
        "category": "'billing'",
        "channel": "'phone'",
        "priority": "2",
        "opened_at": "'2024-02-01Z'",
        "recorded_at": "'2024-02-01Z'",
    },
}


async def _insert(owner, table, **changes):
    row = {**_ROWS[table], **changes}
    await owner.execute(f"INSERT INTO staunch.{table} ({', '.join(row)}) VALUES ({', '.join(row.values())})")


async def _insert_up_to(owner, table):
    """Inserts the rows that a row of `table` refers to."""
    for needed in ("customers", "subscriptions"):
        if needed == table:
            return
        await _insert(owner, needed)


# Who may what -------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["worlds", "hazards"])
async def test_the_reader_is_refused_on_what_the_simulation_knows(reader, table):
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="schema simulation"):
        await reader.fetch(f"SELECT * FROM simulation.{table}")


async def test_the_reader_reads_every_table_of_staunch(reader):
    tables = await reader.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'staunch'")
    assert len(tables) >= 12
    for row in tables:
        await reader.fetch(f"SELECT 1 FROM staunch.{row['tablename']} LIMIT 1")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO staunch.plans VALUES ('x', 'tv', 'X', 'X', 1)",
        "UPDATE staunch.plans SET tier = 2",
        "DELETE FROM staunch.plans",
        "TRUNCATE staunch.plans",
        "CREATE TABLE staunch.mine ()",
        "CREATE TABLE public.mine ()",
        "CREATE TEMPORARY TABLE mine ()",
        "SELECT nextval('staunch.none')",
        "COPY staunch.plans TO '/tmp/plans'",
    ],
)
async def test_the_reader_can_write_nothing_even_when_it_asks_to(reader, statement):
    await reader.execute("SET default_transaction_read_only = off")
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedTableError)):
        await reader.execute(statement)


# What the database refuses ------------------------------------------------------------------------


@pytest.mark.parametrize("table", _ROWS)
async def test_the_least_row_is_accepted(owner, table):
    await _insert_up_to(owner, table)
    await _insert(owner, table)


_REFUSED = [
    ("customers", {"customer_id": "0"}),
    ("customers", {"email": "'nobody'"}),
    ("customers", {"gender": "'F'"}),
    ("customers", {"language": "'de'"}),
    ("customers", {"recorded_at": "'2023-12-31Z'"}),
    ("customers", {"erased_at": "'2023-12-31Z'"}),
    ("customer_addresses", {"postal_code": "'H7A1A1'"}),
    ("customer_addresses", {"postal_code": "'h7a 1a1'"}),
    ("customer_addresses", {"postal_code": "'D7A 1A1'"}),
    ("customer_addresses", {"postal_code": "'H7O 1A1'"}),
    ("customer_addresses", {"postal_code": "'H7A 1A'"}),
    ("customer_addresses", {"valid_to": "'2024-01-01Z'"}),
    ("customer_addresses", {"superseded_at": "'2024-01-02Z'"}),
    ("subscriptions", {"service": "'fax'"}),
    ("subscriptions", {"started_recorded_at": "'2023-12-31Z'"}),
    ("subscriptions", {"ended_at": "'2025-01-01Z'"}),
    ("subscriptions", {"ended_at": "'2025-01-01Z'", "ended_recorded_at": "'2025-01-01Z'"}),
    (
        "subscriptions",
        {"ended_at": "'2025-01-01Z'", "ended_recorded_at": "'2024-12-31Z'", "end_reason": "'moved'"},
    ),
    (
        "subscriptions",
        {"ended_at": "'2023-01-01Z'", "ended_recorded_at": "'2025-12-31Z'", "end_reason": "'moved'"},
    ),
    (
        "subscriptions",
        {"ended_at": "'2025-01-01Z'", "ended_recorded_at": "'2025-01-01Z'", "end_reason": "'bored'"},
    ),
    ("subscriptions", {"end_reason": "'moved'"}),
    ("subscription_terms", {"monthly_price_cents": "-1"}),
    ("subscription_terms", {"discount_cents": "5001"}),
    ("subscription_terms", {"discount_cents": "-1"}),
    ("subscription_terms", {"inducement_cents": "30000"}),
    ("subscription_terms", {"inducement_kind": "'device_subsidy'"}),
    ("subscription_terms", {"inducement_cents": "-1", "inducement_kind": "'other'"}),
    ("subscription_terms", {"contract_months": "0"}),
    ("subscription_terms", {"contract_ends_on": "null"}),
    ("subscription_terms", {"contract_ends_on": "'2026-02-01'"}),
    ("subscription_terms", {"contract_months": "61", "contract_ends_on": "'2029-02-28'"}),
    ("transactions", {"kind": "'gift'"}),
    ("transactions", {"status": "'pending'"}),
    ("transactions", {"amount_cents": "-1"}),
    ("transactions", {"tax_cents": "-1"}),
    ("transactions", {"currency": "'USD'"}),
    ("transactions", {"recorded_at": "'2024-01-31Z'"}),
    ("transactions", {"superseded_at": "'2024-02-01Z'"}),
    ("transactions", {"corrects_transaction_id": "1"}),
    ("support_tickets", {"category": "'praise'"}),
    ("support_tickets", {"priority": "5"}),
    ("support_tickets", {"recorded_at": "'2024-01-31Z'"}),
    ("support_tickets", {"resolved_at": "'2024-03-01Z'"}),
    ("support_tickets", {"resolved_at": "'2024-01-01Z'", "resolved_recorded_at": "'2024-03-01Z'"}),
    ("support_tickets", {"resolved_at": "'2024-03-01Z'", "resolved_recorded_at": "'2024-02-28Z'"}),
    ("support_tickets", {"satisfaction": "3"}),
    ("support_tickets", {"satisfaction": "3", "rated_at": "'2024-03-01Z'"}),
    (
        "support_tickets",
        {"satisfaction": "6", "rated_at": "'2024-03-01Z'", "rated_recorded_at": "'2024-03-01Z'"},
    ),
    (
        "support_tickets",
        {"satisfaction": "3", "rated_at": "'2024-03-01Z'", "rated_recorded_at": "'2024-02-01Z'"},
    ),
]


@pytest.mark.parametrize(("table", "changes"), _REFUSED, ids=str)
async def test_a_row_that_makes_no_sense_is_refused(owner, table, changes):
    await _insert_up_to(owner, table)
    with pytest.raises(asyncpg.CheckViolationError):
        await _insert(owner, table, **changes)


_UNKNOWN = [
    ("customer_addresses", {"customer_id": "2"}),
    ("customer_addresses", {"province_code": "'ZZ'"}),
    ("subscriptions", {"customer_id": "2"}),
    ("subscription_terms", {"subscription_id": "2"}),
    ("subscription_terms", {"plan_code": "'none'"}),
    ("transactions", {"customer_id": "2"}),
    ("transactions", {"subscription_id": "2"}),
    ("transactions", {"corrects_transaction_id": "7"}),
    ("support_tickets", {"customer_id": "2"}),
    ("support_tickets", {"subscription_id": "2"}),
]


@pytest.mark.parametrize(("table", "changes"), _UNKNOWN, ids=str)
async def test_a_row_that_refers_to_nothing_is_refused(owner, table, changes):
    await _insert_up_to(owner, table)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await _insert(owner, table, **changes)


@pytest.mark.parametrize("table", _ROWS)
async def test_a_key_is_there_once(owner, table):
    await _insert_up_to(owner, table)
    await _insert(owner, table)
    with pytest.raises((asyncpg.UniqueViolationError, asyncpg.ExclusionViolationError)):
        await _insert(owner, table)


# Two things at once -------------------------------------------------------------------------------


async def test_nobody_has_two_known_addresses_at_once(owner):
    await _insert(owner, "customers")
    await _insert(owner, "customer_addresses")
    with pytest.raises(asyncpg.ExclusionViolationError, match="one_at_a_time"):
        await _insert(owner, "customer_addresses", address_id="2", valid_from="'2025-01-01Z'")


async def test_a_move_closes_the_old_address_and_keeps_what_was_known(owner):
    await _insert(owner, "customers")
    await _insert(owner, "customer_addresses", superseded_at="'2025-02-01Z'")
    known_later = {"recorded_at": "'2025-02-01Z'"}
    await _insert(owner, "customer_addresses", address_id="2", valid_to="'2025-01-15Z'", **known_later)
    await _insert(owner, "customer_addresses", address_id="3", valid_from="'2025-01-15Z'", **known_later)


async def test_no_subscription_has_two_known_terms_at_once(owner):
    await _insert_up_to(owner, "subscription_terms")
    await _insert(owner, "subscription_terms")
    with pytest.raises(asyncpg.ExclusionViolationError, match="one_at_a_time"):
        await _insert(owner, "subscription_terms", term_id="2", valid_from="'2025-01-01Z'")


async def test_terms_that_follow_each_other_are_accepted(owner):
    await _insert_up_to(owner, "subscription_terms")
    await _insert(owner, "subscription_terms", valid_to="'2025-01-01Z'")
    await _insert(owner, "subscription_terms", term_id="2", valid_from="'2025-01-01Z'")


async def test_an_open_ended_contract_has_no_end(owner):
    await _insert_up_to(owner, "subscription_terms")
    await _insert(owner, "subscription_terms", contract_months="0", contract_ends_on="null")


async def test_no_rule_holds_twice_at_once(owner):
    again = "'QC', 'tax_rate', 0.2, '2030-01-01Z', 'infinity', 'a slip'"
    with pytest.raises(asyncpg.ExclusionViolationError):
        await owner.execute(f"INSERT INTO staunch.province_rules VALUES ({again})")


async def test_recorded_times_default_to_the_moment(owner):
    await _insert(owner, "customers", joined_at="clock_timestamp()", recorded_at="DEFAULT")
    age = await owner.fetchval("SELECT clock_timestamp() - recorded_at FROM staunch.customers")
    assert 0 <= age.total_seconds() < 60
