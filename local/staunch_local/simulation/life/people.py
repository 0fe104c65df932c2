"""Who the simulated customers are: when they joined, their person, their first address, their manners."""

from dataclasses import dataclass, fields

import numpy as np

from staunch_local.simulation.background.arrays import Bytes, Floats, Ints
from staunch_local.simulation.background.clock import DAY, SECOND, Calendar, day_of
from staunch_local.simulation.background.draws import Draws, Topic
from staunch_local.simulation.background.names import FAMILY_NAMES, GIVEN_NAMES, PLACES, STREETS, Places
from staunch_local.simulation.background.reference import ReferenceData

BLOCK = 4096
"""How many customers are drawn together; fixes every draw, so changing it makes another world."""

MONTHLY_JOINERS = 0.0134
"""How many join in a month, as a share of the customers known at the origin."""

_THERE_AT_THE_START = 0.5165  # with it and the joiners above the number of active customers is steady
_MEAN_MONTH_US = 30.436875 * DAY
_JOINING_SEASON = np.array([0.9, 0.85, 0.9, 0.95, 1.0, 1.0, 1.05, 1.25, 1.3, 1.0, 1.1, 1.0])  # January first
_FRENCH = {"QC": 0.85, "NB": 0.31, "ON": 0.035}
_FRENCH_ELSEWHERE = 0.015
_GENDERS = np.array([0.495, 0.485, 0.008, 0.012])
_METHODS = np.array([0.5, 0.28, 0.22])
_DUPLICATES = 0.03
HOUSES = 10_000
"""Above every number of a house: an address is drawn as street * HOUSES + house."""


@dataclass(frozen=True)
class Members:
    """Which customers a block holds.

    Attributes:
        number: The block's number.
        first_id: Id of its first customer; the others follow.
        size: How many customers it has.
        newcomer: Position of its first customer among those who join after the origin; -1 for those before.
    """

    number: int
    first_id: int
    size: int
    newcomer: int


def members(customers: int, calendar: Calendar) -> list[Members]:
    """Lists the blocks of a world: those known at its origin, then those who have joined since.

    Args:
        customers: How many are known at the origin.
        calendar: Says how far the world goes.
    """
    starts = range(0, customers, BLOCK)
    blocks = [Members(i, s + 1, min(BLOCK, customers - s), -1) for i, s in enumerate(starts)]
    joined = (calendar.until - calendar.origin) / _spacing(customers)
    later = range(0, int(np.ceil(joined)), BLOCK)
    return blocks + [Members(len(starts) + i, customers + s + 1, BLOCK, s) for i, s in enumerate(later)]


def _spacing(customers: int) -> float:
    """Returns the microseconds between two newcomers."""
    return float(_MEAN_MONTH_US / (MONTHLY_JOINERS * customers))


@dataclass(frozen=True)
class Homes:
    """Addresses before they become text.

    Attributes:
        province: Position of the province.
        place: Position of the place in Places.
        street: Position of the street's name.
        house: The house's number.
        local: The second half of the postal code, 0 to 1999.
    """

    province: Ints
    place: Ints
    street: Ints
    house: Ints
    local: Ints

    def copy(self) -> "Homes":
        """Returns addresses that may change without changing these."""
        return Homes(*(getattr(self, column.name).copy() for column in fields(Homes)))

    def put(self, who: Ints, homes: "Homes") -> None:
        """Gives customers other addresses, one for each of them."""
        for column in fields(Homes):
            getattr(self, column.name)[who] = getattr(homes, column.name)

    def columns(self, who: Ints) -> dict[str, Ints]:
        """Returns some customers' columns of the addresses table; `spell_addresses` makes text of them."""
        return {
            "province_code": self.province[who],
            "city": self.place[who],
            "street": self.street[who] * HOUSES + self.house[who],
            "postal_code": self.local[who],
        }


@dataclass(frozen=True)
class People:
    """The customers of one block, by position; what of them never changes.

    Attributes:
        customer_id: Their ids.
        customer_key: Their UUIDs, shape (customers, 16).
        person: Position of the customer who is this person first; another than one's own for a duplicate.
        given: Position of the given name.
        family: Position of the family name.
        gender: Position in GENDERS.
        language: Position in LANGUAGES.
        birth_day: Date of birth, in days.
        joined_at: When each becomes a customer, in microseconds.
        recorded_at: When that is recorded.
        home: The first address.
        method: How each pays, a position in METHODS.
        bill_day: The day of the month of the invoice, 1 to 28.
        strain: How short of money each is in the long run; mean 0, standard deviation 1.
        faults: How often things fail at their place, against a mean of 1.
        unrest: What no table tells of their readiness to leave, in log-hazard.
    """

    customer_id: Ints
    customer_key: Bytes
    person: Ints
    given: Ints
    family: Ints
    gender: Ints
    language: Ints
    birth_day: Ints
    joined_at: Ints
    recorded_at: Ints
    home: Homes
    method: Ints
    bill_day: Ints
    strain: Floats
    faults: Floats
    unrest: Floats


