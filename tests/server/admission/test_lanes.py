import asyncio
import time

from staunch_server.admission.lanes import PART_ROWS, REST, Lanes


async def test_streams_read_whole_chunks_side_by_side_while_nobody_else_calls() -> None:
    lanes = Lanes(2, lambda: 0)
    async with lanes.turn() as first, lanes.turn() as second:
        assert (first, second) == (None, None)
        async with asyncio.timeout(5):
            waiting = asyncio.ensure_future(_take(lanes))
            await asyncio.sleep(0.01)
            assert not waiting.done()
    assert await waiting is None


async def test_while_single_calls_come_one_part_is_read_at_a_time() -> None:
    lanes = Lanes(2, lambda: 1)
    async with lanes.turn() as rows:
        assert rows == PART_ROWS
        waiting = asyncio.ensure_future(_take(lanes))
        await asyncio.sleep(0.01)
        assert not waiting.done()
    assert await waiting == PART_ROWS


async def test_a_stream_rests_after_a_part_in_proportion_to_it() -> None:
    lanes = Lanes(2, lambda: 1)
    began = time.monotonic()
    async with lanes.turn():
        await asyncio.sleep(0.05)
    assert time.monotonic() - began >= 0.05 * (1 + REST)


async def test_the_gaps_of_a_lone_caller_are_no_reason_to_read_whole_chunks() -> None:
    calls = 1
    lanes = Lanes(2, lambda: calls)
    assert await _take(lanes) == PART_ROWS
    calls = 0
    assert await _take(lanes) == PART_ROWS
    await asyncio.sleep(0.15)
    assert await _take(lanes) is None


async def test_a_part_that_fails_gives_its_turn_back() -> None:
    lanes = Lanes(1, lambda: 1)
    try:
        async with lanes.turn():
            raise ValueError
    except ValueError:
        assert await _take(lanes) == PART_ROWS


async def _take(lanes: Lanes) -> int | None:
    async with lanes.turn() as rows:
        return rows
