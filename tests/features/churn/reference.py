"""The churn features and the label once more: slow, obvious loops over one customer's rows.

Written from the descriptions in the view's header, not from its SQL, so that two independent readings of
the same sentence must agree.
"""

import itertools
import math
import statistics
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.features.churn.histories import History, Row

PROVINCES = ["YT", "NT", "NU", "BC", "AB", "SK", "MB", "ON", "QC", "NB", "NS", "PE", "NL"]

Values = dict[str, float | None]


@dataclass(frozen=True)
class Rules:
    """The reference tables, as rows."""

    province_rules: list[Row]
    cancellation_rules: list[Row]
    tiers: dict[str, int]

    def province(self, rule: str, province: str, t: datetime) -> float:
        for row in self.province_rules:
            if (row["rule"], row["province_code"]) == (rule, province) and row["valid_from"] <= t < row[
                "valid_to"
            ]:
                return float(row["value"])
        raise KeyError(rule)


def features(history: History, t: datetime, rules: Rules) -> Values | None:
    """All features of a customer as of t; None if the customer is not known then."""
    customer = history.tables["customers"][0]
    if customer["joined_at"] > t or customer["recorded_at"] > t:
        return None
    live, ended = _subscriptions(history, t)
    address = _only(
        row for row in _known(history, "customer_addresses", t) if row["valid_from"] <= t < row["valid_to"]
    )
    values: Values = {}
    values |= _transaction_features(history, t)
    values |= _subscription_features(live, ended, t)
    values |= _term_features(history, live, address, t, rules)
    values |= _ticket_features(history, t)
    values |= _place_features(customer, address, t, rules)
    values["_eligible"] = float(bool(live) and not (customer.get("erased_at") and customer["erased_at"] <= t))
    return values


def label(history: History, opens: datetime, closes: datetime, t: datetime) -> bool | None:
    """Whether the customer churned in the window; None where the label says nothing."""
    customer = history.tables["customers"][0]
    if customer.get("erased_at") and customer["erased_at"] <= closes:
        return None
    true = [row for row in history.tables["subscriptions"] if row["superseded_at"].year == 9999]
    at_open = [s for s in true if s["started_at"] <= t and (s["ended_at"] is None or s["ended_at"] > opens)]
    if not at_open:
        return None
    begun = [s for s in true if s["started_at"] <= closes]
    if any(s["ended_at"] is None or s["ended_at"] > closes for s in begun):
        return False
    last_end = max(s["ended_at"] for s in begun)
    reasons = {s["end_reason"] for s in begun if s["ended_at"] == last_end}
    return True if "voluntary" in reasons else None


def _known(history: History, table: str, t: datetime, recorded: str = "recorded_at") -> list[Row]:
    return [row for row in history.tables[table] if row[recorded] <= t < row["superseded_at"]]


def _only(rows: Any) -> Row | None:
    found = list(rows)
    assert len(found) <= 1
    return found[0] if found else None


def _seconds(later: datetime, earlier: datetime) -> float:
    return (later - earlier) / timedelta(seconds=1)


def _days(later: datetime, earlier: datetime | None) -> float | None:
    return None if earlier is None else (later - earlier) / timedelta(days=1)


def _within(time: datetime, t: datetime, days: int) -> bool:
    return t - timedelta(hours=24 * days) < time <= t


