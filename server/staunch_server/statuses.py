"""How a refusal travels: a `google.rpc.Status` with exactly one `ErrorInfo`, cut to what gRPC carries."""

import json
from dataclasses import replace

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from staunch_server.errors import Reason, Refusal, Resource, Violation

DOMAIN = "staunch"
"""The `domain` of every ErrorInfo."""

MAX_VIOLATIONS = 20
"""The most field violations listed; details above about 8 kB turn a status into RESOURCE_EXHAUSTED."""

_MESSAGE_BYTES = 600
_TEXT_BYTES = 80
_FIELD_BYTES = 96  # 'features.values["…"]' with the longest name of a feature
_VALUE_BYTES = 240  # of metadata, where no violations share the room with it

_NAME_BYTES = 63  # of a key in a path
_QUOTED_BYTES = 10  # of one that needs escapes, which make it up to six times as long


def status(refusal: Refusal) -> status_pb2.Status:
    """Builds the rich status of a refusal: ErrorInfo, then BadRequest, ResourceInfo, RetryInfo as they apply.

    Texts are cut so that the whole stays below the limit at which gRPC drops it.
    """
    cut = shortened(refusal)
    return status_pb2.Status(
        code=cut.code, message=cut.message, details=[_packed(detail) for detail in _details(cut)]
    )


def of_key(field: str, key: str) -> str:
    """Returns the path of an entry of a map, 'overrides["tenure_days"]', however long or odd its key is."""
    plain = key.isprintable() and '"' not in key and "\\" not in key
    shown = clip(key, _NAME_BYTES if plain else _QUOTED_BYTES)
    return f"{field}[{json.dumps(shown, ensure_ascii=not plain)}]"


def shortened(refusal: Refusal) -> Refusal:
    """Returns a refusal as callers get it: its texts cut, and violations above 20 counted in the last one."""
    listed = [
        Violation(clip(one.field, _FIELD_BYTES), clip(one.description, _TEXT_BYTES))
        for one in refusal.violations[:MAX_VIOLATIONS]
    ]
    if (more := len(refusal.violations) - MAX_VIOLATIONS) > 0:
        listed[-1] = replace(listed[-1], description=f"{listed[-1].description} (and {more} more fields)")
    found, value_bytes = refusal.resource, _TEXT_BYTES if listed else _VALUE_BYTES
    return Refusal(
        refusal.reason,
        clip(refusal.message, _MESSAGE_BYTES),
        listed,
        None if found is None else Resource(found.type, clip(found.name, _TEXT_BYTES)),
        {key: clip(value, value_bytes) for key, value in refusal.metadata.items()},
    )


def retry_delay(reason: Reason) -> duration_pb2.Duration | None:
    """Returns how long a caller should wait before another try; None if that would not help."""
    if reason.retry_after_s is None:
        return None
    delay = duration_pb2.Duration()
    delay.FromMilliseconds(round(reason.retry_after_s * 1000))
    return delay


def clip(text: str, limit_bytes: int) -> str:
    """Cuts text to at most limit_bytes of UTF-8, marking the cut with an ellipsis."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= limit_bytes:
        return raw.decode()
    return raw[: limit_bytes - 3].decode("utf-8", "ignore") + "…"


def _details(refusal: Refusal) -> list[Message]:
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=refusal.reason.name, domain=DOMAIN, metadata=refusal.metadata)
    ]
    if refusal.violations:
        violation = error_details_pb2.BadRequest.FieldViolation
        listed = [violation(field=one.field, description=one.description) for one in refusal.violations]
        details.append(error_details_pb2.BadRequest(field_violations=listed))
    if refusal.resource is not None:
        kind, name = refusal.resource.type, refusal.resource.name
        details.append(error_details_pb2.ResourceInfo(resource_type=kind, resource_name=name))
    if (delay := retry_delay(refusal.reason)) is not None:
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return details


def _packed(detail: Message) -> any_pb2.Any:
    packed: any_pb2.Any = any_pb2.Any()
    packed.Pack(detail)
    return packed
