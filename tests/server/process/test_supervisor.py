"""What the supervisor promises: one port and one /metrics for all workers, one SetAlias, restarts."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc import StatusCode, aio
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families
from tests.harness.databases import TestDatabase
from tests.harness.processes import frozen
from tests.harness.waiting import until
from tests.server.harness.errors import read_rich_error
from tests.server.harness.running import Locked, Publish
from tools.docs_pages import metric_families

from staunch.v1 import model_service_pb2 as mpb
from staunch.v1 import prediction_service_pb2 as pb
from staunch.v1.model_service_pb2_grpc import ModelServiceStub
from staunch.v1.prediction_service_pb2_grpc import PredictionServiceStub
from staunch_model_store.store import ModelStore
from staunch_server.process.channel.child import Child
from staunch_server.process.channel.lines import SUPERVISOR_FD
from staunch_server.process.http import listen
from staunch_server.process.supervisor import (
    KILL_GRACE_S,
    ONE_STOP_S,
    CannotServe,
    Supervisor,
)
from staunch_server.settings import load_settings

pytestmark = pytest.mark.walk

KNOWN = 1
"""A customer of the small database."""


@dataclass
class Supervised:
    """A supervised server of two workers."""

    process: asyncio.subprocess.Process
    port: int
    metrics: str
    said: str

    @contextlib.asynccontextmanager
    async def channel(self) -> AsyncIterator[aio.Channel]:
        """A connection of its own, which the kernel gives to either worker."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with aio.insecure_channel(f"127.0.0.1:{self.port}", options=options) as channel:
            yield channel

    async def version(self) -> int:
        """The version that answers on a new connection."""
        async with self.channel() as channel:
            answer = await PredictionServiceStub(channel).Predict(
                pb.PredictRequest(customer_id=KNOWN), timeout=5
            )
            return answer.model.version

    def scrape(self, accept: str = "*/*") -> str:
        """What /metrics says."""
        request = urllib.request.Request(self.metrics, headers={"Accept": accept})
        return urllib.request.urlopen(request, timeout=5).read().decode()

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(children) as file:
            return [int(word) for word in file.read().split()]


@pytest.fixture
def environment(tmp_path: Path, people: TestDatabase) -> dict[str, str]:
    """The settings of a server with two workers, on free ports."""
    return {
        "STAUNCH_DATABASE_READER_URL": people.reader_url,
        "STAUNCH_STATE_FOLDER": str(tmp_path),
        "STAUNCH_WORKERS": "2",
        "STAUNCH_PORT": "0",
        "STAUNCH_METRICS_PORT": "0",
        # So that only the signal can move the other worker in time.
        "STAUNCH_STORE_POLL_S": "3600",
    }


@pytest.fixture
async def supervised(environment: dict[str, str], publish: Publish) -> AsyncIterator[Supervised]:
    """A real `staunch serve` with two workers, on a database of our own and two versions."""
    publish()
    publish(base=1.0, alias="candidate")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "staunch_cli.main", "serve",
        env=os.environ | environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        said = await asyncio.wait_for(_until_ready(process), 60)
        port, metrics = re.search(r"127\.0\.0\.1:(\d+)", said), re.search(r"http://\S+/metrics", said)
        assert port, said
        assert metrics, said
        yield Supervised(process, int(port[1]), metrics[0], said)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 60)


