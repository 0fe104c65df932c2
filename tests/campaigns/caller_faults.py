"""Faults of callers: those who behave badly beside others who do not."""

import asyncio
import gzip
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from google.protobuf.struct_pb2 import ListValue, Value
from grpc import aio
from tests.campaigns.callers import CHANNEL
from tests.campaigns.faults import fault
from tests.campaigns.target import Target
from tests.harness.waiting import until
from tests.server.harness.peers import BATCH, WIDE, Peer, peer
from tests.server.small_models import PEOPLE

from staunch.v1 import prediction_service_pb2 as pb
from staunch.v1.prediction_service_pb2_grpc import PredictionServiceStub

PREDICT = "/staunch.v1.PredictionService/Predict"


@asynccontextmanager
async def _channels(target: Target, count: int) -> AsyncIterator[list[aio.Channel]]:
    channels = [aio.insecure_channel(target.address, options=CHANNEL) for _ in range(count)]
    try:
        yield channels
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))


@asynccontextmanager
async def _again_and_again(work: Callable[[], Awaitable[object]], at_once: int) -> AsyncIterator[None]:
    """Does work again and again, so many at once, while the block lasts; errors are what it is for."""

    async def repeat() -> None:
        while True:
            with suppress(aio.AioRpcError, OSError):
                await work()
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(repeat()) for _ in range(at_once)]
    try:
        yield
        assert not any(task.done() for task in tasks), "those who behave badly have stopped"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _someone() -> pb.PredictRequest:
    return pb.PredictRequest(customer_id=random.randrange(1, PEOPLE))


