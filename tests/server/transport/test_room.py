"""Room for streams, and for the calls that come as rows of some."""

import asyncio

from staunch_server.transport.room import Places, RoomForRows


def test_a_place_is_taken_for_a_block_and_given_back_whatever_happens() -> None:
    places = Places(2)
    try:
        with places, places:
            assert (places.taken, places.most) == (2, 2)
            raise ValueError
    except ValueError:
        pass
    assert places.taken == 0


async def test_rows_pass_in_the_order_in_which_they_came() -> None:
    free, passed = 0, list[int]()
    room = RoomForRows(lambda: free > 0)

    async def take(number: int) -> None:
        nonlocal free
        await room()
        free -= 1
        passed.append(number)

    waiting = [asyncio.create_task(take(number)) for number in range(4)]
    await asyncio.sleep(0)
    assert passed == []
    waiting[0].cancel()  # one who has gone keeps nobody waiting
    await asyncio.sleep(0)
    for expected in ([1], [1, 2], [1, 2, 3]):
        free += 1
        room.wake()
        await asyncio.sleep(0)
        assert passed == expected
    room.wake()
    await asyncio.gather(*waiting[1:])
