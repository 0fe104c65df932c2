"""How the conditions of a subscription change: price rises, renewals, offers, other plans."""

import numpy as np

from staunch_local.simulation.background.arrays import Bools, Floats, Ints
from staunch_local.simulation.background.clock import DAY, HOUR, NEVER, NEVER_DAY, SECOND, add_months, day_of
from staunch_local.simulation.life.state import Life, Month, Terms
from staunch_local.simulation.life.subscriptions import draw_terms, term_columns

_MONTH_DAYS = 30.436875
_REACHED_BY_RISES = 0.85
_RENEWAL = 0.17  # a month, from a month before the end of a contract to two months after it
_LATE_RENEWAL = 0.012
_OTHER_PLAN = 0.008
_UPGRADES = 0.6


def change_terms(life: Life, month: Month) -> None:
    """Draws at most one change of conditions for each line in a month: a rise, a renewal or another plan."""
    draws, lines = month.draws, life.lines
    settled = (lines.started_at < month.begins - 45 * DAY) & _there(life) & (lines.changed_at == NEVER)
    rise = _rises(life, month) * settled
    reached = draws.uniform(len(rise)) < _REACHED_BY_RISES
    raised = np.flatnonzero((rise > 0) & reached)
    _raise(life, month, raised, rise[raised])
    settled[raised] = False
    renewed = np.flatnonzero(settled & draws.happens(_renewal_chance(life, month)))
    _renew(life, month, renewed)
    settled[renewed] = False
    replanned = np.flatnonzero(settled & (draws.uniform(len(settled)) < _OTHER_PLAN))
    _replan(life, month, replanned)


def _there(life: Life) -> Bools:
    """Lines of customers who are present, or were until they left: theirs go on without rows."""
    with_customer = np.tile(life.customers.present, 2)
    ended_alone = life.lines.ended_at < np.tile(life.customers.ended_at, 2)
    return with_customer & (life.lines.started_at < NEVER) & ~ended_alone


def _rises(life: Life, month: Month) -> Ints:
    """Cents by which each line's price will rise on the first of next month, running contracts excepted."""
    rise = life.market.rises[life.lines.service, month.number + 1]
    free = (life.lines.terms.ends_on * DAY <= month.ends) | (life.lines.terms.months == 0)
    return np.where(free, rise, 0)