async def _until_ready(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    said = ""
    while "Ctrl-C stops" not in said:
        line = (await process.stdout.readline()).decode()
        assert line, said
        said += line
    return said


async def _soon(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await holds():
            await asyncio.sleep(0.05)


async def test_it_says_which_versions_it_serves_and_which_of_them_is_the_champion(supervised: Supervised):
    assert "Staunch serves churn@1 (champion), churn@2 (candidate)\n" in supervised.said


async def move(channel: aio.Channel, version: int, timeout: float = 20) -> str:
    """Points the champion at a version; returns the reason why not, or why not everywhere; empty if it is."""
    request = mpb.SetAliasRequest(name="churn", alias="champion", version=version)
    try:
        await ModelServiceStub(channel).SetAlias(request, timeout=timeout)
    except aio.AioRpcError as error:
        rich = read_rich_error(error)
        return rich.reason if rich.infos else rich.code.name
    return ""


async def versions(supervised: Supervised) -> set[int]:
    """The versions that answer on new connections."""
    return set(await asyncio.gather(*(supervised.version() for _ in range(12))))


async def test_a_moved_alias_has_moved_in_every_worker_once_it_is_answered(supervised: Supervised):
    for number in (2, 1, 2, 2, 1):
        async with supervised.channel() as channel:
            assert await move(channel, number) == ""
        assert await versions(supervised) == {number}


async def test_aliases_moved_by_all_workers_at_once_leave_all_with_one(supervised: Supervised):
    async with contextlib.AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(supervised.channel()) for _ in range(8)]
        for _ in range(3):
            moves = [move(channel, 1 + place % 2) for place, channel in enumerate(channels)]
            assert set(await asyncio.gather(*moves)) == {""}
            assert len(await versions(supervised)) == 1


async def test_workers_that_are_killed_and_start_hold_up_no_alias_and_answer_by_no_old_one(
    supervised: Supervised,
):
    number, moved = 1, 0
    for place in (0, 1):
        os.kill(supervised.workers()[place], signal.SIGKILL)
        until_s = time.monotonic() + 4
        while time.monotonic() < until_s:  # it dies, is away, starts and reads
            number = 3 - number
            async with supervised.channel() as channel:
                why_not = await move(channel, number)
            assert why_not in ("", "UNAVAILABLE")  # of a connection to the worker that died
            if not why_not:
                moved += 1
                with contextlib.suppress(aio.AioRpcError):
                    assert await versions(supervised) == {number}
    assert moved > 10

    async def two_again() -> bool:
        return "staunch_workers_ready 2.0" in supervised.scrape()

    await _soon(two_again)


async def test_a_worker_that_hangs_is_said_not_to_follow_after_five_seconds_and_does_once_it_goes_on(
    supervised: Supervised,
):
    async with contextlib.AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(supervised.channel()) for _ in range(12)]
        for channel in channels:
            await PredictionServiceStub(channel).Predict(pb.PredictRequest(customer_id=KNOWN))
        hung = supervised.workers()[1]
        os.kill(hung, signal.SIGSTOP)
        began = time.monotonic()
        ended = set(await asyncio.gather(*(move(channel, 2, timeout=7) for channel in channels)))
        assert ended == {"ALIAS_NOT_FOLLOWED", "DEADLINE_EXCEEDED"}  # of the one, and of the one that hangs
        assert time.monotonic() - began < 9
        os.kill(hung, signal.SIGCONT)

        async def all_moved() -> bool:
            return await versions(supervised) == {2}

        await _soon(all_moved)
        assert {await move(channel, 2) for channel in channels} == {""}


async def test_a_deleted_alias_is_gone_from_every_worker(supervised: Supervised):
    request = mpb.DeleteAliasRequest(name="churn", alias="candidate")
    async with supervised.channel() as channel:
        assert (await ModelServiceStub(channel).DeleteAlias(request)).previous_version == 2
    for _ in range(8):
        async with supervised.channel() as channel:
            asked = pb.PredictRequest(model="churn@candidate", customer_id=KNOWN)
            with pytest.raises(aio.AioRpcError) as refused:
                await PredictionServiceStub(channel).Predict(asked)
            assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_one_page_of_metrics_counts_the_calls_of_all_workers(supervised: Supervised):
    for _ in range(20):
        await supervised.version()

    async def all_counted() -> bool:
        counts = re.findall(
            r"^staunch_calls_total\{[^}]*Predict[^}]*\} (\S+)$", supervised.scrape(), re.MULTILINE
        )
        return sum(map(float, counts)) == 20

    await _soon(all_counted)
    assert "staunch_workers_ready 2.0" in supervised.scrape()


async def test_the_page_is_what_prometheus_reads_in_both_formats_and_says_all_that_is_documented(
    supervised: Supervised,
):
    await supervised.version()
    text, openmetrics = supervised.scrape(), supervised.scrape(accept="application/openmetrics-text")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    documented = {family.name for family, _ in metric_families()}
    assert families.keys() == documented
    assert {family.name for family in openmetrics_families(openmetrics)} == documented
    assert "_created" not in text + openmetrics
    running = {sample.labels["worker"]: sample.value for sample in families["process_open_fds"].samples}
    assert running.keys() == {"supervisor", "0", "1"}
    assert min(running.values()) > 3
    if shutil.which("promtool"):
        promtool = await asyncio.create_subprocess_exec(
            "promtool", "check", "metrics", stdin=asyncio.subprocess.PIPE
        )
        await promtool.communicate(text.encode())
        assert promtool.returncode == 0


