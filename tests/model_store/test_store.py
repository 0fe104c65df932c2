"""Versions are never changed, aliases move atomically, and what is damaged is refused."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from tests.model_store.model_examples import a_manifest, booster

from staunch_model_store import alias_file, proof
from staunch_model_store.errors import AliasLimit, AliasMoved, ModelNotFound, ModelRefused, NameInvalid
from staunch_model_store.manifest import Manifest
from staunch_model_store.reference import Reference, parse_reference
from staunch_model_store.store import ModelStore, StoredVersion

FILES = {"features.sql": b"SELECT 1", "model.onnx": b"model", "golden.npz": b"rows", "card.html": b"<p>"}


def built(version: int, name: str = "churn") -> tuple[Manifest, dict[str, bytes]]:
    return a_manifest(booster(), name=name, version=version), FILES


def folder(store: ModelStore, version: int = 1) -> Path:
    return store.root / "churn" / "versions" / str(version)


def test_a_published_version_is_read_back_with_its_files(store: ModelStore) -> None:
    published = store.publish("churn", built)
    read = store.read("churn", 1)
    assert read == published
    assert read.files == FILES
    assert read.digest.startswith("sha256:")
    assert read.manifest.files["card.html"].size_bytes == 3


def test_another_user_can_read_a_published_version_and_nobody_else_change_it(store: ModelStore) -> None:
    store.publish("churn", built)
    assert stat.S_IMODE(folder(store).stat().st_mode) == 0o755


def test_versions_count_on_and_are_listed_newest_first(store: ModelStore) -> None:
    assert [store.publish("churn", built).manifest.version for _ in range(3)] == [1, 2, 3]
    assert store.versions("churn") == [3, 2, 1]
    assert store.names() == ["churn"]


def test_the_number_of_a_removed_version_is_never_given_again(store: ModelStore) -> None:
    for _ in range(3):
        store.publish("churn", built)
    shutil.rmtree(folder(store, 3))
    assert store.versions("churn") == [2, 1]
    assert store.publish("churn", built).manifest.version == 4
    for version in (1, 2, 4):
        shutil.rmtree(folder(store, version))
    assert store.publish("churn", built).manifest.version == 5


def test_a_store_that_noted_no_number_counts_on_from_what_it_holds(store: ModelStore) -> None:
    store.publish("churn", built)
    store.publish("churn", built)
    store.set_alias("churn", "champion", 2)
    (store.root / "churn" / "last_version").unlink()
    assert store.publish("churn", built).manifest.version == 3
    (store.root / "churn" / "last_version").unlink()
    store.set_alias("churn", "champion", 3)
    shutil.rmtree(folder(store, 3))
    assert store.publish("churn", built).manifest.version == 4


@pytest.mark.parametrize("content", [b"", b"0\n", b"many\n", b"\xff\xfe"])
def test_a_last_number_that_cannot_be_read_gives_no_number(store: ModelStore, content: bytes) -> None:
    store.publish("churn", built)
    (store.root / "churn" / "last_version").write_bytes(content)
    with pytest.raises(ModelRefused, match=r"^churn/last_version: expected the highest version number"):
        store.publish("churn", built)
    assert store.versions("churn") == [1]


def test_an_empty_or_missing_store_holds_nothing(store: ModelStore) -> None:
    assert (store.names(), store.versions("churn"), store.aliases("churn")) == ([], [], {})
    assert store.versions("../churn") == []


def test_publishing_moves_no_alias(store: ModelStore) -> None:
    store.publish("churn", built)
    assert store.aliases("churn") == {}


@pytest.mark.parametrize("name", ["", "Churn", "7", "a/b", "..", "a" * 64])
def test_a_name_that_breaks_the_rule_is_refused(store: ModelStore, name: str) -> None:
    with pytest.raises(NameInvalid, match="expected"):
        store.publish(name, built)
    store.publish("churn", built)
    with pytest.raises(NameInvalid, match="expected"):
        store.set_alias("churn", name, 1)


def test_what_fails_its_verification_never_shows(store: ModelStore) -> None:
    def refuse(stored: StoredVersion) -> None:
        assert stored.manifest.version == 1
        assert store.versions("churn") == []
        raise ModelRefused("no")

    with pytest.raises(ModelRefused):
        store.publish("churn", built, verify=refuse)
    assert store.versions("churn") == []
    assert os.listdir(store.root / "churn" / "versions") == []


def test_a_build_without_the_model_is_refused(store: ModelStore) -> None:
    with pytest.raises(ModelRefused, match="files"):
        store.publish("churn", lambda version: (built(version)[0], {"features.sql": b""}))


def test_a_manifest_that_could_not_be_read_again_is_not_published(store: ModelStore) -> None:
    def large(version: int) -> tuple[Manifest, dict[str, bytes]]:
        manifest = built(version)[0]
        return replace(manifest, label="x" * (4 << 20)), FILES

    with pytest.raises(ModelRefused, match=r"manifest\.json: expected at most 4194304 bytes, got 4\d+"):
        store.publish("churn", large)
    for other in (built(2)[0], built(1, "other")[0]):
        with pytest.raises(ModelRefused, match=r"churn@1: expected its own manifest, got that of"):
            store.publish("churn", lambda version, other=other: (other, FILES))
    assert store.versions("churn") == []


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sha256"])
def test_a_file_that_would_replace_what_proves_the_version_is_not_published(
    store: ModelStore, name: str
) -> None:
    with pytest.raises(ModelRefused, match="none that proves the others"):
        store.publish("churn", lambda version: (built(version)[0], FILES | {name: b"{}"}))
    assert store.versions("churn") == []


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_refused_by_its_digest(store: ModelStore, name: str) -> None:
    store.publish("churn", built)
    content = bytearray(FILES[name])
    content[0] ^= 1
    (folder(store) / name).write_bytes(content)
    with pytest.raises(ModelRefused, match=f"{name}.*SHA-256"):
        store.read("churn", 1)


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_missing_file_is_refused(store: ModelStore, name: str) -> None:
    store.publish("churn", built)
    (folder(store) / name).unlink()
    with pytest.raises(ModelRefused, match=name):
        store.read("churn", 1)


def test_another_versions_manifest_is_refused(store: ModelStore) -> None:
    store.publish("churn", built)
    folder(store).rename(folder(store, 5))
    with pytest.raises(ModelRefused, match=r"that of churn@1"):
        store.read("churn", 5)


def test_files_beside_the_published_ones_are_left_alone(store: ModelStore) -> None:
    store.publish("churn", built)
    (folder(store) / "notes.txt").write_text("mine")
    assert set(store.read("churn", 1).files) == set(FILES)


def test_an_alias_moves_and_says_where_it_was(store: ModelStore) -> None:
    store.publish("churn", built)
    store.publish("churn", built)
    assert store.set_alias("churn", "champion", 1) == 0
    assert store.set_alias("churn", "champion", 2, expected=1) == 1
    assert store.aliases("churn") == {"champion": 2}
    content = json.loads((store.root / "churn" / "aliases.json").read_bytes())
    target = {"version": 2, "digest": store.read("churn", 2).digest}
    assert content == {"format": 1, "aliases": {"champion": target}}


@pytest.mark.parametrize("expected", [0, 2, 7])
def test_an_alias_that_moved_meanwhile_stays(store: ModelStore, expected: int) -> None:
    for _ in range(2):
        store.publish("churn", built)
    store.set_alias("churn", "champion", 1)
    with pytest.raises(AliasMoved) as moved:
        store.set_alias("churn", "champion", 2, expected=expected)
    assert moved.value.facts == {
        "alias": "churn@champion",
        "expected_version": str(expected),
        "current_version": "1",
    }


@pytest.mark.parametrize("expected", [None, 0, 1, 2])
def test_an_alias_that_points_there_already_is_well_and_nothing_is_written(
    store: ModelStore, expected: int | None
) -> None:
    store.publish("churn", built)
    store.set_alias("churn", "champion", 1)
    before = (store.root / "churn" / "aliases.json").stat()
    assert store.set_alias("churn", "champion", 1, expected=expected) == 1
    assert (store.root / "churn" / "aliases.json").stat() == before


def test_an_alias_is_deleted_once_and_the_last_one_too(store: ModelStore) -> None:
    store.publish("churn", built)
    assert not store.has_aliases("churn")
    for alias in ("champion", "next"):
        store.set_alias("churn", alias, 1)
    assert store.delete_alias("churn", "next") == 1
    assert store.delete_alias("churn", "next") == store.delete_alias("churn", "next", expected=7) == 0
    with pytest.raises(AliasMoved, match="expected version 7, got 1"):
        store.delete_alias("churn", "champion", expected=7)
    assert store.aliases("churn") == {"champion": 1}
    assert store.delete_alias("churn", "champion", expected=1) == 1
    assert store.aliases("churn") == {}
    assert store.has_aliases("churn")  # an order, and not a file that is gone
    with pytest.raises(ModelNotFound, match="churn"):
        store.resolve("churn")
    assert store.versions("churn") == [1]


def test_of_what_is_not_there_nothing_is_deleted_or_made(store: ModelStore) -> None:
    store.publish("churn", built)
    with pytest.raises(ModelNotFound, match=r"^nobody: expected a model of the store, which holds churn$"):
        store.delete_alias("nobody", "champion")
    for name in ("", "../churn", "7", "A"):
        with pytest.raises(NameInvalid):
            store.delete_alias("churn", name)
    assert store.names() == ["churn"]
    assert sorted(os.listdir(store.root)) == ["churn"]


def test_a_model_has_a_hundred_aliases_and_those_may_move_and_go(store: ModelStore) -> None:
    for _ in range(2):
        store.publish("churn", built)
    names = [f"a{number}" for number in range(100)]
    targets = {name: alias_file.Target(1, store.read("churn", 1).digest) for name in names}
    (store.root / "churn" / "aliases.json").write_bytes(alias_file.dump(targets))
    with pytest.raises(AliasLimit, match="churn@more: expected at most 100 aliases") as limit:
        store.set_alias("churn", "more", 1)
    assert limit.value.facts == {"alias": "churn@more", "limit": "100"}
    assert store.set_alias("churn", "a7", 2) == 1
    store.delete_alias("churn", "a8")
    assert store.set_alias("churn", "more", 1) == 0
    # What somebody wrote by hand beyond that is read, moved and deleted all the same.
    (store.root / "churn" / "aliases.json").write_bytes(alias_file.dump(targets | {"z": targets["a0"]}))
    assert store.set_alias("churn", "z", 2) == 1
    assert len(store.aliases("churn")) == 101


def test_an_alias_cannot_point_at_nothing(store: ModelStore) -> None:
    with pytest.raises(ModelNotFound, match="churn@1"):
        store.set_alias("churn", "champion", 1)
    store.publish("churn", built)
    with pytest.raises(ModelNotFound, match=r"churn@2.*holds churn@1$"):
        store.set_alias("churn", "champion", 2)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2, "aliases": {}}', '{"format": 1, "aliases": {"a": 1}}']
)
def test_damaged_aliases_are_refused(store: ModelStore, text: str) -> None:
    store.publish("churn", built)
    (store.root / "churn" / "aliases.json").write_text(text)
    with pytest.raises(ModelRefused, match=r"churn/aliases\.json"):
        store.aliases("churn")


def test_references_are_resolved(store: ModelStore) -> None:
    store.publish("churn", built)
    store.publish("churn", built)
    store.set_alias("churn", "champion", 1)
    store.set_alias("churn", "next", 2)
    assert (
        store.resolve("churn") == store.resolve("churn@champion") == store.resolve("churn@1") == ("churn", 1)
    )
    assert store.resolve("churn@next") == ("churn", 2)


@pytest.mark.parametrize("reference", ["nobody", "churn", "churn@2", "churn@next"])
def test_what_the_store_does_not_hold_is_not_found(store: ModelStore, reference: str) -> None:
    store.publish("churn", built)
    with pytest.raises(ModelNotFound, match="expected"):
        store.resolve(reference)


def test_who_asks_for_what_is_not_there_is_told_what_is(store: ModelStore) -> None:
    with pytest.raises(ModelNotFound, match=r"^churn: expected a model of the store, which holds none$"):
        store.resolve("churn")
    store.publish("churn", built)
    store.publish("churn", built)
    store.set_alias("churn", "champion", 1)
    with pytest.raises(ModelNotFound, match=r"holds churn@2, churn@1, churn@champion$"):
        store.resolve("churn@9")
    with pytest.raises(ModelNotFound, match=r"holds churn$"):
        store.resolve("chrun")


def test_an_unreadable_version_is_refused_without_telling_where_it_stands(store: ModelStore) -> None:
    store.publish("churn", built)
    (store.root / "churn" / "versions" / "1" / "manifest.json").unlink()
    for read in (store.read, store.manifest_bytes):
        with pytest.raises(ModelRefused, match=r"got manifest\.json: No such file or directory;") as caught:
            read("churn", 1)
        assert str(store.root) not in str(caught.value)


NUMBERS = ["churn@0", "churn@01", "churn@-1", "churn@1.0", "churn@²", "churn@" + "9" * 30]


@pytest.mark.parametrize("reference", ["", "churn@", "@1", "churn@1@1", "Churn", "not a name", *NUMBERS])
def test_what_no_model_can_be_called_is_invalid(store: ModelStore, reference: str) -> None:
    for read in (parse_reference, store.resolve):
        with pytest.raises(NameInvalid, match="expected a model as"):
            read(reference)


def test_the_longest_names_and_numbers_are_taken(store: ModelStore) -> None:
    name = "a" + "z" * 62
    assert store.publish(name, lambda version: built(version, name)).manifest.name == name
    assert store.set_alias(name, name, 1) == 0
    assert parse_reference(f"{name}@{name}") == Reference(name, None, name)
    assert parse_reference("churn@2147483647") == Reference("churn", 2**31 - 1, None)
    for reference in (f"{name}z", f"churn@{name}z", "churn@2147483648", "churn@" + "9" * 19):
        with pytest.raises(NameInvalid):
            parse_reference(reference)


@pytest.mark.parametrize("number", [2**31, 3_000_000_000, 10**18])
def test_a_folder_above_the_last_number_is_no_version_and_is_refused_in_words(
    store: ModelStore, number: int
) -> None:
    store.publish("churn", built)
    folder = store.root / "churn/versions"
    shutil.copytree(folder / "1", folder / str(number))
    assert store.versions("churn") == [1]
    with pytest.raises(NameInvalid, match=f"got 'churn@{number}'; versions are numbers from 1 to 2147483647"):
        store.resolve(f"churn@{number}")
    with pytest.raises(ModelRefused, match=f"^churn/versions: expected versions from .* got {number}; give"):
        store.publish("churn", built)


def test_after_the_last_number_nothing_is_published_any_more(store: ModelStore) -> None:
    store.publish("churn", built)
    (store.root / "churn/last_version").write_text("2147483646")
    assert store.publish("churn", built).manifest.version == 2**31 - 1
    with pytest.raises(ModelRefused, match="and room for another, got 2147483647; give the folder"):
        store.publish("churn", built)


@pytest.mark.parametrize("version", [0, -1, 2**31])
def test_an_alias_of_no_version_is_refused(store: ModelStore, version: int) -> None:
    store.publish("churn", built)
    content = {"format": 1, "aliases": {"champion": {"version": version}}}
    (store.root / "churn/aliases.json").write_text(json.dumps(content))
    with pytest.raises(ModelRefused, match=f"got version {version}, which is not from 1 to 2147483647"):
        store.resolve("churn")


def test_references_are_parsed_without_a_store() -> None:
    assert parse_reference("churn") == Reference("churn", None, "champion")
    assert parse_reference("churn@12") == Reference("churn", 12, None)


def test_many_writers_never_share_a_version(store: ModelStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        published = list(pool.map(lambda _: store.publish("churn", built).manifest.version, range(16)))
    assert sorted(published) == list(range(1, 17))
    assert all(store.read("churn", version) for version in published)


def test_of_two_who_expect_the_same_one_wins(store: ModelStore) -> None:
    for _ in range(9):
        store.publish("churn", built)

    def move(version: int) -> bool:
        try:
            store.set_alias("churn", "champion", version, expected=0)
        except AliasMoved:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(move, range(1, 10))) == 1


_PUBLISH_AND_DIE = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from staunch_model_store import disk, store

root, last = Path(sys.argv[1]), int(sys.argv[2])
seen, write = [], disk.write_file

def write_or_die(path, content):
    seen.append(path)
    if len(seen) == last:
        path.write_bytes(content[:1])
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, content)

disk.write_file = write_or_die
first = store.ModelStore(root).read("churn", 1)
again = lambda version: (replace(first.manifest, version=version), first.files)
store.ModelStore(root).publish("churn", again)
"""