def _mean(numbers: list[float]) -> float | None:
    return sum(numbers) / len(numbers) if numbers else None


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _transaction_features(history: History, t: datetime) -> Values:
    rows = [row for row in _known(history, "transactions", t) if _within(row["occurred_at"], t, 365)]
    rows.sort(key=lambda row: row["occurred_at"])

    def pick(kind: str, status: str) -> list[Row]:
        return [row for row in rows if row["kind"] == kind and row["status"] == status]

    def recent(some: list[Row]) -> list[Row]:
        return [row for row in some if _within(row["occurred_at"], t, 90)]

    def cad(some: list[Row]) -> list[float]:
        return [(row["amount_cents"] + row["tax_cents"]) / 100 for row in some]

    paid, failed, charged = pick("payment", "settled"), pick("payment", "failed"), pick("charge", "settled")
    settled = [row for row in rows if row["status"] == "settled"]
    sums: dict[str, float] = defaultdict(float)
    for row in settled:
        sums[row["kind"]] += (row["amount_cents"] + row["tax_cents"]) / 100
    older = [row for row in charged if not _within(row["occurred_at"], t, 90)]
    change = None
    if recent(charged) and older:
        change = _mean(cad(recent(charged))) - _mean(cad(older))  # type: ignore[operator]
    gaps = [_seconds(b["occurred_at"], a["occurred_at"]) / 86400 for a, b in itertools.pairwise(paid)]
    unpaid = sums["charge"] + sums["fee"] + sums["refund"] - sums["payment"] - sums["credit"]
    today = t.astimezone(UTC).date()
    billed = [row for row in settled if row["kind"] in ("charge", "fee")]
    not_due = [row for row in billed if row["due_on"] is not None and row["due_on"] >= today]
    payments = paid + failed
    preauthorized = [row for row in payments if row["method"] == "pre_authorized"]
    return {
        "payments_90d": len(recent(paid)),
        "payments_365d": len(paid),
        "paid_365d": sum(cad(paid)),
        "payment_mean_365d": _mean(cad(paid)),
        "payment_stddev_365d": statistics.stdev(cad(paid)) if len(paid) > 1 else None,
        "charge_median_365d": _percentile(cad(charged), 0.5),
        "charge_p90_365d": _percentile(cad(charged), 0.9),
        "charge_trend_365d": _trend([(t - row["occurred_at"]).days for row in charged], cad(charged)),
        "charge_change_90d": change,
        "failed_payments_90d": len(recent(failed)),
        "failed_payments_365d": len(failed),
        "failed_share_365d": _share(len(failed), len(payments)),
        "days_since_payment": _days(t, max((row["occurred_at"] for row in paid), default=None)),
        "days_since_failed_payment": _days(t, max((row["occurred_at"] for row in failed), default=None)),
        "payment_gap_max_365d": max(gaps, default=None),
        "fees_365d": sums["fee"],
        "credits_365d": sums["credit"] + sums["refund"],
        "unpaid_365d": unpaid,
        "overdue_365d": max(0.0, unpaid - sum(cad(not_due))),
        "preauthorized_share_365d": _share(len(preauthorized), len(payments)),
    }


def _percentile(numbers: list[float], share: float) -> float | None:
    if not numbers:
        return None
    ordered = sorted(numbers)
    place = share * (len(ordered) - 1)
    low, high = math.floor(place), math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _trend(days_ago: list[int], amounts: list[float]) -> float | None:
    """The least-squares slope in CAD per 30 days."""
    if len(set(days_ago)) < 2:
        return None
    slope, _ = statistics.linear_regression([-day for day in days_ago], amounts)
    return slope * 30


def _subscriptions(history: History, t: datetime) -> tuple[list[Row], list[Row]]:
    begun = [
        row for row in _known(history, "subscriptions", t, "started_recorded_at") if row["started_at"] <= t
    ]
    ended = [row for row in begun if row["ended_recorded_at"] and row["ended_recorded_at"] <= t]
    return [row for row in begun if row not in ended], ended


def _subscription_features(live: list[Row], ended: list[Row], t: datetime) -> Values:
    services = {row["service"] for row in live}
    return {
        "live_subscriptions": len(live),
        "ended_subscriptions": len(ended),
        "has_wireless": float("wireless" in services),
        "has_internet": float("internet" in services),
        "has_tv": float("tv" in services),
        "tenure_days": _days(t, min((row["started_at"] for row in live + ended), default=None)),
        "days_since_end": _days(t, max((row["ended_at"] for row in ended), default=None)),
    }


