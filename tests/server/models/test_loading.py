"""A version is read and proven, and what nothing proves yet is accepted with a warning."""

import asyncio
import threading
import time

import pytest
from tests.model_store.test_store import as_of_an_older_release
from tests.server.harness.running import Publish

from staunch_model_store.errors import ModelRefused
from staunch_model_store.store import ModelStore
from staunch_server.models.loading import DiskThreads, read_and_prove
from staunch_server.types import Version


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged of models; a server of a test before may sum up its calls late."""
    return [record.getMessage() for record in caplog.records if record.name == "staunch.models"]


async def test_a_version_is_given_as_it_was_published(
    publish: Publish, store: ModelStore, caplog: pytest.LogCaptureFixture
) -> None:
    published = publish()
    stored, model = await read_and_prove(DiskThreads(), store, Version("churn", 1))
    assert (stored, model.digest) == (published, published.digest)
    assert said(caplog) == []


async def test_what_an_older_release_published_is_accepted_with_a_warning(
    publish: Publish, store: ModelStore, caplog: pytest.LogCaptureFixture
) -> None:
    publish()
    as_of_an_older_release(store)
    await read_and_prove(DiskThreads(), store, Version("churn", 1))
    (message,) = said(caplog)
    assert message.startswith("churn@1: accepted, though nothing holds the digest of its manifest")
    caplog.clear()
    store.prove("churn", 1)
    await read_and_prove(DiskThreads(), store, Version("churn", 1))
    assert said(caplog) == []


async def test_what_is_damaged_is_refused(publish: Publish, store: ModelStore) -> None:
    publish()
    manifest = store.root / "churn" / "versions" / "1" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"medium": 0.3', b'"medium": 0.0'))
    with pytest.raises(ModelRefused, match="manifest"):
        await read_and_prove(DiskThreads(), store, Version("churn", 1))


async def test_calls_of_the_disk_are_answered_and_their_errors_are_theirs() -> None:
    disk = DiskThreads(at_once=2)
    assert await asyncio.gather(*(disk.run(pow, 2, n) for n in range(20))) == [2**n for n in range(20)]
    with pytest.raises(FileNotFoundError):
        await disk.run(open, "/nowhere/at/all")


async def test_a_disk_that_hangs_holds_no_more_threads_than_it_may_and_nobody_who_computes() -> None:
    disk, back, begun = DiskThreads(at_once=3), threading.Event(), []

    def hang() -> None:
        begun.append(1)
        back.wait(30)

    waiting = [asyncio.create_task(disk.run(hang)) for _ in range(200)]
    await asyncio.sleep(0.05)
    assert len(begun) == 3
    started = time.monotonic()
    assert await asyncio.gather(*(asyncio.to_thread(pow, 2, 3) for _ in range(20))) == [8] * 20
    assert time.monotonic() - started < 5
    for task in waiting:  # whoever gives up leaves the place to the thread that hangs
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    late = asyncio.create_task(disk.run(pow, 2, 3))
    await asyncio.sleep(0.05)
    assert (len(begun), late.done()) == (3, False)
    back.set()
    assert await asyncio.wait_for(late, 5) == 8
