"""What aliases point at in a real store, and that trouble with the disk changes nothing."""

import hashlib
import logging
import os
import shutil
from pathlib import Path

import pytest
from tests.model_store.test_alias_file import CONTENTS
from tests.model_store.test_store import as_of_an_older_release
from tests.server.harness.running import Publish

from staunch_model_store.errors import ModelNotFound, ModelRefused
from staunch_model_store.store import ModelStore
from staunch_server.models.stored.aliases import Target, Targets, digest, read_targets
from staunch_server.models.stored.problems import Problems
from staunch_server.types import Alias, Version

CHAMPION, SAFE = Alias("churn", "champion"), Alias("churn", "safe")
LOYAL = Alias("loyal", "champion")


@pytest.fixture
def problems() -> Problems:
    return Problems()


@pytest.fixture
def last(publish: Publish, store: ModelStore, problems: Problems) -> Targets:
    """What was read of three aliases of two models."""
    publish(alias="safe")
    publish(base=1.0)
    publish("loyal")
    return read_targets(store, {}, problems)


def test_each_alias_has_the_number_and_the_digest_of_its_version(last: Targets, store: ModelStore) -> None:
    assert {alias: target.number for alias, target in last.items()} == {CHAMPION: 2, SAFE: 1, LOYAL: 1}
    for alias, target in last.items():
        assert target.digest == store.read(alias.name, target.number).digest


def test_the_digest_is_that_of_the_manifest_on_the_disk(last: Targets, store: ModelStore) -> None:
    file = store.root / "churn" / "versions" / "2" / "manifest.json"
    assert digest(store, Version("churn", 2)) == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    file.write_bytes(file.read_bytes() + b"\n")
    with pytest.raises(ModelRefused, match=r"as manifest\.sha256 has it"):
        digest(store, Version("churn", 2))
    as_of_an_older_release(store)
    assert digest(store, Version("churn", 2)) != last[CHAMPION].digest


@pytest.mark.usefixtures("last")
def test_a_version_without_a_readable_manifest_has_no_digest(store: ModelStore, problems: Problems) -> None:
    (store.root / "churn" / "versions" / "2" / "manifest.json").unlink()
    with pytest.raises(ModelRefused):
        digest(store, Version("churn", 2))
    with pytest.raises(ModelNotFound):
        digest(store, Version("churn", 9))
    # Following the alias, the server loads the version, and the load says what is wrong with it.
    assert read_targets(store, {}, problems)[CHAMPION] == Target(2, "")


def test_a_moved_and_a_dropped_alias_are_read_anew(
    last: Targets, store: ModelStore, problems: Problems
) -> None:
    store.set_alias("churn", "champion", 1)
    assert read_targets(store, last, problems) == {**last, CHAMPION: last[SAFE]}
    file = store.root / "churn" / "aliases.json"
    file.write_text('{"format": 1, "aliases": {"safe": {"version": 1}}}')
    assert read_targets(store, last, problems).keys() == {SAFE, LOYAL}
    store.delete_alias("churn", "safe")  # the last one: an order, and no disk that is away
    assert read_targets(store, last, problems).keys() == {LOYAL}


def test_aliases_that_cannot_be_read_keep_their_targets_and_are_reported_once(
    last: Targets, store: ModelStore, problems: Problems, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="staunch.models")
    file = store.root / "churn" / "aliases.json"
    good = file.read_bytes()
    file.write_text("{")
    assert read_targets(store, last, problems) == read_targets(store, last, problems) == last
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "churn/aliases.json: cannot be read, so nothing changes" in caplog.text
    file.write_bytes(good)
    assert read_targets(store, last, problems) == last
    assert caplog.records[-1].getMessage() == "churn/aliases.json: well again"


def test_unreadable_aliases_of_one_model_do_not_hold_up_another(
    last: Targets, store: ModelStore, publish: Publish, problems: Problems
) -> None:
    (store.root / "churn" / "aliases.json").write_text("{")
    publish("loyal", base=1.0)
    found = read_targets(store, last, problems)
    assert (found[LOYAL].number, found[CHAMPION], found[SAFE]) == (2, last[CHAMPION], last[SAFE])


def test_a_store_or_a_model_that_is_gone_changes_nothing(
    last: Targets, store: ModelStore, problems: Problems
) -> None:
    (store.root / "churn" / "aliases.json").unlink()
    assert read_targets(store, last, problems) == last
    shutil.rmtree(store.root / "churn")
    assert read_targets(store, last, problems) == last
    shutil.rmtree(store.root)
    assert read_targets(store, last, problems) == last


def test_what_is_gone_is_reported_once_and_when_it_is_back(
    last: Targets, store: ModelStore, problems: Problems, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="staunch.models")
    aside = store.root.with_name("aside")
    for _ in range(2):
        store.root.rename(aside)
        assert read_targets(store, read_targets(store, last, problems), problems) == last
        aside.rename(store.root)
        read_targets(store, last, problems)
    gone = f"store: cannot be read, so nothing changes: {store.root} is no folder any more"
    assert caplog.messages == [gone, "store: well again"] * 2
    caplog.clear()
    store.root.rename(aside)
    store.root.mkdir()  # as of a disk that is not mounted
    assert read_targets(store, read_targets(store, last, problems), problems) == last
    store.root.rmdir()
    aside.rename(store.root)
    read_targets(store, last, problems)
    words = "is gone from the store, and answers on as it was read last"
    assert caplog.messages == [f"churn: {words}", f"loyal: {words}", "churn: well again", "loyal: well again"]


def test_a_store_that_cannot_be_listed_changes_nothing_and_is_reported(
    last: Targets, store: ModelStore, problems: Problems, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(ModelStore):
        """A store on a disk that fails."""

        def names(self) -> list[str]:
            raise OSError(5, "Input/output error")

    assert read_targets(Broken(Path("/nowhere")), last, problems) == last
    assert "store: cannot be read, so nothing changes" in caplog.text
    with caplog.at_level(logging.INFO, logger="staunch.models"):
        assert read_targets(store, last, problems) == last
    assert "store: well again" in caplog.messages


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_no_content_of_one_models_aliases_ends_or_holds_up_the_others(
    last: Targets, store: ModelStore, publish: Publish, problems: Problems, content: bytes
) -> None:
    (store.root / "churn" / "aliases.json").write_bytes(content)
    at_start = read_targets(store, {}, Problems())
    assert at_start == {LOYAL: last[LOYAL]}
    assert read_targets(store, last, problems) == last


def test_a_mistake_of_ours_in_reading_aliases_is_one_models_trouble(
    last: Targets, store: ModelStore, problems: Problems, caplog: pytest.LogCaptureFixture
) -> None:
    class Mistaken(ModelStore):
        """A store that has not foreseen something."""

        def aliases(self, name: str) -> dict[str, int]:
            if name == "churn":
                raise OverflowError("cannot convert float infinity to integer")
            return super().aliases(name)

    assert read_targets(Mistaken(store.root), {}, problems) == {LOYAL: last[LOYAL]}
    assert "churn/aliases.json: cannot be read, so nothing changes: " in caplog.text


@pytest.mark.timeout(10)
def test_a_pipe_in_place_of_one_models_aliases_holds_up_nothing(
    last: Targets, store: ModelStore, problems: Problems
) -> None:
    (store.root / "churn" / "aliases.json").unlink()
    os.mkfifo(store.root / "churn" / "aliases.json")
    assert read_targets(store, last, problems) == last