def _term_features(
    history: History, live: list[Row], address: Row | None, t: datetime, rules: Rules
) -> Values:
    today = t.astimezone(UTC).date()
    services = {row["subscription_id"]: row["service"] for row in live}
    begun = [
        row
        for row in _known(history, "subscription_terms", t)
        if row["valid_from"] <= t and row["subscription_id"] in services
    ]
    now = [row for row in begun if row["valid_to"] > t]

    def discount(row: Row) -> int:
        over = row["promotion_ends_on"] is not None and row["promotion_ends_on"] <= today
        return 0 if over else row["discount_cents"]

    full = sum(row["monthly_price_cents"] for row in now) / 100
    off = sum(discount(row) for row in now) / 100
    price = full - off if now else None
    tax = rules.province("tax_rate", address["province_code"], t) if address else None
    contracts = [row["contract_ends_on"] for row in now if row["contract_ends_on"]]
    promotions = [row["promotion_ends_on"] for row in now if row["promotion_ends_on"]]
    promoted = sum(row["discount_cents"] for row in now if row["promotion_ends_on"]) / 100
    begins = [row["contract_starts_on"] for row in now if row["contract_months"] > 0]
    province = address["province_code"] if address else None
    fees = [_cancellation_fee(row, services[row["subscription_id"]], province, t, rules) for row in now]
    rises = _rises(begun)
    return {
        "monthly_price": price,
        "monthly_bill": None if price is None or tax is None else price * (1 + tax),
        "discount_share": _share(off, full) if now else None,
        "plan_tier": max((rules.tiers[row["plan_code"]] for row in now), default=None),
        "price_rises_365d": sum(_within(at, t, 365) for at, _ in rises),
        "price_rise_90d": sum(rise for at, rise in rises if _within(at, t, 90)) / 100,
        "contract_months": max((row["contract_months"] for row in now), default=None),
        "contract_days_left": _days_left(contracts, today),
        "contract_ends_90d": float(any(0 < (day - today).days <= 90 for day in contracts)),
        "promotion_days_left": _days_left(promotions, today),
        "promotion_ends_90d": float(any(0 < (day - today).days <= 90 for day in promotions)),
        "promotion_share": _share(promoted, full) if now else None,
        "months_to_24_month_mark": 24 - _months_elapsed(max(begins), today) if begins else None,
        "cancellation_fee": sum(fee for fee in fees if fee is not None) / 100
        if any(fee is not None for fee in fees)
        else None,
    }


def _days_left(ends: list[date], today: date) -> int | None:
    """Days until the next end; if there is none, until the last one, which is not after today."""
    if not ends:
        return None
    return (min((day for day in ends if day > today), default=max(ends)) - today).days


def _rises(terms: list[Row]) -> list[tuple[datetime, int]]:
    found = []
    for later in terms:
        before = [
            row
            for row in terms
            if row["subscription_id"] == later["subscription_id"] and row["valid_from"] < later["valid_from"]
        ]
        if not before:
            continue
        earlier = max(before, key=lambda row: row["valid_from"])
        rise = later["monthly_price_cents"] - earlier["monthly_price_cents"]
        if rise > 0 and earlier["plan_code"] == later["plan_code"]:
            found.append((later["valid_from"], rise))
    return found


def _months_elapsed(start: date, today: date) -> int:
    """Counts the months begun, by walking from one monthly anniversary to the next."""
    sign = 1 if today >= start else -1
    elapsed = 0
    while sign > 0 and _anniversary(start, elapsed) <= today:
        elapsed += 1
    while sign < 0 and _anniversary(start, elapsed - 1) > today:
        elapsed -= 1
    return elapsed


