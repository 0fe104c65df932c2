"""A gRPC server by hand that fails as networks, proxies and other people's servers do.

What our server says, even when it fails, comes from its real guard: see `scripted.py`.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from tests.client.harness import answers

from staunch.v1 import prediction_service_pb2 as pb
from staunch.v1 import prediction_service_pb2_grpc as predictions_grpc

Behaviour = Callable[[Any, grpc.ServicerContext], Any]


def failing(code: grpc.StatusCode, reason: str = "", retry_after_s: float | None = None) -> Behaviour:
    """Fails a call with a status and with details, whatever those are."""
    details: list[Any] = [error_details_pb2.ErrorInfo(reason=reason, domain="staunch")]
    if retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(round(retry_after_s * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))

    def fail(_request: Any, context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata((("grpc-status-details-bin", rich_status(code, "as told", details)),))
        context.abort(code, "as told")

    return fail


def rich_status(code: grpc.StatusCode, message: str, details: list[Any]) -> bytes:
    """Packs google.rpc details as they travel in grpc-status-details-bin."""
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return bytes(status.SerializeToString())


class Toy(predictions_grpc.PredictionServiceServicer):
    """Ends calls by the next behaviour in `script`, streams by `on_stream` and `on_chunk`; keeps what came.

    While there is `trouble`, every call ends by that.
    A stream asks `on_stream(stream, context)` first: it may abort, and True ends the stream at once. A chunk
    asks `on_chunk(stream, index, request, context)`, which may abort or wait; what it
    leaves is answered. `on_end()` comes before a stream ends well.
    """

    def __init__(self) -> None:
        self.script: deque[Behaviour] = deque()
        self.trouble: Behaviour | None = None
        self.seen: list[Any] = []
        self.streams: list[list[pb.BatchPredictRequest]] = []
        self.on_stream: Callable[[int, grpc.ServicerContext], object] = lambda *_: False
        self.on_chunk: Callable[[int, int, pb.BatchPredictRequest, grpc.ServicerContext], object] = (
            lambda *_: None
        )
        self.on_end: Callable[[], object] = lambda: None
        self.version = 3
        self.released = threading.Event()

    def Predict(self, request: pb.PredictRequest, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Answers Predict."""
        return self._answer(request, context, answers.prediction(request))

    def Explain(self, request: pb.ExplainRequest, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Answers Explain."""
        return self._answer(request, context, answers.explanation(request))

    def BatchPredict(  # noqa: N802
        self, requests: Iterator[pb.BatchPredictRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.BatchPredictResponse]:
        """Answers BatchPredict, chunk by chunk."""
        stream = len(self.streams)
        self.streams.append([])
        if self.on_stream(stream, context):
            return
        for index, request in enumerate(requests):
            self.streams[stream].append(request)
            as_of = answers.moment(self.streams[stream][0])
            self.on_chunk(stream, index, request, context)
            yield answers.addressed(answers.scored(request), index, self.version, as_of)
        self.on_end()

    def _answer(self, request: Any, context: grpc.ServicerContext, usual: Any) -> Any:
        self.seen.append(request)
        if self.trouble is not None:
            return self.trouble(request, context)
        return self.script.popleft()(request, context) if self.script else usual


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
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        local = grpc.local_server_credentials(grpc.LocalConnectionType.LOCAL_TCP)
        self.secure_port = self._server.add_secure_port("127.0.0.1:0", local)
        self._server.start()

    def stop(self) -> None:
        """Ends every call at once."""
        self._server.stop(None).wait()

    @property
    def target(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.port}"
