"""Faults of processes, and of the store that they read."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress

from grpc import aio
from tests.campaigns.callers import CHANNEL
from tests.campaigns.faults import fault
from tests.campaigns.target import BASES, Target
from tests.harness.processes import frozen

from staunch.v1 import model_service_pb2 as mpb
from staunch.v1.model_service_pb2_grpc import ModelServiceStub


@fault("a worker is killed", heals_s=15)
async def _(target: Target) -> AsyncIterator[None]:
    os.kill(target.workers()[0], signal.SIGKILL)
    yield


@fault("all workers are killed", heals_s=15)
async def _(target: Target) -> AsyncIterator[None]:
    for pid in target.workers():
        os.kill(pid, signal.SIGKILL)
    yield


@fault("a worker hangs")
async def _(target: Target) -> AsyncIterator[None]:
    with frozen(target.workers()[0], alone=True):
        yield


@fault("the supervisor hangs", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    with frozen(target.supervisor, alone=True):
        yield


@fault("a hundred SIGHUPs", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    for _number in range(100):
        os.kill(target.supervisor, signal.SIGHUP)
        await asyncio.sleep(0.01)
    yield


@fault("the alias is moved to and fro", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    async with aio.insecure_channel(target.address, options=CHANNEL) as channel:
        stub = ModelServiceStub(channel)
        for number in range(10):
            request = mpb.SetAliasRequest(name="churn", alias="champion", version=1 + number % len(BASES))
            await stub.SetAlias(request, timeout=10)
        yield


@fault("the models are read again and again", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    async with aio.insecure_channel(target.address, options=CHANNEL) as channel:
        stub = ModelServiceStub(channel)
        for _number in range(5):
            await stub.ReloadModels(mpb.ReloadModelsRequest(), timeout=20)
        yield


@fault("the file of aliases is no JSON for a while", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    file = target.store.root / "churn" / "aliases.json"
    before = file.read_bytes()
    file.write_bytes(b'{"champion": [[[1e999')
    try:
        yield
    finally:
        file.write_bytes(before)


@fault("the alias points at a version that is none for a while", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    file = target.store.root / "churn" / "aliases.json"
    before = file.read_bytes()
    file.write_bytes(before.replace(b"1", b"77").replace(b"2", b"77"))
    try:
        yield
    finally:
        file.write_bytes(before)


@fault("the store is away for a while", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    away = target.store.root.with_name("away")
    target.store.root.rename(away)
    try:
        yield
    finally:
        away.rename(target.store.root)


@fault("a model's file is cut short after it was loaded", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    file = target.store.root / "churn" / "versions" / "1" / "model.onnx"
    before = file.read_bytes()
    file.write_bytes(before[: len(before) // 2])
    try:
        yield
    finally:
        file.write_bytes(before)


@fault("a version that is damaged is published beside", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    folder = target.store.root / "churn" / "versions" / "99"
    folder.mkdir()
    file = folder / "manifest.json"
    file.write_bytes(b"{" * 100_000)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            file.unlink()
        folder.rmdir()


@fault("the server is scraped by a hundred at once", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    async def scrape() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.metrics_port)
        try:
            writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
            await asyncio.wait_for(reader.read(), 30)
        finally:
            writer.close()

    await asyncio.gather(*(scrape() for _ in range(100)), return_exceptions=True)
    yield
