"""How subscriptions begin: the order, its conditions, and the rows for both."""

import numpy as np

from staunch_local.simulation.background.arrays import Ints
from staunch_local.simulation.background.clock import DAY, HOUR, NEVER, NEVER_DAY, SECOND, add_months, day_of
from staunch_local.simulation.background.draws import Draws
from staunch_local.simulation.life.state import Life, Month, Terms

CONTRACT_MONTHS = np.array([0, 12, 24])
_CONTRACTS = np.array([[0.38, 0.10, 0.52], [0.38, 0.24, 0.38], [0.60, 0.30, 0.10]])  # by service
_TIERS = np.array([0.42, 0.38, 0.20])
_MAIN_SERVICE = np.array([0.62, 0.33, 0.05])
_SECOND_SERVICE = np.array([1, 2, 1])  # to wireless internet, to internet tv, to tv internet
_SECOND_AT_ONCE = 0.22
_SECOND_LATER = 0.006
_SECOND_DROPPED = 0.005
_PROMOTED = 0.45
_PROMOTION_MONTHS = np.array([6, 12, 24])
_PROMOTION_WEIGHTS = np.array([0.45, 0.45, 0.10])
_CARRIED_MONTHS = 30.0  # contracts of the first month began up to so long ago
_MISTAKEN_ORDERS = 0.0004


def term_columns(life: Life, service: Ints, terms: Terms) -> dict[str, Ints]:
    """Returns conditions as columns of the terms table."""
    return {
        "plan_code": life.reference.plans[service, terms.tier],
        "contract_months": terms.months,
        "contract_starts_on": terms.starts_on,
        "contract_ends_on": terms.ends_on,
        "monthly_price_cents": terms.price,
        "discount_cents": terms.discount,
        "promotion_ends_on": terms.promotion_ends_on,
        "inducement_cents": terms.inducement,
        "inducement_kind": terms.kind,
    }


def draw_terms(life: Life, draws: Draws, service: Ints, day: Ints, month: int) -> Terms:
    """Draws the conditions of new contracts.

    Args:
        life: The block.
        draws: The chance.
        service: What is subscribed to.
        day: The first day of each contract.
        month: Whose list prices hold.
    """
    n = len(service)
    tier = np.minimum(draws.pick(_TIERS, n), life.reference.tiers[service] - 1)
    months = CONTRACT_MONTHS[draws.pick_by(_CONTRACTS, service)]
    price = life.market.list_price(service, tier, month)
    discount, promotion_ends_on = _promotions(draws, price, day)
    inducement, kind = _inducements(draws, service, months)
    ends_on = np.where(months > 0, add_months(day, months), NEVER_DAY)
    return Terms(tier, months, day, ends_on, price, discount, promotion_ends_on, inducement, kind)


def _promotions(draws: Draws, price: Ints, day: Ints) -> tuple[Ints, Ints]:
    n = len(price)
    promoted = draws.uniform(n) < _PROMOTED
    share = 0.1 + 0.25 * draws.uniform(n)
    discount = np.where(promoted, np.floor(price * share / 100).astype(np.int64) * 100, 0)
    months = _PROMOTION_MONTHS[draws.pick(_PROMOTION_WEIGHTS, n)]
    return discount, np.where(promoted, add_months(day, months), NEVER_DAY)


def _inducements(draws: Draws, service: Ints, months: Ints) -> tuple[Ints, Ints]:
    """Phones come with the two-year contracts of wireless, rebates with some contracts of internet."""
    n = len(service)
    chance = draws.uniform(n)
    phone = (service == 0) & (months == 24) & (chance < 0.78)
    rebate = (service == 1) & (months > 0) & (chance < 0.2)
    phone_value = draws.integers(8, 37, n) * 2500
    rebate_value = draws.integers(2, 7, n) * 2500
    value = np.where(phone, phone_value, np.where(rebate, rebate_value, 0))
    return value, np.where(phone, 1, np.where(rebate, 2, 0))


def subscribe(life: Life, draws: Draws, lines: Ints, service: Ints, started_at: Ints, terms: Terms) -> None:
    """Starts subscriptions on lines that are free, under conditions that begin with them or later."""
    owner = life.owner(lines)
    known = np.maximum(started_at + draws.delay(len(lines)), life.customers.recorded_at[owner])
    subscription = life.rows.add(
        "subscriptions", owner, service=service, started_at=started_at, started_recorded_at=known
    )
    same_day = terms.starts_on <= day_of(started_at)
    valid_from = np.where(same_day, started_at, terms.starts_on * DAY + 15 * HOUR)
    recorded = np.maximum(known, valid_from + draws.integers(5, 600, len(lines)) * SECOND)
    row = life.rows.add(
        "terms",
        owner,
        subscription_id=subscription,
        valid_from=valid_from,
        recorded_at=recorded,
        **term_columns(life, service, terms),
    )
    state = life.lines
    state.service[lines], state.subscription[lines], state.row[lines] = service, subscription, row
    state.started_at[lines], state.ended_at[lines], state.changed_at[lines] = started_at, NEVER, NEVER
    state.known_at[lines], state.valid_from[lines], state.recorded_at[lines] = known, valid_from, recorded
    state.terms.put(lines, terms)
    state.before.put(lines, terms)


