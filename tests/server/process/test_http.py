"""What /metrics and /healthz answer, over a real socket."""

import http.client
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from staunch_server.process.http import listen, serve_metrics


class Health:
    """Why the server is not well: what a test says."""

    why_not = ""


@pytest.fixture
def health() -> Health:
    """Well, until the test says otherwise."""
    return Health()


@pytest.fixture
def address(health: Health) -> Iterator[str]:
    """Where two registries with a counter each are served."""
    registries = [CollectorRegistry(), CollectorRegistry()]
    Counter("ours", "Of the supervisor.", registry=registries[0]).inc()
    Counter("theirs", "Of the workers.", registry=registries[1]).inc(2)
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    with serve_metrics(listening, lambda: registries, lambda: health.why_not):
        yield f"http://127.0.0.1:{port}"
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "it still listens"


def test_one_page_holds_the_metrics_of_all_registries(address: str) -> None:
    with urllib.request.urlopen(f"{address}/metrics?name[]=any", timeout=5) as answer:
        page = answer.read().decode()
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "\nours_total 1.0\n" in page
    assert "\ntheirs_total 2.0\n" in page


def test_health_is_200_when_well_and_503_with_the_reason_when_not(address: str, health: Health) -> None:
    with urllib.request.urlopen(f"{address}/healthz", timeout=5) as answer:
        assert (answer.status, answer.read()) == (200, b"ok\n")
    health.why_not = "the store\n is empty"
    with pytest.raises(urllib.error.HTTPError, match="503") as caught:
        urllib.request.urlopen(f"{address}/healthz", timeout=5)
    assert caught.value.read() == b"not serving: the store is empty\n"
    caught.value.close()


def test_another_path_is_not_found_and_is_told_the_two_there_are(address: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        urllib.request.urlopen(f"{address}/", timeout=5)
    assert caught.value.read() == b"try /metrics or /healthz\n"
    caught.value.close()


def test_metrics_that_cannot_be_made_are_logged_and_the_next_request_is_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> list[CollectorRegistry]:
        raise RuntimeError("as told")

    listening = listen("127.0.0.1", 0)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with serve_metrics(listening, broken, str):
        with pytest.raises(http.client.RemoteDisconnected):
            urllib.request.urlopen(f"{address}/metrics", timeout=5)
        urllib.request.urlopen(f"{address}/healthz", timeout=5).close()
    (record,) = caplog.records
    assert (record.levelname, str(record.exc_info[1])) == ("ERROR", "as told")


def test_a_taken_address_cannot_be_listened_at() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", taken.getsockname()[1])
