"""Reflection on each transport: two versions that answer alike, with whole descriptors."""

from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc import aio
from grpc_reflection.v1alpha import reflection_pb2
from tests.harness.waiting import until
from tests.server.harness.errors import RichError, failure
from tests.server.harness.peers import peer
from tests.server.harness.shell import StartShell

from staunch_server.transport import reflection
from staunch_server.transport.seam import ConnectionLimits

SERVICE = "staunch.v1.PredictionService"
VERSIONS = ("grpc.reflection.v1", "grpc.reflection.v1alpha")
each_version = pytest.mark.parametrize("version", VERSIONS)


async def reflect(channel: aio.Channel, version: str, *requests: dict[str, Any]) -> list[Any]:
    asked = [reflection_pb2.ServerReflectionRequest(**request) for request in requests]
    return await reflect_raw(channel, version, *(request.SerializeToString() for request in asked))


async def reflect_raw(channel: aio.Channel, version: str, *requests: bytes) -> list[Any]:
    call = channel.stream_stream(f"/{version}.ServerReflection/ServerReflectionInfo")(iter(requests))
    return [reflection_pb2.ServerReflectionResponse.FromString(one) async for one in call]


async def symbols(channel: aio.Channel, version: str, *names: str) -> list[Any]:
    return await reflect(channel, version, *({"file_containing_symbol": name} for name in names))


def files_of(answer: Any) -> dict[str, Any]:
    raw = answer.file_descriptor_response.file_descriptor_proto
    files = [descriptor_pb2.FileDescriptorProto.FromString(one) for one in raw]
    return {file.name: file for file in files}


def pool_of(answer: Any) -> Any:
    files, pool = files_of(answer), descriptor_pool.DescriptorPool()
    while files:  # a file goes in after those that it imports
        ready = next(file for file in files.values() if not files.keys() & set(file.dependency))
        pool.Add(files.pop(ready.name))
    return pool


@each_version
async def test_reflection_lists_the_services_and_gives_whole_descriptors(
    shell: StartShell, version: str
) -> None:
    channel = (await shell(reflects=True)).channel
    (listed, described) = await reflect(
        channel, version, {"list_services": ""}, {"file_containing_symbol": SERVICE}
    )
    names = [service.name for service in listed.list_services_response.service]
    reflecting = [f"{one}.ServerReflection" for one in VERSIONS]
    assert names == sorted([SERVICE, "grpc.health.v1.Health", *reflecting])
    for name, answer in zip(names, await symbols(channel, version, *names), strict=True):
        assert pool_of(answer).FindServiceByName(name).full_name == name
    files = {"staunch/v1/prediction_service.proto", "google/protobuf/timestamp.proto"}
    assert files <= files_of(described).keys()


async def test_a_client_made_of_what_reflection_gives_speaks_with_it(shell: StartShell) -> None:
    channel = (await shell(reflects=True)).channel
    for version in VERSIONS:
        (described,) = await symbols(channel, version, f"{version}.ServerReflection")
        (method,) = pool_of(described).FindServiceByName(f"{version}.ServerReflection").methods
        assert method.input_type.full_name == f"{version}.ServerReflectionRequest"
        asked = message_factory.GetMessageClass(method.input_type)(list_services="*")
        call = channel.stream_stream(
            f"/{version}.ServerReflection/{method.name}",
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        (answer,) = [one async for one in call(iter([asked.SerializeToString()]))]
        assert SERVICE in [service.name for service in answer.list_services_response.service]
        assert answer.original_request == asked


@each_version
async def test_reflection_finds_methods_messages_and_fields_by_name(shell: StartShell, version: str) -> None:
    channel = (await shell(reflects=True)).channel
    message = "staunch.v1.PredictRequest"
    names = [f"{SERVICE}.Predict", message, f"{message}.model", f"{VERSIONS[0]}.ServerReflectionRequest"]
    unknown = [f"{SERVICE}.Nope", "nothing.at.all", "", f"{VERSIONS[0]}.Nope", f".{message}", "staunch.v1"]
    answers = await symbols(channel, version, *names, *unknown)
    found, missing = answers[: len(names)], answers[len(names) :]
    assert any("staunch/v1/prediction_service.proto" in files_of(one) for one in found[:1])
    assert all(files_of(one) for one in found)
    assert all(one.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0] for one in missing)
    assert [one.original_request.file_containing_symbol for one in missing] == unknown


