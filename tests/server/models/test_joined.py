"""What many ask for at once is done once for all, and never so often that nothing else is done."""

import asyncio
import time

import pytest

from staunch_server.models.joined import PAUSE_S, Joined


class Work:
    """Counts its runs, which last until they are let go."""

    def __init__(self) -> None:
        self.begun: list[float] = []
        self.may_end = asyncio.Event()

    async def __call__(self) -> int:
        self.begun.append(time.monotonic())
        number = len(self.begun)
        await self.may_end.wait()
        if number == 2:
            raise OSError("the second fails")
        return number


async def test_who_asks_while_one_runs_shares_the_next_and_an_error_is_everybodys() -> None:
    work = Work()
    joined = Joined(work, pause_s=0.0)
    first = asyncio.create_task(joined())
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(joined()) for _ in range(100)]
    await asyncio.sleep(0.01)
    assert len(work.begun) == 1  # one at a time
    others[0].cancel()
    work.may_end.set()
    assert await first == 1
    ended = await asyncio.gather(*others, return_exceptions=True)
    assert [type(one) for one in ended] == [asyncio.CancelledError] + [OSError] * 99
    assert await joined() == 3


async def test_runs_begin_a_pause_after_one_another_and_the_first_at_once() -> None:
    work = Work()
    work.may_end.set()
    joined = Joined(work, pause_s=0.2)
    began = time.monotonic()
    assert await joined() == 1
    assert time.monotonic() - began < 0.15
    with pytest.raises(OSError, match="second"):
        await asyncio.gather(*(joined() for _ in range(50)))
    assert work.begun[1] - work.begun[0] >= 0.19
    assert len(work.begun) == 2
    assert PAUSE_S == 1.0
