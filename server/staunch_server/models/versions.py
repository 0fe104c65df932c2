"""The versions in memory: each read once, proven, compared with the database, let go when not needed."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from staunch_features.errors import DatabaseUnavailable, FeatureError, ViewError
from staunch_model_store.errors import ModelRefused
from staunch_model_store.store import ModelStore
from staunch_server.deadlines import Deadline
from staunch_server.events import Events, LoadEnded
from staunch_server.models import answers
from staunch_server.models.served import MakeServed, Served
from staunch_server.models.stored.aliases import Targets
from staunch_server.models.stored.loading import DiskThreads, outcome, read_and_prove
from staunch_server.models.version import Failing, Loading, Ready, Record, Refused, State, Stored
from staunch_server.types import Alias, Version, VersionStatus


class Versions:
    """The versions in memory; all methods belong to the event loop.

    Args:
        store: Where the versions are.
        disk: Threads for what touches the store.
        make_served: Makes what answers of a proven model.
        events: Where it is told what became of versions and loads.
        check_s: Seconds that the database may take to prepare a view; a healthy one needs milliseconds.
        look_s: Seconds that a view may go unread before it is run for nobody.

    Attributes:
        on_load_end: Is called after each load, whatever it gave.
        on_view: Is told that the view of a version broke, or with None that it works again.
    """

    def __init__(
        self,
        store: ModelStore,
        disk: DiskThreads,
        make_served: MakeServed,
        events: Events,
        *,
        check_s: float,
        look_s: float,
    ) -> None:
        self._store = store
        self._disk = disk
        self._make_served = make_served
        self._events = events
        self._check_s = check_s
        self._look_s = look_s
        self._records: dict[Version, Record] = {}
        self.on_load_end: Callable[[], None] = lambda: None
        self.on_view: Callable[[Version, ViewError | None], None] = lambda _version, _error: None

    def record(self, version: Version) -> Record:
        """Returns what is known of a version, which may be nothing yet."""
        record = self._records.get(version)
        if record is None:
            record = self._records[version] = Record(version, self._events.version_changed.emit)
        return record

    def held(self, version: Version) -> Served | None:
        """Returns the version in memory, if it is."""
        record = self._records.get(version)
        return None if record is None else record.served

    def loaded(self) -> dict[Version, Served]:
        """Returns all versions that are in memory."""
        served = {version: record.served for version, record in self._records.items()}
        return {version: one for version, one in served.items() if one is not None}

    def failing(self) -> list[Served]:
        """Lists those whose view failed when it last ran."""
        return [each.state.served for each in self._records.values() if isinstance(each.state, Failing)]

    def named(self) -> set[Version]:
        """Returns those that are kept because a request named them."""
        return {record.version for record in self._records.values() if record.named}

    def forget_names(self) -> None:
        """Keeps none any more because a request named it."""
        for record in self._records.values():
            record.named = False

    def status(self, version: Version) -> VersionStatus:
        """Returns what this process does with a version of the store."""
        record = self._records.get(version)
        return VersionStatus() if record is None else record.status()

    def statuses(self) -> dict[Version, VersionStatus]:
        """Returns the states of all that is known; whether one is needed is none of its state."""
        return {version: replace(record.status(), let_go=False) for version, record in self._records.items()}

    def load(self, version: Version) -> asyncio.Task[Served]:
        """Begins to load a version, or joins the load in progress."""
        record = self.record(version)
        if isinstance(record.state, Loading):
            return record.state.task
        answering = record.state if isinstance(record.state, Ready | Failing) else None
        task = asyncio.create_task(self._prove(version))
        record.become(Loading(task, answering))
        task.add_done_callback(partial(self._load_ended, record))
        return task

    async def verified(self, version: Version, manifest: str) -> Served:
        """Loads a version unless these very bytes are loaded, and compares it with the database's view.

        Args:
            version: Which.
            manifest: The digest of its manifest on the disk.

        Raises:
            ModelStoreError, ViewError: It is refused.
            DatabaseUnavailable: The view could not be compared.
        """
        served = self.held(version)
        if served is None or served.digest != manifest:
            served = await asyncio.shield(self.load(version))
        deadline = Deadline.after(self._check_s)
        try:
            async with deadline.timeout():
                await served.view.check(deadline)
                if isinstance(self.record(version).state, Failing):
                    await served.view.look(deadline)
        except TimeoutError as error:
            message = f"{version}: expected its view to answer within {self._check_s:g} s; try again later"
            raise DatabaseUnavailable(message) from error
        return served

    def let_go(self, targets: Targets, aliases: Mapping[Alias, Served]) -> None:
        """Lets go of the versions that neither an alias nor a request needs, loaded or refused.

        Args:
            targets: What the aliases point at.
            aliases: What answers for each alias.
        """
        for version in answers.unneeded(self.loaded(), targets, self.named(), aliases):
            self._records[version].let_go()
        kept = answers.pointed_at(targets)
        for record in self._records.values():
            if isinstance(record.state, Refused) and record.version not in kept:
                record.let_go()
        for record in [each for each in self._records.values() if each.is_forgettable]:
            del self._records[record.version]

    async def look_at_views(self) -> None:
        """Runs the views that fail, and those that nobody has asked for some seconds."""
        records = [record for record in self._records.values() if record.served is not None]
        for record in sorted(records, key=_looked_at):
            served = record.served
            if served is None or not self._is_due(record, served):  # or it was let go meanwhile
                continue
            try:
                await served.view.look(Deadline.after(self._check_s))
            except ViewError:
                continue  # Its state says so by now.
            except (FeatureError, TimeoutError):
                return  # The database is away: the other views would only wait in vain as well.

    def _is_due(self, record: Record, served: Served) -> bool:
        unread_s = time.monotonic() - served.view.looked_at
        return isinstance(record.state, Failing) or unread_s >= self._look_s

    async def _prove(self, version: Version) -> Served:
        """Reads a version and runs its golden rows in a thread, so that calls go on meanwhile."""
        stored, model = await read_and_prove(self._disk, self._store, version)
        served = self._make_served(model, stored)
        served.view.on_outcome = partial(self._view_ran, served)
        return served

    def _view_ran(self, served: Served, error: ViewError | None) -> None:
        """Takes down that a view broke, or works again; nothing if its version has been replaced since."""
        record = self._records.get(served.version)
        if record is not None and record.view_ran(served, error):
            self.on_view(record.version, error)

    def _load_ended(self, record: Record, task: asyncio.Task[Served]) -> None:
        """Keeps what a load gave; runs before whoever waits for it goes on."""
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            record.become(Ready(task.result()))
        else:
            record.named = False
            record.become(_after_failed_load(record.state, error))
        self._events.load_ended.emit(LoadEnded(record.version, outcome(error)))
        self.on_load_end()


def _after_failed_load(loading: State, error: BaseException) -> State:
    """The state after a load that gave nothing: an older load goes on answering, if there is one."""
    if isinstance(loading, Loading) and loading.before is not None:
        return loading.before
    # Only what is wrong with the version itself is kept: a disk's bad moment passes.
    return Refused(error) if isinstance(error, ModelRefused | ViewError) else Stored()


def _looked_at(record: Record) -> float:
    return record.served.view.looked_at if record.served is not None else 0.0
