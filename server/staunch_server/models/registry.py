"""Which version answers for which name: verified first, swapped in one step, kept when a newer one fails."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from staunch_features.errors import FeatureError, ViewError, log_text
from staunch_model_store.errors import ModelStoreError
from staunch_model_store.reference import parse_reference
from staunch_model_store.store import ModelStore
from staunch_server.deadlines import Deadline
from staunch_server.errors import Reason, Refusal
from staunch_server.events import AnswersChanged, Events
from staunch_server.models import answers
from staunch_server.models.served import MakeServed, Served
from staunch_server.models.stored.aliases import Target, Targets, digest, read_targets
from staunch_server.models.stored.loading import DiskThreads, store_hangs
from staunch_server.models.stored.lookup import about, find, not_ready, refused, resource
from staunch_server.models.stored.problems import Problems, Trouble, trouble
from staunch_server.models.version import Loading, Record, Refused
from staunch_server.models.versions import Versions
from staunch_server.types import Alias, Version, VersionStatus

TURN_S = 30.0
"""How long a change of the models waits for the change before it, which may be loading a version."""


class Registry:
    """Loads what aliases point at and what requests name. All its methods belong to the event loop.

    A version is read once, proven in a thread, compared with the database's view, and only then takes the
    place of another. Whatever fails leaves the version before it serving. Where there is none before it, a
    version whose view fails has the place, so that each call gets the view's own error, and answers as soon
    as the tables are mended.

    Here are the aliases and the lock; `versions.Versions` has the versions in memory, and `answers` decides
    which name answers by what.

    Args:
        store: Where the versions are.
        make_served: Makes what answers of a proven model.
        events: Where it is told what became of versions and loads.
        default_model: The name that answers a request which names none.
        named_versions: Most versions kept only because a request named them.
        check_s: Seconds that the database may take to prepare a view; a healthy one needs milliseconds.
        look_s: Seconds that a view may go unread before it is run for nobody.

    Attributes:
        store: Where the versions are.
        disk: Threads for what touches the store.
        default_model: The name that answers a request which names none.
    """

    def __init__(  # noqa: PLR0913 - the composition root's parts, by name
        self,
        store: ModelStore,
        make_served: MakeServed,
        events: Events,
        *,
        default_model: str,
        named_versions: int,
        check_s: float,
        look_s: float,
    ) -> None:
        self.store = store
        self.disk = DiskThreads()
        self._events = events
        self.default_model = default_model
        self._named_versions = named_versions
        self._versions = Versions(store, self.disk, make_served, events, check_s=check_s, look_s=look_s)
        self._versions.on_load_end = self._announce
        self._versions.on_view = self._view_changed
        self._targets: Targets = {}
        self._aliases: dict[Alias, Served] = {}
        self._answering: dict[str, Served] = {}
        # One at a time changes what answers: two that interleaved could each undo half of the other's work.
        self._changing = asyncio.Lock()
        # How often others have moved an alias, and how much of that has been read.
        self._moves = self._moves_read = 0
        self._has_followed = False
        # Whether something could not be done that time may heal: the database or the disk was away.
        self._unfinished = False
        self._problems = Problems()

    def ready(self) -> list[str]:
        """Returns the versions that answer, "churn@1", sorted."""
        failing = {id(served) for served in self._versions.failing()}
        return sorted({served.name for served in self._answering.values() if id(served) not in failing})

    def verified(self) -> bool:
        """Returns whether a version was loaded and proven; what its view does now is another matter."""
        return bool(self._answering)

    def trouble(self) -> Trouble | None:
        """Returns why no version answers; None if one does."""
        return None if self.verified() else trouble(self.store.root, self._targets, self._problems)

    def answers_for(self, name: str) -> list[str]:
        """Returns the aliases of a version, "churn@1", sorted."""
        return sorted(alias.alias for alias, served in self._aliases.items() if served.name == name)

    def pointing(self, version: Version) -> list[str]:
        """Returns the aliases that point at a version, as the store was read last, sorted."""
        return answers.aliases_of(version, self._targets)

    def held(self, version: Version) -> Served | None:
        """Returns the version in memory, if it is."""
        return self._versions.held(version)

    def status(self, version: Version) -> VersionStatus:
        """Returns what this process does with a version of the store."""
        return self._versions.status(version)

    async def reload(self) -> list[Version]:
        """Reads the store again, tries again what was refused, lets go of versions that requests named.

        Returns:
            The versions whose state changed, sorted.

        Raises:
            Refusal: STORE_UNAVAILABLE; nothing changed, and the store is read as soon as it answers.
        """
        async with self._turn():
            before = self._versions.statuses()
            self._versions.forget_names()
            await self._follow()
            await self._try_again(v for v, status in before.items() if status.state == "REFUSED")
            after = self._versions.statuses()
        stored = VersionStatus()
        return sorted(v for v in before | after if before.get(v, stored) != after.get(v, stored))

    async def follow(self, alias: Alias) -> bool:
        """Follows an alias that another process moved; returns whether it answers by that now.

        Raises:
            Refusal: STORE_UNAVAILABLE.
        """
        self._moves += 1
        moves = self._moves
        if not self._has_followed:  # Nothing answers for an alias yet, and what is being read is read again.
            return True
        async with self._turn():
            if self._moves_read < moves:
                await self._follow()
        target, served = self._targets.get(alias), self._aliases.get(alias)
        if target is None or served is None:
            return target is None and served is None
        return (served.version.number, served.digest) == target

    async def follow_store(self, poll_s: float) -> None:
        """Follows aliases moved by others, and ends what a database or disk that was away held up; for ever.

        Args:
            poll_s: Seconds between two looks at the store.
        """
        while True:
            await asyncio.sleep(poll_s)
            try:
                if self._unfinished or await self._read_targets() != self._targets:
                    async with self._turn():
                        # Read again: an alias that was moved here meanwhile must not be moved back.
                        await self._follow()
            except Refusal:
                continue  # The disk hangs; it is logged by now.

    async def look_at_views(self, poll_s: float) -> None:
        """Finds out which views break or are mended, whether or not the store can be read; for ever.

        Args:
            poll_s: Seconds between two looks.
        """
        while True:
            await asyncio.sleep(poll_s)
            await self._versions.look_at_views()

    def answering(self, model: str) -> Served | None:
        """Returns the version that answers now for what a request names; None if `resolve` has to find it."""
        return self._answering.get(model)

    async def resolve(self, model: str, deadline: Deadline) -> Served:
        """Finds the version that "name", "name@version", "name@alias" or "" means, loading it if need be.

        Args:
            model: As in PredictRequest.
            deadline: Until when a load may be waited for.

        Raises:
            Refusal: FIELD_INVALID, MODEL_NOT_FOUND, MODEL_NOT_READY, MODEL_NOT_LOADED, MODEL_REFUSED.
        """
        served = self.answering(model)
        if served is not None:
            return served
        try:
            return await self._look_up(model, deadline)
        except Refusal as refusal:
            raise self._not_ready(model, refusal) or refusal from refusal.__cause__

    async def _look_up(self, model: str, deadline: Deadline) -> Served:
        """Finds what does not answer yet, and loads it."""
        async with deadline.timeout():  # the disk may be slow
            version = await self.stored(model)
        record = self._versions.record(version)
        if isinstance(record.state, Refused):
            raise refused(record.state.error, str(version))
        if record.served is not None:
            return record.served
        self._count_named(record, model)
        return await self._await_load(version, deadline)

    def _not_ready(self, model: str, refusal: Refusal) -> Refusal | None:
        """The refusal of a name while no version answers: one may be published or mended any moment.

        A version that is named by its number is refused for what it is.
        """
        if refusal.reason not in (Reason.MODEL_REFUSED, Reason.MODEL_NOT_FOUND) or self.verified():
            return None
        reference = parse_reference(model or self.default_model)
        names = {self.default_model, *(alias.name for alias in self._targets)}
        if reference.alias is None or reference.name not in names:
            return None
        message = f"No version of {reference.name} is ready: {refusal.message}"
        return not_ready(message, refusal.metadata["model"], problem=refusal.message)

    async def stored(self, model: str) -> Version:
        """Finds the version of the store that "name", "name@version", "name@alias" or "" means now.

        One that is in memory needs no look at the disk: aliases point where they pointed when last read.

        Raises:
            Refusal: FIELD_INVALID; MODEL_NOT_FOUND; MODEL_NOT_READY for the default model before its first
                version; MODEL_REFUSED if its aliases cannot be read.
        """
        loaded = answers.meant(model or self.default_model, self._targets)
        if loaded is not None and self.held(loaded):
            return loaded
        return await self.disk.run(find, self.store, self.default_model, model)

    async def set_alias(self, version: Version, alias: str, expected: int | None) -> int:
        """Points an alias at a version once that has been verified; gives the one it pointed at before, or 0.

        Raises:
            Refusal: MODEL_NOT_FOUND, MODEL_REFUSED, STORE_UNAVAILABLE; nothing was changed.
            DatabaseUnavailable: Its view could not be checked; nothing was changed.
            AliasMoved: The alias does not point at `expected` (0: at none).
            AliasLimit: The model has as many aliases as it may.
            TimeoutError: The store may have been changed, and may be yet.
        """
        name, number = version
        async with self._turn():
            try:
                with about(version):
                    manifest = await self.disk.run(digest, self.store, version)
                    served = await self._versions.verified(version, manifest)
                previous = await self._write(self.store.set_alias, name, alias, number, expected)
                self._aliases[Alias(name, alias)] = served
                self._targets = {**self._targets, Alias(name, alias): Target(number, manifest)}
            finally:
                self._settle()
        return previous

    async def delete_alias(self, alias: Alias, expected: int | None) -> int:
        """Takes an alias away; gives the version it pointed at, 0 for none. Calls in progress end as begun.

        Raises:
            ModelNotFound: The store holds no such model.
            AliasMoved: The alias does not point at `expected`.
            Refusal: STORE_UNAVAILABLE; nothing was changed.
            TimeoutError: The store may have been changed, and may be yet.
        """
        async with self._turn():
            previous = await self._write(self.store.delete_alias, *alias, expected)
            self._aliases.pop(alias, None)
            self._targets = {each: target for each, target in self._targets.items() if each != alias}
            self._settle()
        return previous

    async def _write(self, work: Callable[..., int], *arguments: object) -> int:
        """Changes the store; who gives up waiting does not know whether it was changed."""
        try:
            return await self.disk.run(work, *arguments)
        except Refusal as hangs:
            raise TimeoutError from hangs

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Waits for the change before this one to end; one at a time changes what answers.

        Raises:
            Refusal: STORE_UNAVAILABLE: it does not end.
        """
        try:
            async with Deadline.after(TURN_S).timeout():
                await self._changing.acquire()
        except TimeoutError as error:
            raise store_hangs("another change of the models waits for it", TURN_S) from error
        try:
            yield
        finally:
            self._changing.release()

    async def _follow(self) -> None:
        """Reads what aliases point at, verifies it and lets it answer; where that fails, the last one stays.

        Raises:
            Refusal: STORE_UNAVAILABLE.
        """
        while True:
            moves, self._unfinished = self._moves, False
            targets = await self._read_targets()
            digests = {Version(alias.name, target.number): target.digest for alias, target in targets.items()}
            for version, manifest in digests.items():
                await self._verify(version, manifest)
            if moves == self._moves:  # else nothing may answer by what was read before the move
                break
        self._aliases = answers.by_alias(targets, self._versions.loaded(), self._aliases)
        self._targets, self._moves_read, self._has_followed = targets, moves, True
        self._settle()

    async def _verify(self, version: Version, manifest: str) -> None:
        """Loads and checks a version; what is wrong with one is logged, and no concern of the others."""
        try:
            await self._versions.verified(version, manifest)
        except ViewError as error:
            self._problems.report(str(version), f"refused: {error.for_log}")
        except ModelStoreError as error:  # its words are about the store: no caller named this version
            self._problems.report(str(version), f"refused: {error}")
        except FeatureError as error:  # The database is away, or not one we can use yet.
            self._unfinished = True
            self._problems.report(str(version), f"its view could not be checked yet: {error.for_log}")
        except Exception as error:  # A disk's bad moment, or a mistake of ours: the others are served.
            self._unfinished = True
            self._problems.report(str(version), f"could not be loaded yet: {log_text(error)}")
        else:
            self._problems.solved(str(version))

    async def _try_again(self, versions: Iterable[Version]) -> None:
        """Verifies what was refused and answers nothing, so that what is said of it is true; keeps none."""
        for version in versions:
            record = self._versions.record(version)
            if record.served is None and not isinstance(record.state, Loading):
                await self._verify(version, manifest="")
        self._settle()

    def _view_changed(self, version: Version, error: ViewError | None) -> None:
        """Logs that a view broke, or works again."""
        if error is not None:
            self._problems.report(str(version), f"refused: {error.for_log}")
        else:
            self._problems.solved(str(version))
            self._unfinished = True  # An alias that points here may be waiting for it.

    async def _read_targets(self) -> Targets:
        try:
            return await self.disk.run(read_targets, self.store, self._targets, self._problems)
        except Refusal as hangs:
            self._unfinished = True
            self._problems.report("store", f"cannot be read, so nothing changes: {hangs.message}")
            raise

    def _count_named(self, record: Record, model: str) -> None:
        """Counts a version that a request names by number; what an alias points at is not limited."""
        if parse_reference(model or self.default_model).alias is not None or record.named:
            return
        named = self._versions.named()
        if len(named - answers.pointed_at(self._targets)) >= self._named_versions:
            raise Refusal(
                Reason.MODEL_NOT_LOADED,
                f"{record.version} is stored and not loaded, and this server holds all of the "
                f"{self._named_versions} versions it keeps for requests that name one; point an alias at it "
                "with SetAlias, or let go of the others with ReloadModels.",
                resource=resource(record.version),
                metadata={"model": str(record.version), "limit": str(self._named_versions)},
            )
        record.named = True

    async def _await_load(self, version: Version, deadline: Deadline) -> Served:
        try:
            async with deadline.timeout():
                with about(version):
                    return await asyncio.shield(self._versions.load(version))
        except TimeoutError as error:
            message = f"{version} is still being verified; try again a little later."
            raise not_ready(message, str(version)) from error

    def _settle(self) -> None:
        """Lets go of the versions that nobody needs, and has the others answer."""
        self._versions.let_go(self._targets, self._aliases)
        self._announce()

    def _announce(self) -> None:
        """Takes down what answers now, and says so."""
        self._answering = answers.by_name(self._versions.loaded(), self._aliases, self.default_model)
        self._events.answers_changed.emit(AnswersChanged(self.verified()))
