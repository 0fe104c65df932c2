"""Every unary call of `staunch.v1`: which method, which request, how its answer is read."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from staunch import _wire as wire
from staunch._results import AliasMove, Explanation, Model, Prediction
from staunch._wire import CustomerId, Features
from staunch.v1 import model_service_pb2 as models_pb
from staunch.v1 import model_service_pb2_grpc as models_grpc
from staunch.v1 import prediction_service_pb2 as predictions_pb
from staunch.v1 import prediction_service_pb2_grpc as predictions_grpc

T = TypeVar("T")

_PAGE_SIZE = 1000  # the most the server gives


@dataclass(frozen=True, slots=True)
class UnaryCall(Generic[T]):
    """One unary call, ready to be sent by either client.

    Attributes:
        method: The method's name; unique over both services.
        request: The message to send.
        decode: Makes the result of the answer.
        retry: False if, after a lost answer, a second try would be refused because the first succeeded.
    """

    method: str
    request: Message
    decode: Callable[[Any], T]
    retry: bool = True


def methods(channel: Any) -> dict[str, Any]:
    """Gives the callables of both services by method name, for a channel of grpc or of grpc.aio."""
    predictions = predictions_grpc.PredictionServiceStub(channel)
    models = models_grpc.ModelServiceStub(channel)
    return {**vars(predictions), **vars(models)}


def predict(
    customer: CustomerId | None,
    *,
    features: Features | None,
    overrides: Features | None,
    model: str,
    as_of: datetime | None,
    include_features: bool,
) -> UnaryCall[Prediction]:
    """Builds Predict."""
    request = predictions_pb.PredictRequest(
        model=model,
        overrides=wire.feature_values(overrides or {}),
        as_of_time=wire.timestamp(as_of),
        include_features=include_features,
        **wire.subject(customer, features),
    )
    return UnaryCall("Predict", request, wire.prediction)


def explain(  # noqa: PLR0913 - the request's own fields, by name
    customer: CustomerId | None,
    *,
    features: Features | None,
    overrides: Features | None,
    model: str,
    as_of: datetime | None,
    include_features: bool,
    max_contributions: int,
) -> UnaryCall[Explanation]:
    """Builds Explain."""
    request = predictions_pb.ExplainRequest(
        model=model,
        overrides=wire.feature_values(overrides or {}),
        as_of_time=wire.timestamp(as_of),
        include_features=include_features,
        max_contributions=max_contributions,
        **wire.subject(customer, features),
    )
    return UnaryCall("Explain", request, wire.explanation)


def list_models(name: str, page_token: str) -> UnaryCall[tuple[list[Model], str]]:
    """Builds ListModels for one page; the result ends with the token of the next, empty on the last."""
    request = models_pb.ListModelsRequest(page_size=_PAGE_SIZE, page_token=page_token, name=name)
    return UnaryCall("ListModels", request, lambda page: (_models(page), page.next_page_token))


def get_model(model: str) -> UnaryCall[Model]:
    """Builds GetModel."""
    request = models_pb.GetModelRequest(model=model)
    return UnaryCall("GetModel", request, lambda answer: wire.model(answer.model))


def set_alias(name: str, alias: str, version: int, expected_version: int | None) -> UnaryCall[AliasMove]:
    """Builds SetAlias; with an expected version it is sent once only."""
    request = models_pb.SetAliasRequest(
        name=name, alias=alias, version=version, expected_version=expected_version
    )
    return UnaryCall("SetAlias", request, _alias_move, retry=expected_version is None)


def reload_models() -> UnaryCall[list[Model]]:
    """Builds ReloadModels."""
    return UnaryCall("ReloadModels", models_pb.ReloadModelsRequest(), _models)


def _models(answer: models_pb.ListModelsResponse | models_pb.ReloadModelsResponse) -> list[Model]:
    return [wire.model(message) for message in answer.models]


def _alias_move(answer: models_pb.SetAliasResponse) -> AliasMove:
    return AliasMove(wire.model(answer.model), answer.previous_version or None)
