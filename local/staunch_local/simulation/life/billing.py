"""Money: invoices with tax, payments and their failures, fees, credits, refunds, corrections."""

from dataclasses import dataclass

import numpy as np

from staunch_local.simulation.background.arrays import Bools, Floats, Ints
from staunch_local.simulation.background.clock import DAY, HOUR, MINUTE, NEVER_DAY, day_of
from staunch_local.simulation.background.fees import cancellation_fee
from staunch_local.simulation.background.tables import KINDS, METHODS, STATUSES
from staunch_local.simulation.life.leaving import Departures
from staunch_local.simulation.life.state import LINES, Life, Month

_CHARGE, _PAYMENT, _REFUND, _CREDIT, _FEE = range(len(KINDS))
_SETTLED, _FAILED = range(len(STATUSES))
_PRE_AUTHORIZED = METHODS.index("pre_authorized")
_NO_METHOD = METHODS.index("none")

_DUE_DAYS = 21
_EXTRAS = 0.12  # a month with something beyond the plan: roaming, a film, more data
_EXTRAS_CENTS = 1400.0
_FIRST_FAILURE = (-4.3, 1.25)  # log-odds, and what a unit of strain adds
_RETRY_FAILURE = (-0.75, 0.8)
_FORGOTTEN = 0.012  # invoices that those who pay by hand forget until the next one
_LATE_PAYMENT = 0.06
_LATE_FEE_CENTS = 1500
_WRONG_CHARGE = 0.004
_ACTIVATION_FEE = 0.4
_REFUNDED = 0.6
_FEE_PAID = 0.75


@dataclass(frozen=True)
class _Invoices:
    """One month's invoices by customer: whether one is sent and gets rows, when, its cents with tax."""

    sent: Bools
    written: Bools
    at: Ints
    total: Ints


def bill(life: Life, month: Month) -> None:
    """Writes a month's invoices and all that follows from them until they are paid or given up."""
    noise = month.draws.normal(life.size)
    life.customers.strain = 0.85 * life.customers.strain + 0.15 * life.people.strain + 0.45 * noise
    invoices = _invoice(life, month)
    late = np.flatnonzero(invoices.written & (life.customers.unpaid > 0))
    _post(life, month, _FEE, late, invoices.at[late] + 10 * MINUTE, np.full(len(late), _LATE_FEE_CENTS))
    life.customers.arrears[late] += _LATE_FEE_CENTS
    _collect(life, month, invoices)
    _activate(life, month)


def _post(  # noqa: PLR0913 - the columns of a row
    life: Life,
    month: Month,
    kind: int,
    owner: Ints,
    at: Ints,
    amount: Ints,
    *,
    lines: Ints | None = None,
    **more: Ints | int,
) -> Ints:
    """Writes transactions, recorded as promptly as most are, but not before what they belong to."""
    known = life.customers.recorded_at[owner] if lines is None else life.lines.known_at[lines]
    columns = {
        "status": _SETTLED,
        "method": _NO_METHOD,
        "due_on": NEVER_DAY,
        "subscription_id": -1 if lines is None else life.lines.subscription[lines],
        "recorded_at": np.maximum(at + month.draws.delay(len(owner)), known),
        **more,
    }
    return life.rows.add("transactions", owner, kind=kind, occurred_at=at, amount_cents=amount, **columns)


def _tax(life: Life, owner: Ints, at: Ints, amount: Ints) -> Ints:
    """Returns the sales tax in cents, by where each customer lived at the time and the rate of then."""
    state = life.customers
    province = np.where(state.moved_at[owner] <= at, state.province[owner], state.province_before[owner])
    return np.rint(amount * life.reference.tax(province, at)).astype(np.int64)


