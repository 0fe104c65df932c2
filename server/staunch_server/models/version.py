"""What a process says about a version of the store."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import Gauge

from staunch.v1.model_service_pb2 import (
    MODEL_STATE_LOADING,
    MODEL_STATE_READY,
    MODEL_STATE_REFUSED,
    ModelState,
)
from staunch_server.errors import Reason
from staunch_server.models.aliases import Version

_SHOWN = {MODEL_STATE_LOADING: "LOADING", MODEL_STATE_READY: "READY", MODEL_STATE_REFUSED: "REFUSED"}


@dataclass(frozen=True, slots=True)
class State:
    """What this process does with a version; why it is refused and how to mend it, if it is.

    Attributes:
        state: The proto's state.
        reason: The ErrorInfo reason of a refused version.
        message: What is wrong with it and how to mend it.
        digest: Of the manifest in memory; empty if it is not loaded.
    """

    state: ModelState.ValueType
    reason: str = ""
    message: str = ""
    digest: str = ""


def refused(error: Exception, digest: str = "") -> State:
    """The state of a version that answers nothing because of an error, whose text says how to mend it."""
    return State(MODEL_STATE_REFUSED, Reason.MODEL_REFUSED.name, str(error), digest)


class StateMetric:
    """Keeps the metric of each version's state: 1 for the present one, 0 for those that it left."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._shown: set[tuple[str, str, str, str]] = set()

    def show(self, states: Mapping[Version, State]) -> None:
        """Sets it to the states of the versions that are loaded, loading or refused."""
        shown = {
            (name, str(number), state.digest, _SHOWN[state.state]) for (name, number), state in states.items()
        }
        for labels in self._shown - shown:
            self._gauge.labels(*labels).set(0)
        for labels in shown - self._shown:
            self._gauge.labels(*labels).set(1)
        self._shown = shown
