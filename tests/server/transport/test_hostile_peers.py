"""What the fast transport leaves open is closed by the shipped Envoy before it, tried by the same peers."""

import asyncio
import gzip
import zlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc import aio
from tests.harness.envoy import Envoy, envoy_before
from tests.harness.waiting import until
from tests.server.harness.errors import failure
from tests.server.harness.peers import BATCH, WATCH, peer
from tests.server.harness.running import Publish, Running, Serve
from tests.server.harness.shell import OWN_CONNECTION, StartShell

from staunch.v1 import prediction_service_pb2 as pb
from staunch.v1.prediction_service_pb2_grpc import PredictionServiceStub

PREDICT = "/staunch.v1.PredictionService/Predict"
ONE = pb.PredictRequest(customer_id=1)
ALLOWED_MIB = 30
"""More than anything takes that is measured before it is unpacked, and less than half of a bomb."""


def bomb(mib: int) -> bytes:
    """Zeros, packed a thousandfold: 60 MiB fit into what a connection takes without an answer."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(mib)) + packer.flush()


def forget_peak() -> int:
    """Forgets how much memory this process ever had, and returns what it has, in MiB."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_mib()


def peak_mib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


async def strike(port: int, path: str, message: bytes, *, encoding: str = "") -> bool:
    """Sends one message, packed if its encoding is named; returns whether the call was ended in time."""
    async with peer(port, window=65_535) as striking:
        stream = striking.open(path, {"grpc-encoding": encoding} if encoding else {})
        striking.send(stream, message, last=True, packed=bool(encoding))
        await until(lambda: stream in striking.ended or striking.closed, 20)
        return stream in striking.ended


@pytest.mark.parametrize("transport_name", ["native"])
async def test_the_fast_transport_itself_still_unpacks_before_it_measures(shell: StartShell) -> None:
    """Once this fails, its library has mended it: docs/transports.md, and what is refused, may change."""
    server = await shell()
    before = forget_peak()
    assert await strike(server.port, PREDICT, bomb(60), encoding="gzip")
    assert peak_mib() - before > 55


@pytest.mark.parametrize("transport_name", ["aio"])
async def test_the_reference_transport_measures_what_it_unpacks(shell: StartShell) -> None:
    server = await shell()
    before = forget_peak()
    for path in (PREDICT, BATCH, WATCH):
        assert await strike(server.port, path, bomb(60), encoding="gzip")
    assert peak_mib() - before < ALLOWED_MIB


@dataclass(frozen=True)
class Proxied:
    """Two servers on the fast transport, Envoy before them, and innocents on connections of their own."""

    envoy: Envoy
    servers: tuple[Running, Running]
    innocents: tuple[aio.Channel, ...]

    async def call_on(self, ended: asyncio.Event) -> Counter[str]:
        """Calls by every innocent's connection, five at a time, until told; returns how the calls ended."""
        codes: Counter[str] = Counter()

        async def one(channel: aio.Channel) -> None:
            predict = PredictionServiceStub(channel).Predict
            while not ended.is_set():
                codes[(await predict(ONE, timeout=10).code()).name] += 1

        await asyncio.gather(*(one(channel) for channel in self.innocents for _ in range(5)))
        return codes


@pytest.fixture
async def proxied(serve: Serve, publish: Publish, tmp_path: Path) -> AsyncIterator[Proxied]:
    """Two real servers with a model behind the shipped Envoy, both taking calls."""
    publish()
    servers = (await serve(behind_proxy=True), await serve(behind_proxy=True))
    assert {server.server.carried_by.name for server in servers} == {"native"}
    ports = {server.server.port for server in servers}
    async with AsyncExitStack() as stack:
        envoy = stack.enter_context(envoy_before(sorted(ports), tmp_path))
        await until(lambda: envoy.well() == ports)
        channels = [aio.insecure_channel(envoy.target, options=OWN_CONNECTION) for _ in range(8)]
        innocents = [await stack.enter_async_context(channel) for channel in channels]
        yield Proxied(envoy, servers, tuple(innocents))


