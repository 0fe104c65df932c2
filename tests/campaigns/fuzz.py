"""Sends what nobody would send, as messages and as bytes of HTTP/2: `make fuzz`.

Messages are drawn from the contract itself, field by field with the values at which programs break, and some
of their bytes are changed then; a failure is made small by hypothesis. Over the wire go frames that are
nearly right. Whatever comes, every call ends by a code of the contract with its reason, innocent callers are
answered, no traceback is logged, and the processes are the same as before.
"""

import argparse
import asyncio
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import aio
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from tests.campaigns.callers import CHANNEL, Caller, calling
from tests.campaigns.target import Target, started
from tests.server.harness.errors import read_rich_error
from tests.server.harness.shell import TRANSPORTS

from staunch.v1 import model_service_pb2, prediction_service_pb2
from staunch_cli.top.readings import read_metrics
from staunch_server.errors import Reason

SERVICES = [
    *model_service_pb2.DESCRIPTOR.services_by_name.values(),
    *prediction_service_pb2.DESCRIPTOR.services_by_name.values(),
]

CODES = {reason.code.name for reason in Reason} - {"INTERNAL"} | {"OK", "RESOURCE_EXHAUSTED"}
"""What a call may end by: the contract's codes, and the library's own for a message that is too large."""

_DEADLINE_S = 10.0
_GROWTH_BYTES = 96 << 20


# Messages ---------------------------------------------------------------------------------------

_NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1) | st.sampled_from([0, 1, 2, -1]),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1) | st.integers(0, 250),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats() | st.sampled_from([0.0, -0.0, 5e-324, 1.8e308]),
    FieldDescriptor.CPPTYPE_FLOAT: st.floats(width=32),
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_ENUM: st.integers(-(2**31), 2**31 - 1) | st.integers(0, 5),
}

_TEXTS = st.text(max_size=40) | st.sampled_from(
    [
        "churn",
        "churn@1",
        "churn@champion",
        "churn@",
        "@1",
        "a",
        "b",
        "fr-CA",
        "../..",
        "\0",
        "é" * 300,
        "x" * 9_000,
    ]
)


def messages(kind: Descriptor, depth: int = 3) -> st.SearchStrategy[Message]:
    """Draws messages of a kind: each field is there or not, and has any value or one of those that matter."""

    @st.composite
    def draw(pick: st.DrawFn) -> Message:
        message = GetMessageClass(kind)()
        for field in kind.fields:
            if pick(st.booleans()):
                _set(pick, message, field, depth)
        return message

    return draw()


def _set(pick: st.DrawFn, message: Message, field: FieldDescriptor, depth: int) -> None:
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        _set_map(pick, message, field, depth)
    elif inner is not None and depth > 0:
        drawn = messages(inner, depth - 1)
        if field.is_repeated:
            getattr(message, field.name).extend(pick(st.lists(drawn, max_size=3)))
        else:
            getattr(message, field.name).CopyFrom(pick(drawn))
    elif inner is None and field.is_repeated:
        getattr(message, field.name).extend(pick(st.lists(_scalar(field), max_size=5)))
    elif inner is None:
        setattr(message, field.name, pick(_scalar(field)))


def _set_map(pick: st.DrawFn, message: Message, field: FieldDescriptor, depth: int) -> None:
    assert field.message_type is not None
    key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
    entries = getattr(message, field.name)
    for name in pick(st.lists(_scalar(key), max_size=4)):
        if value.message_type is None:
            entries[name] = pick(_scalar(value))
        elif depth > 0:
            entries[name].CopyFrom(pick(messages(value.message_type, depth - 1)))


def _scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return st.binary(max_size=200) if field.type == FieldDescriptor.TYPE_BYTES else _TEXTS
    return _NUMBERS[field.cpp_type]


@st.composite
def _damaged(pick: st.DrawFn, message: st.SearchStrategy[Message]) -> bytes:
    """The bytes of a message; of some of them a part is changed, left out or doubled."""
    written = pick(message).SerializeToString()
    if not written or pick(st.integers(0, 2)):
        return written
    start = pick(st.integers(0, len(written) - 1))
    end = pick(st.integers(start, min(len(written), start + 8)))
    return written[:start] + pick(st.binary(max_size=8)) + written[end:]


