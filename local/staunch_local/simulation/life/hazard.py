"""Why simulated customers leave: their true monthly hazard, from what has happened to them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from staunch_local.simulation.background.arrays import Floats
from staunch_local.simulation.background.clock import DAY, NEVER, NEVER_DAY, day_of
from staunch_local.simulation.background.fees import cancellation_fee
from staunch_local.simulation.background.market import LEAVING_SEASON
from staunch_local.simulation.background.tables import METHODS
from staunch_local.simulation.life.state import Life, Month, Terms

FADING: Mapping[str, float] = MappingProxyType(
    {"fails": 0.8, "shock": 0.85, "trouble": 0.85, "anger": 0.9, "dark": 0.6}
)
"""What is left of each strength after a month."""

_MONTH_DAYS = 30.436875
_HIGHEST = 0.75
_PRE_AUTHORIZED_METHOD = METHODS.index("pre_authorized")


@dataclass(frozen=True)
class HazardFactor:
    """A reason to leave, or to stay.

    Attributes:
        before: Log-hazard for one unit of it.
        after: The same after the drift.
        unit: What one unit is.
    """

    before: float
    after: float
    unit: str


REASONS: Mapping[str, HazardFactor] = MappingProxyType(
    {
        "base": HazardFactor(-2.62, -2.42, "what is there without any reason"),
        "locked": HazardFactor(-1.5, -0.6, "more than two months of a contract left"),
        "ending": HazardFactor(1.25, 0.7, "within two months before or after the end of a contract"),
        "rolled_over": HazardFactor(0.35, 0.35, "a contract that ended more than two months ago"),
        "fee": HazardFactor(-0.08, -0.08, "each month's bill that leaving would cost as a fee, up to 8"),
        "promotion_live": HazardFactor(-0.5, -0.5, "a promotion that goes on for more than a month"),
        "promotion_over": HazardFactor(
            6.5, 10.0, "a promotion that ends within a month or ended within three, by its share of the price"
        ),
        "shock": HazardFactor(9.0, 16.0, "price rises by their share of the bill, fading"),
        "price_level": HazardFactor(0.5, 1.0, "each 70 dollars of monthly price above 70"),
        "fails": HazardFactor(0.7, 0.45, "each failed payment, fading, up to 3"),
        "arrears": HazardFactor(0.6, 0.6, "each unpaid invoice, up to 2"),
        "open_tickets": HazardFactor(1.0, 1.0, "each ticket that is open, up to 2"),
        "trouble": HazardFactor(0.42, 0.2, "each ticket, fading, up to 4"),
        "anger": HazardFactor(0.9, 1.5, "each two points below 3 in a rating, fading, from -1 to 2.5"),
        "dark": HazardFactor(0.6, 0.6, "each twelve hours of outage, fading, up to 2"),
        "tenure": HazardFactor(-0.8, -0.35, "ln(1 + months of tenure / 6)"),
        "bundle": HazardFactor(-1.0, -1.0, "a second subscription"),
        "pre_authorized": HazardFactor(-0.6, -0.6, "payment by pre-authorized debit"),
    }
)
"""All that makes customers leave or stay; docs/world.md shows it."""


def hazard(life: Life, month: Month) -> Floats:
    """Returns each customer's chance to leave of their own will within a month.

    It depends on what happened before the month, on dates that were set by then and on the season; among
    that only `unrest` stands in no table. The chance is 1 - exp(-exp(score)), and scores are sums.

    Args:
        life: The block, as it stands when the month begins.
        month: The month.
    """
    # exp(score) is the rate of leaving, to which each reason adds a factor; 1 - exp(-rate) is the chance that
    # a month of it comes true. The cut keeps one month from deciding about somebody to whom all happens at
    # once.
    score = _contract(life, month) + _money(life, month) + _service(life, month) + _person(life, month)
    score += _weights(month)("base") + LEAVING_SEASON[life.calendar.season[month.number] - 1]
    return np.minimum(-np.expm1(-np.exp(score)), _HIGHEST)


def _weights(month: Month) -> Callable[[str], float]:
    """Returns what turns a reason's name into its log-hazard for one unit in a month."""
    return lambda name: REASONS[name].after if month.drifted else REASONS[name].before


def _main_terms(life: Life) -> Terms:
    return life.lines.terms.at(np.arange(life.size))


def _contract(life: Life, month: Month) -> Floats:
    """A contract holds while it runs, and its end is when people look around."""
    terms, weight = _main_terms(life), _weights(month)
    # A fixed contract is in one of three spans by the months that it has left, each with a weight of its own.
    left = (terms.ends_on - month.begins // DAY) / _MONTH_DAYS
    fixed = terms.ends_on < NEVER_DAY
    score = np.where(fixed & (left > 2.0), weight("locked"), 0.0)
    score = np.where(fixed & (left <= 2.0) & (left > -2.0), weight("ending"), score)
    score = np.where(fixed & (left <= -2.0), weight("rolled_over"), score)
    return score + weight("fee") * _months_of_fee(life, terms, month)


def _months_of_fee(life: Life, terms: Terms, month: Month) -> Floats:
    at = np.full(life.size, month.begins)
    contracts = life.contracts(np.arange(life.size), terms)
    fee = cancellation_fee(life.reference.fee_rules, contracts, at)
    return np.minimum(fee / np.maximum(terms.bill(day_of(at)), 1000), 8.0)


def _money(life: Life, month: Month) -> Floats:
    """A bill that rises or cannot be paid."""
    terms, customers, weight = _main_terms(life), life.customers, _weights(month)
    # What a customer notices is the change: the end of a discount by its share of the price, a rise by its
    # share of the bill (`shock` is one already).
    share = terms.discount / np.maximum(terms.price, 1)
    over = (month.begins // DAY - terms.promotion_ends_on) / _MONTH_DAYS
    promoted = terms.promotion_ends_on < NEVER_DAY
    score = np.where(promoted & (over < -1.0), weight("promotion_live"), 0.0)
    score += np.where(promoted & (over >= -1.0) & (over < 3.0), weight("promotion_over") * share, 0.0)
    score += weight("shock") * np.minimum(customers.shock, 0.2)
    score += weight("price_level") * (terms.price / 7000.0 - 1.0)
    score += weight("fails") * np.minimum(customers.fails, 3.0)
    return score + weight("arrears") * np.minimum(customers.overdue, 2)


def _service(life: Life, month: Month) -> Floats:
    """What did not work, and how it was mended."""
    customers, weight = life.customers, _weights(month)
    score = weight("open_tickets") * np.minimum(customers.open_tickets[:, 0], 2)
    score = score + weight("trouble") * np.minimum(customers.trouble, 4.0)
    score += weight("anger") * np.clip(customers.anger, -1.0, 2.5)
    return score + weight("dark") * np.minimum(customers.dark, 2.0)


def _person(life: Life, month: Month) -> Floats:
    """Habit, and what ties somebody to us."""
    weight, lines = _weights(month), life.lines
    started = np.where(life.customers.started_at == NEVER, month.begins, life.customers.started_at)
    tenure = np.maximum(day_of(month.begins - started), 0) / _MONTH_DAYS
    second = slice(life.size, None)
    both = (lines.started_at[second] <= month.begins) & (lines.ended_at[second] >= life.customers.ended_at)
    score: Floats = weight("tenure") * np.log1p(tenure / 6.0) + weight("bundle") * both
    score += weight("pre_authorized") * (life.people.method == _PRE_AUTHORIZED_METHOD)
    return score + life.people.unrest