def draw_people(
    seed: int, block: Members, customers: int, calendar: Calendar, reference: ReferenceData, places: Places
) -> People:
    """Draws the customers of one block.

    Args:
        seed: The world's seed.
        block: Which customers.
        customers: How many are known at the origin.
        calendar: Where the world begins and its origin; not how far it goes.
        reference: The provinces.
        places: Where people live.
    """
    # In this order for good: each draw takes up the stream where the one before it left off. What belongs to
    # the person and not to the account is indexed by `person`, so that a duplicate has the same.
    draws = Draws(seed, Topic.PEOPLE, block.number)
    n = block.size
    joined_at = _joined(draws, block, customers, calendar)
    person = _persons(draws, joined_at)
    province = draws.pick(reference.population, n)[person]
    younger_than = draws.uniform(n) ** 1.7 * 62 * 365.25
    age = reference.majority[province] * 365.25 + 2 + younger_than
    return People(
        customer_id=block.first_id + np.arange(n),
        customer_key=draws.uuids(n),
        person=person,
        given=draws.integers(0, GIVEN_NAMES, n)[person],
        family=draws.integers(0, FAMILY_NAMES, n)[person],
        gender=draws.pick(_GENDERS, n)[person],
        language=_languages(draws, province, reference)[person],
        birth_day=(day_of(joined_at) - age.astype(np.int64))[person],
        joined_at=joined_at,
        recorded_at=joined_at + draws.integers(20 * SECOND, 900 * SECOND, n),
        home=draw_homes(draws, province, places),
        method=draws.pick(_METHODS, n),
        bill_day=draws.integers(1, 29, n),
        strain=draws.normal(n)[person],
        faults=np.exp(0.9 * draws.normal(n) - 0.405),
        unrest=0.2 * draws.normal(n)[person],
    )


def _joined(draws: Draws, block: Members, customers: int, calendar: Calendar) -> Ints:
    if block.newcomer >= 0:
        turn = block.newcomer + np.arange(block.size) + draws.uniform(block.size)
        return calendar.origin + (turn * _spacing(customers)).astype(np.int64)
    before = (
        calendar.starts[0]
        - (draws.exponential(42.0, block.size) % 180 * _MEAN_MONTH_US).astype(np.int64)
        - DAY
    )
    starts = calendar.starts[: calendar.month_of(calendar.origin) + 2]
    ends = np.minimum(starts[1:], calendar.origin - DAY)
    lengths = np.maximum(ends - starts[:-1], 0)
    month = draws.pick(lengths * _JOINING_SEASON[calendar.season[: len(lengths)] - 1], block.size)
    within = starts[month] + (draws.uniform(block.size) * lengths[month]).astype(np.int64)
    return np.where(draws.uniform(block.size) < _THERE_AT_THE_START, before, within)


def _persons(draws: Draws, joined_at: Ints) -> Ints:
    """Makes some customers another account of somebody who was there before them."""
    n = len(joined_at)
    itself = np.arange(n)
    other = (draws.uniform(n) * itself).astype(np.int64)
    twice = (draws.uniform(n) < _DUPLICATES) & (joined_at > joined_at[other])
    twice &= ~twice[other]
    return np.where(twice, other, itself)


def _languages(draws: Draws, province: Ints, reference: ReferenceData) -> Ints:
    share = np.array([_FRENCH.get(code, _FRENCH_ELSEWHERE) for code in reference.provinces])
    return draws.happens(share[province]).astype(np.int64)


def draw_homes(draws: Draws, province: Ints, places: Places) -> Homes:
    """Draws an address in each of the given provinces."""
    n = len(province)
    place = province * PLACES + draws.pick(places.weights.astype(np.float64), n)
    number = (draws.uniform(n) ** 2 * 9000).astype(np.int64) + 1
    return Homes(province, place, draws.integers(0, STREETS, n), number, draws.integers(0, 2000, n))
