"""Where a client calls, and how its connection behaves: targets, options, a channel of the caller's own."""

from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from tests.client.harness.either import Connect
from tests.client.harness.scripted import ScriptedServer
from tests.client.harness.toy import ToyServer

from staunch import AsyncClient, Client
from staunch._connection import ChannelOptions, connection, merged_options, target_of
from staunch_server.transport.aio import AioTransport
from staunch_server.transport.native import NativeTransport


@pytest.mark.parametrize(
    ("given", "reached"),
    [
        ("scores.example:50051", "scores.example:50051"),
        (["scores.example:50051"], "scores.example:50051"),
        ("10.0.0.1:1,10.0.0.2:2", "ipv4:10.0.0.1:1,10.0.0.2:2"),
        (" 10.0.0.1:1 , 10.0.0.2:2 ", "ipv4:10.0.0.1:1,10.0.0.2:2"),
        (("10.0.0.1:1", "10.0.0.2:2"), "ipv4:10.0.0.1:1,10.0.0.2:2"),
        (["[::1]:1", "[fe80::1%eth0]:2"], "ipv6:[::1]:1,[fe80::1%eth0]:2"),
        ("localhost:1,10.0.0.2:2", "ipv4:127.0.0.1:1,10.0.0.2:2"),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", "ipv4:10.0.0.1:1,10.0.0.2:2"),
        ("dns:///scores.example:50051", "dns:///scores.example:50051"),
        ("unix:/run/staunch,1.sock", "unix:/run/staunch,1.sock"),
        ("dns:scores.example", "dns:scores.example"),
        ("dns://10.0.0.3/a_b.example.:1", "dns://10.0.0.3/a_b.example.:1"),
        ("dns:///[::1]", "dns:///[::1]"),
        ("ipv6:[::1]:1", "ipv6:[::1]:1"),
        ("vsock:3:50051", "vsock:3:50051"),
    ],
)
def test_a_target_is_one_address_several_or_whatever_grpc_resolves(given: Any, reached: str) -> None:
    assert target_of(given) == reached


def test_without_a_target_the_environment_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAUNCH_SERVER", "10.0.0.1:1,10.0.0.2:2")
    assert target_of(None) == "ipv4:10.0.0.1:1,10.0.0.2:2"
    monkeypatch.setenv("STAUNCH_SERVER", "")
    assert target_of(None) == "127.0.0.1:50051"
    monkeypatch.delenv("STAUNCH_SERVER")
    assert target_of(None) == "127.0.0.1:50051"


@pytest.mark.parametrize(
    "wrong",
    [
        *("", " ", [], [""], "a:1,", "http://a:1", ["a:1", "b:2"], "10.0.0.1:1,[::1]:2"),
        # What gRPC takes at first, and calls UNKNOWN, or nobody there, or another port, at each call.
        *("a:0", "a:65536", "a:99999", "10.0.0.1:1,10.0.0.2:0", "a:1,10.0.0.1:65536"),
        *("999.1.1.1:1", "127.1:1", "999.1.1.1:1,10.0.0.1:1", "[zz]:1", "h\u00f6st:1", "user@host:1"),
        *("dns:", "dns:///", "dns:///a:0", "dns:///a:99999", "dns:///a:1,b:2", "unix:", "xds:///"),
        *("ipv4:", "ipv4:abc", "ipv4:10.0.0.1", "ipv4:10.0.0.1:99999", "ipv4:[::1]:1", "ipv6:10.0.0.1:1"),
    ],
)
def test_a_target_that_names_no_server_is_refused(either_kind: type, wrong: Any) -> None:
    with pytest.raises(ValueError, match="expected "):
        either_kind(wrong)


@pytest.mark.parametrize("wrong", ["::1:50051", "2001:db8::1", ["10.0.0.1:1", "fe80::1:2"]])
def test_an_ipv6_address_without_brackets_is_refused_with_the_form_that_serves(
    either_kind: type, wrong: Any
) -> None:
    with pytest.raises(ValueError, match=r"an IPv6 address in brackets as in \[::1\]:50051, got"):
        either_kind(wrong)


def test_a_wrong_target_of_the_environment_is_refused_by_the_variables_name(
    monkeypatch: pytest.MonkeyPatch, either_kind: type
) -> None:
    monkeypatch.setenv("STAUNCH_SERVER", "scores.example")
    with pytest.raises(ValueError, match='STAUNCH_SERVER: expected "host:port", got'):
        either_kind()


@pytest.mark.parametrize("wrong", [1, [1], [b"a:1"], b"a:1", bytearray(b"a:1"), [None]])
def test_a_target_of_a_wrong_type_is_refused(either_kind: type, wrong: Any) -> None:
    with pytest.raises(TypeError, match='expected "host:port"'):
        either_kind(wrong)


@pytest.fixture(params=[Client, AsyncClient])
def either_kind(request: pytest.FixtureRequest) -> type:
    """Each class in turn."""
    kind: type = request.param
    return kind