def carry_over(life: Life, draws: Draws) -> None:
    """Starts the first month with those who were customers before it, each some way into a contract."""
    start = int(life.calendar.starts[0])
    who = np.flatnonzero(life.people.joined_at < start)
    joined = life.people.joined_at[who]
    _welcome(life, draws, who, joined, life.people.recorded_at[who])
    service = draws.pick(_MAIN_SERVICE, len(who))
    more = draws.uniform(len(who)) < _SECOND_AT_ONCE + 0.1
    lines = np.concatenate([who, who[more] + life.size])
    services = np.concatenate([service, _SECOND_SERVICE[service[more]]])
    since = np.concatenate([joined, joined[more]]) + draws.integers(60, 3600, len(lines)) * SECOND
    back = np.minimum(draws.uniform(len(lines)) * _CARRIED_MONTHS * 30.4 * DAY, start - since - DAY / 2)
    terms = draw_terms(life, draws, services, day_of(start - back.astype(np.int64)), 0)
    subscribe(life, draws, lines, services, since, terms)


def arrive(life: Life, month: Month) -> None:
    """Lets those begin who join this month, and those who come back."""
    joined = life.people.joined_at
    new = np.flatnonzero((joined >= month.begins) & (joined < month.ends))
    _welcome(life, month.draws, new, joined[new], life.people.recorded_at[new])
    _start(life, month, new, joined[new])
    back = np.flatnonzero(life.customers.returns == month.number)
    at = month.moments(len(back))
    life.customers.forget(back)
    _restart(life, back, at, at)
    _start(life, month, back, at)


def _start(life: Life, month: Month, who: Ints, at: Ints) -> None:
    """Gives customers a main line and some of them a second one."""
    draws = month.draws
    service = draws.pick(_MAIN_SERVICE, len(who))
    both = draws.uniform(len(who)) < _SECOND_AT_ONCE
    lines = np.concatenate([who, who[both] + life.size])
    services = np.concatenate([service, _SECOND_SERVICE[service[both]]])
    since = np.concatenate([at, at[both]]) + draws.integers(60, 1800, len(lines)) * SECOND
    subscribe(
        life, draws, lines, services, since, draw_terms(life, draws, services, day_of(since), month.number)
    )


def _restart(life: Life, who: Ints, at: Ints, known: Ints) -> None:
    state = life.customers
    state.present[who] = True
    state.started_at[who], state.recorded_at[who] = at, known
    state.ended_at[who], state.ghost[who], state.returns[who] = NEVER, 0, -1


def _welcome(life: Life, draws: Draws, who: Ints, at: Ints, known: Ints) -> None:
    """Writes the first address of new customers."""
    _restart(life, who, at, known)
    home = life.homes.columns(who)
    recorded = known + draws.integers(1, 60, len(who)) * SECOND
    life.customers.address[who] = life.rows.add("addresses", who, valid_from=at, recorded_at=recorded, **home)
    life.customers.address_known[who], life.customers.address_from[who] = recorded, at


def second_lines(life: Life, month: Month) -> None:
    """Adds and drops second subscriptions, and enters a few orders by mistake."""
    draws, size, state = month.draws, life.size, life.customers
    settled = state.present & (state.started_at < month.begins) & (state.ended_at == NEVER)
    running = life.running(month.begins)[size:]
    added = np.flatnonzero(draws.happens(np.where(settled & ~running, _SECOND_LATER, 0.0)))
    dropped = np.flatnonzero(draws.happens(np.where(settled & running, _SECOND_DROPPED, 0.0)))
    mistaken = np.flatnonzero(draws.happens(np.where(settled, _MISTAKEN_ORDERS, 0.0)))
    at, service = month.moments(len(added)), _SECOND_SERVICE[life.lines.service[added]]
    terms = draw_terms(life, draws, service, day_of(at), month.number)
    subscribe(life, draws, added + size, service, at, terms)
    end_lines(
        life, draws, dropped + size, month.moments(len(dropped)), np.zeros(len(dropped), dtype=np.int64)
    )
    _mistake(life, month, mistaken)


def end_lines(life: Life, draws: Draws, lines: Ints, at: Ints, reason: Ints) -> None:
    """Ends subscriptions, for reasons that are positions in END_REASONS."""
    rows = life.lines.subscription[lines]
    known = np.maximum(at + draws.delay(len(lines)), life.lines.known_at[lines])
    life.lines.ended_at[lines] = at
    life.rows.edit("subscriptions", rows, ended_at=at, ended_recorded_at=known, end_reason=reason)


def _mistake(life: Life, month: Month, who: Ints) -> None:
    """Orders of a service nobody asked for, superseded within days."""
    draws, at = month.draws, month.moments(len(who))
    service = np.full(len(who), 2)
    known = at + draws.integers(30, 600, len(who)) * SECOND
    undone = known + draws.integers(1, 8 * 24, len(who)) * HOUR
    terms = draw_terms(life, draws, service, day_of(at), month.number)
    subscription = life.rows.add(
        "subscriptions", who, service=service, started_at=at, started_recorded_at=known, superseded_at=undone
    )
    life.rows.add(
        "terms",
        who,
        subscription_id=subscription,
        valid_from=at,
        recorded_at=known,
        superseded_at=undone,
        **term_columns(life, service, terms),
    )
