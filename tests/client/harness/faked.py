"""The shipped fake behind the face of `scripted.py`, so that the clients' tests hold it to the real guard."""

import asyncio
import inspect
from collections import deque
from typing import Any

import grpc
from tests.client.harness import answers
from tests.client.harness.scripted import OnChunk

from staunch.testing import Failure, FakeServer
from staunch.v1 import prediction_service_pb2 as pb
from staunch_server.errors import Refusal


class FakedService:
    """What `Scripted` is, over the fake: told by refusals and coroutine functions, and keeps what came."""

    def __init__(self) -> None:
        self.fake = _Forgetful()
        self.script: deque[Any] = deque()
        self.on_chunk: OnChunk = lambda *_: None
        self.ended_well = 0
        self.loop: asyncio.AbstractEventLoop | None = None
        self.fake.script = _Script(self)
        self.fake.on_chunk = self._chunk
        self.fake.on_end = self._ended

    @property
    def seen(self) -> list[Any]:
        """The messages of unary calls."""
        return [call.request for call in self.fake.calls if call.request is not None]

    @property
    def metadata(self) -> list[dict[str, str | bytes]]:
        """What travelled beside those."""
        return [dict(call.metadata) for call in self.fake.calls if call.request is not None]

    @property
    def streams(self) -> list[list[pb.BatchPredictRequest]]:
        """The chunks of each stream."""
        return self.fake.streams

    @property
    def stream_ids(self) -> list[str]:
        """The request id of each stream."""
        return [call.request_id for call in self.fake.calls if call.request is None]

    @property
    def version(self) -> int:
        """The version that answers."""
        return self.fake.version

    @version.setter
    def version(self, version: int) -> None:
        self.fake.version = version

    def _ended(self) -> None:
        self.ended_well += 1

    def _chunk(
        self, stream: int, index: int, request: pb.BatchPredictRequest, context: grpc.ServicerContext
    ) -> pb.BatchPredictResponse:
        try:
            found = self.on_chunk(stream, index, request)
            answer: pb.BatchPredictResponse | None = self.awaited(found, context)
        except Refusal as refusal:
            raise failure(refusal) from refusal
        return answer or answers.scored(request)

    def awaited(self, found: Any, context: grpc.ServicerContext) -> Any:
        """Waits in the server's thread for what runs in the test's loop; cancelled when the call ends."""
        if not inspect.iscoroutine(found):
            return found
        assert self.loop is not None
        running = asyncio.run_coroutine_threadsafe(found, self.loop)

        def cancel() -> None:
            running.cancel()

        if not context.add_callback(cancel):  # it has ended already
            cancel()
        return running.result()

    def behaviour(self, told: Any) -> Any:
        """Gives what the fake is told for what a test says to the guard."""
        if isinstance(told, Refusal):
            return failure(told)
        if inspect.iscoroutinefunction(told):
            return lambda request, context: self.awaited(told(request, context), context)
        return told


class _Forgetful(FakeServer):
    """Answers by the version that it has now, whichever it is asked for, as the scripted service does."""

    def _version(self, asked: str) -> int:
        return self.version


class _Script(deque[Any]):
    """The service's script, translated as it is used."""

    def __init__(self, service: FakedService) -> None:
        super().__init__()
        self._service = service

    def __bool__(self) -> bool:
        return bool(self._service.script)

    def popleft(self) -> Any:
        return self._service.behaviour(self._service.script.popleft())


def failure(refusal: Refusal) -> Failure:
    """Gives the fake's failure for a refusal of the server."""
    resource = None if refusal.resource is None else (refusal.resource.type, refusal.resource.name)
    return Failure(
        refusal.reason.name,
        refusal.message,
        violations={violation.field: violation.description for violation in refusal.violations},
        resource=resource,
        metadata=refusal.metadata,
    )


class FakedServer:
    """What `ScriptedServer` is, over the fake."""

    def __init__(self) -> None:
        self.service = FakedService()

    @property
    def target(self) -> str:
        """Where clients find it."""
        return self.service.fake.target

    @property
    def port(self) -> int:
        """The port it has."""
        return self.service.fake.port

    async def start(self) -> None:
        """Serves, on the port it had before if any."""
        self.service.loop = asyncio.get_running_loop()
        await asyncio.to_thread(self.service.fake.start)

    async def stop(self) -> None:
        """Ends every call at once."""
        await asyncio.to_thread(self.service.fake.stop)

    async def set_serving(self, serving: bool) -> None:
        """Sets what the health service says."""
        self.service.fake.is_ready = serving
