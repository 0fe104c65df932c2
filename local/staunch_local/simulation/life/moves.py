"""Moving house: a new address from a day on, and addresses that were taken down wrongly."""

import numpy as np

from staunch_local.simulation.background.arrays import Ints
from staunch_local.simulation.background.clock import DAY, HOUR, NEVER, SECOND
from staunch_local.simulation.life.people import Homes, draw_homes
from staunch_local.simulation.life.state import Life, Month

_MOVES = 0.007
_TO_ANOTHER_PROVINCE = 0.15
_REPORTED_BEFORE = 0.5
_REPORTED_AT_ONCE = 0.85
_WRONG_ADDRESSES = 0.0006


def move(life: Life, month: Month) -> None:
    """Moves some customers in a month, and corrects the address of some others."""
    draws, state = month.draws, life.customers
    settled = state.present & (state.started_at < month.begins) & (state.ended_at == NEVER)
    chance = draws.uniform(life.size)
    movers = np.flatnonzero(settled & (chance < _MOVES))
    wrong = np.flatnonzero(settled & (chance >= _MOVES) & (chance < _MOVES + _WRONG_ADDRESSES))
    _move(life, month, movers)
    _correct(life, month, wrong)


def _move(life: Life, month: Month, who: Ints) -> None:
    """Supersedes the old address and writes it again with its end, and the new one."""
    state, at = life.customers, month.moments(len(who))
    known = np.maximum(_reported_at(month, at), state.address_known[who] + SECOND)
    at = np.maximum(at, state.address_from[who] + DAY)
    life.rows.edit("addresses", state.address[who], superseded_at=known)
    old = life.homes.columns(who)
    life.rows.add("addresses", who, valid_from=state.address_from[who], valid_to=at, recorded_at=known, **old)
    home = _next_homes(life, month, who)
    life.homes.put(who, home)
    new = life.homes.columns(who)
    state.address[who] = life.rows.add("addresses", who, valid_from=at, recorded_at=known, **new)
    state.address_from[who], state.address_known[who] = at, known
    state.province[who], state.moved_at[who] = home.province, at


def _next_homes(life: Life, month: Month, who: Ints) -> Homes:
    far = month.draws.uniform(len(who)) < _TO_ANOTHER_PROVINCE
    anywhere = month.draws.pick(life.reference.population, len(who))
    return draw_homes(month.draws, np.where(far, anywhere, life.homes.province[who]), life.places)


def _reported_at(month: Month, at: Ints) -> Ints:
    """Draws when we hear of moves: before, on the day, or weeks after."""
    draws, n = month.draws, len(at)
    chance = draws.uniform(n)
    before = month.begins + (draws.uniform(n) * (at - month.begins)).astype(np.int64)
    after = at + (draws.uniform(n) * 30 * DAY).astype(np.int64)
    promptly = at + (draws.uniform(n) * 6 * HOUR).astype(np.int64)
    return np.where(chance < _REPORTED_BEFORE, before, np.where(chance < _REPORTED_AT_ONCE, promptly, after))


def _correct(life: Life, month: Month, who: Ints) -> None:
    """Writes an address again that was taken down wrongly, from when it was valid."""
    state = life.customers
    known = np.maximum(month.moments(len(who)), state.address_known[who] + SECOND)
    life.rows.edit("addresses", state.address[who], superseded_at=known)
    home = draw_homes(month.draws, life.homes.province[who], life.places)
    life.homes.put(who, home)
    row = life.rows.add(
        "addresses", who, valid_from=state.address_from[who], recorded_at=known, **life.homes.columns(who)
    )
    state.address[who], state.address_known[who] = row, known