async def test_a_killed_worker_is_started_again_while_the_other_answers(supervised: Supervised):
    victim = supervised.workers()[0]
    os.kill(victim, signal.SIGKILL)

    async def two_again() -> bool:
        said = supervised.scrape()
        return "staunch_worker_restarts_total 1.0" in said and "staunch_workers_ready 2.0" in said

    await _soon(two_again)
    assert victim not in supervised.workers()
    assert len(supervised.workers()) == 2
    assert await supervised.version() == 1


async def test_workers_that_die_again_and_again_leave_their_counts_and_no_heap_of_files(
    supervised: Supervised, tmp_path: Path
):
    counted: list[float] = []

    async def two_again(restarts: int) -> bool:
        said = supervised.scrape()
        calls = re.findall(r"^staunch_calls_total\{[^}]*Predict[^}]*\} (\S+)$", said, re.MULTILINE)
        counted.append(sum(map(float, calls)))
        return f"staunch_worker_restarts_total {restarts}.0" in said and "workers_ready 2.0" in said

    for restarts in range(1, 4):
        for _ in range(10):
            await supervised.version()
        os.kill(supervised.workers()[0], signal.SIGKILL)
        await _soon(lambda: two_again(restarts))  # noqa: B023 -- awaited before the next turn
    assert counted == sorted(counted)
    assert counted[-1] == 30
    kept = [file.name for file in (tmp_path / "metrics").glob("*.db") if not file.name.startswith("gauge")]
    assert sorted(kept) == ["counter_0.db", "counter_1.db", "histogram_0.db", "histogram_1.db"]


async def test_a_damaged_file_of_metrics_stops_neither_the_page_nor_the_worker(
    supervised: Supervised, tmp_path: Path
):
    await supervised.version()
    for number in (0, 1):
        with (tmp_path / "metrics" / f"counter_{number}.db").open("r+b") as file:
            file.write(b"\xff\xff\xff\x7f")
    assert "staunch_calls_total{" not in supervised.scrape()
    os.kill(supervised.workers()[0], signal.SIGKILL)

    async def two_again() -> bool:
        said = supervised.scrape()
        return "staunch_worker_restarts_total 1.0" in said and "staunch_workers_ready 2.0" in said

    await _soon(two_again)

    async def counts_again() -> bool:
        await supervised.version()
        return "staunch_calls_total{" in supervised.scrape()

    await _soon(counts_again)


async def test_a_second_server_on_the_same_folder_is_refused_and_counts_go_on(
    supervised: Supervised, tmp_path: Path, environment: dict[str, str]
):
    await supervised.version()
    before = sorted((tmp_path / "metrics").iterdir())
    second = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "staunch_cli.main", "serve",
        env=os.environ | environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await asyncio.wait_for(second.communicate(), 60)
    assert second.returncode == 1
    assert errors.decode().startswith(f"staunch: another staunch runs in {tmp_path}: stop it, or choose")
    assert out == b""
    assert sorted((tmp_path / "metrics").iterdir()) == before
    assert "staunch_calls_total{" in supervised.scrape()


async def test_a_reload_while_a_worker_starts_does_not_end_it(supervised: Supervised):
    """SIGHUP ends a process that does not handle it yet, so SetAlias on one worker could kill another."""
    victim = supervised.workers()[0]
    os.kill(victim, signal.SIGKILL)

    async def two_again() -> bool:
        supervised.process.send_signal(signal.SIGHUP)
        return "staunch_workers_ready 2.0" in supervised.scrape() and len(supervised.workers()) == 2

    await until(lambda: victim not in supervised.workers())
    await _soon(two_again)
    assert "staunch_worker_restarts_total 1.0" in supervised.scrape()


async def test_a_worker_that_is_told_to_end_while_it_is_started_ends(people: TestDatabase, tmp_path: Path):
    worker = Child(0, lambda *_: None)
    worker.end(signal.SIGTERM)
    settings = {"STAUNCH_DATABASE_READER_URL": people.reader_url, "STAUNCH_STATE_FOLDER": str(tmp_path)}
    ports = {"STAUNCH_PORT": "0", "STAUNCH_METRICS_PORT": "0", "STAUNCH_SUPERVISED": "1"}
    async with asyncio.timeout(20):
        assert await worker.run(os.environ | settings | ports) == -signal.SIGTERM


