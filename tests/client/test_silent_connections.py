"""A connection that goes silent without being closed: noticed within the keepalive, and left for a new one.

The windows are short by `options=`; what they usually are is held by test_connection.py.
"""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from tests.client.harness.either import Connect
from tests.client.harness.scripted import Scripted, ScriptedServer
from tests.client.test_batch import expected, flat
from tests.harness.relays import Relay, relay_to
from tests.harness.waiting import until

from staunch import DeadlineExceeded

QUICK = {
    "grpc.keepalive_time_ms": 300,
    "grpc.keepalive_timeout_ms": 300,
    "grpc.http2.ping_timeout_ms": 300,
    "grpc.min_reconnect_backoff_ms": 300,
}
WINDOW_S = 0.6

# It is the connection that is tried, so one server is enough.
pytestmark = pytest.mark.parametrize("server", [ScriptedServer], indirect=True, ids=["guard"])


@pytest.fixture
async def relay(server: ScriptedServer) -> AsyncIterator[Relay]:
    """Stands between clients and the server."""
    async with relay_to(server.port) as made:
        yield made


async def test_a_call_caught_by_silence_is_answered_over_a_new_connection(
    connect: Connect, relay: Relay
) -> None:
    client = connect(relay.target, options=QUICK)
    await client.call("predict", 42)
    relay.go_silent()
    began = time.monotonic()
    assert (await client.call("predict", 42, timeout_s=10)).probability == 0.25
    assert 0.5 * WINDOW_S < time.monotonic() - began < 5
    assert relay.connections == 2


async def test_silence_is_noticed_without_a_call(connect: Connect, relay: Relay) -> None:
    """So that the next call is not the one to find out: it has less time than that takes."""
    client = connect(relay.target, options=QUICK)
    await client.call("predict", 42)
    relay.go_silent()
    await until(lambda: relay.connections == 2)
    assert (await client.call("predict", 42, timeout_s=0.9 * WINDOW_S)).probability == 0.25


async def test_each_client_of_a_process_has_a_connection_of_its_own(connect: Connect, relay: Relay) -> None:
    """By default the library would share the dead one with the second."""
    patient = connect(relay.target)
    await patient.call("predict", 42)
    relay.go_silent()
    with pytest.raises(DeadlineExceeded):
        await patient.call("predict", 42, timeout_s=0.3)
    assert (await connect(relay.target).call("predict", 42)).probability == 0.25
    assert relay.connections == 2


async def test_a_connection_that_is_silent_from_the_start_is_given_up_too(
    connect: Connect, relay: Relay
) -> None:
    relay.takes_new = False
    client = connect(relay.target, options=QUICK)
    waiting = asyncio.ensure_future(client.call("predict", 42, timeout_s=10))
    await until(lambda: relay.connections == 2)
    relay.takes_new = True
    assert (await waiting).probability == 0.25


async def test_a_batch_caught_by_silence_goes_on_over_a_new_connection(
    connect: Connect, relay: Relay, service: Scripted
) -> None:
    def silence(stream: int, index: int, _request: object) -> None:
        if (stream, index) == (0, 3):
            relay.go_silent()

    service.on_chunk = silence
    rows = await connect(relay.target, options=QUICK).rows(range(1, 101), chunk_size=10)
    assert flat(rows) == [expected(customer) for customer in range(1, 101)]
    assert (len(service.streams), relay.connections) == (2, 2)
