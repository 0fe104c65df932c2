"""What the simulation keeps of one block of customers while it goes through the months."""

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from staunch_local.simulation.background.arrays import Bools, Floats, Ints
from staunch_local.simulation.background.clock import DAY, HOUR, NEVER, Calendar
from staunch_local.simulation.background.draws import Draws
from staunch_local.simulation.background.fees import Contracts
from staunch_local.simulation.background.market import Market
from staunch_local.simulation.background.names import Places
from staunch_local.simulation.background.reference import ReferenceData
from staunch_local.simulation.life.people import Homes, People
from staunch_local.simulation.rows.rows import BlockRows

LINES = 2
"""The most subscriptions that a customer has at a time."""

_STRENGTHS = ("fails", "fails_next", "shock", "trouble", "anger", "dark")
_COUNTS = ("ghost", "arrears", "unpaid", "overdue", "address", "address_known", "address_from")
_TIMES = ("started_at", "recorded_at", "ended_at", "moved_at")

OPEN_MONTHS = 6
"""For how many months ahead the open tickets are counted."""


@dataclass
class Customers:
    """State by customer. What began with the customers' latest subscription ends with it.

    After somebody has left, the state goes on for GHOST_MONTHS as if they had stayed, without rows: so
    their true hazard is known over the whole of a label's horizon.

    Attributes:
        present: Whether there is somebody to simulate.
        started_at: When the present relationship began.
        recorded_at: From when on the database knows of it.
        ended_at: When it ended; NEVER while it lasts.
        ghost: Months to go on for after the end.
        returns: The month in which somebody who has left is won back; -1 for never.
        province: Where they live; `province_before` at the beginning of the month.
        moved_at: When they moved in this month; NEVER if they did not.
        address: Row of the present address, recorded at `address_known`, valid from `address_from`.
        strain: How short of money they are; a slow random walk around the person's own.
        arrears: Cents still to pay for invoices and fees, tax included; below 0 after credits.
        unpaid: How many invoices in a row were not paid, the last one included.
        overdue: The same without the last one, whose time is not up yet.
        fails: Failed payments, fading by the month; `fails_next`: those dated in the next month.
        shock: Share by which the bill rose, fading.
        trouble: Tickets, fading.
        anger: Poor ratings, fading.
        dark: Hours of outage over 12, fading.
        open_tickets: Tickets open at the beginning of the next OPEN_MONTHS months, shape (customers, months).
    """

    present: Bools
    started_at: Ints
    recorded_at: Ints
    ended_at: Ints
    ghost: Ints
    returns: Ints
    province: Ints
    province_before: Ints
    moved_at: Ints
    address: Ints
    address_known: Ints
    address_from: Ints
    strain: Floats
    arrears: Ints
    unpaid: Ints
    overdue: Ints
    fails: Floats
    fails_next: Floats
    shock: Floats
    trouble: Floats
    anger: Floats
    dark: Floats
    open_tickets: Ints

    @classmethod
    def of(cls, people: People) -> "Customers":
        """Makes the state of customers of whom nobody has come yet."""
        n = len(people.customer_id)
        columns: dict[str, Any] = {name: np.zeros(n) for name in _STRENGTHS}
        columns |= {name: np.zeros(n, dtype=np.int64) for name in _COUNTS}
        columns |= {name: np.full(n, NEVER) for name in _TIMES}
        return cls(
            present=np.zeros(n, dtype=np.bool_),
            returns=np.full(n, -1),
            province=people.home.province.copy(),
            province_before=people.home.province.copy(),
            strain=people.strain.copy(),
            open_tickets=np.zeros((n, OPEN_MONTHS), dtype=np.int64),
            **columns,
        )

    def forget(self, who: Ints) -> None:
        """Clears what one relationship has left behind, for customers who start another."""
        for name in (*_STRENGTHS, "arrears", "unpaid", "overdue"):
            getattr(self, name)[who] = 0
        self.open_tickets[who] = 0


@dataclass
class Terms:
    """The conditions of lines, column by column; all dates in days, all money in cents.

    Attributes:
        tier: Of the plan, from 0.
        months: Length of the contract; 0 for open-ended.
        starts_on: Its first day.
        ends_on: The first day on which it binds no more; NEVER_DAY if open-ended.
        price: Monthly, before discount and tax.
        discount: Off the price while the promotion lasts.
        promotion_ends_on: The first day without it; NEVER_DAY if there is none.
        inducement: What was given for signing.
        kind: Of what kind, positions in INDUCEMENTS.
    """

    tier: Ints
    months: Ints
    starts_on: Ints
    ends_on: Ints
    price: Ints
    discount: Ints
    promotion_ends_on: Ints
    inducement: Ints
    kind: Ints

    @classmethod
    def empty(cls, size: int) -> "Terms":
        """Makes the conditions of lines that do not run."""
        return cls(**{column.name: np.zeros(size, dtype=np.int64) for column in fields(cls)})

    def at(self, lines: Ints) -> "Terms":
        """Returns a copy of the conditions of some lines."""
        return Terms(**{column.name: getattr(self, column.name)[lines] for column in fields(Terms)})

    def put(self, lines: Ints, terms: "Terms") -> None:
        """Gives lines other conditions."""
        for column in fields(Terms):
            getattr(self, column.name)[lines] = getattr(terms, column.name)

    @classmethod
    def choose(cls, first: Bools, one: "Terms", other: "Terms") -> "Terms":
        """Returns for each line the conditions of `one` where `first` says so, else those of `other`."""
        return cls(
            **{c.name: np.where(first, getattr(one, c.name), getattr(other, c.name)) for c in fields(cls)}
        )

    def differ(self, other: "Terms") -> Bools:
        """Tells which lines' conditions differ; nothing hangs on when an open-ended one began."""
        names = [column.name for column in fields(Terms) if column.name != "starts_on"]
        found = np.any([getattr(self, name) != getattr(other, name) for name in names], axis=0)
        differ: Bools = found | ((self.starts_on != other.starts_on) & (self.months > 0))
        return differ

    def bill(self, day: Ints) -> Ints:
        """Returns the price less the discount on given days, in cents."""
        return self.price - np.where(day < self.promotion_ends_on, self.discount, 0)


