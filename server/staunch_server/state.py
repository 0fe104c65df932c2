"""What a process says about a version of the store."""

from dataclasses import dataclass

from staunch.v1.model_service_pb2 import MODEL_STATE_REFUSED, ModelState
from staunch_server.errors import Reason


@dataclass(frozen=True, slots=True)
class State:
    """What this process does with a version; why it is refused and how to mend it, if it is.

    Attributes:
        state: the proto's state.
        reason: the ErrorInfo reason of a refused version.
        message: what is wrong with it and how to mend it.
        digest: of the manifest in memory; empty if it is not loaded.
    """

    state: ModelState.ValueType
    reason: str = ""
    message: str = ""
    digest: str = ""


def refused(error: Exception, digest: str = "") -> State:
    """The state of a version that answers nothing because of an error, whose text says how to mend it."""
    return State(MODEL_STATE_REFUSED, Reason.MODEL_REFUSED.name, str(error), digest)
