"""Reads the report of a ghz run: rates, percentiles and errors by code, of the whole and by step."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

PERCENTILES = (50.0, 90.0, 99.0, 99.9)

HELD = 0.95
"""The share of the offered calls that must be sent, and answered, for a rate to count as held."""


@dataclass(frozen=True)
class Call:
    """One call of a run.

    Attributes:
        start_s: When it was sent, in seconds after the first one.
        latency_ms: From the sending to the answer.
        code: Its status, as in "DEADLINE_EXCEEDED".
    """

    start_s: float
    latency_ms: float
    code: str


@dataclass(frozen=True)
class Figures:
    """What calls gave.

    Attributes:
        offered: The calls a second that were to be sent; None in a closed loop.
        sent: The calls a second that were sent.
        good: The calls a second that were answered OK.
        latencies_ms: Of the answered ones, ascending.
        errors: The others, counted by code.
    """

    offered: float | None
    sent: float
    good: float
    latencies_ms: Sequence[float]
    errors: Mapping[str, int]

    def percentile(self, percent: float) -> float:
        """Returns the latency in ms that so many percent do not exceed; NaN without an answer."""
        if not self.latencies_ms:
            return math.nan
        # Rounded first: 99.9 % of 1,000 is a little more than 999 in floating point.
        rank = math.ceil(round(percent * len(self.latencies_ms) / 100, 6))
        return self.latencies_ms[max(rank, 1) - 1]

    @property
    def generator_late(self) -> bool:
        """Whether ghz sent clearly less than it was to: then the figures are of ghz and not of the server."""
        return self.offered is not None and self.sent < HELD * self.offered

    @property
    def held(self) -> bool:
        """Whether the offered rate was answered."""
        return self.offered is not None and self.good >= HELD * self.offered


def calls(report: Mapping[str, Any]) -> list[Call]:
    """Returns the calls of a report in the order of their sending."""
    found = []
    for detail in report["details"] or ():
        latency_ms = detail["latency"] / 1e6
        # The time that ghz writes is that of the answer.
        end_s = datetime.fromisoformat(detail["timestamp"]).timestamp()
        found.append(Call(end_s - latency_ms / 1e3, latency_ms, code(detail["status"])))
    first_s = min((call.start_s for call in found), default=0.0)
    return sorted(
        (Call(call.start_s - first_s, call.latency_ms, call.code) for call in found),
        key=lambda call: call.start_s,
    )


def code(status: str) -> str:
    """Returns a code as gRPC spells it, from Go's spelling: "DeadlineExceeded", "Canceled"."""
    spelled = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", status).upper()
    return {"CANCELED": "CANCELLED", "": "WITHOUT_CODE"}.get(spelled, spelled)


def figures(of: Sequence[Call], seconds: float, offered: float | None = None) -> Figures:
    """Sums calls up.

    Args:
        of: The calls.
        seconds: How long calls were sent.
        offered: The calls a second that were to be sent; None in a closed loop.
    """
    answered = sorted(call.latency_ms for call in of if call.code == "OK")
    errors = Counter(call.code for call in of if call.code != "OK")
    if not of or seconds <= 0:
        return Figures(offered, 0.0, 0.0, (), {})
    return Figures(offered, len(of) / seconds, len(answered) / seconds, answered, dict(errors.most_common()))


def whole(report: Mapping[str, Any]) -> Figures:
    """Sums a run up; of a run in steps no rate was offered throughout."""
    options = report["options"]
    steady = options.get("load-schedule", "const") == "const"
    offered = float(options.get("rps", 0)) or None
    of = calls(report)
    # A closed loop ends with its last answer, an open one offers for as long as it was to.
    seconds = max((call.start_s + call.latency_ms / 1e3 for call in of), default=0.0)
    if steady and offered and options.get("duration"):
        seconds = max(options["duration"] / 1e9, of[-1].start_s if of else 0.0)
    return figures(of, seconds, offered if steady else None)


def steps(report: Mapping[str, Any]) -> list[Figures]:
    """Sums a run up by step of its load; empty of a run without steps."""
    options = report["options"]
    if options.get("load-schedule", "const") != "step":
        return []
    length_s, rise, end = options["load-step-duration"] / 1e9, options["load-step"], options["load-end"]
    offered = range(options["load-start"], end + (1 if rise > 0 else -1), rise)
    by_step: list[list[Call]] = [[] for _ in offered]
    for call in calls(report):
        index = int(call.start_s / length_s)
        # What is sent after the last step belongs to none.
        if index < len(by_step):
            by_step[index].append(call)
    return [figures(each, length_s, float(rate)) for rate, each in zip(offered, by_step, strict=True)]


def knee(of: Sequence[Figures]) -> float | None:
    """Returns the highest offered rate before the first that was not held; None if none was."""
    held = None
    for step in of:
        if not step.held:
            break
        held = step.offered
    return held