def fuzz_messages(target: Target, count: int, number: int) -> None:
    """Calls every method with so many messages; raises AssertionError for the smallest that misbehaves."""
    with grpc.insecure_channel(target.address, options=CHANNEL) as channel:
        for service in SERVICES:
            for method in service.methods:
                _fuzz_method(channel, f"/{service.full_name}/{method.name}", method, count, number)


def _fuzz_method(channel: grpc.Channel, path: str, method: Any, count: int, number: int) -> None:
    drawn: st.SearchStrategy[Any] = _damaged(messages(method.input_type))
    if method.client_streaming:
        drawn = st.lists(drawn, max_size=3)

    def call(sent: Any) -> None:
        if method.client_streaming:
            list(channel.stream_stream(path)(iter(sent), timeout=_DEADLINE_S))
        else:
            channel.unary_unary(path)(sent, timeout=_DEADLINE_S)

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn)
    def every_call_ends_by_the_contract(sent: bytes | list[bytes]) -> None:
        try:
            call(sent)
        except grpc.RpcError as error:
            _check(path, error)

    every_call_ends_by_the_contract()


def _check(path: str, error: Any) -> None:
    code = error.code().name
    assert code in CODES, f"{path} ended as {code}: {error.details()}"
    if code != "RESOURCE_EXHAUSTED":
        found = read_rich_error(error)
        assert found.reason in Reason.__members__, f"{path} ended as {code} without a reason: {found.message}"


# Bytes of HTTP/2 --------------------------------------------------------------------------------

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_PATHS = [f"/{service.full_name}/{method.name}" for service in SERVICES for method in service.methods] + [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/none/none",
    "",
    "*",
]
_FIELDS = [
    ("content-type", "application/grpc"),
    ("content-type", "application/json"),
    ("te", "trailers"),
    ("grpc-timeout", "1S"),
    ("grpc-timeout", "99999999H"),
    ("grpc-timeout", "-1x"),
    ("grpc-encoding", "gzip"),
    ("grpc-encoding", "none-such"),
    ("x-request-id", "x" * 500),
    ("x-bin-bin", "%%%"),
    ("Upper", "case"),
    ("", ""),
]


def conversation(draw: random.Random) -> bytes:
    """Draws what one connection sends: a preface or none, settings, and frames that are nearly right."""
    begun = b"" if draw.random() < 0.05 else _PREFACE
    frames = [_frame(4, 0, 0, b"")] if draw.random() < 0.9 else []
    stream = 1
    for _number in range(draw.randrange(1, 20)):
        frames.append(draw.choice(_FRAMES)(draw, stream))
        stream += 2 * draw.randrange(2)
    sent = begun + b"".join(frames)
    if draw.random() < 0.2:
        place = draw.randrange(len(sent))
        sent = sent[:place] + draw.randbytes(4) + sent[place + draw.randrange(8) :]
    return sent


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _headers(draw: random.Random, stream: int) -> bytes:
    fields = [(":method", draw.choice(["POST", "GET"])), (":scheme", "http"), (":path", draw.choice(_PATHS))]
    fields += [(":authority", "x"), *draw.sample(_FIELDS, draw.randrange(len(_FIELDS)))]
    if draw.random() < 0.1:
        draw.shuffle(fields)
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields)
    return _frame(1, draw.choice([4, 5, 4, 0]), stream, block)


def _text(text: str) -> bytes:
    written = text.encode()
    if len(written) < 127:
        return bytes([len(written)]) + written
    rest, parts = len(written) - 127, [127]  # an integer of HPACK with a prefix of seven bits
    while rest >= 128:
        parts.append(rest % 128 + 128)
        rest //= 128
    return bytes([*parts, rest]) + written


def _data(draw: random.Random, stream: int) -> bytes:
    message = draw.choice([b"", b"\x10\x01", b"\x10\x01" * 50, draw.randbytes(30)])
    length = draw.choice([len(message), len(message), 0, 2**31, 2**32 - 1])
    framed = bytes([draw.choice([0, 0, 0, 1, 7])]) + length.to_bytes(4, "big") + message
    return _frame(0, draw.choice([0, 1, 1]), stream, framed)


