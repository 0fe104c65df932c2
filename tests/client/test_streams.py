"""A batch over streams that the network, a proxy or another's server cuts: taken up, or told."""

import pytest
from grpc import StatusCode
from tests.client.harness.toy import failing
from tests.client.test_batch import QUICK, expected, flat

from staunch import PreconditionFailed, ServerFault


def answered(toy) -> list[list[int]]:
    return [[request.customer_ids[0] for request in stream] for stream in toy.streams]


@pytest.mark.parametrize("code", [StatusCode.UNAVAILABLE, StatusCode.CANCELLED, StatusCode.INTERNAL])
async def test_a_broken_stream_is_taken_up_at_the_first_unanswered_chunk(toy_with, toy, code):
    def break_once(stream, index, _request, context):
        if (stream, index) == (0, 3):
            context.abort(code, "gone")

    toy.before_chunks(break_once)
    rows = await toy_with(retry=QUICK).rows(range(1, 101), chunk_size=10)
    assert flat(rows) == [expected(customer) for customer in range(1, 101)]
    second = answered(toy)[1]
    assert second == list(range(second[0], 100, 10))
    # 31, or what was answered before it and lost with the stream.
    assert 11 <= second[0] <= 31


async def test_a_stream_that_ends_early_without_an_error_is_taken_up(toy_with, toy):
    toy.on_stream = lambda stream, _context: stream == 0
    rows = await toy_with(retry=QUICK).rows(range(1, 31), chunk_size=10)
    assert flat(rows) == [expected(customer) for customer in range(1, 31)]
    assert len(toy.streams) == 2


async def test_a_stream_reset_on_the_way_is_taken_up_and_a_fault_of_the_server_is_not(toy_with, toy):
    def reset(stream, index, request, context):
        if (stream, index) == (0, 1):
            context.abort(StatusCode.INTERNAL, "RST_STREAM")
        if (stream, index) == (1, 1):
            raise failing(StatusCode.INTERNAL, "INTERNAL")

    toy.before_chunks(reset)
    with pytest.raises(ServerFault, match="INTERNAL: as told"):
        await toy_with(retry=QUICK).rows(range(1, 31), chunk_size=10)
    assert len(toy.streams) == 2


async def test_the_status_that_ends_a_stream_is_told_though_chunks_are_being_written(toy_with, toy):
    """Ended while it writes, grpc.aio says "Internal error from Core" instead; asked once more, it reads."""
    toy.failing = failing(StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED")
    for _ in range(3):
        with pytest.raises(PreconditionFailed) as caught:
            await toy_with(retry=QUICK).rows(range(1, 40_001), chunk_size=10_000)
        assert caught.value.reason == "MODEL_REFUSED"


async def test_a_finished_batch_waits_for_no_server_that_never_says_so(toy_with, toy):
    toy.on_end = toy.released.wait
    rows = await toy_with().rows(range(1, 31), chunk_size=10)
    assert flat(rows) == [expected(customer) for customer in range(1, 31)]