@pytest.mark.walk
async def test_what_is_packed_never_reaches_a_server_and_its_sender_is_told(proxied: Proxied) -> None:
    before = forget_peak()
    for path in (PREDICT, BATCH, WATCH, "/grpc.health.v1.Health/Check"):
        for encoding in ("gzip", "deflate", "identity,gzip", "GZIP"):
            assert await strike(proxied.envoy.port, path, bomb(60), encoding=encoding)
    assert peak_mib() - before < ALLOWED_MIB
    assert proxied.envoy.count("cluster.staunch.upstream_rq_total") == 0
    predict = PredictionServiceStub(proxied.innocents[0]).Predict
    error = await failure(predict(ONE, compression=grpc.Compression.Gzip))
    assert (error.code, error.message) == (
        grpc.StatusCode.UNIMPLEMENTED, "expected a message that is not compressed"
    )  # fmt: skip
    assert (await predict(ONE, metadata=[("x-mine", gzip.__name__)])).probability > 0


@pytest.mark.walk
async def test_a_message_is_measured_before_it_is_whole(proxied: Proxied) -> None:
    for path in (PREDICT, WATCH, "/grpc.health.v1.Health/Check"):
        call = proxied.innocents[0].unary_unary(path)(b"x" * (5 << 20), timeout=10)
        assert await call.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert proxied.envoy.count("cluster.staunch.upstream_rq_total") == 0


@pytest.mark.walk
async def test_two_hundred_resets_at_once_cost_hardly_any_neighbour_an_answer(proxied: Proxied) -> None:
    ended = asyncio.Event()
    calling = asyncio.create_task(proxied.call_on(ended))
    broken = "cluster.staunch.upstream_cx_destroy_remote_with_active_rq"
    for strikes in range(1, 31):  # a server that reads at once takes a reset for what it is
        await cancel_at_once(proxied.envoy.port, connections=4, calls=200)
        if strikes >= 3 and proxied.envoy.count(broken):
            break
    ended.set()
    codes = await calling
    # Envoy cannot try again a call whose answer has begun, nor one that met five such connections in a row.
    assert codes["OK"] > 200
    assert codes.total() - codes["OK"] <= 0.005 * codes.total(), codes
    assert proxied.envoy.count("cluster.staunch.upstream_rq_tx_reset") > 500
    assert proxied.envoy.count(broken) > 0  # the servers did end connections by it


async def cancel_at_once(port: int, *, connections: int, calls: int) -> None:
    """Begins calls on new connections and cancels each in the same breath."""
    async with AsyncExitStack() as stack:
        for _ in range(connections):
            hostile = await stack.enter_async_context(peer(port))
            for _ in range(calls):
                stream = hostile.open(PREDICT)
                hostile.send(stream, ONE.SerializeToString(), last=True)
                hostile.reset(stream)
        await asyncio.sleep(0.3)


@pytest.mark.walk
async def test_half_a_hello_is_sent_away_while_others_are_answered(proxied: Proxied) -> None:
    ended = asyncio.Event()
    calling = asyncio.create_task(proxied.call_on(ended))
    halves = [b"", b"PRI * HTTP/2.0\r\n"]
    open_ones = [await asyncio.open_connection("127.0.0.1", proxied.envoy.port) for _ in range(200)]
    for number, (_, writer) in enumerate(open_ones):
        writer.write(halves[number % 2])
    async with asyncio.timeout(15):
        gone = await asyncio.gather(*(reader.read() for reader, _ in open_ones), return_exceptions=True)
    assert all(end == b"" or isinstance(end, ConnectionResetError) for end in gone), gone
    ended.set()
    assert set(await calling) == {"OK"}
    for _, writer in open_ones:
        writer.close()
