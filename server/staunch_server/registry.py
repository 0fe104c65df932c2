"""The versions in memory: verified before they answer, swapped in one step, kept when a newer one fails."""

import asyncio
import time
from collections.abc import Callable

from staunch.v1.model_service_pb2 import (
    MODEL_STATE_LOADING,
    MODEL_STATE_READY,
    MODEL_STATE_REFUSED,
    MODEL_STATE_STORED,
)
from staunch_features.errors import DatabaseUnavailable, FeatureError, ViewError
from staunch_model_store.errors import ModelNotFound, ModelRefused, ModelStoreError
from staunch_model_store.model import LoadedModel
from staunch_model_store.store import CHAMPION, ModelStore, StoredVersion, parse_reference
from staunch_server.coalescer import give_up_at
from staunch_server.errors import Reason, Refusal, Resource
from staunch_server.metrics import Metrics
from staunch_server.pointers import Alias, Complaints, Pointing, Version, digest, read_pointing
from staunch_server.served import Databases, Served
from staunch_server.state import State, refused

# How long the database may take to prepare a view; a healthy one needs milliseconds.
_CHECK_S = 2.0

# How long a view may go unread before it is run for nobody, to see whether it still works.
_LOOK_S = 10.0


class Registry:
    """Loads what aliases point at and what requests name. All its methods belong to the event loop.

    A version is read once, proven in a thread, compared with the database's view, and only then answers.
    Whatever fails leaves the version before it serving.

    Args:
        store: where the versions are.
        databases: where their views are read.
        metrics: of the process.
        default_model: the name that answers a request which names none.
        max_batch_rows: most calls that share a query.
        query_timeout_s: seconds that such a query may take.
        named_versions: most versions kept only because a request named them.
    """

    def __init__(
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
        self._refused: dict[Version, Exception] = {}
        self._loading: dict[Version, asyncio.Task[Served]] = {}
        self._named: set[Version] = set()
        self._aliases: dict[Alias, Served] = {}
        self._pointing: Pointing = {}
        self._answering: dict[str, Served] = {}
        self._changing = asyncio.Lock()
        self._unfinished = False
        self._complaints = Complaints()
        self._shown: set[tuple[str, str, str, str]] = set()
        self._callbacks: list[Callable[[], None]] = []

    def on_change(self, callback: Callable[[], None]) -> None:
        """Calls back after each change of what answers."""
        self._callbacks.append(callback)

    def ready(self) -> list[str]:
        """The versions that answer, "churn@1", sorted."""
        return sorted({served.name for served in self._answering.values()})

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
        if version in self._refused:
            return refused(self._refused[version])
        return State(MODEL_STATE_STORED)

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
            self._refused.clear()
            self._named.clear()
            await self._follow(await self._read_pointing())
            after = self._states()
        stored = State(MODEL_STATE_STORED)
        changed = {v for v in before | after if before.get(v, stored) != after.get(v, stored)}
        return sorted(changed)

    async def watch(self, poll_s: float) -> None:
        """Follows aliases moved by others and views that break or are mended, and ends what a database that
        was away held up; for ever.

        Args:
            poll_s: seconds between two looks at the store.
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
            model: as in PredictRequest.
            deadline: monotonic seconds, until when a load may be waited for; None for the query's timeout.

        Raises:
            Refusal: MODEL_NOT_FOUND, MODEL_NOT_READY, MODEL_NOT_LOADED, MODEL_REFUSED.
            ModelRefused, ViewError: the load that this request began ended so.
        """
        served = self._answering.get(model)
        if served is not None:
            return served
        version = await self.stored(model)
        if version in self._refused:
            raise Refusal(Reason.MODEL_REFUSED, str(self._refused[version]), resource=_resource(version))
        if version in self._loaded:
            return self._loaded[version]
        self._admit(version, model)
        return await self._await_load(version, deadline)

    async def stored(self, model: str) -> Version:
        """Finds the version of the store that "name", "name@version", "name@alias" or "" means now.

        Raises:
            Refusal: MODEL_NOT_FOUND; MODEL_NOT_READY for the default model before its first version.
        """
        try:
            return await asyncio.to_thread(self.store.resolve, model or self.default_model)
        except ModelNotFound as error:
            raise await asyncio.to_thread(self._not_found, model, error) from error

    async def set_alias(self, version: Version, alias: str, expected: int | None) -> int:
        """Points an alias at a version once that has been verified; gives the one it pointed at before, or 0.

        Raises:
            ModelNotFound, ModelRefused, ViewError: of the version; nothing was changed.
            DatabaseUnavailable: its view could not be checked; nothing was changed.
            AliasMoved: the alias does not point at `expected` (0: at none).
        """
        name, number = version
        async with self._changing:
            try:
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
            await self._verify_or_refuse(version, manifest)
        answers = {alias: self._choose(alias, (alias[0], to[0])) for alias, to in pointing.items()}
        self._aliases = {alias: served for alias, served in answers.items() if served is not None}
        self._pointing = pointing
        self._settle()

    async def _verify_or_refuse(self, version: Version, manifest: str) -> None:
        try:
            await self._verified(version, manifest)
        except (ModelStoreError, ViewError) as error:
            self._complaints.log(_text(version), f"refused: {error}")
            unchecked = self._loaded.get(version)
            if unchecked is not None and not unchecked.checked:
                self._drop(version, unchecked, error)
        except FeatureError as error:  # The database is away, or not one we can use yet.
            self._unfinished = True
            self._complaints.log(_text(version), f"its view could not be checked yet: {error}")
        else:
            self._complaints.over(_text(version))

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
        for served in list(self._loaded.values()):
            if served.trouble is None and time.monotonic() - served.looked_at < _LOOK_S:
                continue
            try:
                await served.look(_CHECK_S)
            except (ViewError, ModelRefused):
                continue  # It is in trouble, and has said so.
            except (FeatureError, TimeoutError):
                return  # The database is away: the other views would only wait in vain as well.

    def _trouble_changed(self, version: Version) -> None:
        """Says in log and metric that a view broke, or works again."""
        served = self._loaded.get(version)
        if served is not None and served.trouble is not None:
            self._complaints.log(_text(version), f"its view fails: {served.trouble}")
        else:
            self._complaints.over(_text(version))
        self._show()

    def _choose(self, alias: Alias, version: Version) -> Served | None:
        """What answers for an alias: its target once that is checked, else what answered before, if any."""
        target, before = self._loaded.get(version), self._aliases.get(alias)
        return before if target is None or (before is not None and not target.checked) else target

    def _not_found(self, model: str, error: ModelNotFound) -> Refusal:
        """Tells a first version that is yet to come from a name that is wrong or was left out."""
        wanted = model or self.default_model
        resource = Resource("model", wanted)
        held = self.store.names()
        if wanted == self.default_model and not held:
            message = f"No version of {wanted} has been published yet; run `staunch train`, then try again."
            return Refusal(Reason.MODEL_NOT_READY, message, resource=resource)
        message = str(error)
        if not model and self.default_model not in held:
            message = (
                f"Expected the name of a model, since the default model {wanted} has no version; the store "
                f"holds {', '.join(held[:10])}. Name one in the request, or set STAUNCH_DEFAULT_MODEL."
            )
        return Refusal(Reason.MODEL_NOT_FOUND, message, resource=resource)

    def _drop(self, version: Version, served: Served, error: Exception) -> None:
        del self._loaded[version]
        self._aliases = {alias: other for alias, other in self._aliases.items() if other is not served}
        self._refused[version] = error

    def _load(self, version: Version) -> asyncio.Task[Served]:
        """Begins to load a version, or joins the load in progress."""
        task = self._loading.get(version)
        if task is None:
            task = self._loading[version] = asyncio.create_task(self._prove(version))
            task.add_done_callback(lambda ended: self._load_ended(version, ended))
            self._show()
        return task

    async def _prove(self, version: Version) -> Served:
        """Reads a version and runs its golden rows in a thread, so that calls go on meanwhile."""
        stored, model = await asyncio.to_thread(_read_and_prove, self.store, version)
        return Served(
            model,
            stored,
            self._databases,
            self._metrics.model(_text(version)),
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
        else:
            self._named.discard(version)
            if isinstance(error, (ModelStoreError, ViewError)) and version not in self._loaded:
                self._refused[version] = error
        outcome = "ready" if error is None else Reason.MODEL_REFUSED.name
        self._metrics.model_loads.labels(version[0], str(version[1]), outcome).inc()
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
                f"{_text(version)} is stored and not loaded, and this server holds all of the "
                f"{self._named_versions} versions it keeps for requests that name one; point an alias at it "
                "with SetAlias, or let go of the others with ReloadModels.",
                resource=_resource(version),
            )
        self._named.add(version)

    async def _await_load(self, version: Version, deadline: float | None) -> Served:
        now = time.monotonic()
        until = give_up_at(now, now + self._query_timeout_s if deadline is None else deadline)
        try:
            async with asyncio.timeout(until - now):
                return await asyncio.shield(self._load(version))
        except TimeoutError as error:
            message = f"{_text(version)} is still being verified; try again a little later."
            raise Refusal(Reason.MODEL_NOT_READY, message, resource=_resource(version)) from error

    def _settle(self) -> None:
        """Lets go of the versions that neither an alias nor a request needs."""
        answering = {id(served) for served in self._aliases.values()}
        needed = self._pointed() | self._named
        for version, served in list(self._loaded.items()):
            if version not in needed and id(served) not in answering:
                del self._loaded[version]
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
        self._show()
        for callback in self._callbacks:
            callback()

    def _states(self) -> dict[Version, State]:
        return {v: self.state(v) for v in self._loaded.keys() | self._refused.keys() | self._loading.keys()}

    def _show(self) -> None:
        """Sets the metric of each version's state to 1, and that of states it left to 0."""
        names = {MODEL_STATE_LOADING: "LOADING", MODEL_STATE_READY: "READY", MODEL_STATE_REFUSED: "REFUSED"}
        states = self._states().items()
        shown = {(name, str(number), state.digest, names[state.state]) for (name, number), state in states}
        for labels in self._shown - shown:
            self._metrics.model_info.labels(*labels).set(0)
        for labels in shown - self._shown:
            self._metrics.model_info.labels(*labels).set(1)
        self._shown = shown


def _read_and_prove(store: ModelStore, version: Version) -> tuple[StoredVersion, LoadedModel]:
    stored = store.read(*version)
    return stored, LoadedModel.load(stored)


def _text(version: Version) -> str:
    return f"{version[0]}@{version[1]}"


def _resource(version: Version) -> Resource:
    return Resource("model", _text(version))
