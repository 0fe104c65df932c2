"""What the table of reasons and the contract promise of each refusal, to be held wherever one is made."""

import json
import re
from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from staunch.v1 import model_service_pb2 as mpb
from staunch.v1 import prediction_service_pb2 as pb
from staunch_server.errors import Refusal

REQUESTS: list[Descriptor] = [
    message
    for file in (pb.DESCRIPTOR, mpb.DESCRIPTOR)
    for name, message in file.message_types_by_name.items()
    if name.endswith("Request")
]

_STEP = re.compile(r'([a-z0-9_]+)(?:\[("(?:[^"\\]|\\.)*"|\d+)\])?')


def broken_promises(refusal: Refusal) -> Iterator[str]:
    """Yields what a refusal does not keep: keys other than its reason's, a path that leads nowhere."""
    reason, given = refusal.reason, refusal.metadata.keys()
    if missing := reason.keys - given:
        yield f"{reason.name} without {sorted(missing)}"
    if more := given - {*reason.keys, *reason.keys_at_times}:
        yield f"{reason.name} with {sorted(more)}"
    for violation in refusal.violations:
        if not is_path(violation.field):
            yield f"{reason.name}: {violation.field} is no path in a request"


def is_path(path: str) -> bool:
    """Says whether a path, as `overrides["x"]` or `customer_ids[3]`, leads to a field of a request."""
    return any(_leads(message, path) for message in REQUESTS)


def _leads(message: Descriptor | None, path: str) -> bool:
    step = _STEP.match(path)
    field = message.fields_by_name.get(step[1]) if message and step else None
    if step is None or field is None or not _may_have(field, step[2]):
        return False
    if step.end() == len(path):
        return True
    return path[step.end()] == "." and _leads(field.message_type, path[step.end() + 1 :])


def _may_have(field: FieldDescriptor, key: str | None) -> bool:
    """Says whether a field may be followed by an index or a key in brackets."""
    if key is None:
        return True
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    return isinstance(json.loads(key), str) if is_map else field.is_repeated and key.isdigit()
