"""What the world reads of the database before it draws: provinces, taxes, postal codes, plans, fees."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

import staunch_sql
from staunch_features.postgres.connection import Connection
from staunch_local.simulation.background.arrays import Floats, Ints
from staunch_local.simulation.background.clock import NEVER, microseconds
from staunch_local.simulation.background.fees import FeeRule, fee_rule
from staunch_local.simulation.background.tables import SERVICES

_LONG_AGO = -(2**62)

# People by province in thousands, Statistics Canada, 2021 census; others would have a weight of 1.
_POPULATION = {
    "AB": 4263,
    "BC": 5001,
    "MB": 1342,
    "NB": 776,
    "NL": 511,
    "NS": 969,
    "NT": 41,
    "NU": 37,
    "ON": 14224,
    "PE": 154,
    "QC": 8502,
    "SK": 1133,
    "YT": 40,
}


@dataclass(frozen=True)
class ReferenceData:
    """The database's reference rows, by position of the province and the plan.

    Attributes:
        provinces: Codes in alphabetical order.
        population: Relative size of each.
        prefixes: The postal prefixes of each.
        majority: Years of age at which one may sign a contract.
        tax_from: Since when each rate holds, microseconds, shape (provinces, rates); NEVER where a
            province has had fewer rates.
        tax_rate: The rates, such as 0.13, same shape.
        plan_codes: Codes by service and tier.
        plans: Positions of the plans, shape (services, tiers); the last one again where a service has fewer.
        tiers: How many plans each service has.
        fee_rules: What leaving early may cost.
    """

    provinces: tuple[str, ...]
    population: Floats
    prefixes: tuple[tuple[str, ...], ...]
    majority: Ints
    tax_from: Ints
    tax_rate: Floats
    plan_codes: tuple[str, ...]
    plans: Ints
    tiers: Ints
    fee_rules: tuple[FeeRule, ...]

    def tax(self, province: Ints, at: Ints) -> Floats:
        """Returns the sales tax rate of provinces at times."""
        latest = np.sum(self.tax_from[province] <= at[:, None], axis=1) - 1
        rate: Floats = self.tax_rate[province, np.maximum(latest, 0)]
        return rate

    def province(self, code: str) -> int:
        """Returns the position of a province."""
        return self.provinces.index(code)


async def read_reference(connection: Connection) -> ReferenceData:
    """Reads the reference rows of a migrated database.

    Raises:
        ValueError: A province lacks a rule or a postal prefix, or a service a plan.
    """
    provinces = tuple(
        row["province_code"] for row in await connection.fetch(staunch_sql.query("simulation/provinces"))
    )
    prefixes = await connection.fetch(staunch_sql.query("simulation/postal_prefixes"))
    rules = await connection.fetch(staunch_sql.query("simulation/province_rules"))
    fees = await connection.fetch(staunch_sql.query("simulation/cancellation_rules"))
    plans = await connection.fetch(staunch_sql.query("simulation/plans"))
    # All that a province or a service must have is looked for first: a gap would only show as an odd world.
    found = {
        (code, rule): [
            (row["valid_from"], row["value"])
            for row in rules
            if (row["province_code"], row["rule"]) == (code, rule)
        ]
        for code in provinces
        for rule in ("tax_rate", "age_of_majority")
    }
    of_prefix = tuple(
        tuple(row["postal_prefix"] for row in prefixes if row["province_code"] == code) for code in provinces
    )
    of_service = [[i for i, row in enumerate(plans) if row["service"] == service] for service in SERVICES]
    if not provinces or not all(found.values()) or not all(of_prefix) or not all(of_service):
        raise ValueError(
            "expected a tax rate, an age of majority and a postal prefix for every province and a plan for "
            "every service, and some are missing; run `staunch migrate`"
        )
    tax_from, tax_rate = _tax_tables([found[code, "tax_rate"] for code in provinces])
    return ReferenceData(
        provinces,
        np.array([_POPULATION.get(code, 1) for code in provinces], dtype=np.float64),
        of_prefix,
        np.array([found[code, "age_of_majority"][-1][1] for code in provinces]).astype(np.int64),
        tax_from,
        tax_rate,
        tuple(row["plan_code"] for row in plans),
        *_plan_tables(of_service),
        tuple(fee_rule(dict(row), provinces) for row in fees),
    )


def _tax_tables(histories: list[list[tuple[datetime, float]]]) -> tuple[Ints, Floats]:
    widest = max(map(len, histories))
    since = np.full((len(histories), widest), NEVER, dtype=np.int64)
    rates = np.zeros((len(histories), widest))
    for province, history in enumerate(histories):
        for position, (valid_from, rate) in enumerate(history):
            since[province, position] = microseconds(valid_from) if position else _LONG_AGO
            rates[province, position] = rate
    return since, rates


def _plan_tables(of_service: list[list[int]]) -> tuple[Ints, Ints]:
    most = max(map(len, of_service))
    padded = [plans + plans[-1:] * (most - len(plans)) for plans in of_service]
    return np.array(padded), np.array([len(plans) for plans in of_service])
