"""The guard around two handlers on a real transport, without database or model."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from grpc import aio
from prometheus_client import CollectorRegistry
from tests.server.harness.errors import RichError, failure

from staunch.v1 import prediction_service_pb2 as pb
from staunch_server.errors import Refusal
from staunch_server.metrics import Metrics
from staunch_server.process.observers import observed_by
from staunch_server.telemetry.call_log import CallLog
from staunch_server.transport.aio import AioTransport
from staunch_server.transport.guard import Guard, StreamHandler, UnaryHandler
from staunch_server.transport.native import NativeTransport
from staunch_server.transport.seam import USUAL_LIMITS, Call, ConnectionLimits, Service

SERVICE = "staunch.v1.PredictionService"
TRANSPORTS = {"aio": AioTransport, "native": NativeTransport}
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
"""Options of a channel that shares its connection with no other."""

Predict = UnaryHandler[pb.PredictRequest]
Batch = StreamHandler[pb.BatchPredictRequest]


@dataclass(frozen=True)
class Shell:
    """A guard around two handlers on a real transport, and a channel to it."""

    guard: Guard
    metrics: Metrics
    transport: AioTransport
    port: int
    channel: aio.Channel

    def predict(self, request: bytes = b"", **options: Any) -> aio.UnaryUnaryCall[bytes, bytes]:
        """Sends raw bytes to Predict; the answer is raw bytes."""
        method: aio.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(f"/{SERVICE}/Predict")
        return method(request, **options)

    def batch(self, requests: Iterable[bytes] | None = None) -> aio.StreamStreamCall[bytes, bytes]:
        """Opens a stream of raw bytes to BatchPredict."""
        path = f"/{SERVICE}/BatchPredict"
        method: aio.StreamStreamMultiCallable[bytes, bytes] = self.channel.stream_stream(path)
        return method(iter(requests) if requests is not None else None)

    async def failure(self, request: bytes = b"", **options: Any) -> RichError:
        """Returns the error that Predict answers with."""
        return await failure(self.predict(request, **options))


async def _half(request: pb.PredictRequest, call: Call) -> pb.PredictResponse:
    return pb.PredictResponse(probability=0.5)


async def _echo(
    requests: AsyncIterator[pb.BatchPredictRequest | Refusal], call: Call
) -> AsyncGenerator[pb.BatchPredictResponse, None]:
    async for request in requests:
        assert not isinstance(request, Refusal)
        yield pb.BatchPredictResponse(customer_ids=request.customer_ids)


@dataclass(frozen=True)
class StartShell:
    """Starts guarded shells on a transport; they end with the stack."""

    stack: AsyncExitStack
    transport: type[AioTransport]

    async def __call__(
        self,
        predict: Predict = _half,
        batch: Batch = _echo,
        *,
        address: str = "127.0.0.1:0",
        reflects: bool = False,
        keeps_deadline: bool = False,
        connections: ConnectionLimits = USUAL_LIMITS,
        **limits: Any,
    ) -> Shell:
        """Starts the guard around two handlers, by default on a free port; `limits` are the guard's."""
        metrics = Metrics(CollectorRegistry())
        usual = {"max_calls": 64, "max_streams": 8, "default_deadline_s": 5.0, "stream_idle_s": 60.0}
        guard = Guard(observed_by(metrics, CallLog()), **(usual | limits))
        service = Service(
            SERVICE,
            unary={"Predict": guard.unary(pb.PredictRequest, predict, keeps_deadline=keeps_deadline)},
            streams={"BatchPredict": guard.stream(pb.BatchPredictRequest, batch)},
        )
        transport = self.transport([service], guard, address=address, reflects=reflects, limits=connections)
        port = await transport.start()
        self.stack.push_async_callback(transport.stop, 0)
        target = f"127.0.0.1:{port}" if port else address
        channel = aio.insecure_channel(target, options=OWN_CONNECTION)
        self.stack.push_async_callback(channel.close)
        return Shell(guard, metrics, transport, port, channel)