@pytest.mark.parametrize("last", [1, 3, 5, 6, 7])
def test_a_writer_killed_at_any_file_leaves_the_store_as_it_was(store: ModelStore, last: int) -> None:
    before = store.publish("churn", built)
    command = [sys.executable, "-c", _PUBLISH_AND_DIE, str(store.root), str(last)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert (store.versions("churn"), store.read("churn", 1)) == ([1], before)
    assert store.publish("churn", built).manifest.version == 2
    assert sorted(os.listdir(store.root / "churn" / "versions")) == ["1", "2"]


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "name", ["aliases.json", "last_version", "versions/1/manifest.json", "versions/1/model.onnx"]
)
@pytest.mark.parametrize("kind", ["folder", "pipe", "huge"])
def test_what_is_no_file_or_too_large_is_refused_at_once(store: ModelStore, name: str, kind: str) -> None:
    store.publish("churn", built)
    store.set_alias("churn", "champion", 1)
    path = store.root / "churn" / name
    if kind == "huge":
        os.truncate(path, 3 << 30)
    else:
        path.unlink()
        (path.mkdir if kind == "folder" else lambda: os.mkfifo(path))()
    use = {"aliases.json": store.aliases, "last_version": lambda name: store.publish(name, built)}
    with pytest.raises(ModelRefused, match="no regular file" if kind != "huge" else "of 3221225472 bytes"):
        use.get(name, lambda name: store.read(name, 1))("churn")