async def test_a_worker_that_cannot_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no_python"))
    monkeypatch.setattr("shutil.which", lambda _name: None)
    said: list[str] = []
    supervisor = Supervisor(load_settings({}), tmp_path / "metrics", said.append)
    keeping = asyncio.create_task(supervisor._keep(supervisor._workers[0]))

    async def tried_twice() -> bool:
        return len(said) >= 2

    await _soon(tried_twice)
    assert all("could not be started" in line for line in said)
    assert [line.rpartition("; ")[2] for line in said[:2]] == [
        "starting it again in 0.2 s",
        "starting it again in 0.4 s",
    ]
    supervisor.stop()
    await asyncio.wait_for(keeping, 10)


async def test_a_worker_that_is_not_understood_is_not_said_to_have_failed_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mumbler = tmp_path / "mumbler"
    mumble = f"import os; os.write(int(os.environ['{SUPERVISOR_FD}']), b'\\xff\\n')"
    mumbler.write_text(f"#!{sys.executable}\n{mumble}\n")
    mumbler.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(mumbler))
    said: list[str] = []
    supervisor = Supervisor(load_settings({}), tmp_path / "metrics", said.append)
    keeping = asyncio.create_task(supervisor._keep(supervisor._workers[0]))
    await until(lambda: said)
    assert said[0].startswith("worker 0 ended and was not understood ('utf-8' codec can't decode byte 0xff")
    assert said[0].endswith("; starting it again in 0.2 s")
    supervisor.stop()
    await asyncio.wait_for(keeping, 10)


@dataclass
class Inside:
    """A supervisor of one worker in this very process, and what it has reported."""

    supervisor: Supervisor
    reported: list[str]
    running: asyncio.Task[None]

    @property
    def worker(self) -> asyncio.subprocess.Process:
        """Its worker's process."""
        process = self.supervisor._workers[0].process
        assert process is not None
        return process


@pytest.fixture
async def inside(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Inside]]]:
    """`await inside(kill_grace_s=..., drain_s=...)` starts a supervisor here; its worker has no model."""
    started: list[Inside] = []

    async def start(kill_grace_s: float = KILL_GRACE_S, **settings: float) -> Inside:
        nowhere = {"database_reader_url": "postgresql://nobody@127.0.0.1:1/none", "state_folder": tmp_path}
        reported: list[str] = []
        supervisor = Supervisor(
            load_settings({**nowhere, "port": 0, **settings}),
            tmp_path / "metrics",
            reported.append,
            kill_grace_s=kill_grace_s,
        )
        ready = asyncio.Event()

        async def on_ready(_: Supervisor) -> None:
            ready.set()

        assert supervisor.why_not_serving() == "workers being started: 1 of 1"
        running = asyncio.create_task(supervisor.run(listen("127.0.0.1", 0), on_ready))
        started.append(Inside(supervisor, reported, running))
        await asyncio.wait_for(ready.wait(), 60)
        assert "being started" not in supervisor.why_not_serving()
        return started[-1]

    yield start
    for one in started:
        if not one.running.done():  # the test has failed
            one.supervisor.stop()
            one.supervisor.stop()
        with contextlib.suppress(CannotServe):
            await one.running


