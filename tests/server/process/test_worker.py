"""What `python -m staunch_server.process.worker` promises as a process: start, signals, what it holds."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import urllib.request
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from tests.harness.databases import TestDatabase
from tests.harness.waiting import until
from tests.server.harness.running import Locked, Publish
from tests.server.harness.supervised import SUPERVISOR, stand_in

from staunch.v1 import model_service_pb2 as mpb
from staunch.v1 import prediction_service_pb2 as pb
from staunch.v1.model_service_pb2_grpc import ModelServiceStub
from staunch.v1.prediction_service_pb2_grpc import PredictionServiceStub
from staunch_model_store.store import ModelStore
from staunch_server.process.channel.lines import SUPERVISOR_FD
from staunch_server.process.channel.siblings import Siblings
from staunch_server.process.worker import COLLECT_AFTER, settle_memory

FORBIDDEN = {
    "sklearn",
    "xgboost",
    "shap",
    "pandas",
    "onnx",
    "joblib",
    "faker",
    "scipy",
    "matplotlib",
    "numba",
}

WATCHED = f"""
import os, sys
def watch(event, arguments):
    if event == "pickle.find_class":
        os.write(2, b"UNPICKLED %r\\n" % (arguments,))
sys.addaudithook(watch)
from staunch_server.process.worker import main
code = main()
os.write(2, b"HELD %s\\n" % " ".join(sorted({FORBIDDEN} & set(sys.modules))).encode())
sys.exit(code)
"""


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Process:
    """A worker process that has said that it answers, or has ended."""

    process: asyncio.subprocess.Process
    ready: str
    port: int
    metrics_port: int
    channel: aio.Channel
    said: list[str]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> tuple[int, str]:
        """Waits for the end; the exit code, and what it wrote to stderr."""
        _, errors = await asyncio.wait_for(self.process.communicate(), 30)
        assert self.process.returncode is not None
        return self.process.returncode, errors.decode()


@pytest.fixture
async def worker(
    people: TestDatabase, publish: Publish, store: ModelStore
) -> AsyncIterator[Callable[..., Awaitable[Process]]]:
    """`await worker(code=None, **variables)` starts a worker process; STAUNCH_ goes before the variables."""
    publish()
    started: list[Process] = []

    async def start(
        code: str | None = None, inherited: dict[str, str] | None = None, **variables: Any
    ) -> Process:
        port, metrics_port = free_port(), free_port()
        ours, theirs = socket.socketpair()
        settings = {
            "PORT": port,
            "METRICS_PORT": metrics_port,
            "STORE": store.root,
            "DATABASE_READER_URL": people.reader_url,
            SUPERVISOR: theirs.fileno(),
        } | variables
        environment = {f"STAUNCH_{name}": str(value) for name, value in settings.items()}
        command = ["-c", code] if code else ["-m", "staunch_server.process.worker"]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            env={**os.environ, **environment, **(inherited or {})},
            pass_fds=(theirs.fileno(),),
            stderr=asyncio.subprocess.PIPE,
        )
        theirs.close()
        heard = stand_in(ours)
        ready = await asyncio.wait_for(asyncio.wrap_future(heard.ready), 30)
        channel = aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])
        started.append(Process(process, ready, port, metrics_port, channel, heard.lines))
        return started[-1]

    yield start
    for one in started:
        await one.channel.close()
        if one.process.returncode is None:
            one.process.kill()
            await one.process.communicate()


async def call_everything(channel: aio.Channel) -> None:
    """Calls each RPC that the server has, with an answer and with an error."""
    predictions, models = PredictionServiceStub(channel), ModelServiceStub(channel)
    await predictions.Predict(pb.PredictRequest(customer_id=3, include_features=True))
    explained = await predictions.Explain(pb.ExplainRequest(customer_id=3))
    assert explained.explanation.additivity_error <= 1e-9
    stream = predictions.BatchPredict(iter([pb.BatchPredictRequest(customer_ids=range(1, 41))]))
    assert [len(chunk.probabilities) async for chunk in stream] == [40]
    assert len((await models.ListModels(mpb.ListModelsRequest())).models) == 1
    assert (await models.GetModel(mpb.GetModelRequest(model="churn"))).model.manifest_json
    await models.SetAlias(mpb.SetAliasRequest(name="churn", alias="challenger", version=1))
    await models.ReloadModels(mpb.ReloadModelsRequest())
    missing = predictions.Predict(pb.PredictRequest(customer_id=10**9))
    assert await missing.code() is grpc.StatusCode.NOT_FOUND
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    assert health_pb2.HealthCheckResponse.FromString(await check(b"")).status == 1
    listing = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    for version in ("v1", "v1alpha"):
        reflecting = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        )
        assert len([one async for one in reflecting(iter([listing]))]) == 1


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("transport", ["aio", "native"])
async def test_serving_unpickles_nothing_and_holds_no_training_library(worker: Any, transport: str) -> None:
    one = await worker(code=WATCHED, TRANSPORT=transport)
    assert one.ready == "ready churn@1=champion\n"
    await call_everything(one.channel)
    metrics = await asyncio.to_thread(get, f"http://127.0.0.1:{one.metrics_port}/metrics")
    assert 'staunch_calls_total{code="OK",method="/staunch.v1.PredictionService/Predict"' in metrics
    assert await asyncio.to_thread(get, f"http://127.0.0.1:{one.metrics_port}/healthz") == "ok\n"
    one.signal(signal.SIGTERM)
    code, errors = await one.ended()
    assert code == 0
    assert "UNPICKLED" not in errors
    assert "HELD \n" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"HOST": "0.0.0.0"}, "staunch: host is '0.0.0.0': expected a loopback address"),
        ({"METRICS_HOST": "0.0.0.0"}, "staunch: metrics_host is '0.0.0.0': expected a loopback address"),
        (
            {"HOST": "0.0.0.0", "INSECURE_BIND": "1", "TRANSPORT": "native"},
            "staunch: transport is 'native' and host is '0.0.0.0': expected auto or aio",
        ),
        ({"LISTEN": "0.0.0.0:1"}, "staunch: STAUNCH_LISTEN (setting listen): expected unix:PATH, such as"),
        ({"WORKERS": "many"}, "staunch: STAUNCH_WORKERS (setting workers): expected a whole number"),
        ({"DATABASE_READER_URL": ""}, "staunch: database_reader_url is not set"),
    ],
)
async def test_what_cannot_be_served_is_said_in_one_line(worker: Any, variables: Any, says: str) -> None:
    one = await worker(**variables)
    code, errors = await one.ended()
    assert (one.ready, code) == ("", 1)
    assert errors.startswith(says)
    assert errors.count("\n") == 1


async def test_a_taken_port_is_said_in_one_line(worker: Any) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        for name in ("PORT", "METRICS_PORT"):
            code, errors = await (await worker(**{name: port})).ended()
            assert code == 1
            assert "Traceback" not in errors
            assert f"{port}" in errors.splitlines()[-1]


async def test_a_socket_is_served_by_the_fast_transport_refuses_another_server_and_goes_with_it(
    worker: Any, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    one = await worker(LISTEN=f"unix:{path}", HOST="0.0.0.0")
    assert one.ready == "ready churn@1=champion\n"
    async with aio.insecure_channel(f"unix:{path}") as channel:
        await call_everything(channel)
    code, errors = await (await worker(LISTEN=f"unix:{path}")).ended()
    assert (code, errors.count("\n")) == (1, 1)
    assert errors.startswith(f"staunch: cannot use unix:{path}: a server is there")
    one.signal(signal.SIGTERM)
    code, errors = await one.ended()
    assert code == 0
    assert f"on unix:{path}, transport native, since this user alone reaches the Unix socket" in errors
    assert [name for name in os.listdir(tmp_path) if name.startswith("s")] == []


async def test_an_open_bind_works_when_it_is_allowed(worker: Any) -> None:
    one = await worker(HOST="0.0.0.0", INSECURE_BIND="1")
    assert one.ready == "ready churn@1=champion\n"
    await PredictionServiceStub(one.channel).Predict(pb.PredictRequest(customer_id=3))


@pytest.mark.parametrize("transport", ["aio", "native"])
async def test_a_sigterm_loses_no_call_of_callers_that_heed_the_health(worker: Any, transport: str) -> None:
    one = await worker(TRANSPORT=transport, DRAIN_WAIT_S="0.3")
    predictions = PredictionServiceStub(one.channel)
    watching = one.channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
    assert health_pb2.HealthCheckResponse.FromString(await watching.read()).status == 1
    leaving = asyncio.Event()

    async def heed() -> None:
        assert health_pb2.HealthCheckResponse.FromString(await watching.read()).status == 2
        leaving.set()

    async def call_on(number: int) -> int:
        answered = 0
        while not leaving.is_set():
            await predictions.Predict(pb.PredictRequest(customer_id=1 + (number + answered) % 9))
            answered += 1
        return answered

    calling = [asyncio.ensure_future(call_on(number)) for number in range(16)]
    heeding = asyncio.ensure_future(heed())
    await asyncio.sleep(0.5)
    one.signal(signal.SIGTERM)
    assert sum(await asyncio.gather(*calling)) > 50
    await heeding
    assert (await one.ended())[0] == 0


async def left(channel: aio.Channel) -> bool:
    """Waits until the health says that the worker leaves, and new calls are refused."""
    watching = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
    async for state in watching:
        if health_pb2.HealthCheckResponse.FromString(state).status == 2:
            return True
    return False


async def test_calls_in_progress_end_before_the_process_does(worker: Any, locked: Locked) -> None:
    one = await worker()
    predictions = PredictionServiceStub(one.channel)
    await predictions.Predict(pb.PredictRequest(customer_id=3))
    async with locked() as lock:
        call = asyncio.ensure_future(predictions.Predict(pb.PredictRequest(customer_id=3), timeout=20))
        await until(lambda: lock.waiting(1))
        one.signal(signal.SIGTERM)
        assert await left(one.channel)
        assert one.process.returncode is None
        other = predictions.Predict(pb.PredictRequest(customer_id=4))
        assert await other.code() is grpc.StatusCode.UNAVAILABLE
    assert 0 < (await call).probability < 1
    assert (await one.ended())[0] == 0


async def test_a_second_sigterm_is_immediate(worker: Any, locked: Locked) -> None:
    one = await worker()
    predictions = PredictionServiceStub(one.channel)
    await predictions.Predict(pb.PredictRequest(customer_id=3))
    async with locked() as lock:
        call = predictions.Predict(pb.PredictRequest(customer_id=3))
        await until(lambda: lock.waiting(1))
        one.signal(signal.SIGTERM)
        assert await left(one.channel)
        one.signal(signal.SIGTERM)
        assert (await asyncio.wait_for(one.ended(), 2))[0] == 1
        assert await call.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_sighup_loads_what_was_published_since_which_the_log_says(
    worker: Any, publish: Publish
) -> None:
    one = await worker(STORE_POLL_S="3600")
    predictions = PredictionServiceStub(one.channel)
    assert (await predictions.Predict(pb.PredictRequest(customer_id=3))).model.version == 1
    publish(base=1.0)
    one.signal(signal.SIGHUP)

    async def second_answers() -> bool:
        return bool((await predictions.Predict(pb.PredictRequest(customer_id=3))).model.version == 2)

    await until(second_answers)
    one.signal(signal.SIGTERM)
    _, log = await one.ended()
    changes = [line for line in log.splitlines() if line.endswith("now, before churn@1 (champion)")]
    assert ["serving churn@2 (champion) now" in line for line in changes] == [True]


async def test_a_supervised_worker_leaves_its_metrics_in_the_folder(worker: Any, tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    one = await worker(SUPERVISED="1", WORKER="7", inherited={"PROMETHEUS_MULTIPROC_DIR": str(folder)})
    await call_everything(one.channel)
    await until(lambda: "reload" in one.said)  # for the other workers
    collector = CollectorRegistry()
    MultiProcessCollector(collector, path=str(folder))
    path = "/staunch.v1.PredictionService/Predict"
    calls = {"method": path, "code": "OK", "reason": "", "model": "churn@1"}
    assert collector.get_sample_value("staunch_calls_total", calls) == 1
    assert collector.get_sample_value("staunch_pool_connections_max", {"pool": "batch"}) == 2
    infos = [s for family in collector.collect() for s in family.samples if s.name == "staunch_model_info"]
    assert [s.labels["state"] for s in infos if s.value == 1] == ["READY"]
    assert {file.stem.rpartition("_")[2] for file in folder.iterdir()} == {"7"}


async def test_a_supervised_worker_leaves_ctrl_c_and_metrics_to_its_supervisor(worker: Any) -> None:
    one = await worker(SUPERVISED="1")
    one.signal(signal.SIGINT)
    await PredictionServiceStub(one.channel).Predict(pb.PredictRequest(customer_id=3))
    with contextlib.closing(socket.socket()) as probe:
        assert probe.connect_ex(("127.0.0.1", one.metrics_port)) != 0
    one.signal(signal.SIGTERM)
    assert (await one.ended())[0] == 0


def test_the_supervisor_hears_of_a_file_whose_name_is_no_utf_8() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        siblings = Siblings.of_environment({SUPERVISOR_FD: str(theirs.detach())})
        siblings.trouble(f"the store {os.fsdecode(b'stor' + bytes([0xE9]))} is empty")
        assert ours.recv(100) == b"trouble the store stor\\udce9 is empty\n"


@pytest.fixture
def collector_as_before() -> Iterator[None]:
    """Gives the collector of cycles back as the other tests know it."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


class Node:
    """What can be in a cycle with itself, as a served version is with what it hands its methods to."""

    def __init__(self) -> None:
        self.itself = self


@pytest.mark.usefixtures("collector_as_before")
def test_the_collector_leaves_alone_what_is_there_and_still_frees_what_comes_and_goes() -> None:
    before = weakref.ref(Node())
    settle_memory()
    after = weakref.ref(Node())
    assert before() is None  # garbage is not kept by being frozen
    assert gc.get_freeze_count() > 10_000  # the modules
    assert gc.get_threshold() == COLLECT_AFTER
    assert after() is not None
    gc.collect()
    assert after() is None
