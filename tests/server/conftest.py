"""What the server's tests share.

- `shell`: the guard around two handlers on a real transport, without database or model;
- `serve`: the real server, on loopback, with a real database of clients and a real published model;
- `publish`: versions of that model in a store; `read_error`: errors as a client decodes them.
"""

import asyncio
import functools
import inspect
import io
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from prometheus_client import CollectorRegistry
from tests.server.small_models import filled, small_manifest

from staunch.v1 import prediction_service_pb2 as pb
from staunch.v1.model_service_pb2_grpc import ModelServiceStub
from staunch.v1.prediction_service_pb2_grpc import PredictionServiceStub
from staunch_features.views.types import FeatureColumn
from staunch_model_store import manifest as stored
from staunch_model_store.store import ModelStore
from staunch_server.metrics import Metrics
from staunch_server.process.server import Server, serving
from staunch_server.settings import load_settings
from staunch_server.transport.aio import AioTransport
from staunch_server.transport.guard import Guard
from staunch_server.transport.native import NativeTransport
from staunch_server.transport.seam import Call, Service, Transport

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


async def until(condition: Callable[[], Any], timeout_s: float = 10.0) -> None:
    """Waits until the condition, a function or a coroutine function, holds; fails after timeout_s seconds."""
    async with asyncio.timeout(timeout_s):
        while True:
            holds = condition()
            if await holds if inspect.isawaitable(holds) else holds:
                return
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
        predict: Any = _no_predict,
        batch: Any = _no_batch,
        reflects: bool = False,
        keeps_deadline: bool = False,
        **limits: Any,
    ) -> Shell:
        metrics = Metrics(CollectorRegistry())
        limits = {
            "max_calls": 64,
            "max_streams": 8,
            "default_deadline_s": 5.0,
            "stream_idle_s": 60.0,
        } | limits
        guard = Guard(metrics, **limits)
        service = Service(
            SERVICE,
            unary={"Predict": guard.unary(pb.PredictRequest, predict, keeps_deadline=keeps_deadline)},
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


CLIENTS = 60
TEXTS = {
    "int64": ("id", "bigint"),
    "text": ("key", "text"),
    "uuid": ("uid", "uuid"),
}

_CLIENTS = """
CREATE TABLE public.clients (
    id bigint PRIMARY KEY, key text UNIQUE, uid uuid UNIQUE, a float8 NOT NULL, b float8,
    joined_at timestamptz NOT NULL, left_at timestamptz
);
INSERT INTO public.clients
SELECT i, 'client-' || i, ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid, i * 1.5 - 20,
       CASE WHEN i % 7 <> 0 THEN (i * 37) % 11 END, '2024-01-01Z'::timestamptz + i * interval '1 day',
       CASE WHEN i % 10 = 0 THEN '2025-01-01Z'::timestamptz END
FROM generate_series(1, 60) AS i;
GRANT SELECT ON public.clients TO staunch_reader;
"""

_VIEW = """/* staunch
description = "A client of the tests."
entity = "customer"
population = "SELECT {id} FROM public.clients ORDER BY {id}"
[features]
a = {{ unit = "CAD", description = "A number that is never null.", null = "never" }}
b = {{ unit = "days", description = "A number that is sometimes null.", null = "never measured" }}
*/
SELECT c.{id}, c.a::float8 AS a, c.b::float8 AS b,
       (c.left_at IS NULL OR c.left_at > $2::timestamptz) AS _eligible
FROM unnest($1::{type}[]) AS u (id)
JOIN public.clients c ON c.{id} = u.id AND c.joined_at <= $2::timestamptz
"""


@pytest.fixture(scope="session")
def clients_sql() -> str:
    """Makes and fills the table of the clients."""
    return _CLIENTS


@pytest.fixture(scope="session")
def clients(database_factory: Any) -> Any:
    """A database with 60 clients: every tenth left on 2025-01-01, every seventh has no b."""
    return filled(database_factory(), _CLIENTS)


Parts = tuple[dict[str, bytes], float]


@functools.cache
def _trained(seed: int) -> Parts:
    """The files of a small boosted model of (a, b), and its base value; native answers as golden rows."""
    import xgboost

    from staunch_training.onnx import explainer as onnx_explainer
    from staunch_training.onnx import model as onnx_model
    from staunch_training.trees import TreeEnsemble

    draws = np.random.default_rng(seed)
    values = np.column_stack([draws.uniform(-20, 80, 400), draws.uniform(0, 11, 400)])
    values[::7, 1] = np.nan
    labels = draws.random(400) < 1 / (1 + np.exp(-values[:, 0] / 20 + np.nan_to_num(values[:, 1], nan=3) / 5))
    booster = xgboost.train(
        {"objective": "binary:logistic", "max_depth": 3, "nthread": 1, "seed": seed},
        xgboost.DMatrix(values, labels),
        num_boost_round=8,
    )
    a, b = 1.1, -0.2
    rows = xgboost.DMatrix(values[:50])
    margins = a * booster.predict(rows, output_margin=True).astype(np.float64) + b
    contributions = a * booster.predict(rows, pred_contribs=True)[:, :-1].astype(np.float64)
    trees = TreeEnsemble.from_xgboost(booster).calibrated(a, b)
    golden = io.BytesIO()
    np.savez(
        golden,
        values=values[:50],
        margins=margins,
        probabilities=1 / (1 + np.exp(-margins)),
        contributions=contributions,
    )
    files = {
        stored.MODEL_ONNX: onnx_model.export(trees, "LOG_ODDS"),
        stored.EXPLAINER_ONNX: onnx_explainer.export(trees),
        stored.GOLDEN_NPZ: golden.getvalue(),
    }
    return files, trees.base_value()


_COLUMNS = (
    FeatureColumn("a", "number", False, "CAD", "A number that is never null."),
    FeatureColumn("b", "number", True, "days", "A number that is sometimes null."),
)


def _manifest(name: str, version: int, id_type: Any, base_value: float) -> stored.Manifest:
    return small_manifest(
        name,
        version,
        id_type,
        uses_as_of=True,
        columns=_COLUMNS,
        view="clients",
        label="clients",
        base_value=base_value,
        calibration=stored.Calibration(a=1.1, b=-0.2),
        golden_tolerance=stored.GoldenTolerance(output=1e-5, contribution=1e-5),  # XGBoost's own are float32
    )


@pytest.fixture
def publish() -> Callable[..., int]:
    """`publish(folder, name="churn", id_type="int64", explainer=True, seed=0, view=None, alias="champion")`.

    Publishes the next version of a real small model and points the alias at it (None: at nothing); gives the
    version. Another seed gives another model; `view` replaces the SQL text.
    """

    def make(
        folder: Path,
        name: str = "churn",
        *,
        id_type: str = "int64",
        explainer: bool = True,
        seed: int = 0,
        view: str | None = None,
        alias: str | None = "champion",
    ) -> int:
        files, base_value = _trained(seed)
        column, type_ = TEXTS[id_type]
        text = view if view is not None else _VIEW.format(id=column, type=type_)
        files = files | {stored.FEATURES_SQL: text.encode()}
        if not explainer:
            files.pop(stored.EXPLAINER_ONNX)
        store = ModelStore(folder)
        made = store.publish(name, lambda version: (_manifest(name, version, id_type, base_value), files))
        if alias is not None:
            store.set_alias(name, alias, made.manifest.version)
        return made.manifest.version

    return make


@dataclass
class Running:
    """The real server and stubs to call it with."""

    server: Server
    channel: aio.Channel
    predictions: PredictionServiceStub
    models: ModelServiceStub
    store: Path
    stop: Callable[[], Awaitable[None]]

    def rich(self, error: aio.AioRpcError) -> RichError:
        """Decodes an error."""
        return read_rich_error(error)

    async def failure(self, call: Any) -> RichError:
        """The error that a call ends with."""
        with pytest.raises(aio.AioRpcError) as caught:
            await call
        return read_rich_error(caught.value)


@pytest.fixture
async def serve(
    clients: Any, publish: Callable[..., int], tmp_path: Path
) -> AsyncIterator[Callable[..., Awaitable[Running]]]:
    """Starts real servers: `await serve(**settings)`; they are drained at the end.

    Without `store` the model `churn` is published first; without `database_reader_url` it reads the clients.
    """
    async with AsyncExitStack() as stack:

        async def start(**flags: Any) -> Running:
            store = flags.setdefault("store", tmp_path / "models")
            if not store.exists():
                publish(store)
            defaults = {"port": 0, "database_reader_url": clients.reader_url, "drain_s": 5}
            settings = load_settings(defaults | flags)
            own = await stack.enter_async_context(AsyncExitStack())
            server = await own.enter_async_context(serving(settings, CollectorRegistry()))
            options = [("grpc.use_local_subchannel_pool", 1)]
            channel = aio.insecure_channel(f"127.0.0.1:{server.port}", options=options)
            own.push_async_callback(channel.close)
            stubs = PredictionServiceStub(channel), ModelServiceStub(channel)
            return Running(server, channel, *stubs, store, own.aclose)

        yield start