async def test_a_client_without_a_target_calls_the_server_of_the_environment(
    connect: Connect, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAUNCH_SERVER", server.target)
    assert (await connect().call("predict", 42)).probability == 0.25


@pytest.mark.parametrize("form", ["{0},{1}", "ipv4:{0},{1}"])
@pytest.mark.parametrize("transport", [AioTransport, NativeTransport])
async def test_either_transport_takes_calls_of_several_addresses(
    connect: Connect, form: str, transport: type[AioTransport]
) -> None:
    """The native one resets streams whose authority is a list."""
    first, second = ScriptedServer(transport), ScriptedServer(transport)
    await first.start()
    await second.start()
    client = connect(form.format(first.target, second.target))
    for _ in range(4):
        assert (await client.call("predict", 42)).probability == 0.25
    assert len(await client.rows(range(1, 31), chunk_size=10)) == 30
    await first.stop()
    await second.stop()


async def test_several_addresses_are_called_in_turn_and_one_that_is_gone_is_passed_over(
    connect: Connect, toy_server: ToyServer
) -> None:
    other = ToyServer()
    client = connect([toy_server.target, other.target])
    await client.call("predict", 42)
    for _ in range(20):
        await client.call("predict", 42)
    assert len(toy_server.toy.seen) >= 5
    assert len(other.toy.seen) >= 5
    other.stop()
    for _ in range(20):
        assert (await client.call("predict", 42)).probability == 0.25


@pytest.mark.parametrize(
    ("target", "authority"),
    [
        ("scores.example:50051", None),
        ("dns:///scores.example:50051", None),
        ("ipv4:10.0.0.1:1", None),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", "10.0.0.1:1"),
        ("ipv6:[fe80::1%eth0]:1,[fe80::2%eth0]:1", "[fe80::1]:1"),
    ],
)
def test_the_authority_of_several_addresses_is_one_of_them(target: str, authority: str | None) -> None:
    assert dict(merged_options(None, target)).get("grpc.default_authority") == authority
    assert (
        dict(merged_options({"grpc.default_authority": "mine"}, target))["grpc.default_authority"] == "mine"
    )


def test_a_silent_connection_is_noticed_by_pings_without_a_call_too() -> None:
    options = dict(merged_options(None))
    assert options["grpc.keepalive_time_ms"] == 10_000
    assert options["grpc.keepalive_timeout_ms"] == options["grpc.http2.ping_timeout_ms"] == 5_000
    assert options["grpc.keepalive_permit_without_calls"] == 1
    assert options["grpc.http2.max_pings_without_data"] == 0


def test_each_client_has_connections_of_its_own() -> None:
    assert dict(merged_options(None))["grpc.use_local_subchannel_pool"] == 1


def test_a_connection_is_tried_again_soon_and_never_waits_long() -> None:
    options = dict(merged_options(None))
    assert options["grpc.initial_reconnect_backoff_ms"] == 50
    assert options["grpc.max_reconnect_backoff_ms"] == 500
    assert options["grpc.min_reconnect_backoff_ms"] == 5_000
    assert options["grpc.dns_min_time_between_resolutions_ms"] == 5_000


@pytest.mark.parametrize(
    "given",
    [
        [("grpc.keepalive_time_ms", 30_000), ("my.own", "x")],
        {"grpc.keepalive_time_ms": 30_000, "my.own": "x"},
    ],
)
def test_options_of_the_caller_win_over_ours_and_the_rest_stays(given: ChannelOptions) -> None:
    options = dict(merged_options(given))
    assert (options["grpc.keepalive_time_ms"], options["my.own"]) == (30_000, "x")
    assert options["grpc.keepalive_timeout_ms"] == 5_000


@pytest.mark.parametrize(
    "wrong",
    [3, "ab", ["grpc.a"], [("grpc.a",)], {"grpc.a": 1.5}, {"grpc.a": None}, {1: 2}, {"grpc.a": 2**31}],
)
def test_options_that_grpc_would_pass_over_or_choke_on_are_refused(either_kind: type, wrong: Any) -> None:
    with pytest.raises(TypeError, match="expected options as"):
        either_kind("127.0.0.1:1", options=wrong)


async def test_options_reach_the_channel(connect: Connect, server: ScriptedServer) -> None:
    client = connect(server.target, options={"grpc.primary_user_agent": "mine/1"})
    await client.call("predict", 42)
    assert str(server.service.metadata[0]["user-agent"]).startswith("mine/1 ")


async def test_a_client_says_who_it_is(connect: Connect, server: ScriptedServer) -> None:
    await connect(server.target).call("predict", 42)
    assert str(server.service.metadata[0]["user-agent"]).startswith("staunch-client/")


async def test_a_channel_of_the_callers_own_is_used_and_stays_open(
    connect: Connect, own_channel: Any
) -> None:
    first, second = connect(channel=own_channel), connect(channel=own_channel)
    assert (await first.call("predict", 42)).probability == 0.25
    assert len(await first.rows(range(1, 31), chunk_size=10)) == 30
    await first.close()
    assert (await second.call("predict", 42)).probability == 0.25


@pytest.mark.parametrize(
    "more", [{"target": "127.0.0.1:1"}, {"options": []}, {"credentials": grpc.ssl_channel_credentials()}]
)
async def test_a_channel_of_the_callers_own_comes_alone(
    connect: Connect, own_channel: Any, more: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="expected a channel alone"):
        connect(channel=own_channel, **more)


async def test_a_channel_of_the_other_library_is_refused() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as asynchronous:
        with pytest.raises(TypeError, match=r"expected a grpc\.Channel, got"):
            Client(channel=asynchronous)  # type: ignore[arg-type]
    with (
        grpc.insecure_channel("127.0.0.1:1") as synchronous,
        pytest.raises(TypeError, match=r"expected a grpc\.aio\.Channel, got"),
    ):
        AsyncClient(channel=synchronous)  # type: ignore[arg-type]


async def test_credentials_make_a_secure_channel(connect: Connect, toy_server: ToyServer) -> None:
    local = grpc.local_channel_credentials(grpc.LocalConnectionType.LOCAL_TCP)
    client = connect(f"127.0.0.1:{toy_server.secure_port}", credentials=local)
    assert (await client.call("predict", 42)).probability == 0.25


def test_a_connection_is_made_when_it_is_opened() -> None:
    made: Callable[..., Any] = connection(grpc, None, None, None, None).open
    with made() as one, made() as other:
        assert one is not other
