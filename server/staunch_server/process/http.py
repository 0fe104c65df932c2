"""Serves /metrics and /healthz over HTTP on a thread of its own."""

import contextlib
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_LOG = logging.getLogger("staunch.metrics")

Registries = Callable[[], Iterable[CollectorRegistry]]
"""Gives the registries whose metrics one scrape holds."""


def listen(host: str, port: int) -> socket.socket:
    """Opens the listening socket of the metrics; raises OSError if the address is taken."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    return socket.create_server((host, port), family=family, backlog=16)


@contextlib.contextmanager
def serve_metrics(
    listening: socket.socket,
    registries: Registries,
    why_not_serving: Callable[[], str],
) -> Iterator[None]:
    """Answers GET /metrics in Prometheus' text format and GET /healthz with 200 or 503, while the block runs.

    Args:
        listening: A listening socket; closed at the end.
        registries: Gives the registries of one scrape.
        why_not_serving: Gives the reason of a 503 in words; empty if all is well.
    """
    host, port = listening.getsockname()[:2]
    server = _Server((host, port), _handler(registries, why_not_serving), bind_and_activate=False)
    server.socket.close()
    server.socket = listening
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Logs what a request failed of; the library prints a traceback, and would end with it."""
        # A caller who has left is nobody's fault; metrics that cannot be made are ours.
        level = logging.DEBUG if isinstance(sys.exception(), OSError) else logging.ERROR
        _LOG.log(level, "a request of %s failed", client_address, exc_info=True)


def _handler(registries: Registries, why_not_serving: Callable[[], str]) -> type[BaseHTTPRequestHandler]:
    # The server makes a handler for each connection and hands it nothing of ours: what it serves is enclosed.
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            if path == "/metrics":
                body = b"".join(generate_latest(registry) for registry in registries())
                self._answer(200, CONTENT_TYPE_LATEST, body)
            elif path == "/healthz":
                why = " ".join(why_not_serving().split())  # a line, whatever a library said of a file
                text = f"not serving: {why}" if why else "ok"
                self._answer(503 if why else 200, "text/plain; charset=utf-8", f"{text}\n".encode())
            else:
                self._answer(404, "text/plain", b"try /metrics or /healthz\n")

        def _answer(self, code: int, content_type: str, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing: a scrape each few seconds is no news."""

    return Handler
