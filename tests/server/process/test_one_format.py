"""What a real server prints, every line of it: one format, and of customers no id and no value."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2
from grpc import aio
from tests.harness.databases import TestDatabase
from tests.server.harness.running import Publish
from tests.server.harness.supervised import SUPERVISOR, stand_in
from tests.server.small_models import TWICE, view_text

from staunch.v1 import model_service_pb2 as mpb
from staunch.v1 import prediction_service_pb2 as pb
from staunch.v1.model_service_pb2_grpc import ModelServiceStub
from staunch.v1.prediction_service_pb2_grpc import PredictionServiceStub
from staunch_model_store.store import ModelStore
from staunch_server.telemetry.lines import FIELDS

ID = 189
"""A customer of the small database; nothing else that is printed has this number for a word."""

NOBODY = 424_242_424_242
KEY = "marker-key"
VALUE = 7.6543e38
MARKERS = re.compile(rf"(?<![\w.:]){ID}(?!\w)|{NOBODY}|{KEY}|7\.?6543|marker-value")
"""Ids, keys and values that callers send, or rows hold."""

FORGED = "\n2026-01-01T00:00:00.000Z CRITICAL staunch: forged"

# A worker that also fails as nobody foresaw, whose libraries print, and whose C writes where it likes.
UNRULY = f"""
import asyncio, logging, os, sys, threading, warnings
from staunch_server.models.served import Served
from staunch_server.process import worker
async def explain(self, values):
    os.write(2, b"C has no line's end")
    os.write(1, b"C speaks\\n\\xff\\n")
    os.write(2, b"E0000 00:00:00.000000 1 native.cc:1] C says how bad it is\\n")
    print("printed")
    warnings.warn("a library warns")
    logging.getLogger("library").error("failed: %s", KeyError({ID}))
    threading.Thread(target=lambda: {{}}[{ID}]).start()
    asyncio.get_running_loop().call_soon(lambda: {{}}["{KEY}"])
    raise ValueError("marker-value of {ID}{FORGED!r}")
