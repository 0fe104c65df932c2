"""What the server refuses: every reason, its status code, and the exceptions of other rooms that have it.

A servicer raises `Refusal` with one `Reason`, or lets a domain exception of another room out; the guard turns
either into a `google.rpc.Status` by `statuses`. No gRPC in here.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from staunch_features.errors import DatabaseTooOld, DatabaseUnavailable, ViewError, log_text
from staunch_model_store.errors import AliasLimit, AliasMoved, ModelNotFound, ModelRefused, NameInvalid


class Code(enum.IntEnum):
    """The codes of google.rpc.Code that this server answers with."""

    OK = 0
    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


KEYS: Mapping[str, str] = {
    "ahead_s": "By how many seconds it is ahead of the server's clock.",
    "alias": 'The alias, "churn@champion".',
    "as_of_time": "The moment asked for or, where none was, the one answered for; ISO 8601.",
    "available": "What the store holds instead, at most ten, by commas; empty if that is nothing.",
    "count": "How many came: wrong features, or ids, keys or rows of a chunk.",
    "current_version": "The version that the alias points at now, 0 for none.",
    "customer": "The id or key; where the view was asked for it, as the database writes it.",
    "eligible": "Who is eligible, in the words of the view.",
    "expected": "What the field takes.",
    "expected_version": "The version that the request expected the alias to point at, 0 for none.",
    "field": "The path of the first wrong field, as in the BadRequest.",
    "got": "What came in it.",
    "id_type": "Of what type the view's ids are: int64, text or uuid.",
    "incident_id": "Under which the server's log has the error itself.",
    "known_now": "Whether the view knows the customer now, true or false, where a moment was asked for.",
    "limit": "The most that is taken.",
    "limit_bytes": "The most bytes that are taken.",
    "limit_s": "The most seconds.",
    "message_type": "The message that was expected, staunch.v1.PredictRequest.",
    "model": 'The version, "churn@3", or, where none was found, the model as the request names it.',
    "problem": "What is wrong with the version.",
    "server_time": "The moment on the server's clock, ISO 8601.",
    "size_bytes": "How many bytes came.",
    "view": "The name of the view.",
    "what": "Of what there are as many: calls, streams or watchers.",
    "why": "Why the customer is not eligible, in the words of the view.",
    "workers": "The numbers of the workers that do not follow, by commas.",
}
"""Every key of ErrorInfo.metadata and what its value is; a value is always a string."""


OPERATORS_CODES = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.INTERNAL)
"""What an operator can do something about; the rest is the caller's own mistake, or leave."""


