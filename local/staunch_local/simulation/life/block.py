"""Draws one block of customers from the first month to the last."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from staunch_local.simulation.background.clock import DAY, EPOCH, NEVER, Calendar
from staunch_local.simulation.background.draws import Draws, Topic
from staunch_local.simulation.background.market import Market, draw_market
from staunch_local.simulation.background.names import Places, draw_places
from staunch_local.simulation.background.reference import ReferenceData
from staunch_local.simulation.life.billing import bill, settle
from staunch_local.simulation.life.hazard import FADING
from staunch_local.simulation.life.leaving import erase, leave
from staunch_local.simulation.life.moves import move
from staunch_local.simulation.life.people import Members, draw_people
from staunch_local.simulation.life.state import Life, Month
from staunch_local.simulation.life.subscriptions import arrive, carry_over, second_lines
from staunch_local.simulation.life.terms import change_terms
from staunch_local.simulation.life.tickets import support
from staunch_local.simulation.rows.rows import ColumnArrays, numbered

_CARRY_OVER = 2**15 - 1  # the month that keys what was there before the first one


@dataclass(frozen=True)
class World:
    """All that the blocks of a world share.

    Attributes:
        seed: From 0 to 2^63 - 1.
        customers: How many are known at the origin.
        calendar: The months.
        reference: What the database says of provinces, taxes, plans and fees.
        market: Prices and outages.
        places: Where customers live.
        drift_from: The first of the months that begin on this date or later follow other habits.
    """

    seed: int
    customers: int
    calendar: Calendar
    reference: ReferenceData
    market: Market
    places: Places
    drift_from: date | None

    @classmethod
    def of(
        cls, seed: int, customers: int, calendar: Calendar, reference: ReferenceData, drift_from: date | None
    ) -> "World":
        """Draws what the blocks share."""
        market = draw_market(seed, calendar, len(reference.provinces))
        return cls(seed, customers, calendar, reference, market, draw_places(seed, reference), drift_from)

    def month(self, block: int, number: int) -> Month:
        """Makes a month of a block, with its own chance."""
        begins, ends = (int(self.calendar.starts[number + i]) for i in (0, 1))
        drift = NEVER if self.drift_from is None else (self.drift_from - EPOCH.date()).days * DAY
        draws, fate = (Draws(self.seed, topic, block, number) for topic in (Topic.MONTHS, Topic.FATE))
        return Month(number, begins, ends, draws, fate, begins >= drift)


def draw_block(world: World, members: Members) -> dict[str, ColumnArrays]:
    """Draws all rows of a block, also those that become known only after the world's `until`.

    Returns:
        The columns of each table by short name, sorted by key. Names and addresses are still numbers.
    """
    people = draw_people(world.seed, members, world.customers, world.calendar, world.reference, world.places)
    life = Life(people, world.calendar, world.market, world.reference, world.places)
    first = world.calendar.month_of(int(people.joined_at.min())) if members.newcomer >= 0 else 0
    if members.newcomer < 0:
        carry_over(life, Draws(world.seed, Topic.MONTHS, members.number, _CARRY_OVER))
    for number in range(first, world.calendar.months):
        _live(life, world.month(members.number, number))
    _write_customers(life)
    return numbered(life.rows, people.customer_id)


def _live(life: Life, month: Month) -> None:
    _begin(life)
    arrive(life, month)
    departures = leave(life, month)
    second_lines(life, month)
    move(life, month)
    change_terms(life, month)
    support(life, month, departures)
    bill(life, month)
    settle(life, month, departures)
    erase(life, month)
    _fade(life)


def _begin(life: Life) -> None:
    """Remembers how things stand when a month begins."""
    lines, state = life.lines, life.customers
    everywhere = np.arange(len(lines.row))
    lines.before.put(everywhere, lines.terms)
    lines.changed_at[:] = NEVER
    state.moved_at[:] = NEVER
    state.province_before[:] = state.province


def _fade(life: Life) -> None:
    """Lets what happened in a month lose strength, and those who left be forgotten in the end."""
    state = life.customers
    for name, kept in FADING.items():
        getattr(state, name)[:] *= kept
    state.fails += state.fails_next
    state.fails_next[:] = 0
    state.open_tickets[:, :-1] = state.open_tickets[:, 1:]
    state.open_tickets[:, -1] = 0
    left = state.present & (state.ended_at < NEVER)
    state.ghost[left] -= 1
    state.present[left & (state.ghost <= 0)] = False


def _write_customers(life: Life) -> None:
    people = life.people
    life.rows.add(
        "customers",
        np.arange(life.size),
        joined_at=people.joined_at,
        recorded_at=people.recorded_at,
        birth_date=people.birth_day,
        gender=people.gender,
        language=people.language,
        given_name=people.given,
        family_name=people.family,
        email=people.customer_id[people.person],
        customer_key=people.customer_key.view("V16")[:, 0],
        erased_at=life.erased_at,
    )
