"""Tries every fault on a running server, and prints what it did to those who call it: `make faults`.

Callers ask all the time; an oracle computes every answer that they get once more, by the version and the
moment that it names. A fault is held if no answer was wrong, no call stayed unanswered or ended by a code
that it may not end by, nobody noticed what nobody may notice, calls are answered again in time after it, and
the server lives and has not grown.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.campaigns import caller_faults, database_faults, process_faults
from tests.campaigns.callers import TEMPORARY, Outcome, Record, calling
from tests.campaigns.faults import FAULTS, Fault
from tests.campaigns.target import Target, started
from tests.server.harness.shell import TRANSPORTS

PLACES = (database_faults, process_faults, caller_faults)
"""The modules that register faults when they are imported."""

_WELL_S = 1.0  # so long every call must have been answered for the server to be well again
_GROWTH_BYTES = 96 << 20  # of a worker over a fault: a message of the largest size for each call, and noise
_CALLERS = 8


@dataclass(frozen=True)
class Verdict:
    """What a fault did.

    Attributes:
        fault: Its name.
        transport: On which transport.
        calls: How many ended meanwhile and until the server was well.
        good: How many of them were answered or refused as they must be.
        healed_s: How long after its end a call still failed; 0 if none did.
        missed: What did not hold; empty if all did.
    """

    fault: str
    transport: str
    calls: int
    good: int
    healed_s: float
    missed: tuple[str, ...]


async def tried(name: str, target: Target, record: Record, lasts_s: float | None = None) -> Verdict:
    """Lets a fault happen, as long as it says or `lasts_s`; waits until the server is well, and judges."""
    fault, began_at, before_bytes = FAULTS[name], time.monotonic(), target.memory_bytes()
    async with fault.begins(target):
        await asyncio.sleep(fault.lasts_s if lasts_s is None else lasts_s)
    ended_at = time.monotonic()
    is_well = await _well_again(target, record, fault.heals_s)
    outcomes = record.since(began_at)
    failed = [each for each in outcomes if each.failed]
    return Verdict(
        fault=name,
        transport=target.transport,
        calls=len(outcomes),
        good=len(outcomes) - len(failed),
        healed_s=max([0.0, *(each.ended_at - ended_at for each in failed)]),
        missed=(
            *missed(fault, outcomes),
            *(() if is_well else (f"not well {fault.heals_s:g} s after it",)),
            *_grown(target.memory_bytes() - before_bytes),
        ),
    )


async def _well_again(target: Target, record: Record, patience_s: float) -> bool:
    """Waits until every call has been answered for a while and all processes are there."""
    began_at = time.monotonic()
    while time.monotonic() < began_at + patience_s + _WELL_S:
        await asyncio.sleep(0.1)
        lately = record.ended_since(max(began_at, time.monotonic() - _WELL_S))
        waited_s = time.monotonic() - began_at
        if waited_s > _WELL_S and lately and not any(each.failed for each in lately) and target.alive():
            return True
    return False


def missed(fault: Fault, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yields what did not hold of that which calls met while a fault lasted and until the server was well."""
    wrong = [error for each in outcomes for error in each.errors]
    if wrong:
        yield f"{len(wrong)} wrong, such as {wrong[0]}"
    if not any(each.code == "OK" for each in outcomes):
        yield "no answer at all"
    for each in {(one.code, one.reason) for one in outcomes if one.failed}:
        if not _allowed(fault, *each):
            yield f"{each[0]} {each[1]}"[:100]


def _allowed(fault: Fault, code: str, reason: str) -> bool:
    if fault.harmless or code not in {*TEMPORARY, "FAILED_PRECONDITION"}:
        return False
    return fault.refuses if reason == "MODEL_REFUSED" else code in TEMPORARY


def _grown(by_bytes: int) -> Iterator[str]:
    if by_bytes > _GROWTH_BYTES:
        yield f"a worker grew by {by_bytes >> 20} MiB"


async def campaign(transport: str, names: Sequence[str]) -> list[Verdict]:
    """Tries faults one after the other on one server, and prints each verdict as it is there."""
    verdicts = []
    async with (
        started(transport) as target,
        calling(target.address, target.oracle, callers=_CALLERS) as record,
    ):
        for name in names:
            if transport in FAULTS[name].open_on:
                print(f"{transport:<7} open  {name}: {FAULTS[name].open_on[transport]}", flush=True)
                continue
            verdicts.append(await tried(name, target, record))
            print(line(verdicts[-1]), flush=True)
    return verdicts


def line(verdict: Verdict) -> str:
    """Writes a verdict as a line of the table."""
    figures = f"{verdict.good:5} of {verdict.calls:5} good, well after {verdict.healed_s:4.1f} s"
    missed = f": {'; '.join(verdict.missed)}" if verdict.missed else ""
    return (
        f"{verdict.transport:<7} {'MISS ' if verdict.missed else 'held '} {figures}  {verdict.fault}{missed}"
    )


def main() -> int:
    """Runs the campaign and returns the exit code: 1 if a fault was missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="only faults whose name has one of these words"
    )
    parser.add_argument("--transport", choices=sorted(TRANSPORTS), action="append", help="only on this one")
    parser.add_argument("--list", action="store_true", help="print the names of the faults and end")
    arguments = parser.parse_args()
    names = [name for name in FAULTS if any(word in name for word in arguments.words or [""])]
    if arguments.list:
        print("\n".join(names))
        return 0
    verdicts = [
        verdict
        for transport in arguments.transport or sorted(TRANSPORTS)
        for verdict in asyncio.run(campaign(transport, names))
    ]
    not_held = sum(bool(verdict.missed) for verdict in verdicts)
    calls = sum(verdict.calls for verdict in verdicts)
    print(f"{len(verdicts)} faults tried, {calls:,} calls checked, {not_held} missed")
    return 1 if not_held or not verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