_FRAMES: Sequence[Callable[[random.Random, int], bytes]] = (
    _headers,
    _headers,
    _headers,
    _data,
    _data,
    _data,
    lambda draw, stream: _frame(3, 0, stream, draw.randrange(16).to_bytes(4, "big")),
    lambda draw, stream: _frame(4, draw.randrange(2), 0, draw.randbytes(6 * draw.randrange(4))),
    lambda draw, stream: _frame(6, draw.randrange(2), 0, draw.randbytes(8)),
    lambda draw, stream: _frame(8, 0, draw.choice([0, stream]), draw.randrange(2**32).to_bytes(4, "big")),
    lambda draw, stream: _frame(7, 0, 0, draw.randbytes(8)),
    lambda draw, stream: _frame(9, 4, stream, draw.randbytes(20)),
    lambda draw, stream: _frame(draw.randrange(256), draw.randrange(256), stream, draw.randbytes(12)),
)


async def fuzz_wire(target: Target, count: int, number: int) -> None:
    """Has so many connections say something each, eight at a time; each is closed after a moment."""
    draw = random.Random(number)
    sent = iter([conversation(draw) for _ in range(count)])

    async def speak() -> None:
        for each in sent:
            with suppress(OSError, TimeoutError):
                reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
                try:
                    writer.write(each)
                    await asyncio.wait_for(reader.read(), 0.1)
                finally:
                    writer.close()

    await asyncio.gather(*(speak() for _ in range(8)))


# Both -------------------------------------------------------------------------------------------


async def fuzz(target: Target, messages_each: int, connections: int, number: int) -> list[str]:
    """Fuzzes a server beside innocent callers; returns what was wrong."""
    before, before_bytes = target.workers(), target.memory_bytes()
    async with calling(target.address, target.oracle, callers=2, pause_s=0.02) as record:
        problems = []
        try:
            await asyncio.to_thread(fuzz_messages, target, messages_each, number)
        except AssertionError as problem:
            problems.append(str(problem))
        await fuzz_wire(target, connections, number)
        problems += [
            f"{each.kind} ended as {each.code} {each.reason}" for each in record.outcomes if each.failed
        ]
        problems += record.wrong
    return [*problems, *await _aftermath(target, before, before_bytes)]


async def _aftermath(target: Target, workers: Sequence[int], memory_bytes: int) -> list[str]:
    """Looks at what the server itself says of the time, and whether it is still the same."""
    problems = list(_logged(target.command.output))
    counted = (await asyncio.to_thread(read_metrics, f"127.0.0.1:{target.metrics_port}")).values
    codes = {
        dict(labels)["code"] for labels, value in counted.get("staunch_calls_total", {}).items() if value
    }
    if beyond := codes - CODES - {"CANCELLED", "UNIMPLEMENTED"}:
        problems.append(f"calls were counted as {sorted(beyond)}")
    if target.workers() != workers:
        problems.append("a worker died")
    if (grown := target.memory_bytes() - memory_bytes) > _GROWTH_BYTES:
        problems.append(f"a worker grew by {grown >> 20} MiB")
    async with aio.insecure_channel(target.address, options=CHANNEL) as channel:
        outcome = await Caller(channel, target.oracle, 0).ask()
    return problems + [f"afterwards {outcome.code} {outcome.reason}"] * outcome.failed


def _logged(output: str) -> Iterator[str]:
    for word in ("Traceback", "INTERNAL"):
        if word in output:
            place = output.index(word)
            yield f"the log has {output[max(0, place - 300) : place + 600]}"


async def _campaign(transport: str, arguments: argparse.Namespace) -> list[str]:
    async with started(transport) as target:
        return await fuzz(target, arguments.messages, arguments.connections, arguments.seed)


def main() -> int:
    """Fuzzes each transport and returns the exit code: 1 if anything was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=2_000, help="for each method (default: 2000)")
    parser.add_argument("--connections", type=int, default=20_000, help="of bytes (default: 20000)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: 0)")
    parser.add_argument("--transport", choices=sorted(TRANSPORTS), action="append", help="only on this one")
    arguments = parser.parse_args()
    good = True
    for transport in arguments.transport or sorted(TRANSPORTS):
        problems = asyncio.run(_campaign(transport, arguments))
        print(f"{transport}: {'; '.join(problems) if problems else 'nothing wrong'}", flush=True)
        good &= not problems
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
