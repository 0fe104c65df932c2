"""The record of one version: which state may follow which, and what is said of each."""

import asyncio
from dataclasses import dataclass
from itertools import product
from typing import cast

import pytest

from staunch_features.errors import ViewError
from staunch_model_store.errors import ModelRefused
from staunch_server.events import VersionChanged
from staunch_server.models.served import Served
from staunch_server.models.version import FOLLOWERS, Failing, Loading, Ready, Record, Refused, State, Stored
from staunch_server.types import Version, VersionStatus

VERSION = Version("churn", 3)
ERROR = ViewError(file="churn@3/features.sql", line=1, message="the table is gone", hint="bring it back")
OTHER_ERROR = ViewError(file="churn@3/features.sql", line=2, message="a column is gone", hint="bring it back")


@dataclass(eq=False)
class Answering:
    """What a record needs of a served version."""

    digest: str


def answering(digest: str = "sha256:a") -> Served:
    return cast(Served, Answering(digest))


@pytest.fixture
async def task() -> "asyncio.Task[Served]":
    async def load() -> Served:
        return answering()

    return asyncio.create_task(load())


@pytest.fixture
def changes() -> list[VersionChanged]:
    return []


@pytest.fixture
def record(changes: list[VersionChanged]) -> Record:
    return Record(VERSION, changes.append)


async def test_a_life_from_the_disk_to_an_answer_and_back(
    record: Record, changes: list[VersionChanged], task: "asyncio.Task[Served]"
) -> None:
    served = answering()
    states: list[State] = [Loading(task), Ready(served), Failing(served, ERROR), Ready(served), Stored()]
    for state in states:
        record.become(state)
        assert record.state == state
    expected = ["LOADING", "READY", "REFUSED", "READY", "STORED"]
    assert [change.after.state for change in changes] == expected
    assert [change.before.state for change in changes] == ["STORED", *expected[:-1]]
    assert {change.version for change in changes} == {VERSION}


async def test_only_what_is_drawn_may_follow(
    changes: list[VersionChanged], task: "asyncio.Task[Served]"
) -> None:
    served = answering()
    examples: dict[type[State], State] = {
        Stored: Stored(),
        Loading: Loading(task),
        Ready: Ready(served),
        Failing: Failing(served, ERROR),
        Refused: Refused(ModelRefused("no")),
    }
    ways: dict[type[State], list[State]] = {
        Stored: [],
        Loading: [Loading(task)],
        Ready: [Loading(task), Ready(served)],
        Failing: [Loading(task), Failing(served, ERROR)],
        Refused: [Loading(task), Refused(ModelRefused("no"))],
    }
    for before, after in product(examples, examples):
        record = Record(VERSION, changes.append)
        for state in ways[before]:
            record.become(state)
        if after in FOLLOWERS[before]:
            record.become(examples[after])
            assert record.state == examples[after]
        else:
            with pytest.raises(AssertionError, match="churn@3"):
                record.become(examples[after])


async def test_each_state_is_told_in_words(record: Record, task: "asyncio.Task[Served]") -> None:
    assert record.status() == VersionStatus("STORED")
    record.become(Loading(task))
    assert record.status() == VersionStatus("LOADING")
    record.become(Refused(ModelRefused("the digest differs; train again")))
    assert record.status() == VersionStatus("REFUSED", "MODEL_REFUSED", "the digest differs; train again")
    record.become(Loading(task))
    record.become(Failing(answering("sha256:b"), ERROR))
    assert record.status() == VersionStatus("REFUSED", "MODEL_REFUSED", str(ERROR), "sha256:b")


async def test_an_older_load_answers_while_new_files_are_read(
    record: Record, changes: list[VersionChanged], task: "asyncio.Task[Served]"
) -> None:
    older = answering("sha256:old")
    record.become(Loading(task))
    record.become(Ready(older))
    record.become(Loading(task, Ready(older)))
    assert record.served is older
    assert record.status() == VersionStatus("READY", digest="sha256:old")
    assert len(changes) == 2  # nobody is told of a change that cannot be seen
    assert record.view_ran(older, ERROR)
    assert record.state == Loading(task, Failing(older, ERROR))
    record.let_go()
    assert record.state == Loading(task)
    assert record.served is None


async def test_what_a_view_did_is_news_once(record: Record, task: "asyncio.Task[Served]") -> None:
    served = answering()
    record.become(Loading(task))
    record.become(Ready(served))
    assert not record.view_ran(served, None)
    assert record.view_ran(served, ERROR)
    assert not record.view_ran(served, ERROR)
    assert record.view_ran(served, OTHER_ERROR)
    assert record.state == Failing(served, OTHER_ERROR)
    assert record.view_ran(served, None)
    assert record.state == Ready(served)


async def test_the_view_of_a_version_that_was_replaced_is_no_news(
    record: Record, task: "asyncio.Task[Served]"
) -> None:
    record.become(Loading(task))
    record.become(Ready(answering("sha256:new")))
    assert not record.view_ran(answering("sha256:old"), ERROR)
    assert record.status().state == "READY"


async def test_a_version_that_is_let_go_remembers_what_its_view_said(
    record: Record, task: "asyncio.Task[Served]"
) -> None:
    served = answering()
    record.become(Loading(task))
    record.become(Failing(served, ERROR))
    record.let_go()
    assert record.state == Stored(ERROR)
    assert record.status() == VersionStatus("REFUSED", "MODEL_REFUSED", str(ERROR), let_go=True)
    assert not record.is_forgettable
    record.become(Loading(task))
    record.become(Ready(served))
    record.let_go()
    assert record.is_forgettable


def test_a_version_that_a_request_named_is_not_forgotten(record: Record) -> None:
    record.named = True
    assert not record.is_forgettable