async def test_a_signal_has_supervisor_and_workers_tell_what_they_do_and_go_on(supervised: Supervised):
    assert supervised.process.stderr is not None
    supervised.process.send_signal(signal.SIGUSR1)
    said = ""
    async with asyncio.timeout(30):
        while said.count("tasks in all") < 3:
            said += (await supervised.process.stderr.readline()).decode()
    assert said.count("Current thread 0x") == 3
    assert "Supervisor.run (supervisor.py:" in said
    assert said.count("Server.follow_registry (server.py:") == 2
    assert await supervised.version() == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_signal_has_the_workers_drain_and_starts_none_again(
    inside: Callable[..., Awaitable[Inside]], number: signal.Signals
):
    one = await inside()
    os.kill(os.getpid(), number)
    await asyncio.wait_for(one.running, 30)
    assert one.supervisor.why_not_serving() == "stopping"
    assert one.worker.returncode == 0
    assert one.reported == ["stopping; calls in progress are answered"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_second_signal_kills_the_workers_at_once(
    inside: Callable[..., Awaitable[Inside]], number: signal.Signals
):
    one = await inside(drain_s=300)
    with frozen(one.worker.pid):  # so that it cannot drain
        os.kill(os.getpid(), number)
        await until(lambda: one.reported)
        assert one.worker.returncode is None
        assert one.supervisor.why_not_serving() == "stopping"  # though the worker is there
        await asyncio.sleep(ONE_STOP_S)  # sooner it would be the same one
        os.kill(os.getpid(), number)
        await asyncio.wait_for(one.running, 30)
    assert one.worker.returncode == -signal.SIGKILL
    assert one.reported == ["stopping; calls in progress are answered", "stopping at once"]


@pytest.mark.parametrize("others", ["group", "workers"])
async def test_a_signal_to_all_processes_at_once_lets_calls_in_progress_end(
    supervised: Supervised, locked: Locked, others: str
) -> None:
    async with supervised.channel() as channel:
        predictions = PredictionServiceStub(channel)
        await predictions.Predict(pb.PredictRequest(customer_id=KNOWN), timeout=5)
        async with locked() as lock:
            call = asyncio.ensure_future(
                predictions.Predict(pb.PredictRequest(customer_id=KNOWN), timeout=20)
            )
            await until(lambda: lock.waiting(1))
            workers = supervised.workers()
            supervised.process.terminate()  # as `timeout` does: the process, then its group
            if others == "group":
                os.killpg(supervised.process.pid, signal.SIGTERM)
            for worker in workers:  # as systemd does; here late enough to be a second signal to them
                await asyncio.sleep(0.5)
                with contextlib.suppress(ProcessLookupError):  # the one without a call has ended
                    os.kill(worker, signal.SIGTERM)
        assert 0 < (await call).probability < 1
    assert await asyncio.wait_for(supervised.process.wait(), 60) == 0


async def test_a_worker_that_does_not_end_is_killed_after_its_drain_and_a_grace(
    inside: Callable[..., Awaitable[Inside]],
):
    one = await inside(drain_wait_s=0.4, drain_s=0.4, kill_grace_s=0.4)
    with frozen(one.worker.pid):
        stopped_at = time.monotonic()
        one.supervisor.stop()
        await asyncio.wait_for(one.running, 30)
        assert time.monotonic() - stopped_at >= 1.2
    assert one.worker.returncode == -signal.SIGKILL
    assert one.reported[1:] == ["a worker did not end in time and was killed"]


async def test_what_no_worker_gets_over_ends_the_server_with_that_one_line(
    people: TestDatabase, tmp_path: Path
):
    settings = {"database_reader_url": people.reader_url, "state_folder": tmp_path, "port": 0, "workers": 2}
    refused = load_settings({**settings, "transport": "native", "max_connection_age_s": 60})
    reported: list[str] = []
    supervisor = Supervisor(refused, tmp_path / "metrics", reported.append)
    with pytest.raises(CannotServe, match=r"^max_connection_age_s is set: expected 0"):
        await asyncio.wait_for(supervisor.run(listen("127.0.0.1", 0), _nobody), 60)
    assert reported == []


async def test_what_a_worker_does_not_get_over_later_ends_no_server_that_answered(
    inside: Callable[..., Awaitable[Inside]],
):
    one = await inside()
    worker = one.supervisor._workers[0]
    worker.error = "the disk is gone"
    os.kill(one.worker.pid, signal.SIGSEGV)
    await until(lambda: one.reported)
    assert one.reported[0].startswith(
        "worker 0 was killed by SIGSEGV (the disk is gone); starting it again in "
    )
    await until(lambda: worker.ready.is_set(), 60)
    assert not one.running.done()


async def test_what_one_worker_does_not_get_over_ends_no_server_of_which_another_has_answered(tmp_path: Path):
    """Whichever: the first may still be starting when the second answers."""
    nowhere = {"database_reader_url": "postgresql://nobody@127.0.0.1:1/none", "state_folder": tmp_path}
    reported: list[str] = []
    settings = load_settings({**nowhere, "port": 0, "workers": 2})
    supervisor = Supervisor(settings, tmp_path / "metrics", reported.append)
    running = asyncio.create_task(supervisor.run(listen("127.0.0.1", 0), _nobody))
    first, second = supervisor._workers
    await until(lambda: first.process)
    assert first.process is not None
    with frozen(first.process.pid):
        await until(lambda: second.ready.is_set(), 60)
        first.error = "the disk is gone"
        first.process.kill()
        await until(lambda: reported or running.done())
    assert reported[0].startswith("worker 0 was killed by SIGKILL")
    assert "(the disk is gone); starting it again in " in reported[0]
    await until(lambda: first.ready.is_set(), 60)
    supervisor.stop()
    await asyncio.wait_for(running, 60)


async def test_a_report_that_raises_stops_neither_healing_nor_ending(tmp_path: Path):
    def raises(line: str) -> None:
        raise BrokenPipeError(line)

    nowhere = {"database_reader_url": "postgresql://nobody@127.0.0.1:1/none", "state_folder": tmp_path}
    supervisor = Supervisor(load_settings({**nowhere, "port": 0}), tmp_path / "metrics", raises)
    running = asyncio.create_task(supervisor.run(listen("127.0.0.1", 0), _nobody))
    worker = supervisor._workers[0]
    await until(worker.ready.is_set, 60)
    assert worker.process
    first = worker.process.pid
    os.kill(first, signal.SIGKILL)
    await until(lambda: worker.ready.is_set() and worker.process.pid != first, 60)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, 60)


