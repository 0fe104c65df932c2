"""The server's real guard and transport over services that answer by a script: no database, no model."""

import asyncio
import inspect
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tests.client.harness import answers

from staunch.v1 import model_service_pb2 as models_pb
from staunch.v1 import prediction_service_pb2 as pb
from staunch_server.errors import Refusal
from staunch_server.events import Events
from staunch_server.services.stream_predict import StreamPredictServicer
from staunch_server.transport.aio import AioTransport
from staunch_server.transport.guard import Guard
from staunch_server.transport.seam import Call, Service

Behaviour = Exception | Callable[[Any, Call], Awaitable[Any]]
"""What a call ends with: an exception that is raised, or a handler in place of the usual one."""

Answer = TypeVar("Answer")

OnChunk = Callable[
    [int, int, pb.BatchPredictRequest],
    Awaitable[pb.BatchPredictResponse | None] | pb.BatchPredictResponse | None,
]


class Scripted:
    """Answers every call sensibly, or by the next behaviour in `script`; keeps what came.

    A chunk of a batch asks `on_chunk(stream, index, request)`, a function or a coroutine function: what it
    returns is the answer, None leaves it to us, and what it raises ends the stream.
    """

    def __init__(self) -> None:
        self.script: deque[Behaviour] = deque()
        self.seen: list[Any] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.streams: list[list[pb.BatchPredictRequest]] = []
        self.stream_ids: list[str] = []
        self.on_chunk: OnChunk = lambda *_: None
        self.version = 3
        self.view_digest = ""
        self.manifest = b"{}"
        self.ended_well = 0

    async def predict(self, request: pb.PredictRequest, call: Call) -> pb.PredictResponse:
        """Answers Predict."""
        return await self._answer(request, call, answers.prediction(request, self.version))

    async def explain(self, request: pb.ExplainRequest, call: Call) -> pb.ExplainResponse:
        """Answers Explain."""
        return await self._answer(request, call, answers.explanation(request, self.version))

    async def list_models(
        self, request: models_pb.ListModelsRequest, call: Call
    ) -> models_pb.ListModelsResponse:
        """Answers ListModels: versions 3 to 1, one a page."""
        version = int(request.page_token or 3)
        page = models_pb.ListModelsResponse(
            models=[self.model(version)], next_page_token=str(version - 1) if version > 1 else ""
        )
        return await self._answer(request, call, page)

    async def get_model(self, request: models_pb.GetModelRequest, call: Call) -> models_pb.GetModelResponse:
        """Answers GetModel: version 3 in full."""
        found = answers.model_in_full(3, self.view_digest, self.manifest, champion=self.version)
        return await self._answer(request, call, models_pb.GetModelResponse(model=found))

    async def set_alias(self, request: models_pb.SetAliasRequest, call: Call) -> models_pb.SetAliasResponse:
        """Answers SetAlias: it pointed at 2 before."""
        answer = models_pb.SetAliasResponse(model=self.model(request.version), previous_version=2)
        return await self._answer(request, call, answer)

    async def delete_alias(
        self, request: models_pb.DeleteAliasRequest, call: Call
    ) -> models_pb.DeleteAliasResponse:
        """Answers DeleteAlias: it pointed at 2."""
        return await self._answer(request, call, models_pb.DeleteAliasResponse(previous_version=2))

    async def reload_models(
        self, request: models_pb.ReloadModelsRequest, call: Call
    ) -> models_pb.ReloadModelsResponse:
        """Answers ReloadModels: version 3 changed."""
        return await self._answer(request, call, models_pb.ReloadModelsResponse(models=[self.model(3)]))

    async def batch_predict(
        self, requests: AsyncIterator[pb.BatchPredictRequest | Refusal], call: Call
    ) -> AsyncGenerator[pb.BatchPredictResponse, None]:
        """Answers BatchPredict, chunk by chunk."""
        stream = len(self.streams)
        self.streams.append([])
        self.stream_ids.append(call.request_id)
        as_of = answers.NOW
        async for request in requests:
            assert not isinstance(request, Refusal)
            index = len(self.streams[stream])
            self.streams[stream].append(request)
            as_of = as_of if index else answers.moment(request)
            told = self.on_chunk(stream, index, request)
            answer = await told if inspect.isawaitable(told) else told
            answer = answers.addressed(answer or answers.scored(request), index, self.version, as_of)
            yield answers.explained(answer, self.streams[stream][0])
        self.ended_well += 1

    def model(self, version: int) -> models_pb.Model:
        """Describes a version; `version` is the champion."""
        return answers.model(version, self.view_digest, champion=self.version)

    async def _answer(self, request: object, call: Call, usual: Answer) -> Answer:
        self.seen.append(request)
        self.metadata.append(dict(call.metadata))
        if not self.script:
            return usual
        behaviour = self.script.popleft()
        if isinstance(behaviour, Exception):
            raise behaviour
        told: Answer = await behaviour(request, call)
        return told


class ScriptedServer:
    """The guard over a scripted service on a port of loopback; may be stopped and started again on it."""

    def __init__(self, transport: type[AioTransport] = AioTransport) -> None:
        self.service = Scripted()
        self.port = 0
        self._kind = transport

    @property
    def target(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Serves, on the port it had before if any."""
        self.guard = Guard(Events(), max_calls=64, max_streams=8, default_deadline_s=5, stream_idle_s=60)
        services = _services(self.guard, self.service)
        self._transport = self._kind(services, self.guard, address=self.target)
        self.port = await self._transport.start()
        await self.set_serving(True)

    async def set_serving(self, serving: bool) -> None:
        """Sets what the health service says of the whole server."""
        self._transport.set_serving("", serving)

    async def stop(self) -> None:
        """Drains as the real server does; what does not end by itself is cut off."""
        self.guard.drain()
        await self.guard.idle(0.5)
        await self._transport.stop(0)


@contextmanager
def in_thread(server: ScriptedServer) -> Iterator[ScriptedServer]:
    """Serves for the block in a thread with a loop of its own, for callers that have none."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="scripted-server")
    thread.start()

    def run(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(10)

    try:
        run(server.start())
        yield server
        run(server.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _services(guard: Guard, service: Scripted) -> list[Service]:
    predict = guard.unary(pb.PredictRequest, service.predict)
    rows = StreamPredictServicer(predict, guard.room_for_rows)
    prediction = Service(
        "staunch.v1.PredictionService",
        unary={
            "Predict": predict,
            "Explain": guard.unary(pb.ExplainRequest, service.explain),
        },
        streams={
            "BatchPredict": guard.stream(pb.BatchPredictRequest, service.batch_predict),
            "StreamPredict": guard.stream(pb.StreamPredictRequest, rows.stream_predict, of_rows=True),
        },
    )
    models = Service(
        "staunch.v1.ModelService",
        unary={
            "ListModels": guard.unary(models_pb.ListModelsRequest, service.list_models),
            "GetModel": guard.unary(models_pb.GetModelRequest, service.get_model),
            "SetAlias": guard.unary(models_pb.SetAliasRequest, service.set_alias),
            "DeleteAlias": guard.unary(models_pb.DeleteAliasRequest, service.delete_alias),
            "ReloadModels": guard.unary(models_pb.ReloadModelsRequest, service.reload_models),
        },
    )
    return [prediction, models]
