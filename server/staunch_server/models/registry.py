"""The versions in memory: verified before they answer, swapped in one step, kept when a newer one fails."""

import asyncio
import time
from collections.abc import Callable, Iterable

from staunch.v1.model_service_pb2 import (
    MODEL_STATE_LOADING,
    MODEL_STATE_READY,
    MODEL_STATE_REFUSED,
    MODEL_STATE_STORED,
)
from staunch_features.errors import DatabaseUnavailable, FeatureError, ViewError
from staunch_model_store.errors import ModelRefused, ModelStoreError
from staunch_model_store.model import LoadedModel
from staunch_model_store.store import CHAMPION, ModelStore, StoredVersion, parse_reference
from staunch_server.errors import Reason, Refusal, refusal_of
from staunch_server.metrics import Metrics
from staunch_server.models.aliases import Alias, Complaints, Pointing, Version, digest, read_pointing
from staunch_server.models.coalescer import give_up_at
from staunch_server.models.lookup import about, find, resource, text
from staunch_server.models.served import Databases, Served
from staunch_server.models.version import State, StateMetric, refused

# How long the database may take to prepare a view; a healthy one needs milliseconds.
_CHECK_S = 2.0

# How long a view may go unread before it is run for nobody, to see whether it still works.
_LOOK_S = 10.0


