"""Readings of /metrics, and rates and quantiles of what happened between two of them."""

import math
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.top.served import METHOD, served

from staunch_cli.top.readings import Interval, NoMetrics, Reading, read_metrics


def reading(moment_s: float, name: str, **by_le: float) -> Reading:
    return Reading(moment_s, {name: {frozenset({("le", le)}): count for le, count in by_le.items()}})


def test_what_a_server_serves_is_read_with_its_labels():
    with served() as server:
        before = read_metrics(server.address)
        for seconds in (0.004, 0.004, 0.009):
            server.call(seconds=seconds)
        server.call("NOT_FOUND", "ENTITY_NOT_FOUND")
        interval = Interval(before, read_metrics(server.address))
    assert interval.seconds < 5
    assert round(interval.rate("staunch_calls_total", method=METHOD) * interval.seconds) == 4
    assert round(interval.rate("staunch_calls_total", code="OK") * interval.seconds) == 3
    assert interval.mean("staunch_call_seconds", code="OK") == pytest.approx(0.017 / 3)
    assert interval.total("staunch_workers") == 2
    assert interval.seen("staunch_calls_total", "code") == [("NOT_FOUND",), ("OK",)]
    assert interval.least("staunch_database_up") is None
    assert 0.003 < interval.quantile(0.5, "staunch_call_seconds", code="OK") <= 0.005


def test_a_counter_that_became_less_began_anew():
    before = Reading(0.0, {"n": {frozenset(): 100.0}})
    assert Interval(before, Reading(2.0, {"n": {frozenset(): 6.0}})).rate("n") == 3.0
    assert Interval(before, Reading(2.0, {"n": {frozenset(): 106.0}})).rate("n") == 3.0
    assert Interval(Reading(0.0, {}), Reading(2.0, {"n": {frozenset(): 6.0}})).rate("n") == 3.0


@pytest.mark.parametrize(
    ("share", "counts", "expected"),
    [
        (0.5, {"1.0": 10, "2.0": 10, "+Inf": 10}, 0.5),
        (0.5, {"1.0": 0, "2.0": 10, "+Inf": 10}, 1.5),
        (0.99, {"1.0": 50, "2.0": 50, "+Inf": 100}, 2.0),
        (1.0, {"1.0": 0, "2.0": 4, "+Inf": 4}, 2.0),
        (0.0, {"1.0": 4, "2.0": 4, "+Inf": 4}, 0.0),
    ],
)
def test_quantiles_are_those_of_prometheus(share, counts, expected):
    empty = reading(0.0, "h_bucket", **dict.fromkeys(counts, 0.0))
    interval = Interval(empty, reading(1.0, "h_bucket", **counts))
    assert interval.quantile(share, "h") == pytest.approx(expected)


@given(st.lists(st.floats(0.0, 9.0), min_size=1), st.floats(0.01, 1.0))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(amounts, share):
    bounds = [0.5, 1.0, 2.0, 4.0, math.inf]
    counts = {
        ("+Inf" if bound == math.inf else str(bound)): float(sum(amount <= bound for amount in amounts))
        for bound in bounds
    }
    found = Interval(Reading(0.0, {}), reading(1.0, "h_bucket", **counts)).quantile(share, "h")
    true = sorted(amounts)[math.ceil(share * len(amounts) - 1e-9) - 1]
    bucket = next(at for at, bound in enumerate(bounds) if true <= bound)
    low, high = ([0.0, *bounds][bucket], bounds[bucket])
    assert low <= found <= min(high, 4.0)


def test_nothing_observed_is_no_number():
    interval = Interval(Reading(0.0, {}), Reading(1.0, {}))
    assert math.isnan(interval.quantile(0.5, "h"))
    assert math.isnan(interval.mean("h"))
    assert interval.rate("h") == 0


def test_where_nothing_listens_the_system_says_so():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(NoMetrics, match=r"^Connection refused$"):
        read_metrics(f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"\x00\x00\x1e\x04\x00\x00\x00\x00\x00", "gives no metrics"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "gives no metrics"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na{b}", "gives no metrics"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\xff\xfe\n", "gives no metrics"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nup 1\n", "another server"),
    ],
)
def test_what_is_no_staunch_server_is_said(answer, words):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client_side = f"127.0.0.1:{listening.getsockname()[1]}"

        def serve() -> None:
            peer, _ = listening.accept()
            with peer:
                peer.recv(1 << 16)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(NoMetrics, match=words):
            read_metrics(client_side)
        thread.join()
