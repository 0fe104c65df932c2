"""What leaving early costs, by the cancellation rules that the database holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from staunch_local.simulation.background.arrays import Ints
from staunch_local.simulation.background.clock import NEVER, day_of, microseconds, months_elapsed
from staunch_local.simulation.background.tables import INDUCEMENTS, SERVICES

_DEVICE = INDUCEMENTS.index("device_subsidy")


@dataclass(frozen=True)
class FeeRule:
    """A ceiling on the cancellation fee of a service while it holds: a row of `staunch.cancellation_rules`.

    Attributes:
        service: Position in SERVICES.
        province: Position of the province; -1 for everywhere.
        subsidy_months: Within so many months a subsidy is written off; 0 for the contract's length.
        open_ended_months: The same without a fixed term.
        plain_cap: The most without a subsidy, in cents.
        plain_percent: The most without a subsidy, in percent of what is still to come.
        plain_months: Months over which that counts; 0 for the contract's length.
        since: From when it holds, microseconds.
        until: From when it holds no more, microseconds.
    """

    service: int
    province: int
    subsidy_months: int
    open_ended_months: int
    plain_cap: int
    plain_percent: int
    plain_months: int
    since: int
    until: int


@dataclass(frozen=True)
class Contracts:
    """The contracts of some lines, column by column.

    Attributes:
        service: Positions in SERVICES.
        province: Positions of the provinces.
        months: Length; 0 for open-ended.
        starts_on: First day, in days.
        price: Monthly, before discount, in cents.
        discount: Off the price while the promotion lasts.
        promotion_ends_on: The first day without it, in days; NEVER_DAY for a discount for good.
        inducement: What was given for signing, in cents.
        kind: Of what kind, positions in INDUCEMENTS.
    """

    service: Ints
    province: Ints
    months: Ints
    starts_on: Ints
    price: Ints
    discount: Ints
    promotion_ends_on: Ints
    inducement: Ints
    kind: Ints


def fee_rule(row: Mapping[str, Any], provinces: tuple[str, ...]) -> FeeRule:
    """Reads a row of `staunch.cancellation_rules`."""
    return FeeRule(
        service=SERVICES.index(row["service"]),
        province=-1 if row["province_code"] is None else provinces.index(row["province_code"]),
        subsidy_months=row["subsidy_months"] or 0,
        open_ended_months=row["open_ended_subsidy_months"],
        plain_cap=row["plain_cap_cents"],
        plain_percent=row["plain_percent"],
        plain_months=row["plain_months"] or 0,
        since=microseconds(row["valid_from"]),
        until=NEVER if row["valid_to"].year == 9999 else microseconds(row["valid_to"]),
    )


def cancellation_fee(rules: tuple[FeeRule, ...], contracts: Contracts, at: Ints) -> Ints:
    """Returns what leaving at given times costs at most, in cents: the lowest ceiling, 0 where there is none.

    The same as the SQL function `staunch.cancellation_fee`, which a test holds against it.

    Args:
        rules: All rules.
        contracts: The contracts.
        at: A time for each, in microseconds.
    """
    elapsed = np.maximum(months_elapsed(contracts.starts_on, day_of(at)), 0)
    discounted = months_elapsed(contracts.starts_on, contracts.promotion_ends_on - 1)
    lowest = np.full(len(at), NEVER)
    for rule in rules:
        here = (contracts.province == rule.province) | (rule.province < 0)
        holds = here & (contracts.service == rule.service) & (rule.since <= at) & (at < rule.until)
        if holds.any():
            ceiling = _ceiling(rule, contracts, elapsed, discounted)
            lowest = np.where(holds, np.minimum(lowest, ceiling), lowest)
    return np.where(lowest == NEVER, 0, lowest)


def _ceiling(rule: FeeRule, contracts: Contracts, elapsed: Ints, discounted: Ints) -> Ints:
    """One rule's ceiling, after so many months and where so many begin before the promotion ends."""
    fixed = contracts.months > 0
    over = np.where(fixed, _least(contracts.months, rule.subsidy_months), rule.open_ended_months)
    left = np.maximum(over - elapsed, 0)
    subsidised = (2 * contracts.inducement * left + over) // (2 * np.maximum(over, 1))
    still = np.maximum(_least(contracts.months, rule.plain_months) - elapsed, 0)
    to_come = contracts.price * still - contracts.discount * np.clip(discounted - elapsed, 0, still)
    plain = np.minimum(rule.plain_cap, (to_come * rule.plain_percent + 50) // 100)
    device = (contracts.kind == _DEVICE) & (contracts.inducement > 0)
    return np.where(device, subsidised, np.where(fixed, plain, 0))


def _least(months: Ints, limit: int) -> Ints:
    return np.minimum(months, limit) if limit else months
