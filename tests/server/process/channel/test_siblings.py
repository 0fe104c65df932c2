"""A worker follows what others move, and a moved alias is answered when all do, or else says who does not."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from tests.harness.waiting import until
from tests.server.harness.errors import RichError, failure
from tests.server.harness.running import Publish, Running, Serve

from staunch.v1 import model_service_pb2 as mpb
from staunch.v1 import prediction_service_pb2 as pb
from staunch_model_store.store import ModelStore
from staunch_server.process.channel.lines import Lines
from staunch_server.process.channel.siblings import UNKNOWN, Siblings
from staunch_server.types import Alias

CHAMPION = Alias("churn", "champion")


@dataclass
class Supervisor:
    """The other end of a worker's channel: what it heard, and what it answers to what is moved.

    Attributes:
        late: The workers that it says do not follow; None says nothing.
    """

    end: socket.socket
    lines: Lines
    heard: list[str] = field(default_factory=list)
    late: str | None = ""

    def hear(self) -> None:
        self.lines.hear(self._take)

    def _take(self, line: str) -> None:
        self.heard.append(line)
        kind, *words = line.split()
        if kind == "reading":
            self.lines.say("noted")
        if kind == "moved" and self.late is not None:
            self.lines.say("followed", words[0], self.late)


@pytest.fixture
async def channel() -> AsyncIterator[tuple[Siblings, Supervisor]]:
    """A worker's end, and the supervisor at the other."""
    ours, theirs = socket.socketpair()
    supervisor = Supervisor(ours, Lines(ours))
    loop = asyncio.get_running_loop()
    loop.add_reader(ours, supervisor.hear)
    yield Siblings(theirs), supervisor
    loop.remove_reader(ours)
    loop.remove_reader(theirs)
    ours.close()
    theirs.close()


async def test_a_worker_without_a_supervisor_waits_for_nobody() -> None:
    alone = Siblings.of_environment({})
    alone.say("ready")
    alone.trouble("none")
    alone.reload()
    await alone.reading()
    assert await alone.follow(CHAMPION, 5.0) == []


async def test_who_does_not_follow_is_what_the_supervisor_says(
    channel: tuple[Siblings, Supervisor],
) -> None:
    siblings, supervisor = channel
    await siblings.reading()
    assert await siblings.follow(CHAMPION, 2.5) == []
    supervisor.late = "1 3"
    assert await asyncio.gather(*(siblings.follow(CHAMPION, 2.5) for _ in range(3))) == [["1", "3"]] * 3
    assert supervisor.heard[:2] == ["reading", "moved 1 2500 churn@champion"]


async def test_a_supervisor_that_is_silent_or_gone_holds_nobody_up(
    channel: tuple[Siblings, Supervisor], caplog: pytest.LogCaptureFixture
) -> None:
    siblings, supervisor = channel
    asyncio.get_running_loop().remove_reader(supervisor.lines.fileno())
    began = time.monotonic()
    await siblings.reading()
    assert "the supervisor does not answer" in caplog.text
    assert await siblings.follow(CHAMPION, 0.1) == [UNKNOWN]
    supervisor.end.shutdown(socket.SHUT_RDWR)
    assert await siblings.follow(CHAMPION, 0.1) == [UNKNOWN]
    assert time.monotonic() - began < 4


async def test_what_is_asked_of_a_worker_is_answered_whatever_becomes_of_it(
    channel: tuple[Siblings, Supervisor], caplog: pytest.LogCaptureFixture
) -> None:
    siblings, supervisor = channel
    reloads: list[int] = []

    async def follow(alias: Alias) -> bool:
        if alias.alias == "broken":
            raise OSError("no disk")
        return alias.alias == "champion"

    async def read_again() -> None:
        reloads.append(1)
        raise OSError("no disk either")

    siblings.on_follow, siblings.on_reload = follow, read_again
    await siblings.reading()
    for number, alias in enumerate(("champion", "other", "broken")):
        supervisor.lines.say("follow", number, f"churn@{alias}")
    supervisor.lines.say("something else")
    supervisor.lines.say("reload")
    await until(lambda: reloads and len(supervisor.heard) == 4)
    assert sorted(supervisor.heard[1:]) == ["followed 0 yes", "followed 1 no", "followed 2 no"]
    assert "no disk either" in caplog.text


Ask = Callable[[Running], Awaitable[object]]


