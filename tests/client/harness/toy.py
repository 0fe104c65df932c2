"""The shipped fake, made to fail as networks, proxies and other people's servers do.

What our server says, even when it fails, comes from its real guard: see `scripted.py`.
"""

import threading
from typing import Any

import grpc
from tests.client.harness import answers

from staunch.testing import Failure, FakeServer
from staunch.v1 import prediction_service_pb2 as pb


def failing(code: grpc.StatusCode, reason: str = "", retry_after_s: float | None = None) -> Failure:
    """Fails a call with a status and with details, whatever those are."""
    return Failure(reason, "as told", code=code, retry_after_s=retry_after_s)


class ToyServer(FakeServer):
    """The fake with a second port, of TLS without certificates, and chunks scored by their ids.

    Attributes:
        released: Set at the end of the test, for what waits until then.
        secure_port: The port of local credentials.
    """

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()
        self.on_chunk = lambda _stream, _index, request, _context: answers.scored(request)
        self.start()

    @property
    def toy(self) -> "ToyServer":
        """The same, by the name of what a server is told and has seen."""
        return self

    @property
    def seen(self) -> list[Any]:
        """The messages of unary calls that came."""
        return [call.request for call in self.calls if call.request is not None]

    def before_chunks(self, hook: Any) -> None:
        """Has a hook asked before each chunk is scored."""

        def on_chunk(
            stream: int, index: int, request: pb.BatchPredictRequest, context: grpc.ServicerContext
        ) -> pb.BatchPredictResponse:
            hook(stream, index, request, context)
            return answers.scored(request)

        self.on_chunk = on_chunk

    def _bind(self, server: grpc.Server) -> None:
        super()._bind(server)
        local = grpc.local_server_credentials(grpc.LocalConnectionType.LOCAL_TCP)
        self.secure_port = server.add_secure_port("127.0.0.1:0", local)


Toy = ToyServer
