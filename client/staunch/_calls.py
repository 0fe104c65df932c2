"""Every unary call of `staunch.v1`: which method, which request, how its answer is read."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import Int32Value, StringValue
from grpc import StatusCode

from staunch import _arguments as arguments
from staunch import _wire as wire
from staunch._arguments import INT32, ModelName
from staunch._errors import DeadlineExceeded, ErrorDetails, StaunchError, Unavailable
from staunch._results import AliasMove, Explanation, Model, Prediction
from staunch._wire import CustomerId, Features, Given
from staunch.v1 import model_service_pb2 as models_pb
from staunch.v1 import model_service_pb2_grpc as models_grpc
from staunch.v1 import prediction_service_pb2 as predictions_pb
from staunch.v1 import prediction_service_pb2_grpc as predictions_grpc

T = TypeVar("T")

_PAGE_SIZE = 1000  # the most the server gives

_HEALTH = "/grpc.health.v1.Health/Check"
_SERVING = 1
_LONGEST_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class UnaryCall(Generic[T]):
    """One unary call, ready to be sent by either client.

    Attributes:
        method: The method's name; unique over both services.
        request: The message to send.
        decode: Makes the result of the answer and of the id under which the server knows the call.
        retry: False if, after a lost answer, a second try would be refused because the first succeeded.
        changes: Whether it changes something: then it is tried again only after a refusal, or where it
            reached nobody. A lost answer, as of a call that the server cancelled, leaves open whether it is
            done, and somebody else may have changed the same since.
    """

    method: str
    request: Message
    decode: Callable[..., T]
    retry: bool = True
    changes: bool = False


def methods(channel: Any) -> dict[str, Any]:
    """Gives the callables of both services by method name, for a channel of grpc or of grpc.aio."""
    predictions = predictions_grpc.PredictionServiceStub(channel)
    models = models_grpc.ModelServiceStub(channel)
    # On the wire a HealthCheckRequest is a StringValue and a HealthCheckResponse an Int32Value: the standard
    # service, without its package. A test holds them against the real messages.
    check = channel.unary_unary(
        _HEALTH, request_serializer=StringValue.SerializeToString, response_deserializer=Int32Value.FromString
    )
    return {**vars(predictions), **vars(models), "Check": check}


def predict(
    customer: CustomerId | None,
    *,
    features: Given | None,
    overrides: Features | None,
    model: ModelName,
    as_of: datetime | None,
    include_features: bool,
) -> UnaryCall[Prediction]:
    """Builds Predict."""
    request = predictions_pb.PredictRequest(
        model=arguments.model_name(model),
        overrides=wire.feature_values("overrides", overrides),
        as_of_time=wire.timestamp(as_of),
        include_features=arguments.flag("include_features", include_features),
        **wire.subject(customer, features),
    )
    return UnaryCall("Predict", request, wire.prediction)


def explain(  # noqa: PLR0913 - the request's own fields, by name
    customer: CustomerId | None,
    *,
    features: Given | None,
    overrides: Features | None,
    model: ModelName,
    as_of: datetime | None,
    include_features: bool,
    max_contributions: int,
    language: str,
) -> UnaryCall[Explanation]:
    """Builds Explain."""
    request = predictions_pb.ExplainRequest(
        model=arguments.model_name(model),
        overrides=wire.feature_values("overrides", overrides),
        as_of_time=wire.timestamp(as_of),
        include_features=arguments.flag("include_features", include_features),
        max_contributions=arguments.whole("max_contributions", max_contributions, 0, INT32),
        language_code=arguments.text("language", language),
        **wire.subject(customer, features),
    )
    return UnaryCall("Explain", request, wire.explanation)


def list_models(name: str, page_token: str) -> UnaryCall[tuple[list[Model], str]]:
    """Builds ListModels for one page; the result ends with the token of the next, empty on the last."""
    request = models_pb.ListModelsRequest(
        page_size=_PAGE_SIZE, page_token=page_token, name=arguments.text("name", name)
    )
    return UnaryCall("ListModels", request, lambda page, _: (_models(page), page.next_page_token))


def get_model(model: ModelName) -> UnaryCall[Model]:
    """Builds GetModel."""
    request = models_pb.GetModelRequest(model=arguments.model_name(model))
    return UnaryCall("GetModel", request, lambda answer, _: wire.model(answer.model))


def set_alias(name: str, alias: str, version: int, expected_version: int | None) -> UnaryCall[AliasMove]:
    """Builds SetAlias; with an expected version it is sent once only."""
    request = models_pb.SetAliasRequest(
        name=arguments.text("name", name),
        alias=arguments.text("alias", alias),
        version=arguments.whole("version", version, 1, INT32),
        expected_version=_optional_version(expected_version),
    )
    return UnaryCall("SetAlias", request, _alias_move, retry=expected_version is None, changes=True)


def _optional_version(version: int | None, least: int = 0) -> int | None:
    return None if version is None else arguments.whole("expected_version", version, least, INT32)


def delete_alias(name: str, alias: str, expected_version: int | None) -> UnaryCall[int | None]:
    """Builds DeleteAlias; with an expected version it is sent once only."""
    request = models_pb.DeleteAliasRequest(
        name=arguments.text("name", name),
        alias=arguments.text("alias", alias),
        expected_version=_optional_version(expected_version, least=1),
    )
    return UnaryCall(
        "DeleteAlias",
        request,
        lambda answer, _: answer.previous_version or None,
        retry=expected_version is None,
        changes=True,
    )


def reload_models() -> UnaryCall[list[Model]]:
    """Builds ReloadModels."""
    return UnaryCall("ReloadModels", models_pb.ReloadModelsRequest(), _models, changes=True)


def readiness() -> UnaryCall[StaunchError | None]:
    """Builds the health check of the whole server; gives why it is not ready, None if it is. Asked once."""
    return UnaryCall("Check", StringValue(), _readiness, retry=False)


class Waiting:
    """The time of waiting for a server that is not ready yet.

    Args:
        timeout_s: The seconds to wait at most.
        clock: Tells the time.
    """

    def __init__(self, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._deadline = clock() + timeout_s
        self._pause_s = 0.05

    def ask_s(self, timeout_s: float) -> float:
        """Gives the seconds that the next question may take, of `timeout_s` at most."""
        return max(0.001, min(timeout_s, self._deadline - self._clock()))

    def wait_s(self, cause: StaunchError) -> float:
        """Gives the seconds to wait before asking again.

        Raises:
            DeadlineExceeded: The time is over; it says what the last question met.
        """
        wait, self._pause_s = self._pause_s, min(2 * self._pause_s, _LONGEST_PAUSE_S)
        if self._clock() + wait >= self._deadline:
            message = f"the server was not ready within {self._timeout_s:g} s: {cause}"
            raise DeadlineExceeded(StatusCode.DEADLINE_EXCEEDED, message, cause.details) from cause
        return wait


def _readiness(answer: Int32Value, request_id: str) -> StaunchError | None:
    if answer.value == _SERVING:
        return None
    message = "the server says that it is not serving: no model is ready, or it stops"
    return Unavailable(StatusCode.UNAVAILABLE, message, ErrorDetails(request_id=request_id))


def _models(
    answer: models_pb.ListModelsResponse | models_pb.ReloadModelsResponse, _request_id: str = ""
) -> list[Model]:
    return [wire.model(message) for message in answer.models]


def _alias_move(answer: models_pb.SetAliasResponse, request_id: str = "") -> AliasMove:
    return AliasMove(wire.model(answer.model), answer.previous_version or None, request_id)