class Registry:
    """Loads what aliases point at and what requests name. All its methods belong to the event loop.

    A version is read once, proven in a thread, compared with the database's view, and only then takes the
    place of another. Whatever fails leaves the version before it serving. Where there is none before it, a
    version whose view fails has the place, so that each call gets the view's own error, and answers as soon
    as the tables are mended.

    Args:
        store: Where the versions are.
        databases: Where their views are read.
        metrics: Of the process.
        default_model: The name that answers a request which names none.
        max_batch_rows: Most calls that share a query.
        query_timeout_s: Seconds that such a query may take.
        named_versions: Most versions kept only because a request named them.
    """

    def __init__(  # noqa: PLR0913 - the composition root's parts, by name
        self,
        store: ModelStore,
        databases: Databases,
        metrics: Metrics,
        *,
        default_model: str,
        max_batch_rows: int,
        query_timeout_s: float,
        named_versions: int,
    ) -> None:
        self.store = store
        self._databases = databases
        self._metrics = metrics
        self.default_model = default_model
        self._max_batch_rows = max_batch_rows
        self._query_timeout_s = query_timeout_s
        self._named_versions = named_versions
        self._loaded: dict[Version, Served] = {}
        # Not in memory: what the load of a version said, and what its view did when it was let go.
        self._refused: dict[Version, Exception] = {}
        self._unfit: dict[Version, Exception] = {}
        self._loading: dict[Version, asyncio.Task[Served]] = {}
        self._named: set[Version] = set()
        self._aliases: dict[Alias, Served] = {}
        self._pointing: Pointing = {}
        self._answering: dict[str, Served] = {}
        self._changing = asyncio.Lock()
        self._unfinished = False
        self._complaints = Complaints()
        self._metric = StateMetric(metrics.model_info)
        self._callbacks: list[Callable[[], None]] = []

    def on_change(self, callback: Callable[[], None]) -> None:
        """Calls back after each change of what answers."""
        self._callbacks.append(callback)

    def ready(self) -> list[str]:
        """The versions that answer, "churn@1", sorted."""
        return sorted({served.name for served in self._answering.values() if served.trouble is None})

    def verified(self) -> bool:
        """Whether a version was loaded and proven; what its view does in the database is another matter."""
        return bool(self._answering)

    def answers_for(self, name: str) -> list[str]:
        """The aliases of a version, "churn@1", sorted."""
        return sorted(alias for (_, alias), served in self._aliases.items() if served.name == name)

    def held(self, version: Version) -> Served | None:
        """The version in memory, if it is."""
        return self._loaded.get(version)

    def state(self, version: Version) -> State:
        """What this process does with a version of the store."""
        served = self._loaded.get(version)
        if served is not None and served.trouble is not None:
            return refused(served.trouble, served.reference.digest)
        if served is not None:
            return State(MODEL_STATE_READY, digest=served.reference.digest)
        if version in self._loading:
            return State(MODEL_STATE_LOADING)
        error = self._refused.get(version) or self._unfit.get(version)
        return State(MODEL_STATE_STORED) if error is None else refused(error)

    async def start(self) -> None:
        """Loads what aliases point at; a version that fails, or a database that is away, stops nothing."""
        await self.reload()

    async def reload(self) -> list[Version]:
        """Reads the store again, tries again what was refused, lets go of versions that requests named.

        Returns:
            The versions whose state changed, sorted.
        """
        async with self._changing:
            before = self._states()
            self._named.clear()
            self._refused.clear()
            self._unfit.clear()
            await self._follow(await self._read_pointing())
            await self._try_again(v for v, state in before.items() if state.state == MODEL_STATE_REFUSED)
            after = self._states()
        stored = State(MODEL_STATE_STORED)
        changed = {v for v in before | after if before.get(v, stored) != after.get(v, stored)}
        return sorted(changed)

    async def watch(self, poll_s: float) -> None:
        """Follows aliases moved by others and views that break or are mended, and ends what a database that
        was away held up; for ever.

        Args:
            poll_s: Seconds between two looks at the store.
        """
        while True:
            await asyncio.sleep(poll_s)
            pointing = await self._read_pointing()
            if self._unfinished or pointing != self._pointing:
                async with self._changing:
                    await self._follow(pointing)
            await self._look_at_views()

    async def resolve(self, model: str, deadline: float | None) -> Served:
        """Finds the version that "name", "name@version", "name@alias" or "" means, loading it if need be.

        Args:
            model: As in PredictRequest.
            deadline: Monotonic seconds, until when a load may be waited for; None for the query's timeout.

        Raises:
            Refusal: FIELD_INVALID, MODEL_NOT_FOUND, MODEL_NOT_READY, MODEL_NOT_LOADED, MODEL_REFUSED.
        """
        served = self._answering.get(model)
        if served is not None:
            return served
        version = await self.stored(model)
        if (error := self._refused.get(version)) is not None:
            raise Refusal(Reason.MODEL_REFUSED, str(error), resource=resource(version))
        if version in self._loaded:
            return self._loaded[version]
        self._admit(version, model)
        return await self._await_load(version, deadline)

    async def stored(self, model: str) -> Version:
        """Finds the version of the store that "name", "name@version", "name@alias" or "" means now.

        Raises:
            Refusal: FIELD_INVALID; MODEL_NOT_FOUND; MODEL_NOT_READY for the default model before its first
                version; MODEL_REFUSED if its aliases cannot be read.
        """
        return await asyncio.to_thread(find, self.store, self.default_model, model)

    async def set_alias(self, version: Version, alias: str, expected: int | None) -> int:
        """Points an alias at a version once that has been verified; gives the one it pointed at before, or 0.

        Raises:
            Refusal: MODEL_NOT_FOUND, MODEL_REFUSED; nothing was changed.
            DatabaseUnavailable: Its view could not be checked; nothing was changed.
            AliasMoved: The alias does not point at `expected` (0: at none).
        """
        name, number = version
        async with self._changing:
            try:
                with about(version):
                    manifest = await asyncio.to_thread(digest, self.store, version)
                    served = await self._verified(version, manifest)
                previous = await asyncio.to_thread(self.store.set_alias, name, alias, number, expected)
                self._aliases[name, alias] = served
                self._pointing = {**self._pointing, (name, alias): (number, manifest)}
            finally:
                self._settle()
        return previous

    async def _follow(self, pointing: Pointing) -> None:
        """Verifies what aliases point at and lets it answer; where that fails, the version before stays."""
        self._unfinished = False
        for version, manifest in {(name, to[0]): to[1] for (name, _), to in pointing.items()}.items():
            await self._verify(version, manifest)
        answers = {alias: self._choose(alias, (alias[0], to[0])) for alias, to in pointing.items()}
        self._aliases = {alias: served for alias, served in answers.items() if served is not None}
        self._pointing = pointing
        self._settle()

    async def _verify(self, version: Version, manifest: str) -> None:
        """Loads and checks a version; whatever is wrong with it is told, and is no trouble of the others."""
        try:
            await self._verified(version, manifest)
        except (ModelStoreError, ViewError) as error:
            self._complaints.log(text(version), f"refused: {error}")
        except FeatureError as error:  # The database is away, or not one we can use yet.
            self._unfinished = True
            self._complaints.log(text(version), f"its view could not be checked yet: {error}")
        except Exception as error:  # A disk's bad moment, or a mistake of ours: the others are served.
            self._unfinished = True
            self._complaints.log(text(version), f"could not be loaded yet: {error!r}")
        else:
            self._complaints.over(text(version))

    async def _try_again(self, versions: Iterable[Version]) -> None:
        """Verifies what was refused and answers nothing, so that what is said of it is true; keeps none."""
        for version in versions:
            if version not in self._loaded and version not in self._refused:
                await self._verify(version, manifest="")
        self._settle()

    async def _verified(self, version: Version, manifest: str) -> Served:
        """Loads a version unless these very bytes are loaded, and compares it with the database's view."""
        served = self._loaded.get(version)
        if served is None or served.reference.digest != manifest:
            served = await asyncio.shield(self._load(version))
        try:
            async with asyncio.timeout(_CHECK_S):
                await served.check(_CHECK_S)
                if served.trouble is not None:
                    await served.look(_CHECK_S)
        except TimeoutError as error:
            message = f"{served.name}: expected its view to answer within {_CHECK_S:g} s; try again later"
            raise DatabaseUnavailable(message) from error
        return served

    async def _look_at_views(self) -> None:
        """Runs the views that are in trouble, and those that nobody has asked for some seconds."""
        for served in sorted(self._loaded.values(), key=lambda served: served.looked_at):
            if served.trouble is None and time.monotonic() - served.looked_at < _LOOK_S:
                continue
            try:
                await served.look(_CHECK_S)
            except ViewError:
                continue  # It is in trouble, and has said so.
            except (FeatureError, TimeoutError):
                return  # The database is away: the other views would only wait in vain as well.

    def _trouble_changed(self, version: Version) -> None:
        """Says in log and metric that a view broke, or works again."""
        served = self._loaded.get(version)
        if served is not None and served.trouble is not None:
            self._complaints.log(text(version), f"refused: {served.trouble}")
        else:
            self._complaints.over(text(version))
            self._unfinished = True  # An alias that points here may be waiting for it.
        self._metric.show(self._states())

    def _choose(self, alias: Alias, version: Version) -> Served | None:
        """What answers for an alias: its target once that is checked, else what answered before, if any."""
        target, before = self._loaded.get(version), self._aliases.get(alias)
        return before if target is None or (before is not None and not target.checked) else target

    def _load(self, version: Version) -> asyncio.Task[Served]:
        """Begins to load a version, or joins the load in progress."""
        task = self._loading.get(version)
        if task is None:
            task = self._loading[version] = asyncio.create_task(self._prove(version))
            task.add_done_callback(lambda ended: self._load_ended(version, ended))
            self._metric.show(self._states())
        return task

    async def _prove(self, version: Version) -> Served:
        """Reads a version and runs its golden rows in a thread, so that calls go on meanwhile."""
        stored, model = await asyncio.to_thread(_read_and_prove, self.store, version)
        return Served(
            model,
            stored,
            self._databases,
            self._metrics.model(text(version)),
            max_batch_rows=self._max_batch_rows,
            query_timeout_s=self._query_timeout_s,
            on_trouble=lambda: self._trouble_changed(version),
        )

    def _load_ended(self, version: Version, task: asyncio.Task[Served]) -> None:
        """Keeps what a load gave; runs before whoever waits for it goes on."""
        del self._loading[version]
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            self._loaded[version] = task.result()
            self._refused.pop(version, None)
            self._unfit.pop(version, None)
        else:
            self._named.discard(version)
            if isinstance(error, (ModelRefused, ViewError)) and version not in self._loaded:
                self._refused[version] = error
        self._metrics.model_loads.labels(version[0], str(version[1]), _outcome(error)).inc()
        self._announce()

    async def _read_pointing(self) -> Pointing:
        return await asyncio.to_thread(read_pointing, self.store, self._pointing, self._complaints)

    def _admit(self, version: Version, model: str) -> None:
        """Counts a version that a request names by number; what an alias points at is not limited."""
        if parse_reference(model or self.default_model).alias is not None or version in self._named:
            return
        if len(self._named - self._pointed()) >= self._named_versions:
            raise Refusal(
                Reason.MODEL_NOT_LOADED,
                f"{text(version)} is stored and not loaded, and this server holds all of the "
                f"{self._named_versions} versions it keeps for requests that name one; point an alias at it "
                "with SetAlias, or let go of the others with ReloadModels.",
                resource=resource(version),
            )
        self._named.add(version)

    async def _await_load(self, version: Version, deadline: float | None) -> Served:
        now = time.monotonic()
        until = give_up_at(now, now + self._query_timeout_s if deadline is None else deadline)
        try:
            async with asyncio.timeout(until - now):
                with about(version):
                    return await asyncio.shield(self._load(version))
        except TimeoutError as error:
            message = f"{text(version)} is still being verified; try again a little later."
            raise Refusal(Reason.MODEL_NOT_READY, message, resource=resource(version)) from error

    def _settle(self) -> None:
        """Lets go of the versions that neither an alias nor a request needs."""
        answering = {id(served) for served in self._aliases.values()}
        needed = self._pointed() | self._named
        for version, served in list(self._loaded.items()):
            if version not in needed and id(served) not in answering:
                del self._loaded[version]
                if served.trouble is not None:
                    self._unfit[version] = served.trouble
        self._announce()

    def _pointed(self) -> set[Version]:
        return {(name, to[0]) for (name, _), to in self._pointing.items()}

    def _announce(self) -> None:
        """Says what answers now, to requests and to whoever asked to be called back."""
        self._answering = {served.name: served for served in self._loaded.values()}
        for (name, alias), served in self._aliases.items():
            self._answering[f"{name}@{alias}"] = served
            if alias == CHAMPION:
                self._answering[name] = served
        if self.default_model in self._answering:
            self._answering[""] = self._answering[self.default_model]
        self._metric.show(self._states())
        for callback in self._callbacks:
            callback()

    def _states(self) -> dict[Version, State]:
        known = self._loaded.keys() | self._loading.keys() | self._refused.keys() | self._unfit.keys()
        return {version: self.state(version) for version in known}


def _read_and_prove(store: ModelStore, version: Version) -> tuple[StoredVersion, LoadedModel]:
    stored = store.read(*version)
    return stored, LoadedModel.load(stored)


def _outcome(error: BaseException | None) -> str:
    """How a load ended, for the metric: "ready", or the reason of the table that its error has."""
    if error is None:
        return "ready"
    refusal = refusal_of(error)
    return (Reason.INTERNAL if refusal is None else refusal.reason).name