@each_version
async def test_reflection_finds_a_file_by_name(shell: StartShell, version: str) -> None:
    channel = (await shell(reflects=True)).channel
    names = ["staunch/v1/prediction_service.proto", "grpc/reflection/v1/reflection.proto"]
    asked = [{"file_by_filename": name} for name in [*names, "nothing.proto"]]
    *found, missing = await reflect(channel, version, *asked)
    assert all(name in files_of(one) for name, one in zip(names, found, strict=True))
    assert missing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


@each_version
async def test_reflection_answers_for_extensions_and_refuses_what_asks_for_nothing(
    shell: StartShell, version: str
) -> None:
    channel = (await shell(reflects=True)).channel
    types = ["staunch.v1.PredictRequest", "grpc.reflection.v1.ServerReflectionRequest", "no.Such"]
    extension = {"containing_type": types[0], "extension_number": 1000}
    asked = [{"all_extension_numbers_of_type": name} for name in types]
    *numbers, no_type, no_extension, nothing = await reflect(
        channel, version, *asked, {"file_containing_extension": extension}, {"host": "here"}
    )
    assert [one.all_extension_numbers_response.base_type_name for one in numbers] == types[:2]
    assert not any(one.all_extension_numbers_response.extension_number for one in numbers)
    not_found, invalid = (grpc.StatusCode[name].value[0] for name in ("NOT_FOUND", "INVALID_ARGUMENT"))
    assert [one.error_response.error_code for one in (no_type, no_extension)] == [not_found] * 2
    assert nothing.error_response.error_code == invalid


@each_version
async def test_reflection_is_absent_unless_asked_for_and_survives_malformed_bytes(
    shell: StartShell, version: str
) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        await reflect_raw((await shell()).channel, version, b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(aio.AioRpcError) as caught:
        await reflect_raw((await shell(reflects=True)).channel, version, b"\x0a\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def ended(call: Any) -> RichError:
    return await failure(call.read())


async def test_a_stream_that_asks_nothing_ends(shell: StartShell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflection, "FIRST_MESSAGE_S", 0.1)
    monkeypatch.setattr(reflection, "ASKED_WITHIN_S", 0.3)
    server = await shell(reflects=True)
    method: Any = server.channel.stream_stream(reflection.METHODS[0])
    error = await ended(method())
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "STREAM_IDLE")
    assert "within 0.1 s" in error.message
    asking = method()
    await asking.write(b"\x3a\x00")
    assert await asking.read()
    assert "within 0.3 s" in (await ended(asking)).message
    labels = {"method": reflection.METHODS[0], "code": "UNAVAILABLE", "reason": "STREAM_IDLE", "model": ""}
    assert server.metrics.registry.get_sample_value("staunch_calls_total", labels) == 2


@pytest.mark.parametrize("transport_name", ["aio"])  # the native front takes some 4 MB in a caller's stead
async def test_a_stream_that_takes_no_answer_ends(shell: StartShell) -> None:
    server = await shell(reflects=True, connections=ConnectionLimits(answer_wait_s=0.1))
    async with peer(server.port) as held:
        stream = held.open(reflection.METHODS[0])
        held.send(stream, b"\x3a\x00")
        labels = {
            "method": reflection.METHODS[0],
            "code": "UNAVAILABLE",
            "reason": "STREAM_IDLE",
            "model": "",
        }
        await until(lambda: server.metrics.registry.get_sample_value("staunch_calls_total", labels) == 1)
        held.give_room(stream, 10_000)
        await until(lambda: stream in held.ended)
