"""The second look's promises: one read at a time, few ids, a short while, and never an error."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from tests.server.harness.served import NOWHERE

from staunch_features.errors import DatabaseUnavailable
from staunch_features.postgres.pool import Database
from staunch_server.deadlines import Deadline
from staunch_server.metrics import SECOND_LOOKS
from staunch_server.models import why_not
from staunch_server.models.why_not import MOST_IDS, MOST_WAITING, REST, SecondLook, WhyNot
from staunch_server.types import Id

PAST = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class View:
    """A view that knows the even ids and says of each its number; it remembers how it was asked."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    reads: list[tuple[list[Id], datetime]] = field(default_factory=list)
    fails: Exception | None = None
    reading: int = 0
    most: int = 0

    async def read(
        self, _: Database, ids: Sequence[Id], as_of: datetime, deadline: Deadline
    ) -> Mapping[Id, str]:
        self.reads.append((list(ids), as_of))
        self.reading += 1
        self.most = max(self.most, self.reading)
        try:
            await self.gate.wait()
        finally:
            self.reading -= 1
        if self.fails is not None:
            raise self.fails
        return {i: f"why {i}" for i in ids if isinstance(i, int) and i % 2 == 0}


@pytest.fixture
def view() -> View:
    return View()


@pytest.fixture
async def asks() -> AsyncIterator[WhyNot]:
    made = WhyNot(Database(NOWHERE, size=1), time_s=5)
    yield made
    await made.close()


def ask(
    asks: WhyNot, view: View, id_: Id, as_of: datetime | None = PAST, seconds: float = 20
) -> asyncio.Task[SecondLook | None]:
    return asyncio.create_task(asks.ask(view.read, id_, as_of, Deadline.after(seconds)))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_lone_caller_is_asked_for_at_once(asks: WhyNot, view: View) -> None:
    view.gate.set()
    assert await ask(asks, view, 2) == SecondLook(is_known=True, why="why 2")
    assert await ask(asks, view, 3) == SecondLook(is_known=False, why="")
    assert [ids for ids, _ in view.reads] == [[2], [3]]


async def test_those_who_come_meanwhile_share_the_next_read_by_view_and_moment(
    asks: WhyNot, view: View
) -> None:
    first = ask(asks, view, 2)
    await settle()
    others = [ask(asks, view, i, None) for i in (4, 6, 4)] + [ask(asks, view, 8)]
    other_view = View(gate=view.gate)
    others.append(ask(asks, other_view, 10, None))
    await settle()
    view.gate.set()
    found = [one.why if one else None for one in await asyncio.gather(first, *others)]
    assert found == ["why 2", "why 4", "why 6", "why 4", "why 8", "why 10"]
    assert [sorted(map(str, ids)) for ids, _ in view.reads] == [["2"], ["4", "6"], ["8"]]
    assert [as_of == PAST for _, as_of in view.reads] == [True, False, True]
    assert view.most == other_view.most == 1


async def test_a_flood_is_read_in_small_parts_one_at_a_time_and_what_is_beyond_goes_away_at_once(
    asks: WhyNot, view: View
) -> None:
    flood = [ask(asks, view, 2 * i) for i in range(1, MOST_WAITING + 100)]
    await settle()
    turned_away = [one for one in flood if one.done()]
    # One read is under way for the first, so as many more may wait.
    assert 100 - MOST_IDS <= len(turned_away) <= 100
    assert {one.result() for one in turned_away} == {None}
    view.gate.set()
    found = await asyncio.gather(*flood)
    assert sum(one is not None for one in found) == len(flood) - len(turned_away)
    assert max(len(ids) for ids, _ in view.reads) == MOST_IDS
    assert view.most == 1


