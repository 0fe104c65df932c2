"""Support: what goes wrong or is asked, how long it takes to mend, and how that is rated."""

from dataclasses import dataclass

import numpy as np

from staunch_local.simulation.background.arrays import Bools, Floats, Ints
from staunch_local.simulation.background.clock import DAY, HOUR, MINUTE, NEVER, SECOND
from staunch_local.simulation.background.tables import CATEGORIES
from staunch_local.simulation.life.billing import credit
from staunch_local.simulation.life.leaving import Departures
from staunch_local.simulation.life.state import OPEN_MONTHS, Life, Month
from staunch_local.simulation.life.terms import make_offers

_BILLING, _TECHNICAL, _OUTAGE, _CANCELLATION, _MOVING, _OTHER = range(len(CATEGORIES))

_HOURS = np.array([20.0, 38.0, 9.0, 5.0, 60.0, 8.0])  # median time to solve, by category
_SLOW = np.array([0.12, 0.17, 0.06, 0.04, 0.08, 0.06])  # share that takes far longer
_SLOW_FACTOR = 14.0
_CHANNELS = np.array([0.44, 0.33, 0.16, 0.07])
_PRIORITIES = np.array([  # 1 is the most urgent
    [0.05, 0.25, 0.50, 0.20],
    [0.12, 0.38, 0.40, 0.10],
    [0.45, 0.35, 0.15, 0.05],
    [0.10, 0.50, 0.30, 0.10],
    [0.02, 0.18, 0.50, 0.30],
    [0.02, 0.13, 0.40, 0.45],
])  # fmt: skip
_RATED = 0.42
_MISFILED = 0.006
_OUR_MISTAKE = 0.3
_TECHNICAL_CHANCE = (0.048, 0.062)  # a month, before the drift and after it
_OTHER_CHANCE = 0.022
_OUTAGE_REPORTED = 0.35
_OUTAGE_CREDITED = 0.6
_SAYS_SO_FIRST = 0.55  # of those who leave, in a ticket
_THINKS_ALOUD = 0.35  # of the hazard: those who ask to leave and stay
_OFFERED = 0.6


@dataclass(frozen=True)
class _Tickets:
    """Tickets before they are written: of what category, of whom, and when opened."""

    category: Ints
    who: Ints
    at: Ints

    @classmethod
    def of(cls, category: int, drawn: tuple[Ints, Ints]) -> "_Tickets":
        """Makes tickets of one category."""
        return cls(np.full(len(drawn[0]), category), *drawn)

    def where(self, wanted: Bools) -> "_Tickets":
        """Returns some of the tickets."""
        return _Tickets(self.category[wanted], self.who[wanted], self.at[wanted])


def support(life: Life, month: Month, departures: Departures) -> None:
    """Draws a month's tickets and what comes of them: answers, ratings, credits, offers to stay."""
    technical = _TECHNICAL_CHANCE[month.drifted] * life.people.faults
    doubters = _at_some_time(life, month, _THINKS_ALOUD * departures.chance)
    kinds = [
        _Tickets.of(_OUTAGE, _outages(life, month)),
        _Tickets.of(_BILLING, _at_some_time(life, month, _billing_chance(life))),
        _Tickets.of(_TECHNICAL, _at_some_time(life, month, technical)),
        _Tickets.of(_OTHER, _at_some_time(life, month, np.full(life.size, _OTHER_CHANCE))),
        _Tickets.of(_CANCELLATION, doubters),
        _Tickets.of(_CANCELLATION, _farewells(month, departures)),
        _Tickets.of(_MOVING, _moving(life, month)),
    ]
    offered = month.draws.uniform(len(doubters[0])) < _OFFERED
    make_offers(life, month, doubters[0][offered], doubters[1][offered] + HOUR)
    columns = (np.concatenate([getattr(kind, name) for kind in kinds]) for name in ("category", "who", "at"))
    _open(life, month, _Tickets(*columns))


def _at_some_time(life: Life, month: Month, chance: Floats) -> tuple[Ints, Ints]:
    """Draws who has something happen in a month, and when; only those who were there before it."""
    here = life.customers.present & (life.customers.started_at < month.begins)
    who = np.flatnonzero(month.draws.happens(np.where(here, chance, 0.0)))
    return who, month.moments(len(who))