def test_an_alias_cannot_be_set_where_its_file_is_none(store: ModelStore) -> None:
    store.publish("churn", built)
    (store.root / "churn" / "aliases.json").mkdir()
    with pytest.raises(ModelRefused, match=r"^churn/aliases\.json: .* delete the file and set the aliases"):
        store.set_alias("churn", "champion", 1)


class AwayStore(ModelStore):
    """A store of which one model's folder cannot be read, as root can read any."""

    def versions(self, name: str) -> list[int]:
        if name == "away":
            raise PermissionError(13, "Permission denied", "versions")
        return super().versions(name)


def test_a_model_whose_folder_cannot_be_read_does_not_hide_the_others(store: ModelStore) -> None:
    store.publish("churn", built)
    (store.root / "away").mkdir()
    assert AwayStore(store.root).names() == ["away", "churn"]
    assert AwayStore(store.root).resolve("churn@1") == ("churn", 1)


def forge(store: ModelStore, version: int = 1) -> None:
    """Changes a manifest where no file's digest sees it: what was LOW is HIGH now."""
    file = folder(store, version) / "manifest.json"
    content = json.loads(file.read_bytes())
    content["thresholds"] |= {"medium": 0.0, "high": 0.0}
    file.write_text(json.dumps(content))


def as_of_an_older_release(store: ModelStore) -> None:
    """Leaves a store as those before digests of manifests wrote it."""
    for file in store.root.glob("*/versions/*/manifest.sha256"):
        file.unlink()
    for file in store.root.glob("*/aliases.json"):
        content = json.loads(file.read_bytes())
        targets = {name: {"version": target["version"]} for name, target in content["aliases"].items()}
        file.write_text(json.dumps(content | {"aliases": targets}))


