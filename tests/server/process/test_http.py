"""What /metrics and /healthz answer, over a real socket."""

import contextlib
import gzip
import http.client
import os
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.message import Message

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from staunch_server.process import http as http_module
from staunch_server.process.http import listen, serve_metrics


class Health:
    """Why the server is not well: what a test says."""

    why_not = ""


@pytest.fixture(scope="module")
def _health() -> Health:
    return Health()


@pytest.fixture
def health(_health: Health) -> Health:
    """Well, until the test says otherwise."""
    _health.why_not = ""
    return _health


@pytest.fixture(scope="module")
def _address(_health: Health) -> Iterator[str]:
    registries = [CollectorRegistry(), CollectorRegistry()]
    Counter("ours", "Of the supervisor.", registry=registries[0]).inc()
    Counter("theirs", "Of the workers.", registry=registries[1]).inc(2)
    Histogram("took_seconds", "Of the workers.", registry=registries[1]).observe(2)
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    with serve_metrics(listening, registries, lambda: _health.why_not):
        yield f"http://127.0.0.1:{port}"
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "it still listens"


@pytest.fixture
def address(_address: str, health: Health) -> str:
    """Where two registries with a counter each, and one with a histogram, are served."""
    return _address


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Message
    body: bytes


def ask(address: str, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    """Sends one request; a keyword such as `accept_encoding` is the header of that name."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=5)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Accept-Encoding": "identity", **named})
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def raw(address: str, request: bytes) -> bytes:
    """Sends bytes that need be no HTTP, and returns all that comes back."""
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_one_page_holds_the_metrics_of_all_registries(address: str) -> None:
    with urllib.request.urlopen(f"{address}/metrics?name[]=any", timeout=5) as answer:
        page = answer.read().decode()
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "\nours_total 1.0\n" in page
    assert "\ntheirs_total 2.0\n" in page


def test_the_page_is_what_prometheus_reads_and_has_no_gauges_of_when_things_were_made(address: str) -> None:
    page = ask(address, "GET", "/metrics").body.decode()
    families = {family.name: family for family in text_string_to_metric_families(page)}
    assert families.keys() == {"ours", "theirs", "took_seconds"}
    assert "_created" not in page


@pytest.mark.parametrize(
    ("accepted", "is_openmetrics"),
    [
        ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;q=0.4", True),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=none; q=0.3", True),
        ("text/plain;q=0.9, application/openmetrics-text;q=0.1", False),
        ("application/openmetrics-text;q=0", False),
        ("text/plain;version=1.0.0", False),
        ("*/*", False),
        (";q=, ,;", False),
    ],
)
def test_openmetrics_is_for_those_who_like_it_better_than_text(
    address: str, accepted: str, is_openmetrics: bool
) -> None:
    answer = ask(address, "GET", "/metrics", accept=accepted)
    kind = "application/openmetrics-text; version=1.0.0" if is_openmetrics else "text/plain; version=0.0.4"
    assert answer.headers["Content-Type"] == f"{kind}; charset=utf-8"
    read = openmetrics_families if is_openmetrics else text_string_to_metric_families
    assert {family.name for family in read(answer.body.decode())} == {"ours", "theirs", "took_seconds"}
    assert b"_created" not in answer.body


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/nowhere"])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_head_is_get_without_the_body(address: str, health: Health, path: str, coding: str) -> None:
    for why_not in ("", "the store is empty"):
        health.why_not = why_not
        got, head = (ask(address, method, path, accept_encoding=coding) for method in ("GET", "HEAD"))
        assert (head.status, head.body) == (got.status, b"")
        assert dict(head.headers) | {"Date": ""} == dict(got.headers) | {"Date": ""}
        assert int(got.headers["Content-Length"]) == len(got.body) > 0


@pytest.mark.parametrize("path", ["/metrics", "/healthz"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"])
def test_other_methods_are_not_allowed_and_are_told_which_are(address: str, method: str, path: str) -> None:
    body = None if method == "TRACE" else b"a" * 60_000  # or closing would reset the connection
    answer = ask(address, method, path, body)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert answer.body == f"expected GET or HEAD, got {method!r}\n".encode()


def test_a_method_is_not_written_as_it_came(address: str) -> None:
    answer = raw(address, b"<a>\xff\x1b[2J /metrics HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 405 ")
    assert b"\xff" not in answer
    assert b"\x1b" not in answer
    assert b"text/plain" in answer


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /metrics HTTP/1.1",
        b"GET /healthz HTTP/1.0",
        b"HEAD /metrics HTTP/1.1",
        b"POST /metrics HTTP/1.1",
        b"GET /nowhere HTTP/1.1",
        b"GET /metrics HTTP/2.0",
        b"GET /metrics HTTPS",
        b"NONSENSE",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1",
        b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 200,
    ],
)
def test_no_answer_tells_what_runs_or_is_a_page_of_html(address: str, request_line: bytes) -> None:
    head, _, body = raw(address, request_line + b"\r\n\r\n").partition(b"\r\n\r\n")
    assert b"\r\nServer: staunch\r\n" in head
    assert b"\r\nContent-Length: " in head
    for word in (b"python", b"basehttp", b"<html"):
        assert word not in (head + body).lower()


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("gzip;q=1.000", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("br, gzip; q=0.0", False),
        ("xgzip", False),
        ("", False),
    ],
)
def test_the_page_is_packed_for_whoever_takes_gzip(address: str, accepted: str, is_packed: bool) -> None:
    answer = ask(address, "GET", "/metrics", accept_encoding=accepted)
    assert answer.headers["Content-Encoding"] == ("gzip" if is_packed else None)
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"
    body = gzip.decompress(answer.body) if is_packed else answer.body
    assert b"\nours_total 1.0\n" in body


def test_health_is_200_when_well_and_503_with_the_reason_when_not(address: str, health: Health) -> None:
    with urllib.request.urlopen(f"{address}/healthz", timeout=5) as answer:
        assert (answer.status, answer.read()) == (200, b"ok\n")
    health.why_not = "the store\n is empty"
    with pytest.raises(urllib.error.HTTPError, match="503") as caught:
        urllib.request.urlopen(f"{address}/healthz", timeout=5)
    assert caught.value.read() == b"not serving: the store is empty\n"
    caught.value.close()
    health.why_not = f"the store {os.fsdecode(b'stor' + bytes([0xE9]))} is empty"
    assert ask(address, "GET", "/healthz").body == b"not serving: the store stor\\udce9 is empty\n"


def test_another_path_is_not_found_and_is_told_the_two_there_are(address: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        urllib.request.urlopen(f"{address}/", timeout=5)
    assert caught.value.read() == b"try /metrics or /healthz\n"
    caught.value.close()


def test_metrics_that_cannot_be_made_are_logged_and_the_next_request_is_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Collector):
        def collect(self) -> Iterable[Metric]:
            raise RuntimeError("as told")

    listening = listen("127.0.0.1", 0)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with serve_metrics(listening, [Broken()], str):
        with pytest.raises(http.client.RemoteDisconnected):
            urllib.request.urlopen(f"{address}/metrics", timeout=5)
        urllib.request.urlopen(f"{address}/healthz", timeout=5).close()
    (record,) = caplog.records
    assert (record.levelname, str(record.exc_info[1])) == ("ERROR", "as told")


def threads() -> int:
    return sum("process_request_thread" in thread.name for thread in threading.enumerate())


def scrape(address: str) -> int:
    with urllib.request.urlopen(f"{address}/metrics", timeout=5) as answer:
        return len(answer.read())


@contextlib.contextmanager
def connections(address: str, count: int, sent: bytes) -> Iterator[list[socket.socket]]:
    """So many that send this and no more, and take nothing."""
    host, port = urllib.parse.urlsplit(address).hostname, urllib.parse.urlsplit(address).port
    with contextlib.ExitStack() as stack:
        held = []
        for _ in range(count):
            one = stack.enter_context(socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            one.connect((host, port))
            one.sendall(sent)
            held.append(one)
        yield held


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\nX: "], ids=["nothing", "half a request"])
def test_connections_that_send_no_request_keep_nobody_out(address: str, sent: bytes) -> None:
    with connections(address, 5 * http_module.MAX_CONNECTIONS, sent):
        began = time.monotonic()
        assert scrape(address)
        assert time.monotonic() - began < 3
        assert threads() <= http_module.MAX_CONNECTIONS + 1


def test_connections_that_take_no_answer_keep_nobody_out(
    health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_module, "MAX_CONNECTIONS", 4)
    health.why_not = "x" * 10_000_000  # more than the kernel takes in a reader's stead
    listening = listen("127.0.0.1", 0)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    serving = serve_metrics(listening, [CollectorRegistry()], lambda: health.why_not)
    with serving, connections(address, 4, b"GET /healthz HTTP/1.1\r\n\r\n"):
        assert scrape(address) == 0


def test_a_request_has_its_time_in_all_and_not_for_each_byte(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_module, "REQUEST_S", 0.3)
    with connections(address, 1, b"GET /metrics HTTP/1.1\r\nX: ") as (slow,):
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - began < 5:
                slow.sendall(b"y")
                time.sleep(0.05)
        assert time.monotonic() - began < 2


def test_two_hundred_scrapes_at_once_are_all_answered(address: str) -> None:
    with ThreadPoolExecutor(200) as pool:
        assert all(pool.map(scrape, [address] * 200))


def test_a_taken_address_cannot_be_listened_at() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", taken.getsockname()[1])