@enum.unique
class Reason(enum.Enum):
    """Every ErrorInfo reason: its code, when it is given, its metadata, and the seconds before another try.

    The metadata are keys of `KEYS`; one that ends with "?" is there only where there is something to say.
    """

    SUBJECT_MISSING = (Code.INVALID_ARGUMENT, "The request names neither an id, a key nor features.")
    CUSTOMER_ID_INVALID = (
        Code.INVALID_ARGUMENT,
        "An id is below 1; or a key is empty, longer than 64 bytes, or not a uuid where keys are uuids.",
        "field customer id_type",
    )
    ID_TYPE_MISMATCH = (
        Code.INVALID_ARGUMENT,
        "An id is given where the view wants a key, or the other way.",
        "field expected id_type",
    )
    FEATURE_UNKNOWN = (
        Code.INVALID_ARGUMENT,
        "A feature is named that the model does not have.",
        "model field count",
    )
    FEATURE_MISSING = (
        Code.INVALID_ARGUMENT,
        "A feature of the model is absent from the given set, or null where the view never is.",
        "model field count",
    )
    FEATURE_TYPE_MISMATCH = (
        Code.INVALID_ARGUMENT,
        "A value is neither a number nor null but a text, a boolean, a list, an object, or without a kind.",
        "model field count got",
    )
    FEATURES_MISMATCH = (
        Code.INVALID_ARGUMENT,
        "Packed features are of another digest than the version's, or no whole number of its rows.",
        "model field expected got",
    )
    FEATURE_NOT_FINITE = (
        Code.INVALID_ARGUMENT,
        "A value is infinite or beyond 3.4e38; NaN is null.",
        "model field count limit",
    )
    OVERRIDE_NOT_ALLOWED = (Code.INVALID_ARGUMENT, "Overrides come together with a full set of features.")
    AS_OF_IN_FUTURE = (
        Code.INVALID_ARGUMENT,
        "The as-of time is more than 5 s ahead of the server's clock.",
        "as_of_time server_time ahead_s limit_s",
    )
    AS_OF_NOT_ALLOWED = (
        Code.INVALID_ARGUMENT,
        "A time comes with given features or a view without time.",
        "view",
    )
    CHUNK_EMPTY = (Code.INVALID_ARGUMENT, "A chunk holds neither ids, keys nor rows.", "field limit")
    CHUNK_TOO_LARGE = (
        Code.INVALID_ARGUMENT,
        "A chunk holds more than 10,000 ids, keys or rows, or more than fit in 1 MiB: limit says how many.",
        "field count limit",
    )
    MESSAGE_TOO_LARGE = (
        Code.INVALID_ARGUMENT,
        "A unary request is larger than 256 KiB, or the metadata of a call than 16 KiB.",
        "size_bytes limit_bytes",
    )
    MESSAGE_MISSING = (Code.INVALID_ARGUMENT, "A unary call ended without a message.")
    METHOD_UNKNOWN = (Code.UNIMPLEMENTED, "The server has no such method.")
    MODEL_CHANGED_IN_STREAM = (
        Code.INVALID_ARGUMENT,
        "A later message changes the stream's model, time, language_code or top_contributions.",
        "field expected got",
    )
    MALFORMED_MESSAGE = (
        Code.INVALID_ARGUMENT,
        "The bytes are not the message that the method takes.",
        "message_type size_bytes",
    )
    FIELD_INVALID = (
        Code.INVALID_ARGUMENT,
        "A field is outside what its comment allows.",
        "field expected got",
    )
    CUSTOMER_NOT_FOUND = (
        Code.NOT_FOUND,
        "The view returns no row for the id.",
        "customer view as_of_time? known_now?",
    )
    MODEL_NOT_FOUND = (
        Code.NOT_FOUND,
        "The store holds no such model, version or alias.",
        "model available",
    )
    CUSTOMER_NOT_ELIGIBLE = (
        Code.FAILED_PRECONDITION,
        "The id is not in the view's population then.",
        "customer view eligible as_of_time? why?",
    )
    MODEL_NOT_LOADED = (
        Code.FAILED_PRECONDITION,
        "The version is stored and cannot be loaded on request.",
        "model limit",
    )
    MODEL_REFUSED = (
        Code.FAILED_PRECONDITION,
        "The version failed verification, or its view fails now, for all or for the customer named.",
        "model problem customer? as_of_time?",
    )
    EXPLAINER_MISSING = (Code.FAILED_PRECONDITION, "The version has no explainer.", "model")
    ALIAS_MOVED = (
        Code.ABORTED,
        "The alias does not point at the expected version.",
        "alias expected_version current_version",
    )
    ALIAS_LIMIT = (
        Code.FAILED_PRECONDITION,
        "The model has as many aliases as it may.",
        "alias limit",
    )
    ALIAS_NOT_FOLLOWED = (
        Code.UNAVAILABLE,
        "The alias is moved or deleted, and workers of this server do not answer by that yet; "
        "do not repeat it, for they follow by themselves.",
        "alias current_version workers",
    )
    DATABASE_UNAVAILABLE = (Code.UNAVAILABLE, "The database did not answer.", "", 0.5)
    MODEL_NOT_READY = (
        Code.UNAVAILABLE,
        "The version is being verified, or none is ready yet.",
        "model problem?",
        1.0,
    )
    STORE_UNAVAILABLE = (
        Code.UNAVAILABLE,
        "The disk with the models did not answer in time.",
        "limit_s",
        1.0,
    )
    DRAINING = (Code.UNAVAILABLE, "This server is stopping; another one, or the next, answers.", "", 0.1)
    OVERLOADED = (
        Code.UNAVAILABLE,
        "More calls are in progress than this server takes at once, or answers in the time that is left.",
        "what limit",
        0.1,
    )
    STREAM_IDLE = (
        Code.UNAVAILABLE,
        "A caller sent or took nothing for too long; a new call, or stream, takes what is left.",
        "limit_s",
        0.1,
    )
    DEADLINE_EXCEEDED = (Code.DEADLINE_EXCEEDED, "The call's deadline was over or too short for the answer.")
    INTERNAL = (
        Code.INTERNAL,
        "Something unforeseen; the log has it under the incident id.",
        "incident_id",
    )

    def __init__(
        self, code: Code, meaning: str, metadata: str = "", retry_after_s: float | None = None
    ) -> None:
        named = metadata.split()
        self.code = code
        self.meaning = meaning
        self.keys = tuple(name for name in named if not name.endswith("?"))
        self.keys_at_times = tuple(name[:-1] for name in named if name.endswith("?"))
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Violation:
    """One wrong field of a request: its path as in the proto, and what was expected and got."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Resource:
    """What was not found or moved: its type ("customer", "model", "alias") and its name."""

    type: str
    name: str


@dataclass(eq=False)
class Refusal(Exception):
    """A request that gets no answer, and why.

    Args:
        reason: The row of the reason table.
        message: Says what was expected, what came, and what to do; it reaches the caller.
        violations: The wrong fields, for INVALID_ARGUMENT; those above 20 are counted, not listed.
        resource: The thing that is missing or moved.
        metadata: What the message tells, for programs: the keys of its reason (ErrorInfo.metadata).
    """

    reason: Reason
    message: str
    violations: Sequence[Violation] = ()
    resource: Resource | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.reason.name}: {self.message}"

    @property
    def for_log(self) -> str:
        """What a log may have of it: what the reason means, and its cause; the message names customers."""
        cause = f" ({log_text(self.__cause__)})" if self.__cause__ else ""
        return f"{self.reason.name}: {self.reason.meaning}{cause}"

    @property
    def code(self) -> Code:
        """The status code of the reason."""
        return self.reason.code


def field_invalid(message: str, violation: Violation, *, expected: str, got: object) -> Refusal:
    """Returns the refusal of one field that is outside what its comment allows.

    Args:
        message: As in `Refusal`.
        violation: The field.
        expected: What it takes.
        got: What came in it.
    """
    metadata = {"field": violation.field, "expected": expected, "got": str(got)}
    return Refusal(Reason.FIELD_INVALID, message, [violation], metadata=metadata)


def refusal_of(error: BaseException, model: str = "") -> Refusal | None:
    """What the caller is told for an exception of ours or of another room; None if it is unforeseen.

    Where the database is stays in the log: its address is none of the caller's business.

    Args:
        error: What was raised.
        model: The version it was raised for, "churn@3"; empty if that is not known.
    """
    if isinstance(error, Refusal):
        return error
    for kind, (reason, message) in _ELSEWHERE.items():
        if isinstance(error, kind):
            resource = Resource("model", model) if model and reason in _OF_A_MODEL else None
            known = {"model": model, "problem": str(error), **getattr(error, "facts", {})}
            metadata = {key: known.get(key, "") for key in reason.keys}
            refusal = Refusal(reason, message or str(error), resource=resource, metadata=metadata)
            refusal.__cause__ = error
            return refusal
    return None


_OF_A_MODEL = (Reason.MODEL_NOT_FOUND, Reason.MODEL_REFUSED)

_DATABASE_AWAY = "The database did not answer as it should; try again a little later."

_ELSEWHERE: Mapping[type[BaseException], tuple[Reason, str]] = {
    DatabaseUnavailable: (Reason.DATABASE_UNAVAILABLE, _DATABASE_AWAY),
    DatabaseTooOld: (Reason.DATABASE_UNAVAILABLE, _DATABASE_AWAY),
    ViewError: (Reason.MODEL_REFUSED, ""),
    NameInvalid: (Reason.FIELD_INVALID, ""),
    ModelNotFound: (Reason.MODEL_NOT_FOUND, ""),
    ModelRefused: (Reason.MODEL_REFUSED, ""),
    AliasMoved: (Reason.ALIAS_MOVED, ""),
    AliasLimit: (Reason.ALIAS_LIMIT, ""),
    TimeoutError: (Reason.DEADLINE_EXCEEDED, "The time was over before the answer; give a longer deadline."),
}
"""Exceptions of the other rooms: their reason, and what to say where their own text is not for the caller."""