async def test_a_failure_beside_the_workers_stops_them_and_comes_out(
    inside: Callable[..., Awaitable[Inside]],
):
    one = await inside()
    one.supervisor.fail(CannotServe("the database refuses us"))
    one.supervisor.fail(CannotServe("and again"))
    with pytest.raises(CannotServe, match=r"^the database refuses us$"):
        await asyncio.wait_for(one.running, 60)
    assert one.worker.returncode == 0


async def _nobody(_: Supervisor) -> None:
    """Nobody waits for the workers."""


def test_ten_seconds_are_the_grace_of_a_worker():
    assert KILL_GRACE_S == 10.0


async def test_killed_it_leaves_no_worker(supervised: Supervised):
    workers = supervised.workers()
    supervised.process.kill()
    await supervised.process.wait()

    async def gone() -> bool:
        return not any(_alive(pid) for pid in workers)

    await _soon(gone)


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_health_over_http_is_well_and_other_paths_are_not_found(supervised: Supervised):
    url = supervised.metrics.replace("/metrics", "/healthz")
    assert urllib.request.urlopen(url, timeout=5).read() == b"ok\n"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(url + "x", timeout=5)


async def test_a_store_without_a_sound_version_is_told_over_http_in_words_until_one_is_published(
    environment: dict[str, str], publish: Publish, store: ModelStore
):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "staunch_cli.main", "serve",
        env=os.environ | environment | {"STAUNCH_STORE_POLL_S": "0.1"},
        stdout=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        said = await asyncio.wait_for(_until_ready(process), 60)
        port, metrics = re.search(r"127\.0\.0\.1:(\d+)", said), re.search(r"http://\S+/metrics", said)
        assert port
        assert metrics
        server = Supervised(process, int(port[1]), metrics[0], said)

        async def health(code: int, *words: str) -> bool:
            got, text = await asyncio.to_thread(_healthz, server.metrics)
            return got == code and all(word in text for word in words)

        await _soon(
            lambda: health(503, "not serving: no alias of the store", str(store.root), "staunch train")
        )
        await _soon(lambda: _gauge(server, "empty"))
        publish(base_value=5.0)
        await _soon(lambda: health(503, "not serving: churn@1: refused: explainer.onnx"))
        await _soon(lambda: _gauge(server, "refused"))
        async with server.channel() as channel:
            call = PredictionServiceStub(channel).Predict(pb.PredictRequest(customer_id=KNOWN))
            assert await call.code() is StatusCode.UNAVAILABLE
            assert "No version of churn is ready: " in await call.details()
        publish()
        await _soon(lambda: health(200, "ok\n"))
        await _soon(lambda: _gauge(server))
        assert await server.version() == 2
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 60)


def _healthz(metrics: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(metrics.replace("/metrics", "/healthz"), timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


async def _gauge(server: Supervised, *causes: str) -> bool:
    page = await asyncio.to_thread(server.scrape)
    told = dict(re.findall(r'^staunch_not_serving\{cause="(\w+)"\} (\S+)$', page, re.MULTILINE))
    return {cause for cause, value in told.items() if value == "1.0"} == set(causes) and len(told) == 3


async def test_it_holds_neither_grpc_nor_onnxruntime():
    code = "import sys, json; import staunch_cli.commands.run; print(json.dumps(sorted(sys.modules)))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    held = json.loads((await process.communicate())[0])
    assert {"grpc", "onnxruntime", "sklearn", "xgboost"}.isdisjoint(held)
