"""What the server's tests share: a guarded shell around handlers on a real transport; readers of errors."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from prometheus_client import CollectorRegistry

from staunch.v1 import prediction_service_pb2 as pb
from staunch_server.guard import Guard
from staunch_server.metrics import Metrics
from staunch_server.transport import Call, Service, Transport
from staunch_server.transport_aio import AioTransport
from staunch_server.transport_native import NativeTransport

SERVICE = "staunch.v1.PredictionService"
TRANSPORTS = {"aio": AioTransport, "native": NativeTransport}


@dataclass(frozen=True)
class RichError:
    """An error as a client decodes it: the status, and the one ErrorInfo and its companions."""

    code: grpc.StatusCode
    message: str
    infos: list[Any]
    violations: list[tuple[str, str]]
    resource: tuple[str, str] | None
    retry_s: float | None
    trailing: dict[str, Any]

    @property
    def reason(self) -> str:
        (info,) = self.infos
        assert info.domain == "staunch"
        return str(info.reason)


def read_rich_error(error: aio.AioRpcError) -> RichError:
    trailing = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailing.get("grpc-status-details-bin", b""))
    found: dict[str, list[Any]] = {}
    for packed in status.details:
        kind = getattr(error_details_pb2, packed.type_url.rpartition(".")[2])
        detail = kind()
        assert packed.Unpack(detail)
        found.setdefault(kind.__name__, []).append(detail)
    if status.details:
        assert (status.code, status.message) == (error.code().value[0], error.details())
    bad = found.get("BadRequest", [])
    resources, retries = found.get("ResourceInfo", []), found.get("RetryInfo", [])
    return RichError(
        code=error.code(),
        message=error.details() or "",
        infos=found.get("ErrorInfo", []),
        violations=[(v.field, v.description) for request in bad for v in request.field_violations],
        resource=(resources[0].resource_type, resources[0].resource_name) if resources else None,
        retry_s=retries[0].retry_delay.ToTimedelta().total_seconds() if retries else None,
        trailing=trailing,
    )


@pytest.fixture
def read_error() -> Callable[[aio.AioRpcError], RichError]:
    """Decodes an error with google.rpc, asserting that status and details agree."""
    return read_rich_error


@pytest.fixture(params=sorted(TRANSPORTS))
def transport_name(request: pytest.FixtureRequest) -> str:
    """Runs a test on each transport."""
    return str(request.param)


@dataclass
class Shell:
    """A guard around two handlers on a real transport, and a channel to it."""

    guard: Guard
    metrics: Metrics
    transport: Transport
    port: int
    channel: aio.Channel

    def predict(self, request: bytes = b"", **options: Any) -> Any:
        """Sends raw bytes to Predict; the answer is raw bytes."""
        return self.channel.unary_unary(f"/{SERVICE}/Predict")(request, **options)

    def batch(self, requests: Any = None, **options: Any) -> Any:
        """Opens a stream of raw bytes to BatchPredict."""
        return self.channel.stream_stream(f"/{SERVICE}/BatchPredict")(requests, **options)

    async def failure(self, request: bytes = b"", **options: Any) -> RichError:
        """The error that Predict answers with."""
        with pytest.raises(aio.AioRpcError) as caught:
            await self.predict(request, **options)
        return read_rich_error(caught.value)


ShellFactory = Callable[..., Awaitable[Shell]]


async def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    """Waits until the condition holds; fails after timeout_s seconds."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is looked at has no event
            await asyncio.sleep(0.01)


@pytest.fixture(name="until")
def _until() -> Callable[..., Awaitable[None]]:
    """`await until(lambda: ...)` waits for a condition."""
    return until


async def _no_predict(request: pb.PredictRequest, call: Call) -> pb.PredictResponse:
    return pb.PredictResponse(probability=0.5)


async def _no_batch(
    requests: AsyncIterator[Any], call: Call
) -> AsyncGenerator[pb.BatchPredictResponse, None]:
    async for request in requests:
        yield pb.BatchPredictResponse(customer_ids=request.customer_ids)


@pytest.fixture
async def shell(transport_name: str) -> AsyncIterator[ShellFactory]:
    """Starts guarded shells: `await shell(predict=..., batch=..., max_calls=...)`; closes them at the end."""
    started: list[Shell] = []

    async def start(
        predict: Any = _no_predict, batch: Any = _no_batch, reflects: bool = False, **limits: Any
    ) -> Shell:
        metrics = Metrics(CollectorRegistry())
        limits = {"max_calls": 64, "max_streams": 8, "default_deadline_s": 5.0} | limits
        guard = Guard(metrics, **limits)
        service = Service(
            SERVICE,
            unary={"Predict": guard.unary(pb.PredictRequest, predict)},
            streams={"BatchPredict": guard.stream(pb.BatchPredictRequest, batch)},
        )
        transport = TRANSPORTS[transport_name]([service], host="127.0.0.1", port=0, reflects=reflects)
        port = await transport.start()
        channel = aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])
        started.append(Shell(guard, metrics, transport, port, channel))
        return started[-1]

    yield start
    for one in started:
        await one.channel.close()
        await one.transport.stop(0)
