"""What this process knows of one version: a record with a state, and which state may follow which."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from staunch_features.errors import ViewError
from staunch_server.errors import Reason
from staunch_server.events import VersionChanged
from staunch_server.models.served import Served
from staunch_server.types import Version, VersionStatus


@dataclass(frozen=True, slots=True)
class Stored:
    """On the disk and not in memory.

    Attributes:
        error: Why it was refused, or its view failed, when it was let go, if so; it is tried again when it is
            asked for.
    """

    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """In memory, proven, and its view worked when it last ran or has not run yet."""

    served: Served


@dataclass(frozen=True, slots=True)
class Failing:
    """In memory and proven, but its view fails: calls go on asking, each gets its own error.

    Attributes:
        served: The version.
        error: What the view said when it last ran.
    """

    served: Served
    error: ViewError


@dataclass(frozen=True, slots=True)
class Loading:
    """Being read and proven.

    Attributes:
        task: Gives the served version.
        before: The same number as it was loaded from older files; it answers until the load ends.
    """

    task: "asyncio.Task[Served]"
    before: Ready | Failing | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Its files are not what they should be: nothing is loaded until the store is read again.

    Attributes:
        error: Why; its text says how to mend it.
    """

    error: Exception


State: TypeAlias = Stored | Loading | Ready | Failing | Refused

FOLLOWERS: Mapping[type[State], tuple[type[State], ...]] = MappingProxyType(
    {
        Stored: (Loading,),
        Loading: (Ready, Failing, Refused, Stored, Loading),
        Ready: (Failing, Loading, Stored),
        Failing: (Ready, Failing, Loading, Stored),
        Refused: (Loading, Stored),
    }
)
"""Which state may follow which; `Record` draws it."""


class Record:
    """One version of the store in this process.

    The states and what leads from one to the next::

        Stored ──────▶ Loading ──────▶ Ready ◀─── its view ───▶ Failing
          ▲   asked for   │   proven     │                         │
          │               │              └── nothing needs it ─────┤
          │               │                  new files: Loading    │
          ├── disk away ──┤                                        │
          │               ▼                                        │
          │            Refused ── nothing needs it ────────────────┤
          │                       the store is read again: Loading │
          └────────────────────────────────────────────────────────┘

    A load that fails while an older load of the same number answers leaves that one answering.

    Args:
        version: Which.
        on_change: Called after each change that can be seen in the status.

    Attributes:
        version: Which.
        named: Whether a request named it: then it is kept though no alias points at it.
    """

    def __init__(self, version: Version, on_change: Callable[[VersionChanged], None]) -> None:
        self.version = version
        self.named = False
        self._on_change = on_change
        self._state: State = Stored()

    @property
    def state(self) -> State:
        """Where the version stands."""
        return self._state

    def become(self, state: State) -> None:
        """Goes on to another state; AssertionError if it may not follow, for then we have made a mistake."""
        if type(state) not in FOLLOWERS[type(self._state)]:
            raise AssertionError(f"{self.version}: {self._state} -> {state}")
        before, self._state = self.status(), state
        if before != self.status():
            self._on_change(VersionChanged(self.version, before, self.status()))

    def view_ran(self, served: Served, error: ViewError | None) -> bool:
        """Takes down what the view of a served version did; returns whether that is news of this version."""
        if self.served is not served:
            return False
        loading = self._state if isinstance(self._state, Loading) else None
        before = loading.before if loading else self._state
        after = Ready(served) if error is None else Failing(served, error)
        if isinstance(before, Ready) and error is None:
            return False
        if isinstance(before, Failing) and str(before.error) == str(error):
            return False
        self.become(Loading(loading.task, after) if loading else after)
        return True

    def let_go(self) -> None:
        """Leaves memory; what was wrong with it is remembered, since it may still be so."""
        if isinstance(self._state, Loading):  # only the older load goes: somebody waits for this one
            self.become(Loading(self._state.task))
        else:
            self.become(Stored(self._state.error if isinstance(self._state, Failing | Refused) else None))

    @property
    def served(self) -> Served | None:
        """What answers for it: also while new files of it are read, and while its view fails."""
        state = self._state.before if isinstance(self._state, Loading) else self._state
        return state.served if isinstance(state, Ready | Failing) else None

    @property
    def is_forgettable(self) -> bool:
        """Whether nothing is known of it that the store does not say."""
        return not self.named and self._state == Stored()

    def status(self) -> VersionStatus:
        """Returns the state in words."""
        state = self._state
        if isinstance(state, Loading):
            if state.before is None:
                return VersionStatus("LOADING")
            state = state.before
        if isinstance(state, Ready):
            return VersionStatus("READY", digest=state.served.digest)
        if isinstance(state, Failing):
            return _refused(state.error, state.served.digest)
        if state.error is None:
            return VersionStatus()
        return _refused(state.error, let_go=isinstance(state, Stored))


def _refused(error: Exception, digest: str = "", *, let_go: bool = False) -> VersionStatus:
    return VersionStatus("REFUSED", Reason.MODEL_REFUSED.name, str(error), digest, let_go)
