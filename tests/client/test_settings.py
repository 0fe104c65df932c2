"""What both clients hold: how long to wait, how stubbornly, what to send along."""

import asyncio
import time

import grpc
import pytest

from staunch import AsyncClient, Client, DeadlineExceeded, RetryPolicy, Unavailable
from staunch._errors import ErrorDetails
from staunch._settings import ClientSettings
from staunch_server.errors import Reason, Refusal

UNAVAILABLE = Unavailable(grpc.StatusCode.UNAVAILABLE, "as told", ErrorDetails())


def settings(**changes):
    fields = {"timeout_s": 5.0, "metadata": {}, "retry": RetryPolicy(first_wait_s=0.0)}
    return ClientSettings(**(fields | changes))


@pytest.mark.parametrize("timeout_s", [0, -1])
def test_a_timeout_must_be_above_zero(timeout_s):
    with pytest.raises(ValueError, match="above 0"):
        Client("127.0.0.1:1", timeout_s=timeout_s)


def test_a_timeout_may_be_as_short_as_it_likes():
    assert settings(timeout_s=1e-9).timeout_s == 1e-9


def test_secrets_in_metadata_do_not_show():
    with Client("127.0.0.1:1", metadata={"authorization": "Bearer secret"}) as client:
        assert "secret" not in repr(vars(client))


def test_a_call_waits_as_long_as_it_says_or_as_the_client_does():
    assert 4 < settings().tries(None, retry=True).remaining_s <= 5
    assert 59 < settings().tries(60.0, retry=True).remaining_s <= 60
    assert settings().tries(0.0, retry=True).remaining_s == 0


def test_a_call_that_must_not_be_sent_twice_has_one_try():
    settings().tries(None, retry=True).failed(UNAVAILABLE)
    with pytest.raises(Unavailable):
        settings().tries(None, retry=False).failed(UNAVAILABLE)


async def test_a_token_travels_and_the_calls_own_authorization_wins(either_with, service):
    client = either_with(token="abc")
    await client.call("predict", 42)
    await client.call("predict", 42, metadata={"Authorization": "Bearer mine"})
    await client.rows([1])
    assert [seen["authorization"] for seen in service.metadata] == ["Bearer abc", "Bearer mine"]


async def test_a_function_is_asked_for_a_token_before_every_try(either_with, service):
    tokens = iter(["first", "second"])
    service.script.append(Refusal(Reason.OVERLOADED, "as told"))
    await either_with(token=lambda: next(tokens)).call("predict", 42)
    assert [seen["authorization"] for seen in service.metadata] == ["Bearer first", "Bearer second"]


async def test_a_coroutine_function_gives_tokens_to_the_async_client_alone(server, service):
    async def token():
        await asyncio.sleep(0)
        return "later"

    async with AsyncClient(server.target, token=token) as client:
        await client.predict(42)
        assert len([row async for row in client.batch_predict([1, 2])]) == 2
    assert service.metadata[0]["authorization"] == "Bearer later"
    with (
        Client(server.target, token=token) as client,
        pytest.raises(TypeError, match="AsyncClient awaits such"),
    ):
        client.predict(42)


async def test_an_error_of_the_function_reaches_the_caller_untouched(either_with, service):
    def token():
        raise KeyError("no token in the vault")

    with pytest.raises(KeyError, match="vault"):
        await either_with(token=token).call("predict", 42)
    assert service.seen == []


async def test_the_time_that_a_token_takes_is_of_the_calls_own(either_with, service):
    def token():
        time.sleep(0.3)
        return "late"

    client = either_with(token=token)
    with pytest.raises(DeadlineExceeded):
        await client.call("predict", 42, timeout_s=0.2)
    with pytest.raises(DeadlineExceeded):
        await client.rows([1], timeout_s=0.2)
    assert (service.seen, service.streams) == ([], [])

    async def slowly(*_):
        await asyncio.sleep(60)

    service.script.append(slowly)
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await client.call("predict", 42, timeout_s=0.6)
    assert 0.4 <= time.monotonic() - started < 0.85


async def test_a_token_that_does_not_come_is_awaited_as_long_as_the_call_may_take(server, service):
    async def token():
        await asyncio.sleep(60)

    async with AsyncClient(server.target, token=token) as client:
        with pytest.raises(DeadlineExceeded, match="before anything was sent"):
            await client.predict(42, timeout_s=0.1)
        with pytest.raises(DeadlineExceeded, match="before anything was sent"):
            await anext(client.batch_predict([1], timeout_s=0.1))
        assert not await client.is_ready(timeout_s=0.1)
    assert (service.seen, service.streams) == ([], [])


async def test_a_timeout_within_what_gives_tokens_is_the_callers_own(server):
    async def token():
        raise TimeoutError("of the vault")

    async with AsyncClient(server.target, token=token) as client:
        with pytest.raises(TimeoutError, match="of the vault"):
            await client.predict(42)


def test_a_token_beside_an_authorization_is_refused():
    with pytest.raises(ValueError, match="got both"):
        Client("127.0.0.1:1", token="a", metadata={"Authorization": "Bearer b"})


def test_a_token_does_not_show():
    with Client("127.0.0.1:1", token="secret") as client:
        assert "secret" not in repr(vars(client)) + repr(client)


@pytest.mark.parametrize("compression", ["gzip", grpc.Compression.Gzip, grpc.Compression.NoCompression, None])
async def test_compressed_requests_are_understood(either_with, service, compression):
    client = either_with(compression=compression)
    await client.call("predict", features={f"feature_{i}": i for i in range(2000)})
    assert len(service.seen[0].features.values) == 2000
    assert len(await client.rows(range(1, 5001))) == 5000


async def test_compression_makes_requests_small(connect):
    sizes = [await bytes_sent(connect, compression) for compression in (None, "gzip")]
    assert sizes[1] < sizes[0] / 3


async def bytes_sent(connect, compression):
    """Counts what a client sends to a server that answers nothing."""
    count = 0

    async def read(reader, writer):
        nonlocal count
        writer.write(bytes.fromhex("000000040000000000") + bytes.fromhex("000000040100000000"))
        while data := await reader.read(65536):
            count += len(data)
        writer.close()

    async with await asyncio.start_server(read, "127.0.0.1", 0) as listening:
        target = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        client = connect(target, compression=compression, retry=RetryPolicy(attempts=1))
        with pytest.raises(DeadlineExceeded):
            await client.call("predict", features={f"feature_{i}": i for i in range(1000)}, timeout_s=0.3)
        await client.close()
    return count


def test_metadata_of_the_call_wins_over_the_clients():
    merged = settings(metadata={"a": "1", "b": "1"}).merged({"b": "2", "c": "2"})
    assert merged == (("a", "1"), ("b", "2"), ("c", "2"))
    assert settings().merged(None) == ()
