"""The fake server: one thread pool of grpc, scores from a dict, failures where a test asks for them."""

import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import grpc
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from staunch._arguments import INT32, is_language_tag
from staunch._batch import MOST_REASONS
from staunch.testing import _answers as answers
from staunch.testing._failures import Failure
from staunch.testing._rows import Rows
from staunch.v1 import model_service_pb2 as models_pb
from staunch.v1 import prediction_service_pb2 as pb

_LOG = logging.getLogger("staunch.testing")
_AT_ONCE = 64
"""Calls and streams in progress, as many as a test may well have; each has a thread, made when needed."""

_SERVING, _NOT_SERVING = 1, 2
_PREDICTION, _MODELS, _HEALTH = (
    "staunch.v1.PredictionService",
    "staunch.v1.ModelService",
    "grpc.health.v1.Health",
)

Behaviour = Exception | Callable[[Any, grpc.ServicerContext], Any]
"""What a call ends with: an exception that is raised, or what gives the answer in place of the usual one."""

OnChunk = Callable[
    [int, int, pb.BatchPredictRequest, grpc.ServicerContext], pb.BatchPredictResponse | Failure | None
]


@dataclass(frozen=True, slots=True)
class ReceivedCall:
    """A call that came.

    Attributes:
        method: The method's name, for example "Predict".
        request: The message; of a stream None, its chunks are in `FakeServer.streams`.
        metadata: What travelled beside it.
        request_id: The id under which the fake knows it, the caller's own if it gave one.
    """

    method: str
    request: Any
    metadata: Mapping[str, str | bytes]
    request_id: str