def _invoice(life: Life, month: Month) -> _Invoices:
    """Charges every line on the customer's day of the month, in advance."""
    draws, state, size = month.draws, life.lines, life.size
    minutes = draws.integers(0, 240, size) * MINUTE
    at = month.begins + (life.people.bill_day - 1) * DAY + 6 * HOUR + minutes
    line_at = np.tile(at, LINES)
    there = (state.started_at <= line_at) & np.tile(life.customers.present, LINES)
    goes_on = (state.ended_at > line_at) | (state.ended_at == np.tile(life.customers.ended_at, LINES))
    charged = np.flatnonzero(there & goes_on)
    owner, when = life.owner(charged), line_at[charged]
    amount = _amounts(life, month, charged, when)
    tax = _tax(life, owner, when, amount)
    written = state.ended_at[charged] > when
    _charge(life, month, charged[written], when[written], amount[written], tax[written])
    total = np.bincount(owner, amount + tax, minlength=size).astype(np.int64)
    real = np.bincount(owner, written, minlength=size) > 0
    return _Invoices(np.bincount(owner, minlength=size) > 0, real, at, total)


def _amounts(life: Life, month: Month, lines: Ints, at: Ints) -> Ints:
    extra = month.draws.uniform(len(lines)) < _EXTRAS
    cents = month.draws.exponential(_EXTRAS_CENTS, len(lines)).astype(np.int64)
    return life.lines.terms_at(lines, at).bill(day_of(at)) + np.where(extra, cents, 0)


