"""A small real gRPC server that does as it is told, and both clients behind one face."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2

from staunch import AsyncClient, Client, RowError, Score
from staunch.v1 import model_service_pb2 as models_pb
from staunch.v1 import model_service_pb2_grpc as models_grpc
from staunch.v1 import prediction_service_pb2 as pb
from staunch.v1 import prediction_service_pb2_grpc as predictions_grpc

Behaviour = Callable[[Any, grpc.ServicerContext], Any]


def rich_status(code: grpc.StatusCode, message: str, *details: Any) -> bytes:
    """Packs google.rpc details as they travel in grpc-status-details-bin."""
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return bytes(status.SerializeToString())


def failing(
    code: grpc.StatusCode, reason: str = "", retry_after_s: float | None = None, *more: Any
) -> Behaviour:
    """Fails a call as our server does."""
    details = [error_details_pb2.ErrorInfo(reason=reason, domain="staunch"), *more]
    if retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(round(retry_after_s * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))

    def fail(_request: Any, context: grpc.ServicerContext) -> None:
        raw = rich_status(code, "as told", *details)
        context.set_trailing_metadata((("grpc-status-details-bin", raw), ("x-request-id", "r1")))
        context.abort(code, "as told")

    return fail


def scored(request: pb.BatchPredictRequest) -> pb.BatchPredictResponse:
    """Scores each id by itself: id / 1000, and CUSTOMER_NOT_FOUND for every seventh."""
    ids, keys = list(request.customer_ids), list(request.customer_keys)
    answer = pb.BatchPredictResponse(customer_ids=ids, customer_keys=keys)
    for index, customer in enumerate(ids or map(len, keys)):
        lost = customer < 1 or customer % 7 == 0
        answer.probabilities.append(float("nan") if lost else customer / 1000)
        answer.risk_bands.append(pb.RISK_BAND_UNSPECIFIED if lost else pb.RISK_BAND_LOW)
        if lost:
            reason = "CUSTOMER_ID_INVALID" if customer < 1 else "CUSTOMER_NOT_FOUND"
            answer.errors.add(index=index, code=3 if customer < 1 else 5, reason=reason)
    return answer


def failed_chunk(request: pb.BatchPredictRequest, code: int, reason: str) -> pb.BatchPredictResponse:
    """Fails a whole chunk."""
    answer = pb.BatchPredictResponse(customer_ids=request.customer_ids, customer_keys=request.customer_keys)
    answer.errors.add(code=code, reason=reason, message="as told")
    return answer


class Toy(predictions_grpc.PredictionServiceServicer, models_grpc.ModelServiceServicer):
    """Answers every call sensibly, or by the next behaviour in `script`; notes what came.

    A stream asks `on_stream(stream, context)` first: it may abort, and True ends the stream at once. A chunk
    of a batch asks `on_chunk(stream, index, request, context)`: what it returns is the answer, None leaves it
    to the toy.
    """

    failing = staticmethod(failing)
    failed_chunk = staticmethod(failed_chunk)

    def __init__(self) -> None:
        self.script: deque[Behaviour] = deque()
        self.seen: list[Any] = []
        self.metadata: list[dict[str, Any]] = []
        self.streams: list[list[pb.BatchPredictRequest]] = []
        self.on_chunk: Callable[[int, int, pb.BatchPredictRequest, grpc.ServicerContext], Any] = lambda *_: (
            None
        )
        self.on_stream: Callable[[int, grpc.ServicerContext], bool] = lambda *_: False
        self.version = 3
        self.view_digest = ""
        self.manifest = b"{}"
        self.now = Timestamp(seconds=1_700_000_000, nanos=123_456_000)
        self.ended_well = 0
        self.released = threading.Event()

    def _answer(self, request: Any, context: grpc.ServicerContext, usual: Any) -> Any:
        self.seen.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        return self.script.popleft()(request, context) if self.script else usual

    def reference(self) -> pb.ModelReference:
        return pb.ModelReference(name="churn", version=self.version, digest=f"sha256:{self.version}")

    def prediction(self, request: Any) -> pb.PredictResponse:
        answer = pb.PredictResponse(probability=0.25, risk_band=pb.RISK_BAND_MEDIUM, model=self.reference())
        answer.as_of_time.CopyFrom(request.as_of_time if request.HasField("as_of_time") else self.now)
        if request.include_features:
            answer.features["age"].number = 41.0
            answer.features["income"].SetInParent()
        return answer

    def Predict(self, request, context):  # noqa: N802
        return self._answer(request, context, self.prediction(request))

    def Explain(self, request, context):  # noqa: N802
        why = pb.Explanation(
            output_space=pb.OUTPUT_SPACE_LOG_ODDS,
            method=pb.EXPLANATION_METHOD_TREE_PATH_DEPENDENT,
            base_value=-2.0,
            output_value=-1.0986,
            contributions=[
                pb.FeatureContribution(
                    feature="tickets_open", value=pb.FeatureValue(number=3), contribution=1.2
                ),
                pb.FeatureContribution(feature="income", contribution=-0.4, overridden=True),
            ],
            remainder=0.1014,
            remainder_count=7,
        )
        answer = pb.ExplainResponse(prediction=self.prediction(request), explanation=why)
        return self._answer(request, context, answer)

    def BatchPredict(self, requests, context):  # noqa: N802
        stream = len(self.streams)
        self.streams.append([])
        if self.on_stream(stream, context):
            return
        as_of = None
        for index, request in enumerate(requests):
            self.streams[stream].append(request)
            if index == 0:
                as_of = request.as_of_time if request.HasField("as_of_time") else self.now
            answer = self.on_chunk(stream, index, request, context) or scored(request)
            answer.chunk_index = index
            answer.model.CopyFrom(self.reference())
            answer.as_of_time.CopyFrom(as_of)
            yield answer
        self.ended_well += 1

    def model(self, version: int) -> models_pb.Model:
        return models_pb.Model(
            name="churn",
            version=version,
            digest=f"sha256:{version}",
            aliases=["champion"] if version == self.version else [],
            state=models_pb.MODEL_STATE_READY,
            create_time=self.now,
            view="churn",
            view_digest=self.view_digest,
            id_type=models_pb.ID_TYPE_INT64,
            output_space=pb.OUTPUT_SPACE_LOG_ODDS,
            horizon_days=90,
            medium_threshold=0.1,
        )

    def ListModels(self, request, context):  # noqa: N802
        version = int(request.page_token or 3)
        page = models_pb.ListModelsResponse(
            models=[self.model(version)], next_page_token=str(version - 1) if version > 1 else ""
        )
        return self._answer(request, context, page)

    def GetModel(self, request, context):  # noqa: N802
        found = self.model(3)
        found.features.add(
            name="age", type=models_pb.FEATURE_TYPE_NUMBER, unit="years", description="Age in whole years."
        )
        found.metrics.add(name="auc", value=0.84, lower=0.82, upper=0.86)
        found.metrics.add(name="rows", value=100)
        found.manifest_json = self.manifest
        return self._answer(request, context, models_pb.GetModelResponse(model=found))

    def SetAlias(self, request, context):  # noqa: N802
        answer = models_pb.SetAliasResponse(model=self.model(request.version), previous_version=2)
        return self._answer(request, context, answer)

    def ReloadModels(self, request, context):  # noqa: N802
        return self._answer(request, context, models_pb.ReloadModelsResponse(models=[self.model(3)]))


class ToyServer:
    """The toy on a port of its own; may be stopped and started again on the same port."""

    def __init__(self) -> None:
        self.toy = Toy()
        self.port = 0
        self.start()

    def start(self) -> None:
        """Serves, on the port it had before if any."""
        self._server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        predictions_grpc.add_PredictionServiceServicer_to_server(self.toy, self._server)
        models_grpc.add_ModelServiceServicer_to_server(self.toy, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        local = grpc.local_server_credentials(grpc.LocalConnectionType.LOCAL_TCP)
        self.secure_port = self._server.add_secure_port("127.0.0.1:0", local)
        self._server.start()

    def stop(self) -> None:
        """Ends every call at once."""
        self._server.stop(None).wait()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"


class EitherClient:
    """Client or AsyncClient, awaited alike, so that one test holds both to the same promise."""

    def __init__(self, client: Client | AsyncClient) -> None:
        self.client = client

    async def call(self, method: str, *args: Any, **named: Any) -> Any:
        """Calls a method."""
        if isinstance(self.client, Client):
            return await asyncio.to_thread(getattr(self.client, method), *args, **named)
        return await getattr(self.client, method)(*args, **named)

    async def rows(self, customers: Any, **named: Any) -> list[Score | RowError]:
        """Runs a batch to its end."""
        if isinstance(self.client, AsyncClient):
            return [row async for row in self.client.batch_predict(customers, **named)]
        return await asyncio.to_thread(lambda: list(self.client.batch_predict(customers, **named)))

    async def close(self) -> None:
        """Closes it."""
        await self.call("close")


@pytest.fixture
def server() -> Iterator[ToyServer]:
    """A toy server of the test's own."""
    made = ToyServer()
    yield made
    made.toy.released.set()
    made.stop()


@pytest.fixture
def toy(server: ToyServer) -> Toy:
    """What the server is told and has seen."""
    return server.toy


@pytest.fixture(params=[Client, AsyncClient])
async def either(request: pytest.FixtureRequest, server: ToyServer) -> AsyncIterator[EitherClient]:
    """Each client in turn."""
    made = EitherClient(request.param(server.target))
    yield made
    await made.close()


@pytest.fixture(params=[Client, AsyncClient])
async def either_with(
    request: pytest.FixtureRequest, server: ToyServer
) -> AsyncIterator[Callable[..., EitherClient]]:
    """Makes each client in turn with settings of the test's own."""
    made: list[EitherClient] = []

    def make(**settings: Any) -> EitherClient:
        made.append(EitherClient(request.param(server.target, **settings)))
        return made[-1]

    yield make
    for client in made:
        await client.close()