@dataclass
class Lines:
    """State by line: line i of customer c is at i * customers + c; line 0 is the main one.

    Attributes:
        service: Position in SERVICES.
        subscription: Row of the subscription.
        started_at: When it began; NEVER while there is none.
        known_at: When that was recorded.
        ended_at: When it ended.
        terms: The conditions that hold, or will with the change that is announced.
        before: Those that held at the beginning of the month.
        changed_at: When `terms` follow `before`; NEVER without a change.
        valid_from: Since when the present terms row is valid.
        recorded_at: When it was recorded.
        row: The present terms row.
    """

    service: Ints
    subscription: Ints
    started_at: Ints
    known_at: Ints
    ended_at: Ints
    terms: Terms
    before: Terms
    changed_at: Ints
    valid_from: Ints
    recorded_at: Ints
    row: Ints

    @classmethod
    def empty(cls, customers: int) -> "Lines":
        """Makes the state of lines of which none runs."""
        size = LINES * customers
        zeros = ("service", "subscription", "known_at", "valid_from", "recorded_at", "row")
        never = ("started_at", "ended_at", "changed_at")
        return cls(
            terms=Terms.empty(size),
            before=Terms.empty(size),
            **{name: np.zeros(size, dtype=np.int64) for name in zeros},
            **{name: np.full(size, NEVER) for name in never},
        )

    def terms_at(self, lines: Ints, at: Ints) -> Terms:
        """Returns the conditions of some lines at times of the present month."""
        changed = self.changed_at[lines] <= at
        return Terms.choose(changed, self.terms.at(lines), self.before.at(lines))


@dataclass(frozen=True)
class Month:
    """One month of one block.

    Attributes:
        number: From 0.
        begins: Its first moment, microseconds.
        ends: The first moment after it.
        draws: Its chance.
        fate: The chance by which customers leave; apart, so that nothing else that happens shifts it.
        drifted: Whether customers behave as after the drift.
    """

    number: int
    begins: int
    ends: int
    draws: Draws
    fate: Draws
    drifted: bool

    def moments(self, size: int) -> Ints:
        """Draws moments of the month, by day rather than by night."""
        days = (self.ends - self.begins) // DAY
        time_of_day = 14 * HOUR + self.draws.uniform(size) * 9.9 * HOUR
        return self.begins + self.draws.integers(0, days, size) * DAY + time_of_day.astype(np.int64)


@dataclass
class Life:
    """One block of customers and all that belongs to it.

    Attributes:
        people: Who they are.
        customers: Their state.
        lines: The state of what they subscribe to.
        calendar: The months.
        market: What all customers share.
        reference: What the database says of provinces, taxes, plans and fees.
        places: Where customers live.
        rows: All rows so far.
        homes: Where they live now.
        erased_at: When somebody's name and e-mail address were erased; NEVER mostly.
    """

    people: People
    calendar: Calendar
    market: Market
    reference: ReferenceData
    places: Places
    rows: BlockRows = field(default_factory=BlockRows)
    customers: Customers = field(init=False)
    lines: Lines = field(init=False)
    homes: Homes = field(init=False)
    erased_at: Ints = field(init=False)

    def __post_init__(self) -> None:
        self.customers = Customers.of(self.people)
        self.lines = Lines.empty(self.size)
        self.homes = self.people.home.copy()
        self.erased_at = np.full(self.size, NEVER)

    @property
    def size(self) -> int:
        """How many customers the block has."""
        return len(self.people.customer_id)

    def owner(self, lines: Ints) -> Ints:
        """Returns whose lines these are."""
        return lines % self.size

    def contracts(self, lines: Ints, terms: Terms) -> Contracts:
        """Returns the contracts of some lines under their conditions, as the fee for leaving counts them."""
        return Contracts(
            service=self.lines.service[lines],
            province=self.customers.province[self.owner(lines)],
            months=terms.months,
            starts_on=terms.starts_on,
            price=terms.price,
            discount=terms.discount,
            promotion_ends_on=terms.promotion_ends_on,
            inducement=terms.inducement,
            kind=terms.kind,
        )

    def running(self, at: Ints | int) -> Bools:
        """Tells for each line whether it runs at a time, given for all or for each."""
        return (self.lines.started_at <= at) & (self.lines.ended_at > at)
