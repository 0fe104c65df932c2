"""A version's feature view in the database at hand: compared with the training, read, and watched."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from staunch_features.errors import DatabaseUnavailable, ViewError
from staunch_features.postgres.pool import Database
from staunch_features.views.file import FeatureView
from staunch_features.views.source import FeatureSource, read_whys
from staunch_features.views.types import FeatureBatch, ViewSignature
from staunch_model_store.manifest import Manifest
from staunch_server.deadlines import Deadline
from staunch_server.models import bad_rows
from staunch_server.models.why_not import SecondLook, WhyNot
from staunch_server.types import Id


@dataclass(frozen=True, slots=True)
class Databases:
    """The readers' pools: calls of one customer never wait for a stream's connections."""

    interactive: Database
    batch: Database


class CheckedView:
    """The view that a version was trained on, as the database knows it now.

    A table may change under a running server. So the view is compared with what the model was trained on
    before anything is read, and again after each failure that its text or its tables are to blame for.

    Args:
        view: The text that the version carries.
        manifest: What the version was trained on.
        databases: Where it is read.
        why_not: Looks a second time at who was refused, for all versions.

    Attributes:
        text: The text that the version carries.
        checked: Whether the database's view has been seen to fit the model.
        has_why: Whether it says why somebody is not eligible; known once it is checked.
        looked_at: When it last ran, or was tried by `look`; seconds of the monotonic clock.
        on_outcome: Called with the error of each run that failed by the view's fault, and with None after a
            `look` that did not.
    """

    def __init__(self, view: FeatureView, manifest: Manifest, databases: Databases, why_not: WhyNot) -> None:
        self.text = view
        self._manifest = manifest
        self._databases = databases
        self._why_not = why_not
        self.checked = self.has_why = False
        self.looked_at = time.monotonic()
        self.on_outcome: Callable[[ViewError | None], None] = lambda _: None
        self._begin_anew()

    async def check(self, deadline: Deadline) -> None:
        """Compares the view, as the database prepares it, with what the model was trained on, until it fits.

        Raises:
            ViewError: They differ, or the text is no valid view in this database.
            DatabaseUnavailable: The database is away.
            TimeoutError: It did not answer by the deadline.
        """
        if self.checked:
            return
        try:
            signature = await self._interactive.signature(deadline)
            _compare(self.text.file, self._manifest, signature)
        except ViewError as error:
            self.on_outcome(error)
            raise
        self.has_why = signature.has_why
        self.checked = True

    async def look(self, deadline: Deadline) -> None:
        """Runs the view for nobody, to find out whether it broke or was mended: no call need come by.

        Raises:
            ViewError: It failed.
            DatabaseUnavailable, TimeoutError: As `check`.
        """
        self.looked_at = time.monotonic()
        await self.read([], datetime.now(UTC), deadline)
        self.on_outcome(None)

    async def warm(self, deadline: Deadline) -> None:
        """Runs the view once on every connection, of calls and of streams; not before it is checked.

        Raises:
            ViewError, DatabaseUnavailable, TimeoutError: As `check`.
        """
        if self.checked:
            for source in (self._interactive, self._batch):
                await source.warm(deadline)

    async def read(self, ids: Sequence[Id], as_of: datetime, deadline: Deadline) -> FeatureBatch:
        """Reads rows on the connections of single calls; arguments and errors as `read_chunk`."""
        return await self._read(self._interactive, ids, as_of, deadline)

    async def read_chunk(self, ids: Sequence[Id], as_of: datetime, deadline: Deadline) -> FeatureBatch:
        """Reads rows on the connections kept for streams.

        Args:
            ids: Canonical ids, in any order, duplicates allowed.
            as_of: The moment, UTC; ignored by a view without one.
            deadline: Until when it may take.

        Raises:
            ViewError, DatabaseUnavailable, TimeoutError: As `check` and `FeatureSource.fetch`.
        """
        return await self._read(self._batch, ids, as_of, deadline)

    async def look_again(self, id_: Id, as_of: datetime | None, deadline: Deadline) -> SecondLook | None:
        """Looks a second time at an id that was refused; arguments and answer as `WhyNot.ask`."""
        return await self._why_not.ask(self._read_whys, id_, as_of, deadline)

    async def _read_whys(
        self, database: Database, ids: Sequence[Id], as_of: datetime, deadline: Deadline
    ) -> dict[Id, str]:
        """Reads why ids are not eligible; a view that fails at this still scores, so its health stays."""
        signature = await self._interactive.signature(deadline)
        moment = as_of if signature.uses_as_of else None
        return await read_whys(database, self.text, signature, ids, moment, deadline=deadline)

    async def _read(
        self, source: FeatureSource, ids: Sequence[Id], as_of: datetime, deadline: Deadline
    ) -> FeatureBatch:
        moment = as_of if self._manifest.uses_as_of else None
        await self.check(deadline)
        try:
            batch = await bad_rows.fetch(source, ids, moment, deadline=deadline)
        except ViewError as error:
            if not bad_rows.is_data_error(error):
                self._begin_anew()
                with suppress(DatabaseUnavailable, TimeoutError):
                    await self.check(deadline)  # says what changed, in the view's words
            self.on_outcome(error)
            raise
        self.looked_at = time.monotonic()
        return batch

    def _begin_anew(self) -> None:
        """Forgets what the database prepared and we compared."""
        self._interactive = FeatureSource(self._databases.interactive, self.text)
        self._batch = FeatureSource(self._databases.batch, self.text)
        self.checked = False


def _compare(file: str, manifest: Manifest, signature: ViewSignature) -> None:
    trained = (manifest.id_type, manifest.uses_as_of, [(f.name, f.type) for f in manifest.features])
    found = (signature.id_type, signature.uses_as_of, [(f.name, f.type) for f in signature.features])
    if trained == found and manifest.features_digest == signature.features_digest:
        return
    raise ViewError(
        file=file,
        line=None,
        message=f"expected the view to give {_difference(trained, found)}",
        hint="bring the database's tables back to what the view was written for, or train again",
    )


def _difference(trained: tuple[object, ...], found: tuple[object, ...]) -> str:
    """The first thing that differs, as "X, got Y"."""
    for was, now in zip(trained, found, strict=True):
        if isinstance(was, list) and isinstance(now, list) and was != now:
            missing, added = [f for f in was if f not in now], [f for f in now if f not in was]
            return f"{missing or 'the same order'}, got {added or 'another order'}"[:300]
        if was != now:
            return f"{was}, got {now}"
    return "the same digest of names and types, got another"
