"""Serves /metrics and /healthz over HTTP on a thread of its own."""

import contextlib
import gzip
import logging
import re
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

MAX_CONNECTIONS = 32
"""Connections that are served at once, by a thread each; for one more, one that is silent is closed."""

REQUEST_S = 10.0
"""Seconds that a connection may take, from its beginning to its end."""

_LOG = logging.getLogger("staunch.metrics")

_SILENT_S = 0.05  # without a request by then, it is silent; whoever asks sends at once
_PATIENCE_S = 1.0  # that a new connection waits while all others have asked

_TEXT = "text/plain; charset=utf-8"
_OPENMETRICS = "application/openmetrics-text"
_WEIGHT = re.compile(r"q\s*=\s*[01](\.[0-9]{0,3})?")
_METHODS = ("GET", "HEAD")
_LARGEST_BODY_BYTES = 1 << 16  # of a request that should have none
_GZIP_LEVEL = 4  # a tenth of the size in 2 ms; more effort gains little

Page = Callable[[str], tuple[HTTPStatus, str, bytes]]
"""Makes what a path answers to whoever accepts these types: status, content type and body."""


def listen(host: str, port: int) -> socket.socket:
    """Opens the listening socket of the metrics; raises OSError if the address is taken."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    return socket.create_server((host, port), family=family, backlog=128)


@contextlib.contextmanager
def serve_metrics(
    listening: socket.socket,
    collectors: Sequence[Collector],
    why_not_serving: Callable[[], str],
) -> Iterator[None]:
    """Answers GET and HEAD of /metrics, as text or OpenMetrics, and of /healthz, while the block runs.

    From then on no metric of this process has a `_created` series: a gauge beside each counter and histogram
    that says no more than when the process was started.

    Args:
        listening: A listening socket; closed at the end.
        collectors: What one scrape holds, in this order; registries are such. No two have a family in common.
        why_not_serving: Gives the reason of a 503 in words; empty if all is well.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]
    scrape = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        scrape.register(collector)
    pages: Mapping[str, Page] = {
        "/metrics": lambda accepted: _metrics(scrape, accepted),
        "/healthz": lambda _: _health(why_not_serving()),
    }
    server = _Server(listening, pages)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _metrics(scrape: CollectorRegistry, accepted: str) -> tuple[HTTPStatus, str, bytes]:
    # The library's own choice repeats any version that it is asked for, and fails at one that is no number.
    weights = _weights(accepted)
    if weights.get(_OPENMETRICS, 0) > weights.get("text/plain", 0):
        body: bytes = openmetrics.generate_latest(scrape)  # type: ignore[no-untyped-call]
        return HTTPStatus.OK, openmetrics.CONTENT_TYPE_LATEST, body
    return HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(scrape)


