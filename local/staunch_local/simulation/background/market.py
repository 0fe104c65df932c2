"""What happens to whole regions and services at once: list prices and their rises, outages, the season."""

from dataclasses import dataclass

import numpy as np

from staunch_local.simulation.background.arrays import Floats, Ints
from staunch_local.simulation.background.clock import DAY, HOUR, Calendar
from staunch_local.simulation.background.draws import Draws, Topic
from staunch_local.simulation.background.tables import SERVICES

LEAVING_SEASON = np.array([0.05, -0.1, -0.1, -0.05, 0.05, 0.1, 0.1, 0.25, 0.2, -0.05, 0.15, -0.1])
"""How much readier to leave customers are in a month of the year, in log-hazard: they move, they shop."""

_FIRST_PRICE = np.array([4500, 6000, 4000])  # cents a month of the lowest tier, by service
_TIER_STEP = np.array([1500, 1500, 2000])  # cents a month from one tier to the next
_RISE_CHANCE = 0.9  # that a service's price rises in a year
_OUTAGES_A_MONTH = np.array([0.04, 0.10, 0.07])  # large ones in a province, by service


@dataclass(frozen=True)
class Outages:
    """The large outages of one month, at most one for each province and service, shape (provinces, services).

    Attributes:
        starts_at: When it begins, microseconds.
        length: How long it lasts, microseconds.
        share: The share of customers it reaches; 0 where there is none.
    """

    starts_at: Ints
    length: Ints
    share: Floats


@dataclass(frozen=True)
class Market:
    """What all customers of a world share.

    Attributes:
        rises: Cents by which the prices of running contracts of a service rise on a month's first day,
            shape (services, months + 1).
        list_rise: Cents by which new contracts cost more than in the first month, same shape.
        outages: Those of each month.
    """

    rises: Ints
    list_rise: Ints
    outages: tuple[Outages, ...]

    def list_price(self, service: Ints, tier: Ints, month: int) -> Ints:
        """Returns what new customers pay in a month, in cents, by service and tier from 0."""
        price: Ints = _FIRST_PRICE[service] + _TIER_STEP[service] * tier + self.list_rise[service, month]
        return price


def draw_market(seed: int, calendar: Calendar, provinces: int) -> Market:
    """Draws the market of a world; each month depends on nothing but the seed and its number."""
    rise_months = Draws(seed, Topic.MARKET).integers(1, 13, len(SERVICES))
    rises = np.stack(
        [_rises(seed, calendar, month, rise_months) for month in range(calendar.months + 1)], axis=1
    )
    outages = tuple(_outages(seed, calendar, month, provinces) for month in range(calendar.months))
    return Market(rises, np.cumsum(rises, axis=1), outages)


def _rises(seed: int, calendar: Calendar, month: int, rise_months: Ints) -> Ints:
    draws = Draws(seed, Topic.MARKET, 1, month)
    due = (calendar.season[month] == rise_months) & (draws.uniform(len(SERVICES)) < _RISE_CHANCE)
    return np.where(due, draws.integers(3, 9, len(SERVICES)) * 100, 0)


def _outages(seed: int, calendar: Calendar, month: int, provinces: int) -> Outages:
    draws = Draws(seed, Topic.MARKET, 2, month)
    shape = (provinces, len(SERVICES))
    size = provinces * len(SERVICES)
    happens = draws.uniform(size).reshape(shape) < _OUTAGES_A_MONTH
    offset = draws.uniform(size).reshape(shape) * (calendar.length(month) - 3 * DAY)
    length = (2 + draws.exponential(9.0, size).reshape(shape) % 60) * HOUR
    share = 0.25 + 0.5 * draws.uniform(size).reshape(shape)
    return Outages(
        (calendar.starts[month] + offset).astype(np.int64),
        length.astype(np.int64),
        np.where(happens, share, 0.0),
    )
