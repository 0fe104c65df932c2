"""The tables that the simulated world fills: their columns, and when what is in them becomes known."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

# A label column holds positions in these; -1 is null.
SERVICES = ("wireless", "internet", "tv")
LANGUAGES = ("en", "fr")
GENDERS = ("female", "male", "other", "undisclosed")
END_REASONS = ("voluntary", "non_payment", "moved", "deceased")
INDUCEMENTS = ("none", "device_subsidy", "other")
KINDS = ("charge", "payment", "refund", "credit", "fee")
STATUSES = ("settled", "failed")
METHODS = ("pre_authorized", "credit_card", "bank", "none")
CATEGORIES = ("billing", "technical", "outage", "cancellation", "moving", "other")
CHANNELS = ("phone", "chat", "email", "store")

Kind = Literal["bigint", "int", "float8", "date", "time", "uuid", "text", "label"]


@dataclass(frozen=True)
class WorldColumn:
    """One column.

    Attributes:
        name: Its name in the database.
        kind: How it is encoded. Times are microseconds, dates days, labels positions in `labels`.
        nullable: Whether NEVER (times), NEVER_DAY (dates) and -1 (others) mean null; else NEVER is infinity.
        labels: The texts of a label column; those of `plan_code` come from the database.
    """

    name: str
    kind: Kind
    nullable: bool = False
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class WorldTable:
    """One table.

    Attributes:
        name: Its qualified name.
        columns: Its columns in the order in which they are copied.
        recorded: The column that says when a row became known; a month is known from its first day.
        later: What is set later on: the column that says when that became known, and all it brings.
    """

    name: str
    columns: tuple[WorldColumn, ...]
    recorded: str = "recorded_at"
    later: tuple[tuple[str, tuple[str, ...]], ...] = (("superseded_at", ("superseded_at",)),)


def _id(name: str, nullable: bool = False) -> WorldColumn:
    return WorldColumn(name, "bigint", nullable)


def _time(name: str, nullable: bool = False) -> WorldColumn:
    return WorldColumn(name, "time", nullable)


def _label(name: str, labels: tuple[str, ...], nullable: bool = False) -> WorldColumn:
    return WorldColumn(name, "label", nullable, labels)


_SUPERSEDED = ("superseded_at", ("superseded_at",))
_VALIDITY = (_time("valid_from"), _time("valid_to"), _time("recorded_at"), _time("superseded_at"))

_CUSTOMERS = WorldTable(
    "staunch.customers",
    (
        _id("customer_id"),
        WorldColumn("customer_key", "uuid"),
        WorldColumn("given_name", "text"),
        WorldColumn("family_name", "text"),
        WorldColumn("email", "text"),
        WorldColumn("birth_date", "date"),
        _label("gender", GENDERS),
        _label("language", LANGUAGES),
        _time("joined_at"),
        _time("recorded_at"),
        _time("erased_at", nullable=True),
    ),
    later=(("erased_at", ("erased_at",)),),
)

_ADDRESSES = WorldTable(
    "staunch.customer_addresses",
    (
        _id("customer_id"),
        _id("address_id"),
        WorldColumn("street", "text"),
        WorldColumn("city", "text"),
        WorldColumn("province_code", "label"),
        WorldColumn("postal_code", "text"),
        *_VALIDITY,
    ),
)

_SUBSCRIPTIONS = WorldTable(
    "staunch.subscriptions",
    (
        _id("customer_id"),
        _id("subscription_id"),
        _label("service", SERVICES),
        _time("started_at"),
        _time("started_recorded_at"),
        _time("ended_at", nullable=True),
        _time("ended_recorded_at", nullable=True),
        _label("end_reason", END_REASONS, nullable=True),
        _time("superseded_at"),
    ),
    recorded="started_recorded_at",
    later=(("ended_recorded_at", ("ended_at", "ended_recorded_at", "end_reason")), _SUPERSEDED),
)

_TERMS = WorldTable(
    "staunch.subscription_terms",
    (
        _id("customer_id"),
        _id("subscription_id"),
        _id("term_id"),
        WorldColumn("plan_code", "label"),
        WorldColumn("contract_months", "int"),
        WorldColumn("contract_starts_on", "date"),
        WorldColumn("contract_ends_on", "date", nullable=True),
        _id("monthly_price_cents"),
        _id("discount_cents"),
        WorldColumn("promotion_ends_on", "date", nullable=True),
        _id("inducement_cents"),
        _label("inducement_kind", INDUCEMENTS),
        *_VALIDITY,
    ),
)

_TRANSACTIONS = WorldTable(
    "staunch.transactions",
    (
        _id("customer_id"),
        _id("transaction_id"),
        _id("subscription_id", nullable=True),
        _label("kind", KINDS),
        _label("status", STATUSES),
        _id("amount_cents"),
        _id("tax_cents"),
        _label("method", METHODS),
        WorldColumn("due_on", "date", nullable=True),
        _time("occurred_at"),
        _time("recorded_at"),
        _time("superseded_at"),
        _id("corrects_transaction_id", nullable=True),
    ),
)

_TICKETS = WorldTable(
    "staunch.support_tickets",
    (
        _id("customer_id"),
        _id("ticket_id"),
        _id("subscription_id", nullable=True),
        _label("category", CATEGORIES),
        _label("channel", CHANNELS),
        WorldColumn("priority", "int"),
        _time("opened_at"),
        _time("recorded_at"),
        _time("resolved_at", nullable=True),
        _time("resolved_recorded_at", nullable=True),
        WorldColumn("satisfaction", "int", nullable=True),
        _time("rated_at", nullable=True),
        _time("rated_recorded_at", nullable=True),
        _time("superseded_at"),
    ),
    later=(
        ("resolved_recorded_at", ("resolved_at", "resolved_recorded_at")),
        ("rated_recorded_at", ("satisfaction", "rated_at", "rated_recorded_at")),
        _SUPERSEDED,
    ),
)

_HAZARDS = WorldTable(
    "simulation.hazards",
    (_id("customer_id"), WorldColumn("month", "date"), WorldColumn("hazard", "float8")),
    recorded="known_at",
    later=(),
)

TABLES = MappingProxyType(
    {
        "customers": _CUSTOMERS,
        "addresses": _ADDRESSES,
        "subscriptions": _SUBSCRIPTIONS,
        "terms": _TERMS,
        "transactions": _TRANSACTIONS,
        "tickets": _TICKETS,
        "hazards": _HAZARDS,
    }
)
"""The tables by short name, parents before those that refer to them."""