def _health(why_not_serving: str) -> tuple[HTTPStatus, str, bytes]:
    why = " ".join(why_not_serving.split())  # a line, whatever a library said of a file
    if why:
        body = f"not serving: {why}\n".encode("utf-8", "backslashreplace")  # names of files may be no UTF-8
        return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, body
    return HTTPStatus.OK, _TEXT, b"ok\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listening: socket.socket, pages: Mapping[str, Page]) -> None:
        super().__init__(listening.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.pages = pages
        self.places = _Places()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serves a connection on a thread of its own, once there is room for one."""
        self.places.take(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Closes a connection, and gives its place to others."""
        self.places.leave(request)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Ends, each half a second, what takes too long."""
        self.places.end_late()

    def handle_error(self, request: object, client_address: object) -> None:
        """Logs what a request failed of; the library prints a traceback, and would end with it."""
        # A caller who has left is nobody's fault; metrics that cannot be made are ours.
        level = logging.DEBUG if isinstance(sys.exception(), OSError) else logging.ERROR
        _LOG.log(level, "a request of %s failed", client_address, exc_info=True)


class _Places:
    """Which connections are served. Nobody who sends nothing, or takes nothing, keeps others out."""

    def __init__(self) -> None:
        self._since: dict[socket.socket, float] = {}  # the oldest first
        self._asked = set[socket.socket]()
        self._left = threading.Condition()

    def take(self, connection: socket.socket) -> None:
        """Waits for a place, or makes one: by a connection that is silent, else soon by the oldest."""
        patient_until = time.monotonic() + _PATIENCE_S
        with self._left:
            while len(self._since) >= MAX_CONNECTIONS:
                gives_way = self._silent()
                if gives_way is None and time.monotonic() > patient_until:
                    gives_way = next(iter(self._since))
                if gives_way is None:
                    self._left.wait(_SILENT_S)
                else:
                    self._end(gives_way)
            self._since[connection] = time.monotonic()

    def asked(self, connection: socket.socket) -> None:
        """Notes that the whole of a request is there."""
        with self._left:
            if connection in self._since:
                self._asked.add(connection)

    def leave(self, connection: socket.socket) -> None:
        """Gives the place of a connection to others, if it has one still."""
        with self._left:
            self._asked.discard(connection)
            self._since.pop(connection, None)
            self._left.notify()

    def end_late(self) -> None:
        """Ends the connections whose time is over."""
        with self._left:
            over = time.monotonic() - REQUEST_S
            for connection in [one for one, since in self._since.items() if since < over]:
                self._end(connection)

    def _silent(self) -> socket.socket | None:
        """The oldest without a request, and without a byte of one that has not been read."""
        before = time.monotonic() - _SILENT_S
        waited_for = (one for one, since in self._since.items() if since < before and one not in self._asked)
        return next((one for one in waited_for if not _readable(one)), None)

    def _end(self, connection: socket.socket) -> None:
        """Wakes the thread that serves a connection, which then closes it."""
        self._asked.discard(connection)
        del self._since[connection]
        with contextlib.suppress(OSError):  # its client has ended it
            connection.shutdown(socket.SHUT_RDWR)


def _readable(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


class _Handler(BaseHTTPRequestHandler):
    """One request; each has a connection of its own."""

    server: _Server
    timeout = REQUEST_S

    def __getattr__(self, name: str) -> Any:
        """Finds `do_GET` and its like for every method there is: `_serve` says which are allowed."""
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        self._pass_over_body()
        self.server.places.asked(self.connection)
        pages = self.server.pages
        page = pages.get(self.path.split("?")[0])
        if page is None:
            self._answer(HTTPStatus.NOT_FOUND, _TEXT, f"try {' or '.join(pages)}\n".encode())
        elif self.command not in _METHODS:
            body = f"expected {' or '.join(_METHODS)}, got {self.command[:20]!a}\n".encode()
            self._answer(HTTPStatus.METHOD_NOT_ALLOWED, _TEXT, body, {"Allow": ", ".join(_METHODS)})
        else:
            self._answer_packed(*page(self._header("Accept")))

    def _pass_over_body(self) -> None:
        """Reads what came with the request: unread when we close, it may cost the caller the answer."""
        length = self.headers.get("Content-Length", "")
        if length.isascii() and length.isdigit():
            self.rfile.read(min(int(length), _LARGEST_BODY_BYTES))

    def _header(self, name: str) -> str:
        """Returns a header's value; one that came in several lines means the same with commas between."""
        return ", ".join(self.headers.get_all(name, []))

    def _answer_packed(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        headers = {"Vary": "Accept, Accept-Encoding"}
        if _weights(self._header("Accept-Encoding")).get("gzip", 0) > 0:
            body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
            headers["Content-Encoding"] = "gzip"
        self._answer(status, content_type, body, headers)

    def _answer(
        self,
        status: HTTPStatus,
        content_type: str,
        body: bytes,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.send_response(status)
        lengths = {"Content-Type": content_type, "Content-Length": str(len(body))}
        for name, value in {**lengths, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answers what is no HTTP with a line; the library's own is a page of HTML."""
        status = HTTPStatus(code)
        self.request_version = "HTTP/1.0"  # with a head in any case: what asks is none of the days before
        self._answer(status, _TEXT, f"{status.phrase.lower()}\n".encode())

    def version_string(self) -> str:
        """Names us in the header `Server`, without the versions that the library would tell."""
        return "staunch"

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: a scrape each few seconds is no news."""


def _weights(accepted: str) -> dict[str, float]:
    """Returns what the value of an `Accept` or `Accept-Encoding` names, and how much it is wished for."""
    found = {}
    for each in accepted.lower().split(","):
        name, *parameters = (word.strip() for word in each.split(";"))
        weight = next((word for word in parameters if _WEIGHT.fullmatch(word)), "q=1")
        found[name] = float(weight.partition("=")[2])
    return found