def test_a_published_version_holds_the_digest_of_its_manifest_as_sha256sum_reads_it(
    store: ModelStore,
) -> None:
    published = store.publish("churn", built)
    line = (folder(store) / "manifest.sha256").read_text()
    assert line == f"{published.digest.removeprefix('sha256:')}  manifest.json\n"
    assert (published.proven, store.read("churn", 1).proven) == (True, True)


def test_a_changed_manifest_is_refused_by_the_digest_beside_it(store: ModelStore) -> None:
    store.publish("churn", built)
    forge(store)
    for read in (store.read, store.manifest_bytes, store.prove):
        with pytest.raises(
            ModelRefused, match=r"^manifest\.json: .* as manifest\.sha256 has it, got sha256:"
        ):
            read("churn", 1)


def test_a_manifest_changed_together_with_its_digest_is_refused_by_the_alias(store: ModelStore) -> None:
    store.publish("churn", built)
    store.set_alias("churn", "champion", 1)
    forge(store)
    proof.write(folder(store), (folder(store) / "manifest.json").read_bytes())
    for read in (store.read, store.manifest_bytes, store.prove):
        with pytest.raises(ModelRefused, match=r"as the alias champion has it"):
            read("churn", 1)
    with pytest.raises(ModelRefused):
        store.set_alias("churn", "next", 1)


