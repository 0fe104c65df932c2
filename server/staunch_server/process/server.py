"""The composition root of one serving process: settings to transport, and back in reverse when it stops."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any

from prometheus_client import CollectorRegistry

from staunch.v1 import model_service_pb2, prediction_service_pb2
from staunch_features.errors import FeatureError
from staunch_features.postgres.pool import Database
from staunch_model_store.model import LoadedModel
from staunch_model_store.store import ModelStore, StoredVersion
from staunch_server.admission.lanes import Lanes
from staunch_server.admission.pace import Pace
from staunch_server.deadlines import Deadline
from staunch_server.errors import Refusal
from staunch_server.metrics import POOLS, Metrics
from staunch_server.models.joined import Joined
from staunch_server.models.reasons import Explainers
from staunch_server.models.registry import Registry
from staunch_server.models.served import MakeServed, Served, view_of
from staunch_server.models.view_health import CheckedView, Databases
from staunch_server.models.why_not import WhyNot
from staunch_server.process.channel.siblings import Siblings
from staunch_server.process.observers import observed_by, traced
from staunch_server.process.transports import NOT_INSTALLED, choose_transport
from staunch_server.services.batch_predict import BatchPredictServicer
from staunch_server.services.explain import ExplainServicer
from staunch_server.services.models import ModelServicer
from staunch_server.services.predict import PredictServicer
from staunch_server.services.stream_predict import StreamPredictServicer
from staunch_server.settings import Settings, SettingsError, address
from staunch_server.telemetry.call_log import CallLog
from staunch_server.transport.aio import AioTransport
from staunch_server.transport.guard import Guard
from staunch_server.transport.seam import ConnectionLimits, Door, Service, Transport
from staunch_server.types import Version

PREDICTION_SERVICE: str = prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"].full_name
MODEL_SERVICE: str = model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name

WARM_S = 2.0
"""Seconds that the first use of every connection may take before a server says that it serves."""

_CUT_OFF_S = 0.5  # what calls get beyond their time, now that nothing else does
_SAMPLE_S = 1.0
_DATABASE_S = 2.0  # between two questions whether the database is up, and the time of each
_EXPLAINING_THREADS = 1  # of streams, in each process: those for more cores are more processes
_LOG = logging.getLogger("staunch.worker")


class Server:
    """The parts of one serving process, made here and nowhere else; `serving` makes, starts and stops one.

    Attributes:
        metrics: Of this process.
        events: What happens in it; whoever wants to hear of it subscribes.
        databases: The readers' pools.
        why_not: Looks a second time at who was refused, on a connection of its own.
        registry: The models.
        reload: Has the registry read the store again, once for all who ask.
        guard: Before every call.
        explainers: What explains the rows of streams.
        carried_by: Which transport carries the calls, and why.
        services: What is served.
        transport: Carries the calls.
        port: Where gRPC is served, once started; 0 on a Unix socket.
        on_trouble: Is told once a second, and when it changes, why no version answers; "" while one does.
    """

    def __init__(
        self,
        settings: Settings,
        collector: CollectorRegistry,
        siblings: Siblings | None = None,
        *,
        shared_port: bool = False,
    ) -> None:
        self._settings = settings
        self._leaving = False
        self.on_trouble: Callable[[str], None] = lambda _: None
        self._changed = asyncio.Event()
        self.port = 0
        # From the inside out: each part is handed those it stands on, and what faces the network comes last.
        self.metrics = Metrics(collector)
        log = CallLog(settings.access_log, settings.access_log_share)
        self.events = observed_by(self.metrics, log)
        self.carried_by = choose_transport(settings)
        self.metrics.set_build(version("staunch-server"), self.carried_by.name)
        self.databases = _databases(settings)
        self._beside = _database(settings, size=1)
        self._pools = dict(
            zip(POOLS, (self.databases.interactive, self.databases.batch, self._beside), strict=True)
        )
        for name, pool in self._pools.items():
            pool.on_failure = partial(self.metrics.connection_failed, name)
            pool.on_wait = self.metrics.connection_wait_seconds.labels(name).observe
        self.why_not = WhyNot(self._beside)
        self.why_not.on_end = self.metrics.second_look_ended
        self.registry = Registry(
            ModelStore(settings.model_folder),
            _served_maker(settings, self.databases, self.why_not, self.metrics),
            self.events,
            default_model=settings.default_model,
            named_versions=settings.named_versions,
            check_s=settings.view_check_s,
            look_s=settings.view_look_s,
        )
        self.reload = Joined(self.registry.reload)
        self._siblings = siblings = siblings or Siblings()
        siblings.on_follow, siblings.on_reload = self.registry.follow, self.reload
        self.guard = Guard(
            self.events,
            max_calls=settings.max_calls,
            max_streams=settings.max_streams,
            default_deadline_s=settings.default_deadline_s,
            stream_idle_s=settings.stream_idle_s,
            pace=Pace(free=settings.max_batch_rows),
        )
        self.explainers = Explainers(_EXPLAINING_THREADS)
        models = ModelServicer(self.registry, self.reload, siblings)
        self.services = _services(self.guard, self.registry, self.explainers, models, settings)
        self.transport = _transport(settings, self.services, self.guard, shared_port=shared_port)

    async def start(self, warm_s: float = WARM_S) -> None:
        """Binds the port, then loads the models; neither a bad model nor an absent database stops it.

        Args:
            warm_s: Seconds that a first use of every connection may keep us from saying that we serve.

        Raises:
            OSError: The port cannot be bound.
        """
        self.port = await self.transport.start()
        self.events.answers_changed.subscribe(lambda _: self._changed.set())
        await self._siblings.reading()
        with contextlib.suppress(
            Refusal
        ):  # a disk that hangs: it is logged, and the store read once it answers
            await self.registry.reload()
        await logged(self._warm(warm_s))
        self._report_health()

    async def _warm(self, warm_s: float) -> None:
        """Runs the views of what answers once on every connection, the default model's first."""
        deadline = Deadline.after(warm_s)
        answering = map(self.registry.answering, ("", *self.registry.ready()))
        with contextlib.suppress(FeatureError, TimeoutError):  # then calls pay for the first use themselves
            for served in dict.fromkeys(filter(None, answering)):
                await served.view.warm(deadline)

    async def follow_registry(self) -> None:
        """Tells the health of the services after each change of what answers; for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._report_health()

    async def sample(self) -> None:
        """Sets the gauges once a second, since setting them at each change costs every call; for ever."""
        for name, pool in self._pools.items():
            self.metrics.connections_max.labels(name).set(pool.size)
        in_use = {name: self.metrics.connections_in_use.labels(name) for name in self._pools}
        calls = self.metrics.calls_in_progress.labels("unary")
        streams = self.metrics.calls_in_progress.labels("stream")
        watches = self.metrics.calls_in_progress.labels("watch")
        tasks = self.metrics.event_loop_tasks
        of_rows = self.metrics.calls_in_progress.labels("joining")
        while True:
            for name, pool in self._pools.items():
                in_use[name].set(pool.in_use)
            calls.set(self.guard.calls)
            streams.set(self.guard.streams)
            watches.set(self.transport.watchers)
            tasks.set(len(asyncio.all_tasks()))
            of_rows.set(self.guard.streams_of_rows)
            self._report_trouble()
            await asyncio.sleep(_SAMPLE_S)

    async def watch_database(self) -> None:
        """Says whether the database answers, whether or not there are calls; for ever."""
        while True:
            self.metrics.set_database_up(await self._beside.answers(Deadline.after(_DATABASE_S)))
            await asyncio.sleep(_DATABASE_S)

    async def drain(self) -> None:
        """Stops without losing a call.

        First balancers hear NOT_SERVING and get drain_wait_s to turn away while all is answered; then new
        calls are refused as DRAINING while those in progress end; only then the transport stops.
        """
        self._leaving = True
        self.transport.leave()
        await asyncio.sleep(self._settings.drain_wait_s)
        self.guard.drain()
        if not await self.guard.idle(self._settings.drain_s):
            _LOG.warning("%d calls and %d streams are cut off", self.guard.calls, self.guard.streams)
        await self.transport.stop(_CUT_OFF_S)

    async def close(self) -> None:
        """Ends the threads that explain and closes the pools."""
        self.explainers.close()
        await self.why_not.close()
        await self.databases.interactive.close()
        await self.databases.batch.close()

    def _report_health(self) -> None:
        answers = self.registry.verified()
        if self._settings.model_service != "off":
            self.transport.set_serving(MODEL_SERVICE, True)
        self.transport.set_serving(PREDICTION_SERVICE, answers)
        self.transport.set_serving("", answers)
        self._report_trouble()

    def why_not_serving(self) -> str:
        """Why we are not well, in words: we stop, or no version answers; empty while all is well.

        The database is told by the calls' status and by metrics: away, or changed so that a view fails, it is
        so for every other server as well, and turning away from all of them helps nobody.
        """
        trouble = self.registry.trouble()
        return "stopping" if self._leaving else "" if trouble is None else trouble.text

    def _report_trouble(self) -> None:
        trouble = self.registry.trouble()
        self.metrics.set_not_serving(None if trouble is None else trouble.cause)
        self.on_trouble("" if trouble is None else trouble.text)


@asynccontextmanager
async def serving(
    settings: Settings,
    collector: CollectorRegistry,
    siblings: Siblings | None = None,
    *,
    shared_port: bool = False,
    again_s: float = 1.0,
    warm_s: float = WARM_S,
) -> AsyncIterator[Server]:
    """Gives a started server for the block; afterwards calls are drained first and the pools closed last.

    Args:
        settings: Of the server.
        collector: Where its metrics are registered.
        siblings: The other workers of the server; by default there are none.
        shared_port: Whether other processes may listen on the same port.
        again_s: Seconds after which work beside the calls begins again that failed.
        warm_s: As for `Server.start`.

    Raises:
        OSError: The port cannot be bound.
    """
    async with AsyncExitStack() as stack:
        server = Server(settings, collector, siblings, shared_port=shared_port)
        stack.push_async_callback(server.close)
        if settings.traces != "off":
            await stack.enter_async_context(traced(server.events))
        stack.push_async_callback(server.drain)
        await server.start(warm_s)
        follow_store = partial(server.registry.follow_store, settings.store_poll_s)
        look_at_views = partial(server.registry.look_at_views, settings.store_poll_s)
        beside = (server.follow_registry, follow_store, look_at_views, server.sample, server.watch_database)
        for work in beside:
            stack.push_async_callback(_cancelled, asyncio.create_task(_kept_up(work, again_s)))
        yield server


def _served_maker(settings: Settings, databases: Databases, why_not: WhyNot, metrics: Metrics) -> MakeServed:
    """What the registry makes served versions by: it need not know database, metrics or limits."""

    def make(model: LoadedModel, stored: StoredVersion) -> Served:
        view = CheckedView(view_of(stored), stored.manifest, databases, why_not)
        version = Version(stored.manifest.name, stored.manifest.version)
        return Served(
            model,
            stored,
            view,
            metrics.model(str(version)),
            max_batch_rows=settings.max_batch_rows,
            query_timeout_s=settings.default_deadline_s,
        )

    return make


def _databases(settings: Settings) -> Databases:
    return Databases(
        interactive=_database(settings, size=settings.interactive_connections),
        batch=_database(settings, size=settings.batch_connections),
    )


def _database(settings: Settings, *, size: int) -> Database:
    url = settings.reader_url
    if url is None:
        raise SettingsError(
            "database_reader_url is not set: expected the URL of a PostgreSQL, for example in "
            "STAUNCH_DATABASE_READER_URL; `staunch run` brings a database of its own."
        )
    return Database(url.get_secret_value(), size=size)


def _services(
    guard: Guard, registry: Registry, explainers: Explainers, models: ModelServicer, settings: Settings
) -> list[Service]:
    lanes = Lanes(settings.batch_connections, lambda: guard.calls)
    batch = BatchPredictServicer(registry, explainers, turns=lanes, timeout_s=settings.batch_timeout_s)
    prediction_pb, model_pb = prediction_service_pb2, model_service_pb2
    predict = guard.begun(prediction_pb.PredictRequest, PredictServicer(registry).predict)
    rows = StreamPredictServicer(predict, guard.room_for_rows)
    # Both methods of one row end by their deadline themselves, so that no call pays for a second timer.
    prediction = Service(
        PREDICTION_SERVICE,
        unary={
            "Predict": predict,
            "Explain": guard.unary(
                prediction_pb.ExplainRequest, ExplainServicer(registry).explain, keeps_deadline=True
            ),
        },
        streams={
            "BatchPredict": guard.stream(prediction_pb.BatchPredictRequest, batch.batch_predict),
            "StreamPredict": guard.stream(
                prediction_pb.StreamPredictRequest, rows.stream_predict, of_rows=True
            ),
        },
    )
    reading = {
        "ListModels": guard.unary(model_pb.ListModelsRequest, models.list_models),
        "GetModel": guard.unary(model_pb.GetModelRequest, models.get_model),
    }
    changing = {
        "SetAlias": guard.unary(model_pb.SetAliasRequest, models.set_alias),
        "DeleteAlias": guard.unary(model_pb.DeleteAliasRequest, models.delete_alias),
        "ReloadModels": guard.unary(model_pb.ReloadModelsRequest, models.reload_models),
    }
    offered = {"off": {}, "read": reading, "all": reading | changing}[settings.model_service]
    return [prediction, Service(MODEL_SERVICE, unary=offered)] if offered else [prediction]


def _transport(settings: Settings, services: list[Service], door: Door, *, shared_port: bool) -> Transport:
    return _transport_kind(choose_transport(settings).name)(
        services,
        door,
        address=settings.listen or address(settings.host, settings.port),
        reuse_port=shared_port,
        reflects=settings.reflects,
        limits=ConnectionLimits(
            streams=settings.max_connection_streams,
            calls=settings.max_calls,
            waiting=settings.max_waiting_calls,
            age_s=settings.max_connection_age_s,
            answer_wait_s=settings.answer_wait_s,
        ),
    )


def _transport_kind(name: str) -> Callable[..., Transport]:
    """The class of a transport; the native one is an extra that may be absent, or unfit for the machine."""
    if name == "aio":
        return AioTransport
    try:
        from staunch_server.transport.native import NativeTransport
    except ImportError as error:
        raise SettingsError(f"{NOT_INSTALLED} ({error})") from error
    return NativeTransport


async def _kept_up(work: Callable[[], Coroutine[Any, Any, None]], again_s: float) -> None:
    """Does for ever what is done beside the calls; should it fail, the log says so and it begins again."""
    while True:
        await logged(work())
        await asyncio.sleep(again_s)


async def logged(work: Coroutine[Any, Any, Any]) -> None:
    """Does what is done beside the calls; an error of it ends in the log and nowhere else."""
    try:
        await work
    except Exception:  # Beside the calls nothing may end the process: those in progress would be lost.
        _LOG.exception("background work failed")


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
