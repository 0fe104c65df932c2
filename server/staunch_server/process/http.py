"""Serves /metrics and /healthz over HTTP on a thread of its own."""

import contextlib
import logging
import socket
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
    healthy: Callable[[], bool],
    why_not: Callable[[], str] = str,
) -> Iterator[None]:
    """Answers GET /metrics in Prometheus' text format and GET /healthz with 200 or 503, while the block runs.

    Args:
        listening: A listening socket; closed at the end.
        registries: Gives the registries of one scrape.
        healthy: True makes /healthz answer 200, unless `why_not` gives a reason.
        why_not: Gives the reason why nothing is served, in words; empty if there is none.
    """
    host, port = listening.getsockname()[:2]
    server = _Server((host, port), _handler(registries, healthy, why_not), bind_and_activate=False)
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
        _LOG.debug("a request of %s failed", client_address, exc_info=True)


def _handler(
    registries: Registries, healthy: Callable[[], bool], why_not: Callable[[], str]
) -> type[BaseHTTPRequestHandler]:
    # The server makes a handler for each connection and hands it nothing of ours: what it serves is enclosed.
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            if path == "/metrics":
                body = b"".join(generate_latest(registry) for registry in registries())
                self._answer(200, CONTENT_TYPE_LATEST, body)
            elif path == "/healthz":
                why = why_not()
                well = healthy() and not why
                text = "ok" if well else f"not serving: {why}" if why else "not serving"
                self._answer(200 if well else 503, "text/plain; charset=utf-8", f"{text}\n".encode())
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