def _billing_chance(life: Life) -> Floats:
    state = life.customers
    surprise = np.minimum(state.shock, 0.2) * 0.7 + 0.05 * np.minimum(state.fails, 3.0)
    return 0.016 + surprise + 0.04 * (state.overdue > 0)


def _farewells(month: Month, departures: Departures) -> tuple[Ints, Ints]:
    """Those who leave and say so first: from an hour to twelve days before the end."""
    leaving, at = departures.who[departures.voluntary], departures.at[departures.voluntary]
    says = month.draws.uniform(len(leaving)) < _SAYS_SO_FIRST
    before = (HOUR + month.draws.uniform(len(leaving)) ** 2 * 12 * DAY).astype(np.int64)
    return leaving[says], np.maximum(at - before, month.begins + MINUTE)[says]


def _moving(life: Life, month: Month) -> tuple[Ints, Ints]:
    moved = life.customers.moved_at < NEVER
    who = np.flatnonzero(moved & (month.draws.uniform(life.size) < 0.6))
    early = (month.draws.uniform(len(who)) * 5 * DAY).astype(np.int64)
    return who, np.maximum(life.customers.moved_at[who] - early, month.begins + MINUTE)


def _outages(life: Life, month: Month) -> tuple[Ints, Ints]:
    """Lets outages reach customers: all feel them, some report them, more get a credit."""
    state, lines, draws = life.customers, life.lines, month.draws
    outages = life.market.outages[month.number]
    service, province = lines.service[: life.size], state.province_before
    starts_at, length = outages.starts_at[province, service], outages.length[province, service]
    reached = (
        draws.happens(outages.share[province, service]) & state.present & (state.started_at < month.begins)
    )
    state.dark[reached] += length[reached] / (12 * HOUR)
    reported = np.flatnonzero(reached & (draws.uniform(life.size) < _OUTAGE_REPORTED))
    credited = np.flatnonzero(reached & (draws.uniform(life.size) < _OUTAGE_CREDITED))
    when = (starts_at + length)[credited] + draws.integers(24, 120, len(credited)) * HOUR
    here = when < state.ended_at[credited]
    cents = 200 + length[credited] // HOUR * 25
    credit(life, month, credited[here], when[here], cents[here])
    at = starts_at[reported] + (draws.uniform(len(reported)) * length[reported]).astype(np.int64)
    return reported, at


def _open(life: Life, month: Month, tickets: _Tickets) -> None:
    """Writes tickets with their resolution and rating, and remembers them."""
    draws, state, who = month.draws, life.customers, tickets.who
    resolved, slowness = _resolutions(month, tickets)
    rating, rated_at = _ratings(month, resolved, slowness)
    np.add.at(state.trouble, who, np.where(tickets.category == _MOVING, 0.3, 1.0))
    np.add.at(state.anger, who, np.where(rating > 0, (3.0 - rating) / 2, 0.0))
    _count_open(life, month, who, resolved)
    written = tickets.at < state.ended_at[who]
    _write(life, month, tickets.where(written), resolved[written], rating[written], rated_at[written])
    ours = (tickets.category == _BILLING) & (draws.uniform(len(who)) < _OUR_MISTAKE)
    corrected = np.flatnonzero(ours & (resolved < state.ended_at[who]))
    cents = draws.integers(5, 31, len(corrected)) * 100
    credit(life, month, who[corrected], resolved[corrected] + 5 * MINUTE, cents)


def _resolutions(month: Month, tickets: _Tickets) -> tuple[Ints, Floats]:
    """Draws when tickets are solved, and how much slower than usual."""
    draws, n, category = month.draws, len(tickets.who), tickets.category
    pace = np.exp(0.9 * draws.normal(n)) * np.where(draws.uniform(n) < _SLOW[category], _SLOW_FACTOR, 1.0)
    hours = np.minimum(_HOURS[category] * pace, 24 * 120)
    return tickets.at + (hours * HOUR).astype(np.int64) + MINUTE, np.log(pace)


