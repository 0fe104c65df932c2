"""`staunch top`: pages of a server that is there, goes away and comes back."""

from contextlib import ExitStack

from tests.cli.documented import documented
from tests.cli.top.served import served

from staunch_cli.commands import top


def test_it_prints_one_page_of_what_happened_meanwhile(staunch):
    with served() as server:
        server.call()
        result = staunch("top", "--once", "--every", 0.05, "--metrics-port", server.port)
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0].startswith(
        f"Staunch at 127.0.0.1:{server.port}, 1 of 2 workers ready, database not asked"
    )
    assert [line.split()[0] for line in lines if line and not line.startswith(" ")] == [
        "Staunch",
        "calls",
        "stages",
        "queries",
        "versions",
        "processes",
    ]


def test_it_prints_the_same_for_programs(staunch):
    with served() as server:
        server.call("NOT_FOUND", "ENTITY_NOT_FOUND")
        result = staunch("top", "--json", "--every", 0.05, "--metrics-port", server.port)
    printed = documented("top", result.out)
    assert printed["errors"][0]["reason"] == "ENTITY_NOT_FOUND"
    assert printed["stages"][0]["p50_s"] is None


def test_the_settings_say_where_the_metrics_are(staunch, monkeypatch):
    with served() as server:
        monkeypatch.setenv("STAUNCH_METRICS_PORT", str(server.port))
        assert staunch("top", "--once", "--every", 0.05).code == 0


def test_without_a_server_it_says_how_to_name_it(staunch):
    with served() as server:
        port = server.port
    result = staunch("top", "--metrics-port", port)
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f"staunch: no metrics at 127.0.0.1:{port}: Connection refused. A server's start says where its "
        "metrics are; name that by --metrics-host and --metrics-port\n"
    )


def in_place_of_pauses(monkeypatch, *steps) -> None:
    """Does a step in place of each pause between two pages; after the last one somebody presses Ctrl-C."""
    left = iter(steps)

    def sleep(seconds: float) -> None:
        step = next(left, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    monkeypatch.setattr(top.time, "sleep", sleep)


def test_a_server_that_leaves_while_one_page_is_made_is_said(staunch, monkeypatch):
    with ExitStack() as running:
        port = running.enter_context(served()).port
        in_place_of_pauses(monkeypatch, running.close)
        result = staunch("top", "--once", "--metrics-port", port)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("staunch: the server left while it was looked at: Connection ")


def test_without_a_terminal_it_prints_a_page_each_time_whether_or_not_the_server_is_there(
    staunch, monkeypatch
):
    with ExitStack() as running:
        port = running.enter_context(served()).port
        in_place_of_pauses(
            monkeypatch,
            lambda: None,
            running.close,
            lambda: running.enter_context(served(port)),
            lambda: None,
        )
        result = staunch("top", "--metrics-port", port)
    assert (result.code, result.err) == (0, "")
    page, gone, back, again = result.out.split("Staunch at ")[1:]
    assert "calls" in page
    assert "no metrics: Connection refused" in gone
    assert "it is back" in back
    assert "calls" in again
