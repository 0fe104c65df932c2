"""Why simulated customers leave: their true monthly hazard, from what has happened to them."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from staunch_features.world_clock import DAY, NEVER, NEVER_DAY, Floats, day_of
from staunch_features.world_fees import Contracts, cancellation_fee
from staunch_features.world_market import LEAVING_SEASON
from staunch_features.world_state import Life, Month, Terms
from staunch_features.world_tables import METHODS

__all__ = ["FADING", "hazard"]

FADING: Mapping[str, float] = MappingProxyType(
    {"fails": 0.8, "shock": 0.85, "trouble": 0.85, "anger": 0.9, "dark": 0.6}
)
"""What is left of each strength after a month."""

_MONTH_DAYS = 30.436875
_HIGHEST = 0.75
_PRE_AUTHORIZED_METHOD = METHODS.index("pre_authorized")

# Log-hazard for one unit of each reason, before the drift and after it.
_BASE = (-2.62, -2.42)
_TENURE = (-0.8, -0.35)
_BUNDLE = (-1.0, -1.0)
_PRE_AUTHORIZED = (-0.6, -0.6)
_LOCKED = (-1.5, -0.6)
_ENDING = (1.25, 0.7)
_ROLLED_OVER = (0.35, 0.35)
_FEE = (-0.08, -0.08)
_FAILS = (0.7, 0.45)
_ARREARS = (0.6, 0.6)
_SHOCK = (9.0, 16.0)
_PROMOTION_LIVE = (-0.5, -0.5)
_PROMOTION_OVER = (6.5, 10.0)
_OPEN_TICKETS = (1.0, 1.0)
_TROUBLE = (0.42, 0.2)
_ANGER = (0.9, 1.5)
_DARK = (0.6, 0.6)
_PRICE_LEVEL = (0.5, 1.0)


def hazard(life: Life, month: Month) -> Floats:
    """Returns each customer's chance to leave of their own will within a month.

    It depends on what happened before the month, on dates that were set by then and on the season; among
    that only `unrest` stands in no table. The chance is 1 - exp(-exp(score)), and scores are sums.

    Args:
        life: The block, as it stands when the month begins.
        month: The month.
    """
    score = _contract(life, month) + _money(life, month) + _service(life, month) + _person(life, month)
    score += _BASE[month.drifted] + LEAVING_SEASON[life.calendar.season[month.number] - 1]
    return np.minimum(-np.expm1(-np.exp(score)), _HIGHEST)


def _main_terms(life: Life) -> Terms:
    return life.lines.terms.at(np.arange(life.size))


def _contract(life: Life, month: Month) -> Floats:
    """A contract holds while it runs, and its end is when people look around."""
    terms, drift = _main_terms(life), month.drifted
    left = (terms.ends_on - month.begins // DAY) / _MONTH_DAYS
    fixed = terms.ends_on < NEVER_DAY
    score = np.where(fixed & (left > 2.0), _LOCKED[drift], 0.0)
    score = np.where(fixed & (left <= 2.0) & (left > -2.0), _ENDING[drift], score)
    score = np.where(fixed & (left <= -2.0), _ROLLED_OVER[drift], score)
    return score + _FEE[drift] * _months_of_fee(life, terms, month)


def _months_of_fee(life: Life, terms: Terms, month: Month) -> Floats:
    charge = terms.bill(np.full(life.size, month.begins // DAY))
    contracts = Contracts(
        life.lines.service[: life.size],
        life.customers.province,
        terms.months,
        terms.starts_on,
        charge,
        terms.inducement,
        terms.kind,
    )
    fee = cancellation_fee(life.reference.fee_rules, contracts, np.full(life.size, month.begins))
    return np.minimum(fee / np.maximum(charge, 1000), 8.0)


def _money(life: Life, month: Month) -> Floats:
    """A bill that rises or cannot be paid."""
    terms, customers, drift = _main_terms(life), life.customers, month.drifted
    share = terms.discount / np.maximum(terms.price, 1)
    over = (month.begins // DAY - terms.promotion_ends_on) / _MONTH_DAYS
    promoted = terms.promotion_ends_on < NEVER_DAY
    score = np.where(promoted & (over < -1.0), _PROMOTION_LIVE[drift], 0.0)
    score += np.where(promoted & (over >= -1.0) & (over < 3.0), _PROMOTION_OVER[drift] * share, 0.0)
    score += _SHOCK[drift] * np.minimum(customers.shock, 0.2)
    score += _PRICE_LEVEL[drift] * (terms.price / 7000.0 - 1.0)
    score += _FAILS[drift] * np.minimum(customers.fails, 3.0)
    return score + _ARREARS[drift] * np.minimum(customers.overdue, 2)


def _service(life: Life, month: Month) -> Floats:
    """What did not work, and how it was mended."""
    customers, drift = life.customers, month.drifted
    score = _OPEN_TICKETS[drift] * np.minimum(customers.open_tickets[:, 0], 2)
    score = score + _TROUBLE[drift] * np.minimum(customers.trouble, 4.0)
    score += _ANGER[drift] * np.clip(customers.anger, -1.0, 2.5)
    return score + _DARK[drift] * np.minimum(customers.dark, 2.0)


def _person(life: Life, month: Month) -> Floats:
    """Habit, and what ties somebody to us."""
    drift, lines = month.drifted, life.lines
    started = np.where(life.customers.started_at == NEVER, month.begins, life.customers.started_at)
    tenure = np.maximum(day_of(month.begins - started), 0) / _MONTH_DAYS
    second = slice(life.size, None)
    both = (lines.started_at[second] <= month.begins) & (lines.ended_at[second] >= life.customers.ended_at)
    score: Floats = _TENURE[drift] * np.log1p(tenure / 6.0) + _BUNDLE[drift] * both
    score += _PRE_AUTHORIZED[drift] * (life.people.method == _PRE_AUTHORIZED_METHOD)
    return score + life.people.unrest