async def test_what_became_of_each_look_is_told(asks: WhyNot, view: View) -> None:
    ends = Counter[str]()
    asks.on_end = lambda outcome: ends.update([outcome])
    flood = [ask(asks, view, 2 * i) for i in range(1, MOST_WAITING + 100)]
    await settle()
    turned_away = sum(one.done() for one in flood)
    assert ends == {"turned_away": turned_away}
    view.gate.set()
    await asyncio.gather(*flood)
    assert ends == {"turned_away": turned_away, "answered": len(flood) - turned_away}
    view.gate.clear()
    await ask(asks, view, 2, seconds=0.02)
    assert ends["late"] == 1
    view.fails = RuntimeError("odd")
    failing = ask(asks, view, 2)
    await settle()
    view.gate.set()
    await failing
    assert ends["failed"] == 1
    await ask(asks, view, 2)
    assert ends["turned_away"] == turned_away + 1
    assert set(ends) == set(SECOND_LOOKS)


async def test_it_rests_in_proportion_to_its_reads(asks: WhyNot, view: View) -> None:
    first = ask(asks, view, 2)
    await asyncio.sleep(0.05)
    view.gate.set()
    await first
    ended = time.monotonic()
    await ask(asks, view, 4)
    assert time.monotonic() - ended >= 0.9 * REST * 0.05


async def test_who_waits_longer_than_it_may_goes_away_and_so_does_who_has_little_time(view: View) -> None:
    asks = WhyNot(Database(NOWHERE, size=1), time_s=0.05)
    begun = time.monotonic()
    assert await ask(asks, view, 2) is None
    assert time.monotonic() - begun < 2
    await asks.close()
    patient = WhyNot(Database(NOWHERE, size=1), time_s=60)
    assert await ask(patient, view, 2, seconds=0.1) is None
    assert await ask(patient, view, 2, seconds=0) is None
    await patient.close()


@pytest.mark.parametrize("error", [DatabaseUnavailable("away"), RuntimeError("odd"), TimeoutError()])
async def test_after_a_failure_nobody_waits_for_a_while_and_the_log_says_so_once(
    asks: WhyNot,
    view: View,
    error: Exception,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(why_not, "FAILURE_REST_S", 0.2)
    view.fails = error
    waiting = [ask(asks, view, 2), ask(asks, view, 2, None)]
    await settle()
    view.gate.set()
    assert await asyncio.gather(*waiting) == [None, None]
    assert await ask(asks, view, 4) is None
    assert len(view.reads) == 1
    await asyncio.sleep(0.25)
    assert await ask(asks, view, 4) is None
    (line,) = [record.message for record in caplog.records if record.name == "staunch.models"]
    assert type(error).__name__ in line
    view.fails = None
    await asyncio.sleep(0.25)
    assert await ask(asks, view, 4) == SecondLook(is_known=True, why="why 4")


async def test_who_waited_long_leaves_the_next_read_all_of_its_time(
    view: View, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(why_not, "REST", 0)
    asks = WhyNot(Database(NOWHERE, size=1), time_s=5)
    first = ask(asks, view, 2)
    await settle()
    slow = View()
    second = ask(asks, slow, 4, seconds=0.8)  # it may wait half of that
    await asyncio.sleep(0.2)
    view.gate.set()
    assert await first == SecondLook(is_known=True, why="why 2")
    assert await second is None
    slow.gate.set()
    assert await ask(asks, view, 6) == SecondLook(is_known=True, why="why 6")
    assert slow.reads == [([4], PAST)]
    assert not caplog.records
    await asks.close()


async def test_a_caller_who_leaves_takes_nothing_from_the_others(asks: WhyNot, view: View) -> None:
    first, second = ask(asks, view, 2), ask(asks, view, 4)
    await settle()
    first.cancel()
    await settle()
    view.gate.set()
    assert await second == SecondLook(is_known=True, why="why 4")


async def test_it_closes_in_the_middle_of_a_read(view: View) -> None:
    asks = WhyNot(Database(NOWHERE, size=1))
    task = ask(asks, view, 2)
    await settle()
    await asks.close()
    assert view.reading == 0
    assert await task is None