def _anniversary(start: date, months: int) -> date:
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    last = ((date(year, month + 1, 28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)).day
    return date(year, month + 1, min(start.day, last))


def _cancellation_fee(term: Row, service: str, province: str | None, t: datetime, rules: Rules) -> int | None:
    """The lowest ceiling of the rules that hold, in cents, half a cent up."""
    ceilings = []
    for rule in rules.cancellation_rules:
        holds = rule["valid_from"] <= t < rule["valid_to"] and rule["service"] == service
        if holds and rule["province_code"] in (None, province):
            ceilings.append(_ceiling(term, rule, t.astimezone(UTC).date()))
    return min(ceilings, default=None)


def _ceiling(term: Row, rule: Row, today: date) -> int:
    months, start = term["contract_months"], term["contract_starts_on"]
    elapsed = max(0, _months_elapsed(start, today))
    subsidy = term["inducement_cents"] if term["inducement_kind"] == "device_subsidy" else 0
    if subsidy and months:
        over = min(months, rule["subsidy_months"] or months)
        return _round(subsidy * max(over - elapsed, 0) / over)
    if subsidy:
        over = rule["open_ended_subsidy_months"]
        return _round(subsidy * max(over - elapsed, 0) / over)
    if months:
        over = min(months, rule["plain_months"] or months)
        begins = [_anniversary(start, month) for month in range(over)]
        rest = sum(_charge(term, day) for day in begins if day > today)
        return min(rule["plain_cap_cents"], _round(rest * rule["plain_percent"] / 100))
    return 0


def _charge(term: Row, day: date) -> int:
    """The price of a month that begins on a day, less the discount if it lasts until then."""
    lasts = term["promotion_ends_on"] is None or term["promotion_ends_on"] > day
    return int(term["monthly_price_cents"]) - (term["discount_cents"] if lasts else 0)


def _round(cents: float) -> int:
    return math.floor(cents + 0.5)


def _ticket_features(history: History, t: datetime) -> Values:
    rows = [
        row
        for row in _known(history, "support_tickets", t)
        if _within(row["opened_at"], t, 365) and row["category"] != "cancellation"
    ]
    resolved = [row for row in rows if row["resolved_recorded_at"] and row["resolved_recorded_at"] <= t]
    unresolved = [row for row in rows if row not in resolved]
    rated = [row for row in rows if row["rated_recorded_at"] and row["rated_recorded_at"] <= t]

    def recent(days: int, *categories: str) -> int:
        return sum(
            _within(row["opened_at"], t, days) and (not categories or row["category"] in categories)
            for row in rows
        )

    hours = [math.floor(_seconds(row["resolved_at"], row["opened_at"])) / 3600 for row in resolved]
    return {
        "tickets_30d": recent(30),
        "tickets_90d": recent(90),
        "tickets_365d": recent(365),
        "open_tickets": len(unresolved),
        "oldest_open_ticket_days": _days(t, min((row["opened_at"] for row in unresolved), default=None)),
        "billing_tickets_365d": recent(365, "billing"),
        "technical_tickets_90d": recent(90, "technical", "outage"),
        "urgent_tickets_365d": sum(row["priority"] == 1 for row in rows),
        "resolution_hours_mean_365d": _mean(hours),
        "satisfaction_mean_365d": _mean([row["satisfaction"] for row in rated]),
        "days_since_ticket": _days(t, max((row["opened_at"] for row in rows), default=None)),
    }


def _place_features(customer: Row, address: Row | None, t: datetime, rules: Rules) -> Values:
    values: Values = {
        "customer_days": _days(t, customer["joined_at"]),
        "speaks_french": float(customer["language"] == "fr"),
    }
    if address is None:
        return values | dict.fromkeys(
            ["province_west_to_east", "tax_rate", "is_rural", "is_of_age", "address_days"]
        )
    province = address["province_code"]
    majority = int(rules.province("age_of_majority", province, t))
    return values | {
        "province_west_to_east": PROVINCES.index(province) + 1,
        "tax_rate": rules.province("tax_rate", province, t),
        "is_rural": float(address["postal_code"][1] == "0"),
        "is_of_age": float(_anniversary(customer["birth_date"], 12 * majority) <= t.date()),
        "address_days": _days(t, address["valid_from"]),
    }