class FakeServer:
    """A server of `staunch.v1` on a free port of loopback; use it in a `with` block.

    It knows no views or dates, and features only where they are packed: it answers whatever is asked, by the
    model churn. All attributes may be changed while it serves.

    Attributes:
        scores: By customer (int, str or UUID) a probability or a `Failure`; for `predict`, `explain` and
            batches alike.
        usual_score: That of every other customer, and of features: a probability or a `Failure`.
        script: What the next calls end with, whatever they ask: failures, other exceptions (which become
            INTERNAL, as an unforeseen error of the server does) or functions of request and context that
            give the answer. A batch takes no function, which has `on_chunk`.
        failing: What every call ends with as long as it is set, as in `script`; None for none.
        delay_s: How long each answer, or chunk of a batch, takes.
        is_ready: What the health service says.
        joins: Whether it knows joined calls; one that does not has each come by itself.
        version: The version that answers, and the champion.
        features: The names of its features in their order, of which packed ones must be.
        calls: What came, in order.
        streams: The chunks of each batch that came.
        on_stream: Asked for each stream with its number and context; True ends it at once, without an answer.
        on_chunk: Asked for each chunk with the stream's number, its own, the request and the context; what it
            gives is the answer, a `Failure` fails the chunk as a whole, None leaves it to the fake. What it
            raises ends the stream.
        on_end: Asked before a stream ends well.
    """

    def __init__(self) -> None:
        self.scores: dict[int | str | UUID, float | Failure] = {}
        self.usual_score: float | Failure = 0.25
        self.script: deque[Behaviour] = deque()
        self.failing: Behaviour | None = None
        self.delay_s = 0.0
        self.is_ready = True
        self.joins = True
        self.version = 3
        self.features: Sequence[str] = tuple(answers.FEATURES)
        self.calls: list[ReceivedCall] = []
        self.streams: list[list[pb.BatchPredictRequest]] = []
        self.on_stream: Callable[[int, grpc.ServicerContext], object] = lambda *_: False
        self.on_chunk: OnChunk = lambda *_: None
        self.on_end: Callable[[], object] = lambda: None
        self.port = 0
        self._server: grpc.Server | None = None
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(_AT_ONCE)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def target(self) -> str:
        """Where clients find it, "127.0.0.1:port"; known once it was started."""
        if not self.port:
            raise RuntimeError("the fake server has no port before it is started: use it in a `with` block")
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serves, on the port it had before if any, so that a test may stop and start it."""
        if self._server is not None:
            raise RuntimeError("the fake server serves already: stop it first")
        self._stopping.clear()
        server = grpc.server(ThreadPoolExecutor(_AT_ONCE), options=[("grpc.so_reuseport", 0)])
        for service, methods in self._services().items():
            handlers = grpc.method_handlers_generic_handler(service, methods)
            server.add_generic_rpc_handlers((handlers,))
            server.add_registered_method_handlers(service, methods)
        self._bind(server)
        server.start()
        self._server = server

    def stop(self) -> None:
        """Ends every call at once."""
        self._stopping.set()
        if self._server is not None:
            self._server.stop(None).wait()
            self._server = None

    def fail_next(self, reason: str, *, times: int = 1) -> None:
        """Ends the next calls, or streams, with a reason of the server, and answers those after them."""
        self.script.extend(Failure(reason) for _ in range(times))

    def _bind(self, server: grpc.Server) -> None:
        self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")

    def _services(self) -> dict[str, dict[str, Any]]:
        predictions = {
            "Predict": self._handler("Predict", pb.PredictRequest, self._predict),
            "Explain": self._handler("Explain", pb.ExplainRequest, self._explain),
            "StreamPredict": grpc.stream_stream_rpc_method_handler(
                self._stream_predict, pb.StreamPredictRequest.FromString, _encoded
            ),
            "BatchPredict": grpc.stream_stream_rpc_method_handler(
                self._batch, pb.BatchPredictRequest.FromString, _encoded
            ),
        }
        models = {
            "ListModels": self._handler("ListModels", models_pb.ListModelsRequest, self._list_models),
            "GetModel": self._handler("GetModel", models_pb.GetModelRequest, self._get_model),
            "SetAlias": self._handler("SetAlias", models_pb.SetAliasRequest, self._set_alias),
            "DeleteAlias": self._handler("DeleteAlias", models_pb.DeleteAliasRequest, self._delete_alias),
            "ReloadModels": self._handler("ReloadModels", models_pb.ReloadModelsRequest, self._reload_models),
        }
        # On the wire these two are the health service's own messages.
        health = {"Check": grpc.unary_unary_rpc_method_handler(self._check, StringValue.FromString, _encoded)}
        return {_PREDICTION: predictions, _MODELS: models, _HEALTH: health}

    def _handler(self, method: str, kind: Any, usual: Callable[[Any], Any]) -> Any:
        answer = self._answers(method, usual)
        return grpc.unary_unary_rpc_method_handler(answer, kind.FromString, _encoded)

    def _answers(self, method: str, usual: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            request_id = self._received(method, request, context)
            behaviour = self._next_behaviour()
            self._delay()
            if isinstance(behaviour, Failure):
                behaviour.end(context, request_id)
            with _ended(context, request_id):
                if isinstance(behaviour, Exception):
                    raise behaviour.with_traceback(None)  # it may be raised for many calls
                return usual(request) if behaviour is None else behaviour(request, context)

        return answer

    def _stream_predict(
        self, requests: Iterator[pb.StreamPredictRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.StreamPredictResponse]:
        if not self.joins:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        yield from Rows(self._answers("Predict", self._predict), self._pool, context).answers(requests)

    def _delay(self) -> None:
        if self.delay_s:
            self._stopping.wait(self.delay_s)

    def _received(self, method: str, request: Any, context: grpc.ServicerContext) -> str:
        metadata = dict(context.invocation_metadata())
        request_id = str(metadata.get("x-request-id") or secrets.token_hex(6))
        self.calls.append(ReceivedCall(method, request, metadata, request_id))
        context.set_trailing_metadata((("x-request-id", request_id),))
        return request_id

    def _next_behaviour(self) -> Behaviour | None:
        if self.failing is not None:
            return self.failing
        return self.script.popleft() if self.script else None

    def _refuse_batch(self, requests: Iterator[pb.BatchPredictRequest]) -> None:
        """Raises what a batch shall end with, if anything."""
        behaviour = self._next_behaviour()
        if behaviour is None:
            return
        # Ended while its caller writes, grpc.aio would say "Internal error from Core" in our place.
        next(requests, None)
        if isinstance(behaviour, Exception):
            raise behaviour.with_traceback(None)
        raise TypeError("expected an exception for a batch, got a function: on_chunk takes those")

    def _batch(
        self, requests: Iterator[pb.BatchPredictRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.BatchPredictResponse]:
        request_id = self._received("BatchPredict", None, context)
        stream = len(self.streams)
        self.streams.append([])
        with _ended(context, request_id):
            self._refuse_batch(requests)
            if self.on_stream(stream, context):
                return
            for index, request in enumerate(requests):
                self.streams[stream].append(request)
                first = self.streams[stream][0]
                # Of the messages' rules only those that a caller may well break unawares.
                if not 0 <= first.top_contributions <= MOST_REASONS:
                    raise Failure("FIELD_INVALID", f"Expected top_contributions of 0 to {MOST_REASONS}.")
                _refuse_language(first.language_code)
                self._delay()
                answer = self.on_chunk(stream, index, request, context) or self._chunk(request)
                if isinstance(answer, Failure):
                    answer = answer.of_chunk(request)
                as_of = None if request.HasField("packed_features") else answers.moment(first)
                answers.addressed(answer, index, self._version(first.model), as_of)
                yield answers.explained(answer, first)
            self.on_end()

    def _version(self, asked: str) -> int:
        """Returns the version that a request names; without a number it is the champion."""
        name = asked.partition("@")[2]
        if not name.isdecimal():
            return self.version
        if (version := int(name)) > INT32:
            expected = '"name", "name@version" or "name@alias"'
            raise Failure(
                "FIELD_INVALID",
                f"model: expected a model as {expected}, got {asked!r}; versions end at {INT32}.",
                violations={"model": "expected name, name@version or name@alias"},
                metadata={"field": "model", "expected": expected, "got": asked},
            )
        return version

    def _score(self, request: pb.PredictRequest | pb.ExplainRequest) -> float:
        subject: str | None = request.WhichOneof("subject")
        if subject is None:
            raise Failure("SUBJECT_MISSING", "Expected a customer or features, got neither.")
        if subject == "packed_features" and answers.packed_rows(request.packed_features, self.features) != 1:
            raise Failure("FEATURES_MISMATCH", "Expected one row of packed features.")
        customer: int | str = request.customer_id
        if subject == "customer_key":
            customer = request.customer_key
        found = self._found(customer) if subject.startswith("customer") else self.usual_score
        if isinstance(found, Failure):
            raise found.with_traceback(None)
        return found

    def _found(self, customer: int | str) -> float | Failure:
        if customer == "" or (isinstance(customer, int) and customer < 1):
            is_id = isinstance(customer, int)
            named = {"customer": str(customer), "field": "customer_id" if is_id else "customer_key"}
            return Failure(
                "CUSTOMER_ID_INVALID",
                "Expected an id of 1 or more, or a key.",
                violations={named["field"]: "expected an id of 1 or more, or a key"},
                metadata=named | {"id_type": "int64" if is_id else "text"},
            )
        if isinstance(customer, str) and customer not in self.scores:
            return self.scores.get(_as_uuid(customer), self.usual_score)
        return self.scores.get(customer, self.usual_score)

    def _chunk(self, request: pb.BatchPredictRequest) -> pb.BatchPredictResponse:
        answer = pb.BatchPredictResponse(
            customer_ids=request.customer_ids, customer_keys=request.customer_keys
        )
        customers: list[int | str] = [*request.customer_ids, *request.customer_keys]
        if given := request.HasField("packed_features"):
            customers = [*range(answers.packed_rows(request.packed_features, self.features))]
        for index, customer in enumerate(customers):
            found = self.usual_score if given else self._found(customer)
            if not isinstance(found, Failure):
                answer.probabilities.append(found)
                answer.risk_bands.append(answers.risk_band(found))
            else:
                answer.probabilities.append(float("nan"))
                answer.risk_bands.append(pb.RISK_BAND_UNSPECIFIED)
                answer.row_errors.add(
                    index=index, code=found.code.value[0], reason=found.reason, message=found.message
                )
        return answer

    def _predict(self, request: pb.PredictRequest) -> pb.PredictResponse:
        score = self._score(request)
        return answers.prediction(request, self._version(request.model), score, self.features)

    def _explain(self, request: pb.ExplainRequest) -> pb.ExplainResponse:
        _refuse_language(request.language_code)
        score = self._score(request)
        return answers.explanation(request, self._version(request.model), score, self.features)

    def _model(self, version: int) -> models_pb.Model:
        return answers.model(version, champion=self.version)

    def _list_models(self, request: models_pb.ListModelsRequest) -> models_pb.ListModelsResponse:
        """Answers with one version a page, the newest first."""
        if (name := request.name) not in ("", answers.NAME):
            facts = {"model": name, "available": answers.NAME}
            text = f"{name}: expected a model of the store, which holds {answers.NAME}."
            raise Failure("MODEL_NOT_FOUND", text, resource=("model", name), metadata=facts)
        version = int(request.page_token or self.version)
        token = str(version - 1) if version > 1 else ""
        return models_pb.ListModelsResponse(models=[self._model(version)], next_page_token=token)

    def _get_model(self, request: models_pb.GetModelRequest) -> models_pb.GetModelResponse:
        version = self._version(request.model)
        found = answers.model_in_full(version, "", b"{}", champion=self.version, names=self.features)
        return models_pb.GetModelResponse(model=found)

    def _set_alias(self, request: models_pb.SetAliasRequest) -> models_pb.SetAliasResponse:
        return models_pb.SetAliasResponse(
            model=self._model(request.version), previous_version=self.version - 1
        )

    def _delete_alias(self, _request: models_pb.DeleteAliasRequest) -> models_pb.DeleteAliasResponse:
        return models_pb.DeleteAliasResponse(previous_version=self.version - 1)

    def _reload_models(self, _request: models_pb.ReloadModelsRequest) -> models_pb.ReloadModelsResponse:
        return models_pb.ReloadModelsResponse(models=[self._model(self.version)])

    def _check(self, _request: StringValue, _context: grpc.ServicerContext) -> Int32Value:
        return Int32Value(value=_SERVING if self.is_ready else _NOT_SERVING)


def _refuse_language(code: str) -> None:
    if code and not is_language_tag(code):
        wrong = {"language_code": "is no BCP 47 tag"}
        text = f'Expected a language_code such as "fr" or "fr-CA", got {code!r}.'
        raise Failure("FIELD_INVALID", text, violations=wrong)


def _as_uuid(key: str) -> UUID | str:
    """Returns the uuid that a key is the text of, which is how it travels."""
    try:
        found = UUID(key)
    except ValueError:
        return key
    return found if str(found) == key else key


def _encoded(message: Any) -> bytes:
    encoded: bytes = message.SerializeToString()
    return encoded


@contextmanager
def _ended(context: grpc.ServicerContext, request_id: str) -> Iterator[None]:
    """Ends a call as the server's guard does, whatever the block raises."""
    try:
        yield
    except Failure as failure:
        failure.end(context, request_id)
    except Exception:
        if context.code() is not None:  # type: ignore[attr-defined]  # the stubs know no getter
            raise  # a hook has ended the call by itself
        _LOG.exception("the fake server answers INTERNAL")
        incident = secrets.token_hex(8)
        message = f"Something unforeseen happened; the server's log has it as incident {incident}."
        Failure("INTERNAL", message, metadata={"incident_id": incident}).end(context, request_id)
