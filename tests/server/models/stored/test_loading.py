"""A version is read and proven, and what nothing proves yet is accepted with a warning."""

import asyncio
import re
import threading
import time
from pathlib import Path

import pytest
from tests.model_store.test_store import as_of_an_older_release
from tests.server.harness.running import Publish

import staunch_server
from staunch_model_store.errors import ModelRefused
from staunch_model_store.store import ModelStore
from staunch_server.errors import Refusal
from staunch_server.models.stored.loading import DiskThreads, read_and_prove
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


async def test_a_disk_that_hangs_is_said_to_after_a_while_and_an_error_of_its_own_is_told_from_that() -> None:
    disk, back = DiskThreads(at_once=1, patience_s=0.05), threading.Event()
    for _ in range(2):  # in a thread, and waiting for one
        with pytest.raises(Refusal, match="STORE_UNAVAILABLE: The store of models does not answer") as hung:
            await disk.run(back.wait, 30)
        assert hung.value.metadata == {"limit_s": "0.05"}
    back.set()

    def slow() -> None:
        raise TimeoutError("of the file system")

    with pytest.raises(TimeoutError, match="of the file system"):
        await disk.run(slow, patience=100)


async def test_a_thread_that_cannot_be_started_keeps_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = DiskThreads(at_once=1)

    def no_more(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_more)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="can't start"):
                await disk.run(pow, 2, 3)
    assert await disk.run(pow, 2, 3) == 8


COMPUTING = {
    ("services/batch_predict.py", "asyncio.to_thread"),
    ("services/chunks.py", "asyncio.to_thread"),
    ("models/served.py", "asyncio.to_thread"),
    ("models/stored/loading.py", "asyncio.to_thread"),
    ("models/reasons.py", "run_in_executor"),
    ("process/observers.py", "asyncio.to_thread"),  # once, at the end: the last traces, for 2 s at most
}
"""Who uses threads that compute: none of them touches the disk, whose threads are `DiskThreads`."""


def test_only_what_computes_goes_to_the_threads_that_compute() -> None:
    root = Path(staunch_server.__file__).parent
    found = {
        (str(file.relative_to(root)), call)
        for file in root.rglob("*.py")
        for call in ("asyncio.to_thread", "run_in_executor")
        if re.search(rf"await {re.escape(call)}\(|loop\.{call}\(", file.read_text())
    }
    assert found == COMPUTING
