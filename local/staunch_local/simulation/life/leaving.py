"""How customers leave: who, when and why, and what the true hazard was."""

from dataclasses import dataclass

import numpy as np

from staunch_local.simulation.background.arrays import Bools, Floats, Ints
from staunch_local.simulation.background.clock import DAY, NEVER
from staunch_local.simulation.background.tables import END_REASONS
from staunch_local.simulation.life.hazard import hazard
from staunch_local.simulation.life.state import Life, Month
from staunch_local.simulation.life.subscriptions import end_lines

GHOST_MONTHS = 4
"""For how many months after somebody has left their hazard is still drawn."""

_VOLUNTARY, _NON_PAYMENT, _MOVED, _DECEASED = range(len(END_REASONS))
_MOVED_CHANCE = 0.0016
_DECEASED_AT_40 = 0.00012  # a month; doubles every nine years, as mortality does
_UNPAID_LIMIT = 2
_WON_BACK = 0.09
_ERASED = 0.002  # of those who left more than half a year ago, a month


@dataclass(frozen=True)
class Departures:
    """Those who leave in one month.

    Attributes:
        who: Their positions.
        at: When.
        voluntary: Whether of their own will.
        chance: Everybody's chance to leave of their own will in this month, shape (customers,).
    """

    who: Ints
    at: Ints
    voluntary: Bools
    chance: Floats


def leave(life: Life, month: Month) -> Departures:
    """Draws who leaves in a month, writes the ends of their subscriptions, and the hazard of all."""
    draws, state = month.draws, life.customers
    chance = hazard(life, month)
    here = state.present & (state.started_at < month.begins)
    _write_hazard(life, month, np.flatnonzero(here), chance)
    reason = _reasons(life, month, chance)
    stays = (reason < 0) | ~here | (state.ended_at < NEVER)
    who = np.flatnonzero(~stays)
    at, reasons = month.moments(len(who)), reason[who]
    _end_all(life, month, who, at, reasons)
    state.ended_at[who], state.ghost[who] = at, GHOST_MONTHS
    back = (draws.uniform(len(who)) < _WON_BACK) & (reasons == _VOLUNTARY)
    state.returns[who] = np.where(back, month.number + draws.integers(1, 9, len(who)), -1)
    return Departures(who, at, reasons == _VOLUNTARY, chance)


def _reasons(life: Life, month: Month, chance: Floats) -> Ints:
    """Draws for everybody a reason to leave, -1 for none; what cannot be helped comes first."""
    fate = month.fate
    age = (month.begins // DAY - life.people.birth_day) / 365.25
    reason = np.where(fate.happens(chance), _VOLUNTARY, -1)
    reason = np.where(life.customers.overdue >= _UNPAID_LIMIT, _NON_PAYMENT, reason)
    reason = np.where(fate.uniform(life.size) < _MOVED_CHANCE, _MOVED, reason)
    return np.where(fate.happens(_DECEASED_AT_40 * 2 ** ((age - 40) / 9)), _DECEASED, reason)


def _write_hazard(life: Life, month: Month, who: Ints, chance: Floats) -> None:
    day = np.full(len(who), month.begins // DAY)
    life.rows.add("hazards", who, month=day, hazard=chance[who], known_at=month.begins)


def _end_all(life: Life, month: Month, who: Ints, at: Ints, reason: Ints) -> None:
    lines = np.concatenate([who, who + life.size])
    ended, reasons = np.concatenate([at, at]), np.concatenate([reason, reason])
    running = (life.lines.started_at[lines] <= ended) & (life.lines.ended_at[lines] == NEVER)
    end_lines(life, month.draws, lines[running], ended[running], reasons[running])


def erase(life: Life, month: Month) -> None:
    """Lets a few of those who left long ago have their name and e-mail address erased."""
    state = life.customers
    left_long_ago = ~state.present & (state.ended_at < month.begins - 183 * DAY) & (state.returns < 0)
    asks = left_long_ago & (life.erased_at == NEVER) & (month.draws.uniform(life.size) < _ERASED)
    who = np.flatnonzero(asks)
    life.erased_at[who] = month.moments(len(who))