def _charge(life: Life, month: Month, lines: Ints, at: Ints, amount: Ints, tax: Ints) -> None:
    """Writes charges; a few are too high at first and corrected, superseded and written again, days later."""
    wrong = month.draws.uniform(len(lines)) < _WRONG_CHARGE
    first = np.where(wrong, amount * 5 // 4, amount)
    owner, due_on = life.owner(lines), day_of(at) + _DUE_DAYS
    first_tax = _tax(life, owner, at, first)
    rows = _post(life, month, _CHARGE, owner, at, first, lines=lines, tax_cents=first_tax, due_on=due_on)
    seen = at[wrong] + month.draws.integers(42 * 24, 60 * 24, int(wrong.sum())) * HOUR
    life.rows.edit("transactions", rows[wrong], superseded_at=seen)
    right = {"tax_cents": tax[wrong], "due_on": due_on[wrong], "corrects_transaction_id": rows[wrong]}
    _post(
        life,
        month,
        _CHARGE,
        owner[wrong],
        at[wrong],
        amount[wrong],
        lines=lines[wrong],
        recorded_at=seen,
        **right,
    )


def _collect(life: Life, month: Month, invoices: _Invoices) -> None:
    """Tries to collect each invoice, twice again after a failure; what stays unpaid goes on the next one."""
    state, draws = life.customers, month.draws
    who = np.flatnonzero(invoices.sent)
    auto = life.people.method[who] == _PRE_AUTHORIZED
    at = _payment_times(month, invoices.at[who], auto)
    tried = auto | (draws.uniform(len(who)) >= _FORGOTTEN)
    owed = invoices.total[who] + state.arrears[who]
    paid = np.zeros(len(who), dtype=np.bool_)
    for log_odds, wait in ((_FIRST_FAILURE, 0), (_RETRY_FAILURE, 4), (_RETRY_FAILURE, 10)):
        at = at + (wait * (0.75 + 0.5 * draws.uniform(len(who))) * DAY).astype(np.int64)
        fails = draws.happens(_chance(log_odds, state.strain[who]))
        trying = tried & ~paid & (owed > 0)
        _pay(life, month, who, at, owed, trying & invoices.written[who], fails)
        _count_failures(life, month, who[trying & fails], at[trying & fails])
        paid |= trying & ~fails
    paid |= owed <= 0
    state.overdue[who] = state.unpaid[who]
    state.unpaid[who] = np.where(paid, 0, state.unpaid[who] + 1)
    state.arrears[who] = np.where(paid, np.minimum(owed, 0), owed)


def _chance(log_odds: tuple[float, float], strain: Floats) -> Floats:
    return 1 / (1 + np.exp(-(log_odds[0] + log_odds[1] * strain)))


def _payment_times(month: Month, billed_at: Ints, auto: Bools) -> Ints:
    """Pre-authorized payments run on the due date, others when people get to it, a few too late."""
    n = len(billed_at)
    due = (day_of(billed_at) + _DUE_DAYS) * DAY + 9 * HOUR
    by_hand = 2 + 19 * month.draws.uniform(n) ** 0.6
    late = month.draws.uniform(n) < _LATE_PAYMENT
    by_hand = by_hand + np.where(late, 12 * month.draws.uniform(n), 0.0)
    hours = (month.draws.uniform(n) * 4 * HOUR).astype(np.int64)
    return np.where(auto, due + hours, billed_at + (by_hand * DAY).astype(np.int64))


def _pay(life: Life, month: Month, who: Ints, at: Ints, owed: Ints, trying: Bools, fails: Bools) -> None:  # noqa: PLR0913 - the arrays of one month
    owner = who[trying]
    status = np.where(fails[trying], _FAILED, _SETTLED)
    method = life.people.method[owner]
    _post(life, month, _PAYMENT, owner, at[trying], owed[trying], status=status, method=method)


def _count_failures(life: Life, month: Month, who: Ints, at: Ints) -> None:
    now = at < month.ends
    life.customers.fails[who[now]] += 1
    life.customers.fails_next[who[~now]] += 1


def _activate(life: Life, month: Month) -> None:
    """Charges some of those whose main line began this month for setting it up, on their next payment."""
    started = life.lines.started_at[: life.size]
    begun = (started >= month.begins) & (started < month.ends) & life.customers.present
    who = np.flatnonzero(begun & (month.draws.uniform(life.size) < _ACTIVATION_FEE))
    cents = month.draws.integers(7, 13, len(who)) * 500
    at = started[who] + 20 * MINUTE
    tax = _tax(life, who, at, cents)
    _post(life, month, _FEE, who, at, cents, lines=who, tax_cents=tax)
    life.customers.arrears[who] += cents + tax


def credit(life: Life, month: Month, owner: Ints, at: Ints, cents: Ints) -> None:
    """Writes credits, such as for outages and billing errors; the next payment is less by them.

    Args:
        life: The block.
        month: The month.
        owner: Positions of the customers.
        at: When, microseconds.
        cents: How much before tax.
    """
    tax = _tax(life, owner, at, cents)
    _post(life, month, _CREDIT, owner, at, cents, tax_cents=tax)
    np.subtract.at(life.customers.arrears, owner, cents + tax)


def settle(life: Life, month: Month, departures: Departures) -> None:
    """Charges who leaves early the fee that the rules allow, and pays back what was billed in advance."""
    who, at = departures.who[departures.voluntary], departures.at[departures.voluntary]
    lines, when = np.concatenate([who, who + life.size]), np.concatenate([at, at])
    ending = life.lines.ended_at[lines] == when
    _charge_fees(life, month, lines[ending], when[ending])
    refunded = (month.draws.uniform(len(who)) < _REFUNDED) & (life.customers.unpaid[who] == 0)
    _refund(life, month, who[refunded], at[refunded])


def _charge_fees(life: Life, month: Month, lines: Ints, at: Ints) -> None:
    contracts = life.contracts(lines, life.lines.terms_at(lines, at))
    fee = cancellation_fee(life.reference.fee_rules, contracts, at)
    due = fee > 0
    lines, at, fee = lines[due], at[due] + 5 * MINUTE, fee[due]
    owner = life.owner(lines)
    tax = _tax(life, owner, at, fee)
    _post(life, month, _FEE, owner, at, fee, lines=lines, tax_cents=tax, due_on=day_of(at) + _DUE_DAYS)
    paid = month.draws.uniform(len(lines)) < _FEE_PAID
    later = at[paid] + month.draws.integers(5 * 24, 25 * 24, int(paid.sum())) * HOUR
    _post(
        life, month, _PAYMENT, owner[paid], later, (fee + tax)[paid], method=life.people.method[owner[paid]]
    )


def _refund(life: Life, month: Month, who: Ints, at: Ints) -> None:
    """Pays back the rest of the month that was billed in advance."""
    day = day_of(at - month.begins) + 1
    left = ((life.people.bill_day[who] - day) % 30) / 30
    cents = np.floor(life.lines.terms_at(who, at).bill(day_of(at)) * left).astype(np.int64)
    later = at + month.draws.integers(3 * 24, 15 * 24, len(who)) * HOUR
    tax, method = _tax(life, who, at, cents), life.people.method[who]
    some = cents > 0
    _post(life, month, _REFUND, who[some], later[some], cents[some], tax_cents=tax[some], method=method[some])
