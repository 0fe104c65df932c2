"""docs/canada.md: that the registry for reading says what the registry in the database says."""

import re
from pathlib import Path

import pytest

_PAGE = Path(__file__).parents[2] / "docs" / "canada.md"


def _day(moment) -> str:
    return "" if moment.year == 9999 else moment.date().isoformat()


async def _tax_lines(reader) -> list[str]:
    rows = await reader.fetch(
        "SELECT province_code, valid_from, valid_to, value, source FROM staunch.province_rules"
        " WHERE rule = 'tax_rate' ORDER BY province_code, valid_from"
    )
    return [
        f"| {row['province_code']} | {_day(row['valid_from'])} | {_day(row['valid_to'])} "
        f"| {row['value'] * 100:.5g} % | {row['source']} |"
        for row in rows
    ]


async def _age_lines(reader) -> list[str]:
    rows = await reader.fetch(
        "SELECT province_code, value, source FROM staunch.province_rules"
        " WHERE rule = 'age_of_majority' ORDER BY province_code"
    )
    return [f"| {row['province_code']} | {row['value']:.0f} | {row['source']} |" for row in rows]


async def _other_lines(reader) -> list[str]:
    rows = await reader.fetch(
        "SELECT rule, CASE WHEN count(*) = 13 THEN 'all' ELSE min(province_code) END AS province_code,"
        " valid_from, value, source FROM staunch.province_rules"
        " WHERE rule NOT IN ('tax_rate', 'age_of_majority')"
        " GROUP BY rule, valid_from, value, source ORDER BY rule"
    )
    return [
        f"| `{row['rule']}` | {row['province_code']} | {_day(row['valid_from'])} "
        f"| {row['value']:.0f} | {row['source']} |"
        for row in rows
    ]


async def _cancellation_lines(reader) -> list[str]:
    rows = await reader.fetch(
        "SELECT rule_code, service, coalesce(province_code, 'all') AS province_code,"
        " coalesce(subsidy_months::text, 'contract') AS fixed, open_ended_subsidy_months AS open,"
        " plain_cap_cents, plain_percent, coalesce(plain_months::text, 'contract') AS plain_months,"
        " valid_from, valid_to, source"
        " FROM staunch.cancellation_rules ORDER BY rule_code, service, valid_from"
    )
    return [
        f"| `{row['rule_code']}` | {row['service']} | {row['province_code']} "
        f"| {_day(row['valid_from'])} | {_day(row['valid_to'])} | {row['fixed']} | {row['open']} "
        f"| ${row['plain_cap_cents'] / 100:.0f}, {row['plain_percent']} % of {row['plain_months']} "
        f"| {row['source']} |"
        for row in rows
    ]


async def _province_lines(reader) -> list[str]:
    rows = await reader.fetch(
        "SELECT province_code, name_en, name_fr,"
        " string_agg(postal_prefix, ', ' ORDER BY postal_prefix) AS postal_prefixes"
        " FROM staunch.provinces JOIN staunch.postal_prefixes USING (province_code)"
        " GROUP BY province_code ORDER BY province_code"
    )
    return [
        f"| {row['province_code']} | {row['name_en']} | {row['name_fr']} | {row['postal_prefixes']} |"
        for row in rows
    ]


@pytest.mark.parametrize(
    ("heading", "lines_of"),
    [
        ("## Provinces and territories", _province_lines),
        ("## Sales tax", _tax_lines),
        ("## Age of majority", _age_lines),
        ("## Leaving early", _cancellation_lines),
        ("## Notices and reasons", _other_lines),
    ],
)
async def test_the_page_tells_each_rule_of_the_database_and_no_other(reader, heading, lines_of):
    section = re.split(r"\n##+ ", _PAGE.read_text().split(heading + "\n")[1])[0]
    table = [line for line in section.splitlines() if line.startswith("| ")][1:]  # without its header
    assert table == await lines_of(reader)


async def test_the_page_names_every_function_of_the_schema_and_what_it_takes(reader):
    rows = await reader.fetch(
        "SELECT proname, array_to_string(proargnames[:pronargs], ', ') AS takes"
        " FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang"
        " WHERE p.pronamespace = 'staunch'::regnamespace AND l.lanname = 'sql'"
    )
    page = _PAGE.read_text()
    long = {"cancellation_ceiling_cents": "…"}
    calls = [f"`{row['proname']}({long.get(row['proname'], row['takes'])})`" for row in rows]
    assert len(calls) > 8
    assert [call for call in calls if call not in page] == []


def test_the_page_says_that_it_is_no_legal_advice():
    assert "no legal advice" in _PAGE.read_text()