Served.explain = explain
raise SystemExit(worker.main())
"""

VIEWS = {
    "cast": ("people.a, people.b", "('marker-value ' || people.id)::float8 AS a, people.b"),
    "large": ("people.a, people.b", "1e300 * people.id AS a, people.b"),
    "null": ("people.a, people.b", "NULL::float8 AS a, people.b"),
    "zero": ("people.a, people.b", f"1 / (people.id - {ID})::float8 AS a, people.b"),
}


@dataclass
class Printed:
    """All that a server printed on either output."""

    text: str

    def lines(self) -> list[dict[str, Any]]:
        """Each line as JSON."""
        return [json.loads(line) for line in self.text.splitlines()]

    def of(self, logger: str) -> list[dict[str, Any]]:
        """The lines of one logger."""
        return [line for line in self.lines() if line["logger"] == logger]


def feature(value: float) -> struct_pb2.Value:
    return struct_pb2.Value(number_value=value)


async def code(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def call_in_every_wrong_way(channel: aio.Channel) -> set[str]:
    """Calls with ids and values that must not be printed; the codes that came back."""
    predict, explain = PredictionServiceStub(channel).Predict, PredictionServiceStub(channel).Explain
    request = pb.PredictRequest
    given = pb.FeatureValues(values={"a": feature(VALUE), "b": feature(1), "hours": feature(1)})
    asked = [
        request(customer_id=ID),
        request(customer_id=NOBODY),
        request(customer_id=-NOBODY),
        request(customer_key=KEY),
        request(customer_id=ID, model=KEY),
        request(customer_id=ID, model=f"churn@{ID}"),
        request(customer_id=ID, overrides={KEY: feature(1)}),
        request(customer_id=ID, overrides={"a": feature(VALUE)}),
        request(customer_id=ID, overrides={"a": struct_pb2.Value(string_value="marker-value")}),
        request(features=given),
        request(features=pb.FeatureValues(values={KEY: feature(VALUE)})),
        request(customer_id=ID, as_of_time={"seconds": 4_000_000_000}),
        request(),
        *(request(customer_id=ID, model=name) for name in (*VIEWS, "twice")),
        request(customer_key=KEY, model="keys"),
        request(customer_key=f"{KEY}{'x' * 99}", model="keys"),
    ]
    trace = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    ids = [("x-request-id", word) for word in ("r1", "x" * 128, "y" * 4000, 'quoted"=1')]
    codes = {
        await code(predict(each, metadata=(trace, ids[place % len(ids)]))) for place, each in enumerate(asked)
    }
    codes.add(await code(explain(pb.ExplainRequest(customer_id=ID), metadata=(trace,))))
    codes.add(await code(channel.unary_unary("/staunch.v1.PredictionService/Predict")(KEY.encode())))
    codes.add(
        await code(ModelServiceStub(channel).SetAlias(mpb.SetAliasRequest(name=KEY, alias=KEY, version=ID)))
    )
    for model in ("churn", *VIEWS, "twice"):
        chunks = iter([pb.BatchPredictRequest(model=model, customer_ids=[ID, NOBODY, -NOBODY, 3])])
        with contextlib.suppress(grpc.aio.AioRpcError):
            assert [one async for one in PredictionServiceStub(channel).BatchPredict(chunks)]
    return codes


@pytest.fixture
def printed(people: TestDatabase, publish: Publish, store: ModelStore) -> Callable[..., Awaitable[Printed]]:
    """`await printed(work, **settings)`: what an unruly worker prints while somebody calls it."""
    publish()
    publish("keys", id_type="text")
    for name, (old, new) in VIEWS.items():
        publish(name, text=view_text().replace(old, new))
    publish("twice", text=view_text() + TWICE.format(id=ID))

    async def run(work: Callable[[aio.Channel], Awaitable[object]], **settings: str) -> Printed:
        port, (ours, theirs) = free_port(), socket.socketpair()
        own = {
            "PORT": str(port), "METRICS_PORT": "0", "STORE": str(store.root),
            SUPERVISOR: str(theirs.fileno()),
            "DATABASE_READER_URL": people.reader_url, "LOG_LEVEL": "DEBUG",
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", UNRULY,
            env=os.environ | {f"STAUNCH_{name}": value for name, value in {**own, **settings}.items()},
            pass_fds=(theirs.fileno(),), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        theirs.close()
        reader = asyncio.create_task(process.communicate())
        assert (await asyncio.wait_for(asyncio.wrap_future(stand_in(ours).ready), 30)).startswith("ready")
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await work(channel)
        process.send_signal(signal.SIGTERM)
        text = (await asyncio.wait_for(reader, 30))[0].decode(errors="replace")
        assert process.returncode == 0, text
        return Printed(text)

    return run


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_in_json_every_line_is_an_object_and_none_names_a_customer_or_a_value(printed: Any) -> None:
    codes: set[str] = set()

    async def work(channel: aio.Channel) -> None:
        codes.update(await call_in_every_wrong_way(channel))

    said: Printed = await printed(work, LOG_FORMAT="json", ACCESS_LOG="all")
    assert codes >= {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "INTERNAL"}
    for line in said.lines():
        assert line.keys() <= FIELDS.keys()
        assert list(line)[:4] == ["time", "level", "logger", "message"]
        assert not MARKERS.search(json.dumps({**line, "time": "", "ms": 0})), line
    access = said.of("staunch.access")
    assert {line["code"] for line in access} >= codes
    (first,) = [line for line in access if line["method"].endswith("/Predict") and line["code"] == "OK"][:1]
    assert first["ms"].keys() == {"total", "queue", "sql", "onnx"}
    assert (first["model"], first["request_id"]) == ("churn@1", "r1")
    assert first["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    (incident,) = [line for line in access if "incident_id" in line]
    assert "ValueError" in incident["exception"]
    assert "in explain" in incident["exception"]
    # What is no log of ours stands in lines of its own, with its level where it says one.
    printed_lines = {line["message"]: line["level"] for line in said.of("staunch.output")}
    assert printed_lines["C speaks"] == printed_lines["printed"] == "INFO"
    assert printed_lines["C has no line's endE0000 00:00:00.000000 1 native.cc:1] C says how bad it is"]
    assert {"library", "py.warnings", "asyncio"} <= {line["logger"] for line in said.lines()}


@pytest.mark.walk
async def test_in_text_no_line_names_a_customer_and_none_can_be_forged(printed: Any) -> None:
    said: Printed = await printed(call_in_every_wrong_way, LOG_FORMAT="text", ACCESS_LOG="errors")
    logged = [
        line for line in said.text.splitlines() if line.startswith("20") and "staunch.output" not in line
    ]
    assert len(logged) > 20
    assert not [line for line in said.text.splitlines() if MARKERS.search(re.sub("(_ms=)[0-9.]+", "", line))]
    assert not [line for line in said.text.splitlines() if line.startswith("2026-01-01")]
    assert "\x1b" not in said.text
    assert 'request_id="quoted\\"=1"' in said.text
    assert "y" * 129 not in said.text


def test_a_crash_before_anything_is_set_up_is_one_object_too(tmp_path: Path) -> None:
    code = (
        "import os\n"
        "from staunch_server.process.one_format import outputs\n"
        "with outputs('json'):\n"
        "    print('no end', end='', flush=True)\n"
        "    raise KeyError('customer 42')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=30)
    (printed_line,) = [json.loads(line) for line in done.stdout.splitlines()]
    (crash,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert (done.returncode, printed_line["message"]) == (1, "no end")
    assert (crash["level"], "KeyError" in crash["exception"]) == ("CRITICAL", True)
    assert "42" not in crash["exception"]


def test_lines_of_many_processes_that_print_at_once_stay_whole() -> None:
    each = (
        "import json, os\n"
        "for n in range(300):\n"
        "    os.write(1, json.dumps({'time': 't', 'n': n, 'x': 'y' * 3000}).encode() + b'\\n')\n"
    )
    code = (
        "import subprocess, sys\n"
        "from staunch_server.process.one_format import outputs\n"
        "with outputs('json'):\n"
        f"    all = [subprocess.Popen([sys.executable, '-c', {each!r}]) for _ in range(3)]\n"
        "    assert not any(one.wait() for one in all)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(line["n"] for line in lines) == sorted(list(range(300)) * 3)


@pytest.mark.parametrize(
    "like_ours",
    [
        b'{"time": "\xed\xa0\x80"}',  # half a character, which json takes for one
        b'{"time": "\xff"}',
        b'{"time": "", "deep": ' + b"[" * 50_000,
        b'{"time": "", "ms": NaN}',
        b'{"time": "", "long": ' + b"9" * 5000 + b"}",
    ],
    ids=["half a character", "no character", "too deep", "no number", "too long a number"],
)
def test_a_line_that_only_looks_like_ours_is_wrapped_and_what_comes_after_it_is_read(
    like_ours: bytes,
) -> None:
    code = (
        "import os\n"
        "from staunch_server.process.one_format import outputs\n"
        "with outputs('json'):\n"
        f"    os.write(1, {like_ours!r} + b'\\n')\n"
        "    print('after')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=30)
    like, after = [json.loads(line, parse_constant=pytest.fail) for line in done.stdout.splitlines()]
    assert (like["logger"], after["message"], done.stderr) == ("staunch.output", "after", b"")


@pytest.fixture
def reader_that_leaves() -> Iterator[int]:
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def test_a_reader_that_has_left_changes_nothing(reader_that_leaves: int) -> None:
    code = (
        "from staunch_server.process.one_format import outputs\n"
        "with outputs('json'):\n"
        "    for _ in range(1000): print('line')\n"
        "    raise SystemExit(7)\n"
    )
    streams = {"stdout": reader_that_leaves, "stderr": reader_that_leaves}
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30, **streams).returncode == 7  # type: ignore[call-overload]