def test_an_alias_proves_a_version_whose_own_digest_is_gone(store: ModelStore) -> None:
    store.publish("churn", built)
    store.set_alias("churn", "champion", 1)
    (folder(store) / "manifest.sha256").unlink()
    assert store.read("churn", 1).proven
    forge(store)
    with pytest.raises(ModelRefused, match="as the alias champion has it"):
        store.read("churn", 1)


@pytest.mark.parametrize("content", [b"", b"x", b"0" * 64, b"a" * 5000, b"0" * 64 + b"  model.onnx\n"])
def test_a_digest_that_is_none_is_refused(store: ModelStore, content: bytes) -> None:
    store.publish("churn", built)
    (folder(store) / "manifest.sha256").write_bytes(content)
    with pytest.raises(ModelRefused, match=r"manifest\.sha256"):
        store.read("churn", 1)


def test_what_an_older_release_wrote_is_read_and_proven_once_that_is_asked_for(store: ModelStore) -> None:
    store.publish("churn", built)
    store.publish("churn", built)
    store.set_alias("churn", "champion", 1)
    as_of_an_older_release(store)
    assert (store.read("churn", 1).proven, store.resolve("churn")) == (False, ("churn", 1))
    before = store.read("churn", 1)
    assert store.prove("churn", 1).proven
    assert store.read("churn", 1).proven
    assert store.read("churn", 1).manifest_bytes == before.manifest_bytes
    assert not store.read("churn", 2).proven
    # Both places hold it now.
    forge(store)
    with pytest.raises(ModelRefused, match=r"as manifest\.sha256 has it"):
        store.read("churn", 1)
    (folder(store) / "manifest.sha256").unlink()
    with pytest.raises(ModelRefused, match="as the alias champion has it"):
        store.read("churn", 1)


def test_unreadable_aliases_do_not_refuse_a_version_of_that_number(store: ModelStore) -> None:
    store.publish("churn", built)
    (store.root / "churn" / "aliases.json").write_text("{")
    assert store.read("churn", 1).proven
