"""The fast transport: pygrpc-native, whose HTTP/2 and gRPC run in Rust outside the GIL.

It takes the handlers of the reference transport. Unary methods must be registered by name to be served by the
native front; bidi ones go to a grpc.aio server on a Unix socket behind it, as generic handlers.
"""

from typing import Any

import pygrpc_native.aio as native  # `from pygrpc_native import aio` recurses without end.
from grpc import aio

from staunch_server.transport.aio import AioTransport, GenericHandlers, Handler, Handlers


class NativeTransport(AioTransport):
    """Carries services over pygrpc-native; see `seam.Transport` and `AioTransport`.

    It closes no connection by age: limits.age_s must be 0.
    """

    def _new_server(self, handlers: Handlers) -> aio.Server:
        server: aio.Server = native.server(options=self._options)
        for path, handler in handlers.items():
            if not handler.request_streaming:
                _, service, name = path.split("/")
                _register(server, service, name, handler)
        streams = {path: handler for path, handler in handlers.items() if handler.request_streaming}
        server.add_generic_rpc_handlers((GenericHandlers(streams, self._strays),))
        return server


def _register(server: Any, service: str, name: str, handler: Handler) -> None:
    server.add_registered_method_handlers(service, {name: handler})