@fault("callers cancel their calls", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    async with _channels(target, 2) as channels:
        stubs = [PredictionServiceStub(channel) for channel in channels]

        async def work() -> None:
            call = random.choice(stubs).Predict(_someone(), timeout=5)
            await asyncio.sleep(random.random() * 0.003)
            call.cancel()
            await asyncio.sleep(0.005)

        async with _again_and_again(work, 8):
            yield


@fault("callers have a few milliseconds only", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    async with _channels(target, 2) as channels:
        stubs = [PredictionServiceStub(channel) for channel in channels]

        async def work() -> None:
            await asyncio.sleep(0.005)
            await random.choice(stubs).Predict(_someone(), timeout=random.random() * 0.005)

        async with _again_and_again(work, 8):
            yield


@fault("callers ask more than the server can answer", heals_s=10)
async def _(target: Target) -> AsyncIterator[None]:
    async with _channels(target, 8) as channels:
        stubs = [PredictionServiceStub(channel) for channel in channels]

        async def work() -> None:
            await random.choice(stubs).Predict(_someone(), timeout=0.3)

        async with _again_and_again(work, 256):
            yield


@fault("a stream of many ids goes on beside", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    async with _channels(target, 1) as channels:

        async def work() -> None:
            chunk = pb.BatchPredictRequest(customer_ids=[random.randrange(1, PEOPLE) for _ in range(2_000)])
            stub = PredictionServiceStub(channels[0])
            async for _answer in stub.BatchPredict(iter([chunk] * 50), timeout=30):
                pass

        async with _again_and_again(work, 1):
            yield


@fault("twenty streams are not read", heals_s=15)
async def _(target: Target) -> AsyncIterator[None]:
    chunk = pb.BatchPredictRequest(customer_ids=range(1, PEOPLE)).SerializeToString()

    def do(one: Peer) -> None:
        for _stream in range(5):
            stream = one.open(BATCH)
            for _message in range(3):
                one.send(stream, chunk)

    async with _peers(target, 4, do):
        yield


@fault("forty watchers of health do not read", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    def do(one: Peer) -> None:
        for _stream in range(10):
            one.watch()

    async with _peers(target, 4, do):
        yield


@fault("forty streams send no message", heals_s=15)
async def _(target: Target) -> AsyncIterator[None]:
    def do(one: Peer) -> None:
        for _stream in range(10):
            one.open(BATCH)

    async with _peers(target, 4, do):
        yield


@fault("forty calls send no message", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    def do(one: Peer) -> None:
        for _stream in range(10):
            one.open(PREDICT)

    async with _peers(target, 4, do):
        yield


@fault("messages are bytes at random", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    async with _raw(target, PREDICT, lambda: random.randbytes(random.randrange(1, 300))):
        yield


@fault("messages are of six megabytes", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    async with _raw(target, PREDICT, lambda: bytes(6 << 20), at_once=2):
        yield


@fault("calls are of methods that there are not", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    async with _raw(target, "/staunch.v1.PredictionService/Nothing", lambda: b""):
        yield


@fault("metadata is of 120 kB", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    async with _raw(target, PREDICT, lambda: b"\x10\x01", metadata=(("x-large", "x" * 120_000),), at_once=2):
        yield


@fault("values set are of every kind but those that there are", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    odd = [
        *(Value(number_value=number) for number in (1e308, float("inf"), float("nan"))),
        Value(string_value="x" * 10_000),
        Value(bool_value=True),
        Value(list_value=ListValue(values=[Value()])),
        Value(),
    ]

    def message() -> bytes:
        request = pb.PredictRequest(customer_id=1)
        value = request.overrides[random.choice(["a", "b", "\n\x00", "x" * 1_000, "hours"])]
        value.CopyFrom(random.choice(odd))
        return request.SerializeToString()

    async with _raw(target, PREDICT, message):
        yield


@fault(
    "messages unpack to a thousand times their size",
    harmless=True,
    open_on={"native": "unpacks before it measures"},
)
async def _(target: Target) -> AsyncIterator[None]:
    packed = gzip.compress(bytes(64 << 20))

    async def work() -> None:
        async with peer(target.port, window=WIDE) as one:
            stream = one.open(PREDICT, {"grpc-encoding": "gzip"})
            one.send(stream, packed, last=True, packed=True)
            await until(lambda: stream in one.ended or one.closed)

    async with _again_and_again(work, 2):
        yield


@fault("connections are made and closed at once", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    async def work() -> None:
        _reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        writer.write(random.choice([b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", random.randbytes(100)]))
        writer.close()
        await asyncio.sleep(0.01)

    async with _again_and_again(work, 4):
        yield


@fault("two hundred connections say nothing", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    writers = []
    try:
        for _number in range(200):
            _reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
            writers.append(writer)
        yield
    finally:
        for writer in writers:
            writer.close()


@fault("streams are reset before they are answered", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    def do(one: Peer) -> None:
        for _stream in range(50):
            one.reset(one.open(PREDICT))

    async with _peers(target, 4, do):
        yield


@fault("three hundred connections ask once each", heals_s=10)
async def _(target: Target) -> AsyncIterator[None]:
    async def once() -> None:
        async with _channels(target, 1) as (channel,):
            with suppress(aio.AioRpcError):
                await PredictionServiceStub(channel).Predict(_someone(), timeout=5)

    await asyncio.gather(*(once() for _ in range(300)))
    yield


@asynccontextmanager
async def _peers(target: Target, count: int, do: Callable[[Peer], None]) -> AsyncIterator[None]:
    """Has peers who give no room for answers do something, and stay while the block lasts."""
    async with AsyncExitStack() as stack:
        for _number in range(count):
            do(await stack.enter_async_context(peer(target.port)))
        yield


@asynccontextmanager
async def _raw(
    target: Target,
    method: str,
    message: Callable[[], bytes],
    *,
    metadata: tuple[tuple[str, str], ...] = (),
    at_once: int = 4,
) -> AsyncIterator[None]:
    """Calls a method with bytes again and again while the block lasts."""
    async with _channels(target, 2) as channels:
        calls: list[aio.UnaryUnaryMultiCallable[bytes, bytes]] = [
            channel.unary_unary(method) for channel in channels
        ]

        async def work() -> None:
            await asyncio.sleep(0.005)
            await random.choice(calls)(message(), timeout=5, metadata=metadata)

        async with _again_and_again(work, at_once):
            yield
