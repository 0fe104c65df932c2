"""Writes docs/api.md from protos/: `make docs`. A test says when the page is old.

The comments come with the descriptors that `buf build` makes; see descriptor.proto, SourceCodeInfo, for the
paths by which they are found.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "api.md"
FILES = tuple(f"staunch/v1/{name}.proto" for name in ("prediction_service", "model_service", "feature"))

_FENCE = "`" * 3

_HEAD = f"""# API

<!-- Made by `make docs`; edit the comments in protos/ instead. -->

The contract is `protos/staunch/v1/`; generate a stub from it in any language, or ask a running server by
reflection. Every error carries a reason: [errors](errors.md). What finds a dead connection, in any language:
[connections](connections.md). In Python, [the client](../client/README.md) wraps all of this; [Go](go.md)
and [Node](node.md) have pages with programs.

Requests may carry `x-request-id` and `traceparent` as metadata; the id is made if absent, echoed in trailing
metadata and written to the log. `grpc.health.v1.Health` answers for the whole server and for each service. A
call whose message has not come after 5 s ends, and a stream whose answer has not been taken after 10 s:
[connections](connections.md#who-sends-or-takes-nothing-or-too-much).

## Packed features

Whoever has the features already, and wants no row read, gives them by name (`features`) or, from a program,
packed (`packed_features`): one double a feature in the order of `Model.features`, NaN for null, with
`Model.features_digest` beside them. Both are answered alike, warnings and reasons too; packed, 59 features
are 472 bytes in place of 1,774, and nothing is looked up by name. Booleans are 0 and 1, whole numbers are
themselves up to 2^53, and a category is the code that the view gives it, which `Feature.labels` lists;
infinities, what is beyond 3.4e38, and NaN where the feature is not `nullable` are refused.

{_FENCE}python
import grpc

from staunch.v1 import model_service_pb2, model_service_pb2_grpc
from staunch.v1 import prediction_service_pb2, prediction_service_pb2_grpc

with grpc.insecure_channel("127.0.0.1:50051") as channel:
    models = model_service_pb2_grpc.ModelServiceStub(channel)
    model = models.GetModel(model_service_pb2.GetModelRequest()).model  # once: order and digest
    predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    asked = prediction_service_pb2.PredictRequest(customer_id=42, include_features=True)
    values = predictions.Predict(asked).features  # by name; yours come from elsewhere

    row = [
        values[feature.name].number_value if values[feature.name].HasField("number_value") else float("nan")
        for feature in model.features
    ]
    packed = prediction_service_pb2.PackedFeatures(values=row, features_digest=model.features_digest)
    print(predictions.Predict(prediction_service_pb2.PredictRequest(packed_features=packed)).probability)

    rows = prediction_service_pb2.PackedFeatures(values=row * 3, features_digest=model.features_digest)
    chunk = prediction_service_pb2.BatchPredictRequest(packed_features=rows)
    for answer in predictions.BatchPredict(iter([chunk])):
        print(list(answer.probabilities))
{_FENCE}

The digest says which names and types stand in which order: `"sha256:"` and the hex SHA-256 of the compact
JSON `[["NAME","number"],...]`, in ASCII. A version of other features refuses the row as
`FEATURES_MISMATCH`, so a champion that moved never takes a value for another feature's: ask GetModel again
and pack anew. What a code of a category means is no part of it; `Model.view_digest` changes with any change
of the view.

In BatchPredict the rows stand one after the other in one `values`: at most 10,000, and as many as fit in 1
MiB, which is 2,221 of 59 features. More are refused as `CHUNK_TOO_LARGE`, whose `limit` says how many fit,
as long as the message stays below 5 MiB. Ids or keys may stand beside them, one for each row, and come
back. A row with a bad value is a row error. In Python, `FeatureSchema` of [the
client](../client/README.md#features-of-your-own) does all of this.
"""

# Field numbers within descriptor.proto, of which the paths to comments are made.
_FILE_MESSAGE, _FILE_ENUM, _FILE_SERVICE = 4, 5, 6
_MESSAGE_FIELD, _MESSAGE_ONEOF, _ENUM_VALUE, _SERVICE_METHOD = 2, 8, 2, 2

Steps = tuple[int, ...]
Comments = dict[Steps, str]


def page() -> str:
    """Gives the whole page."""
    files = {file.name: file for file in _descriptors().file}
    parts = [_HEAD]
    for name in FILES:
        parts += _file(files[name])
    return "\n".join(parts)


def _descriptors() -> FileDescriptorSet:
    buf = Path(sys.executable).parent / "buf"
    command = [str(buf), "build", str(ROOT), "--as-file-descriptor-set", "-o", "-#format=binpb"]
    return FileDescriptorSet.FromString(subprocess.run(command, check=True, capture_output=True).stdout)


def _file(file: FileDescriptorProto) -> Iterator[str]:
    comments: Comments = {
        tuple(place.path): " ".join(place.leading_comments.split())
        for place in file.source_code_info.location
    }
    for index, service in enumerate(file.service):
        yield from _service(service, (_FILE_SERVICE, index), comments)
    for index, message in enumerate(file.message_type):
        yield from _message(message, (_FILE_MESSAGE, index), comments)
    for index, enum in enumerate(file.enum_type):
        yield from _enum(enum, (_FILE_ENUM, index), comments)


def _service(service: ServiceDescriptorProto, path: Steps, comments: Comments) -> Iterator[str]:
    yield f"## {service.name}\n\n{comments[path]}\n"
    rows = [
        (f"`{method.name}`", *_takes_and_gives(method), comments[(*path, _SERVICE_METHOD, index)])
        for index, method in enumerate(service.method)
    ]
    yield _table(("method", "takes", "gives", ""), rows)


def _takes_and_gives(method: MethodDescriptorProto) -> tuple[str, str]:
    taken, given = _link(method.input_type), _link(method.output_type)
    return (
        f"stream of {taken}" if method.client_streaming else taken,
        f"stream of {given}" if method.server_streaming else given,
    )


def _message(message: DescriptorProto, path: Steps, comments: Comments) -> Iterator[str]:
    yield f"### {message.name}\n\n{comments[path]}\n"
    rows = []
    for index, field in enumerate(message.field):
        comment = comments[(*path, _MESSAGE_FIELD, index)]
        if field.HasField("oneof_index") and not field.proto3_optional:
            oneof = message.oneof_decl[field.oneof_index].name
            about = comments[(*path, _MESSAGE_ONEOF, field.oneof_index)]
            comment = f"{comment} One of `{oneof}`: {about[0].lower()}{about[1:]}"
        rows.append((str(field.number), f"`{field.name}`", _type(field, message), comment))
    if rows:
        yield _table(("", "field", "type", ""), rows)


def _enum(enum: EnumDescriptorProto, path: Steps, comments: Comments) -> Iterator[str]:
    yield f"### {enum.name}\n\n{comments[path]}\n"
    rows = [
        (str(value.number), f"`{value.name}`", comments[(*path, _ENUM_VALUE, index)])
        for index, value in enumerate(enum.value)
    ]
    yield _table(("", "value", ""), rows)


def _type(field: FieldDescriptorProto, owner: DescriptorProto) -> str:
    entries = {f".staunch.v1.{owner.name}.{nested.name}": nested for nested in owner.nested_type}
    if field.type_name in entries:
        key, value = entries[field.type_name].field
        return f"map of {_type(key, owner)} to {_type(value, owner)}"
    plain = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    name = _link(field.type_name) if field.type_name else plain
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {name}"
    return f"optional {name}" if field.proto3_optional else name


def _link(type_name: str) -> str:
    full = type_name.removeprefix(".")
    name = full.removeprefix("staunch.v1.")
    return full if name == full else f"[{name}](#{name.lower()})"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return (
        "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
        + "\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