def _ratings(month: Month, resolved: Ints, slowness: Floats) -> tuple[Ints, Ints]:
    """Draws who rates the help from 1 to 5, -1 for no rating, and when."""
    draws, n = month.draws, len(resolved)
    score = np.clip(np.rint(3.9 - 0.75 * slowness + 0.9 * draws.normal(n)), 1, 5).astype(np.int64)
    rated = draws.uniform(n) < _RATED
    after = (draws.exponential(20.0, n) % 200 * HOUR).astype(np.int64) + 2 * MINUTE
    return np.where(rated, score, -1), np.where(rated, resolved + after, NEVER)


def _count_open(life: Life, month: Month, who: Ints, resolved: Ints) -> None:
    """Remembers at the beginning of which of the next months the tickets are still open."""
    begins = life.calendar.starts[month.number + 1 : month.number + OPEN_MONTHS]
    for ahead, begin in enumerate(begins, start=1):
        np.add.at(life.customers.open_tickets[:, ahead], who, resolved > begin)


def _write(life: Life, month: Month, tickets: _Tickets, resolved: Ints, rating: Ints, rated_at: Ints) -> None:
    """Writes tickets; a few are filed under the wrong category, superseded and written again within days."""
    # Nothing may be recorded before what it belongs to: a ticket not before its subscription, an answer not
    # before its ticket. NEVER stays NEVER, and must not overflow when seconds are added.
    draws, n = month.draws, len(tickets.who)
    recorded = np.maximum(tickets.at + draws.delay(n), life.lines.known_at[tickets.who])
    resolution_recorded = np.maximum(resolved + draws.delay(n), recorded)
    rating_recorded = np.where(
        rated_at == NEVER, NEVER, np.minimum(rated_at, NEVER - 5 * SECOND) + 5 * SECOND
    )
    columns = {
        "subscription_id": life.lines.subscription[tickets.who],
        "channel": draws.pick(_CHANNELS, n),
        "priority": 1 + draws.pick_by(_PRIORITIES, tickets.category),
        "opened_at": tickets.at,
    }
    wrong = draws.uniform(n) < _MISFILED
    noticed = np.where(wrong, recorded + draws.integers(2, 6 * 24, n) * HOUR, NEVER)
    answer = _Answer(resolved, resolution_recorded, rating, rated_at, rating_recorded)
    category = np.where(wrong, _OTHER, tickets.category)
    life.rows.add(
        "tickets",
        tickets.who,
        category=category,
        recorded_at=recorded,
        superseded_at=noticed,
        **columns,
        **answer.by(noticed),
    )
    right = {name: values[wrong] for name, values in {**columns, **answer.after(noticed)}.items()}
    life.rows.add(
        "tickets", tickets.who[wrong], category=tickets.category[wrong], recorded_at=noticed[wrong], **right
    )


@dataclass(frozen=True)
class _Answer:
    """What became of tickets: when solved, when that was recorded, the rating, when given and recorded."""

    resolved_at: Ints
    resolved_recorded_at: Ints
    satisfaction: Ints
    rated_at: Ints
    rated_recorded_at: Ints

    def by(self, closed: Ints) -> dict[str, Ints]:
        """Returns the columns of rows that learn nothing more once they are superseded."""
        solved, rated = self.resolved_recorded_at < closed, self.rated_recorded_at < closed
        return {
            "resolved_at": np.where(solved, self.resolved_at, NEVER),
            "resolved_recorded_at": np.where(solved, self.resolved_recorded_at, NEVER),
            "satisfaction": np.where(rated, self.satisfaction, -1),
            "rated_at": np.where(rated, self.rated_at, NEVER),
            "rated_recorded_at": np.where(rated, self.rated_recorded_at, NEVER),
        }

    def after(self, opened: Ints) -> dict[str, Ints]:
        """Returns the columns of rows that are written only at a time, with what was known by then."""
        rated = self.rated_at < NEVER
        return {
            "resolved_at": self.resolved_at,
            "resolved_recorded_at": np.maximum(self.resolved_recorded_at, opened),
            "satisfaction": self.satisfaction,
            "rated_at": self.rated_at,
            "rated_recorded_at": np.where(rated, np.maximum(self.rated_recorded_at, opened), NEVER),
        }