def _raise(life: Life, month: Month, lines: Ints, cents: Ints) -> None:
    """Announces a rise in the first days of the month before."""
    terms = life.lines.terms.at(lines)
    before = terms.bill(np.full(len(lines), month.ends // DAY))
    terms.price = terms.price + cents
    main = lines < life.size
    shock = cents / np.maximum(before, 1000)
    life.customers.shock[lines[main]] += shock[main]
    announced = month.begins + (12 * HOUR + month.draws.uniform(len(lines)) * 1.5 * DAY).astype(np.int64)
    _change(life, lines, terms, np.full(len(lines), month.ends), announced)


def _renewal_chance(life: Life, month: Month) -> Floats:
    left = (life.lines.terms.ends_on - month.begins // DAY) / _MONTH_DAYS
    fixed = life.lines.terms.ends_on < NEVER_DAY
    near = fixed & (left < 1.0) & (left > -2.0)
    return np.where(near, _RENEWAL, np.where(fixed & (left > 0), 0.0, _LATE_RENEWAL))


def _renew(life: Life, month: Month, lines: Ints) -> None:
    """Signs a new contract at today's prices, on the same tier or a higher one."""
    at = month.moments(len(lines))
    old = life.lines.terms.at(lines)
    terms = draw_terms(life, month.draws, life.lines.service[lines], day_of(at), month.number)
    tiers = life.reference.tiers[life.lines.service[lines]]
    higher = month.draws.uniform(len(lines)) < 0.2
    terms.tier = np.minimum(old.tier + higher, tiers - 1)
    terms.price = life.market.list_price(life.lines.service[lines], terms.tier, month.number)
    terms.discount = np.minimum(terms.discount, terms.price)
    _change(life, lines, terms, at, at + _prompt(month, len(lines)))


def _replan(life: Life, month: Month, lines: Ints) -> None:
    """Moves to the tier above or below under the same contract, where there is one worth asking for."""
    at, recorded = month.moments(len(lines)), _prompt(month, len(lines))
    step = np.where(month.draws.uniform(len(lines)) < _UPGRADES, 1, -1)
    terms, service = life.lines.terms.at(lines), life.lines.service[lines]
    before, top = terms.price, life.reference.tiers[service] - 1
    tier = terms.tier + step
    terms.tier = np.clip(tier, 0, top)
    terms.price = life.market.list_price(service, terms.tier, month.number)
    terms.discount = np.minimum(terms.discount, terms.price // 2)
    # List prices rise: nobody asks for less to pay more.
    moves = np.flatnonzero((tier == terms.tier) & ((terms.price - before) * step > 0))
    _change(life, lines[moves], terms.at(moves), at[moves], (at + recorded)[moves])


def make_offers(life: Life, month: Month, who: Ints, at: Ints) -> None:
    """Keeps customers who asked to leave with a discount on their main line, where nothing else changes.

    Args:
        life: The block.
        month: The month.
        who: Positions of the customers.
        at: When each is offered it.
    """
    free = life.lines.changed_at[who] == NEVER
    who, at = who[free], at[free]
    terms = life.lines.terms.at(who)
    share = 0.15 + 0.2 * month.draws.uniform(len(who))
    terms.discount = np.floor(terms.price * share / 100).astype(np.int64) * 100
    terms.promotion_ends_on = add_months(day_of(at), 6 + 6 * month.draws.integers(0, 2, len(who)))
    _change(life, who, terms, at, at + _prompt(month, len(who)))


def _prompt(month: Month, size: int) -> Ints:
    """How long after a change it is recorded: it is made at the desk or the screen, so mostly at once."""
    late = month.draws.uniform(size) < 0.02
    wait = month.draws.exponential(1.0, size) % 20
    return SECOND + (wait * np.where(late, DAY, 60 * SECOND)).astype(np.int64)


def _change(life: Life, lines: Ints, terms: Terms, valid_from: Ints, recorded: Ints) -> None:
    """Writes changes as corrections of what was known: the old row superseded, two rows instead of it.

    Where nothing would change there is nothing to write.
    """
    state = life.lines
    new = np.flatnonzero(terms.differ(state.terms.at(lines)))
    lines, terms, valid_from, recorded = lines[new], terms.at(new), valid_from[new], recorded[new]
    valid_from = np.maximum(valid_from, state.valid_from[lines] + 60 * SECOND)
    recorded = np.maximum(recorded, state.recorded_at[lines] + SECOND)
    seen = np.minimum(valid_from, recorded) < state.ended_at[lines]
    _write_change(life, lines[seen], terms, seen, valid_from[seen], recorded[seen])
    state.terms.put(lines, terms)
    state.changed_at[lines], state.valid_from[lines], state.recorded_at[lines] = (
        valid_from,
        valid_from,
        recorded,
    )


def _write_change(
    life: Life, lines: Ints, terms: Terms, seen: Bools, valid_from: Ints, recorded: Ints
) -> None:
    state, owner = life.lines, life.owner(lines)
    service, subscription = state.service[lines], state.subscription[lines]
    life.rows.edit("terms", state.row[lines], superseded_at=recorded)
    old = term_columns(life, service, state.terms.at(lines))
    new = term_columns(life, service, terms.at(np.flatnonzero(seen)))
    common = {"subscription_id": subscription, "recorded_at": recorded}
    life.rows.add("terms", owner, valid_from=state.valid_from[lines], valid_to=valid_from, **old, **common)
    state.row[lines] = life.rows.add("terms", owner, valid_from=valid_from, **new, **common)