def move(version: int = 2, **options: float) -> Ask:
    request = mpb.SetAliasRequest(name="churn", alias="champion", version=version)
    return lambda live: live.models.SetAlias(request, **options)


def delete(live: Running) -> Awaitable[object]:
    return live.models.DeleteAlias(mpb.DeleteAliasRequest(name="churn", alias="champion"))


async def answering(live: Running, model: str = "churn") -> int:
    answer = await live.prediction.Predict(pb.PredictRequest(model=model, customer_id=8))
    return int(answer.model.version)


@pytest.fixture
async def live(publish: Publish, serve: Serve, channel: tuple[Siblings, Supervisor]) -> Running:
    """A worker of a server with two versions, that looks at the store no more."""
    publish()
    publish(base=1.0, alias="next")
    return await serve(siblings=channel[0], store_poll_s=3600)


@pytest.mark.parametrize(("ask", "version"), [(move(), "2"), (move(1), "1"), (delete, "0")])
async def test_an_alias_that_others_do_not_follow_is_moved_and_says_so_and_asks_for_no_other_try(
    live: Running, channel: tuple[Siblings, Supervisor], store: ModelStore, ask: Ask, version: str
) -> None:
    channel[1].late = "1 3"
    error: RichError = await failure(ask(live))
    assert (error.code.name, error.reason, error.retry_s) == ("UNAVAILABLE", "ALIAS_NOT_FOLLOWED", None)
    assert error.resource == ("alias", "churn@champion")
    (info,) = error.infos
    assert info.metadata == {"alias": "churn@champion", "current_version": version, "workers": "1, 3"}
    assert str(store.aliases("churn").get("champion", 0)) == version
    channel[1].late = ""
    await ask(live)  # whoever asks again has what they asked for, once all follow
    if version != "0":
        assert await answering(live) == int(version)


async def test_the_wait_for_others_ends_within_the_calls_time(
    live: Running, channel: tuple[Siblings, Supervisor]
) -> None:
    channel[1].late = None
    began = time.monotonic()
    error = await failure(move(timeout=1.5)(live))
    assert (error.code.name, error.reason) == ("UNAVAILABLE", "ALIAS_NOT_FOLLOWED")
    assert time.monotonic() - began < 1.5
    assert 800 < int(channel[1].heard[-1].split()[2]) < 1300


async def test_a_worker_that_is_told_follows_at_once_and_says_when_it_cannot(
    live: Running, channel: tuple[Siblings, Supervisor], store: ModelStore
) -> None:
    supervisor = channel[1]
    store.set_alias("churn", "champion", 2)  # as another worker does
    supervisor.lines.say("follow", 1, CHAMPION)
    await until(lambda: supervisor.heard[-1].startswith("followed"))
    assert supervisor.heard[-1] == "followed 1 yes"
    assert await answering(live) == 2
    (store.root / "churn" / "versions" / "1" / "model.onnx").write_bytes(b"damaged")
    store.set_alias("churn", "champion", 1)
    supervisor.lines.say("follow", 2, CHAMPION)
    await until(lambda: supervisor.heard[-1].startswith("followed 2"))
    assert supervisor.heard[-1] == "followed 2 no"
    store.delete_alias("churn", "champion")
    supervisor.lines.say("follow", 3, CHAMPION)
    await until(lambda: supervisor.heard[-1].startswith("followed 3"))
    assert supervisor.heard[-1] == "followed 3 yes"
    assert (await failure(live.prediction.Predict(pb.PredictRequest(customer_id=8)))).code.name in (
        "NOT_FOUND",
        "UNAVAILABLE",
    )


async def test_a_worker_that_starts_answers_by_nothing_that_was_read_before_a_move(
    publish: Publish, serve: Serve, store: ModelStore, channel: tuple[Siblings, Supervisor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    publish()
    publish(base=1.0, alias="next")
    siblings, supervisor = channel
    read, moved = ModelStore.read, []

    def read_late(self: ModelStore, name: str, version: int) -> object:
        """Moves the alias while the first version is being loaded."""
        if not moved:
            moved.append(1)
            self.set_alias("churn", "champion", 2)
            supervisor.lines.say("follow", 1, CHAMPION)
            time.sleep(0.2)
        return read(self, name, version)

    monkeypatch.setattr(ModelStore, "read", read_late)
    live = await serve(siblings=siblings, store_poll_s=3600)
    assert await answering(live) == 2
    assert "followed 1 yes" in supervisor.heard
