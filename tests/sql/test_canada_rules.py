"""The Canadian rules as data: what holds on the day before, on and after each date."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

_FIRST = datetime(2010, 1, 1, tzinfo=UTC)
_NOW = datetime(2026, 11, 22, tzinfo=UTC)

# On 2026-11-22: sales tax in percent, age of majority, a postal code of the province.
_TODAY = {
    "AB": (5.0, 18, "T2P 1J9"),
    "BC": (12.0, 19, "V6B 1A1"),
    "MB": (12.0, 18, "R3C 1A1"),
    "NB": (15.0, 19, "E1C 1A1"),
    "NL": (15.0, 19, "A1C 1A1"),
    "NS": (14.0, 19, "B3H 1A1"),
    "NT": (5.0, 19, "X1A 1A1"),
    "NU": (5.0, 19, "X0A 1A1"),
    "ON": (13.0, 18, "M5V 1A1"),
    "PE": (15.0, 18, "C1A 1A1"),
    "QC": (14.975, 18, "H2X 1A1"),
    "SK": (11.0, 18, "S4P 1A1"),
    "YT": (5.0, 19, "Y1A 1A1"),
}

# Each change of a rate since 2010: province, first day, percent before, percent from then on.
_TAX_CHANGES = [
    ("BC", "2010-07-01", 12.0, 12.0),
    ("BC", "2013-04-01", 12.0, 12.0),
    ("MB", "2013-07-01", 12.0, 13.0),
    ("MB", "2019-07-01", 13.0, 12.0),
    ("NB", "2016-07-01", 13.0, 15.0),
    ("NL", "2016-07-01", 13.0, 15.0),
    ("NS", "2010-07-01", 13.0, 15.0),
    ("NS", "2025-04-01", 15.0, 14.0),
    ("ON", "2010-07-01", 13.0, 13.0),
    ("PE", "2013-04-01", 15.5, 14.0),
    ("PE", "2016-10-01", 14.0, 15.0),
    ("QC", "2011-01-01", 12.875, 13.925),
    ("QC", "2012-01-01", 13.925, 14.975),
    ("QC", "2013-01-01", 14.975, 14.975),
    ("SK", "2017-03-23", 10.0, 11.0),
]


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


async def _province(
    reader: asyncpg.Connection, province: str, as_of: datetime
) -> tuple[float | None, float | None]:
    row = await reader.fetchrow("SELECT * FROM staunch.province_at($1, $2)", province, as_of)
    return row["tax_rate"], row["age_of_majority"]


async def _rule(reader: asyncpg.Connection, province: str, rule: str, as_of: datetime) -> float | None:
    return await reader.fetchval(
        "SELECT value FROM staunch.province_rules"
        " WHERE province_code = $1 AND rule = $2 AND valid_from <= $3 AND valid_to > $3",
        province,
        rule,
        as_of,
    )


@pytest.mark.parametrize("province", _TODAY)
async def test_tax_and_majority_of_each_province_today(reader, province):
    percent, age, _ = _TODAY[province]
    assert await _province(reader, province, _NOW) == (pytest.approx(percent / 100, abs=1e-15), age)


@pytest.mark.parametrize(("province", "date", "before", "after"), _TAX_CHANGES)
async def test_a_tax_changes_on_its_date_and_not_a_microsecond_earlier(reader, province, date, before, after):
    starts = day(date)
    expected = {
        starts - timedelta(days=1): before,
        starts - timedelta(microseconds=1): before,
        starts: after,
        starts + timedelta(days=1): after,
    }
    for moment, percent in expected.items():
        rate, _ = await _province(reader, province, moment)
        assert rate == pytest.approx(percent / 100, abs=1e-15), moment


async def test_no_tax_changes_on_any_other_date(reader):
    dates = await reader.fetch(
        "SELECT province_code, valid_from FROM staunch.province_rules"
        " WHERE rule = 'tax_rate' AND valid_from > $1",
        _FIRST,
    )
    told = {(province, day(date)) for province, date, _, _ in _TAX_CHANGES}
    assert {(row["province_code"], row["valid_from"]) for row in dates} == told


async def test_every_province_has_one_rate_and_one_age_at_every_time_since_2010(reader):
    changes = [row[0] for row in await reader.fetch("SELECT DISTINCT valid_from FROM staunch.province_rules")]
    for moment in [*changes, _NOW, day("2100-01-01")]:
        counts = await reader.fetch(
            "SELECT province_code, rule, count(*) AS n FROM staunch.province_rules"
            " WHERE rule IN ('tax_rate', 'age_of_majority') AND valid_from <= $1 AND valid_to > $1"
            " GROUP BY province_code, rule",
            moment,
        )
        assert len(counts) == 26
        assert {row["n"] for row in counts} == {1}


async def test_before_the_registry_begins_and_for_unknown_provinces_nothing_is_known(reader):
    assert await _province(reader, "ON", _FIRST - timedelta(microseconds=1)) == (None, None)
    assert await _province(reader, "ZZ", _NOW) == (None, None)
    assert (await _province(reader, "ON", _FIRST))[0] == pytest.approx(0.13)


@pytest.mark.parametrize(("offset_days", "expected"), [(-1, None), (0, 90), (1, 90)])
@pytest.mark.parametrize("province", ["ON", "QC", "NU"])
async def test_notice_before_a_contract_ends_is_ruled_from_its_date_on(
    reader, province, offset_days, expected
):
    as_of = day("2027-04-13") + timedelta(days=offset_days)
    assert await _rule(reader, province, "contract_end_notice_days", as_of) == expected


@pytest.mark.parametrize(("offset_days", "expected"), [(-1, None), (0, 1), (1, 1)])
async def test_reasons_of_automated_decisions_are_owed_in_quebec_from_its_date_on(
    reader, offset_days, expected
):
    as_of = day("2023-09-22") + timedelta(days=offset_days)
    assert await _rule(reader, "QC", "automated_decision_reasons", as_of) == expected
    assert await _rule(reader, "ON", "automated_decision_reasons", as_of) is None


async def test_every_rule_names_its_source(reader):
    for table in ("province_rules", "cancellation_rules"):
        assert await reader.fetchval(f"SELECT min(length(source)) FROM staunch.{table}") > 15


async def test_every_service_has_at_least_three_plans(reader):
    rows = await reader.fetch("SELECT service, count(DISTINCT tier) AS n FROM staunch.plans GROUP BY service")
    assert {row["service"] for row in rows} == {"wireless", "internet", "tv"}
    assert all(row["n"] >= 3 for row in rows)


# Postal codes -------------------------------------------------------------------------------------


async def _move_to(owner: asyncpg.Connection, province: str, postal_code: str) -> None:
    await owner.execute(
        "INSERT INTO staunch.customers"
        " (customer_id, given_name, family_name, email, birth_date, gender, language, joined_at)"
        " VALUES (1, 'A', 'B', 'a@b', '1990-01-01', 'other', 'en', '2024-01-01Z')"
    )
    await owner.execute(
        "INSERT INTO staunch.customer_addresses"
        " (customer_id, address_id, street, city, province_code, postal_code, valid_from)"
        " VALUES (1, 1, '1 A', 'B', $1, $2, '2024-01-01Z')",
        province,
        postal_code,
    )


@pytest.mark.parametrize("province", _TODAY)
async def test_a_postal_code_of_its_province_is_accepted(owner, province):
    await _move_to(owner, province, _TODAY[province][2])


@pytest.mark.parametrize("province", _TODAY)
async def test_a_postal_code_of_the_next_province_is_refused(owner, province):
    provinces = list(_TODAY)
    other = provinces[(provinces.index(province) + 1) % len(provinces)]
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await _move_to(owner, province, _TODAY[other][2])


@pytest.mark.parametrize(
    ("province", "letters"),
    [("QC", "GHJ"), ("ON", "KLMNP"), ("NT", ["X0E", "X0G", "X1A"]), ("NU", ["X0A", "X0B", "X0C"])],
)
async def test_provinces_with_several_letters_have_them_all(reader, province, letters):
    rows = await reader.fetch(
        "SELECT postal_prefix FROM staunch.postal_prefixes WHERE province_code = $1 ORDER BY 1", province
    )
    assert [row["postal_prefix"] for row in rows] == list(letters)


@pytest.mark.parametrize("postal_code", ["X0H 1A1", "X1B 1A1", "X2A 1A1"])
@pytest.mark.parametrize("province", ["NT", "NU"])
async def test_codes_of_x_that_canada_post_has_not_given_out_are_refused(owner, province, postal_code):
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await _move_to(owner, province, postal_code)
