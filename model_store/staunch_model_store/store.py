"""The store: a folder of model versions, each proving itself, and the aliases that point at them.

<root>/NAME/versions/7/   manifest.json, the files whose digests it holds, and its own in manifest.sha256
<root>/NAME/aliases.json  {"format": 1, "aliases": {"champion": {"version": 7, "digest": "sha256:..."}}}
<root>/NAME/last_version  the highest number ever given, so that none is given twice
<root>/NAME/.lock         taken by whoever writes

Versions are never changed, and the number of one that was removed is never given to another: what was
scored with "churn@7" means one model for good. Everything written is on the disk before it can be seen: a
process killed at any moment leaves either the old state or the new one.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from staunch_model_store import alias_file, disk, proof
from staunch_model_store.alias_file import Target
from staunch_model_store.errors import ModelNotFound, ModelRefused
from staunch_model_store.manifest import MANIFEST_JSON, MANIFEST_SHA256, NAME, FileEntry, Manifest
from staunch_model_store.reference import LAST_VERSION, is_number, is_version, parse_reference, refuse_name

_MAX_MANIFEST_BYTES = 4 << 20  # some thirty thousand features; more fits no answer of GetModel
_LAST_VERSION = "last_version"
_MAX_LAST_VERSION_BYTES = 100
_UNFINISHED = ".unfinished-"


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version as read from the disk once: every file is held and agrees with its digest.

    Attributes:
        manifest: What manifest.json says.
        manifest_bytes: The manifest.json, byte for byte.
        digest: "sha256:" and the hex digest of manifest_bytes.
        files: Name to content, all those of the manifest.
        proven: Whether something beside the manifest holds its digest; false of what an older release wrote.
    """

    manifest: Manifest
    manifest_bytes: bytes
    digest: str
    files: Mapping[str, bytes]
    proven: bool = True

    @classmethod
    def verified(cls, manifest_bytes: bytes, files: Mapping[str, bytes]) -> "StoredVersion":
        """Parses the manifest and compares every file with it.

        Raises:
            ModelRefused: The manifest is not readable, or a file is missing or not what was published.
        """
        manifest = Manifest.parse(manifest_bytes)
        for name, entry in manifest.files.items():
            _verify(name, entry, files.get(name))
        return cls(manifest, manifest_bytes, proof.digest(manifest_bytes), files)


class ModelStore:
    """The models below one folder; safe for any number of reading and writing processes on one machine.

    All methods touch the disk and may block; nothing is cached.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """Lists the models that have a version, sorted; none if the folder does not exist.

        One whose folder cannot be read is among them: what is wrong with it is no concern of the others.
        """
        if not self.root.is_dir():
            return []
        return sorted(entry.name for entry in self.root.iterdir() if self._may_hold(entry.name))

    def versions(self, name: str) -> list[int]:
        """Lists the published versions, newest first; none if there is no such model.

        Raises:
            OSError: The model's folder cannot be read.
        """
        if not NAME.fullmatch(name):
            return []
        try:
            entries = os.listdir(self.root / name / "versions")
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(map(int, filter(is_version, entries)), reverse=True)

    def aliases(self, name: str) -> dict[str, int]:
        """Gives each alias of the model and the version it points at; none if there is no such model.

        Raises:
            ModelRefused: Aliases.json is not readable.
        """
        return {alias: target.version for alias, target in self._targets(name).items()}

    def has_aliases(self, name: str) -> bool:
        """Tells whether there is an aliases.json, whatever stands in it: one without any is an order too."""
        return NAME.fullmatch(name) is not None and (self.root / name / alias_file.FILE).exists()

    def _targets(self, name: str) -> dict[str, Target]:
        return alias_file.read(self.root / name) if NAME.fullmatch(name) else {}

    def resolve(self, reference: str) -> tuple[str, int]:
        """Finds the model name and version that "name", "name@3" or "name@alias" means now.

        Raises:
            NameInvalid: No model can be called that.
            ModelNotFound: The store holds no such model, version or alias.
        """
        wanted = parse_reference(reference)
        version = wanted.version
        if wanted.alias is not None:
            version = self.aliases(wanted.name).get(wanted.alias)
        held = self.versions(wanted.name)
        if version is None or version not in held:
            raise self._not_found(reference, wanted.name, held)
        return wanted.name, version

    def manifest_bytes(self, name: str, version: int) -> bytes:
        """Reads a version's manifest.json alone, to describe a version that nobody needs loaded.

        Raises:
            ModelNotFound: The store holds no such version.
            ModelRefused: The file is not readable, or not what was published.
        """
        try:
            return self._proven_manifest(self._version_folder(name, version), version)[0]
        except (OSError, disk.Unfit) as error:
            raise _refusal(f"{name}@{version}", "a readable manifest.json", disk.reason(error)) from error

    def read(self, name: str, version: int) -> StoredVersion:
        """Reads all files of a version once and verifies them against the manifest.

        Raises:
            ModelNotFound: The store holds no such version.
            ModelRefused: A file is missing, damaged, unreadable or foreign.
        """
        folder = self._version_folder(name, version)
        try:
            manifest_bytes, proven = self._proven_manifest(folder, version)
            files = _read_files(folder, Manifest.parse(manifest_bytes).files)
        except (OSError, disk.Unfit) as error:
            raise _refusal(f"{name}@{version}", "readable files", disk.reason(error)) from error
        stored = StoredVersion.verified(manifest_bytes, files)
        _refuse_other(stored.manifest, name, version)
        return replace(stored, proven=proven)

    def set_alias(self, name: str, alias: str, version: int, expected: int | None = None) -> int:
        """Points an alias at a published version, atomically; gives the one it pointed at before, 0 for none.

        One that points there already is well, whatever was expected: who asks again has what they asked for.

        Args:
            name: The model.
            alias: Matches `[a-z][a-z0-9_-]{0,62}`.
            version: A version that the store holds.
            expected: The version the alias must point at now, 0 for none; None skips the check.

        Raises:
            NameInvalid: Of the alias.
            ModelNotFound: The store holds no such version.
            AliasMoved: The alias does not point at `expected`.
            AliasLimit: The model has as many aliases as it may.
        """
        refuse_name("alias", alias)
        target = Target(version, proof.digest(self.manifest_bytes(name, version)))
        with self._locked(name) as folder:
            return alias_file.point(folder, alias, target, expected)

    def delete_alias(self, name: str, alias: str, expected: int | None = None) -> int:
        """Takes an alias away, atomically; gives the version it pointed at, 0 for none: it is gone already.

        Args:
            name: The model.
            alias: Matches `[a-z][a-z0-9_-]{0,62}`.
            expected: The version the alias must point at now; None skips the check.

        Raises:
            NameInvalid: Of the alias.
            ModelNotFound: The store holds no such model.
            AliasMoved: The alias points elsewhere than at `expected`.
        """
        refuse_name("alias", alias)
        if not self.versions(name):
            raise self._not_found(name, name, [])
        with self._locked(name) as folder:
            return alias_file.remove(folder, alias, expected)

    def publish(
        self,
        name: str,
        build: Callable[[int], tuple[Manifest, Mapping[str, bytes]]],
        verify: Callable[[StoredVersion], object] | None = None,
    ) -> StoredVersion:
        """Publishes the next version and gives it back as a reader will find it; moves no alias.

        Args:
            name: The model; made if there is none.
            build: Is given the version number and gives the manifest (its `files` are filled in here) and the
                content of each file.
            verify: Is given the version before it can be seen, `LoadedModel.load` for example; what it raises
                keeps the version out of the store.

        Raises:
            NameInvalid: Of the model.
            ModelRefused: Manifest and files are not a version, or the last number given cannot be read.
        """
        refuse_name("model", name)
        with self._locked(name) as folder:
            version = self._next_version(name)
            stored = _assemble(*build(version))
            _refuse_other(stored.manifest, name, version)
            if verify is not None:
                verify(stored)
            _write_version(folder, version, stored)
        return stored

    def prove(self, name: str, version: int) -> StoredVersion:
        """Writes the digest of a manifest beside it and into the aliases, where an older release wrote none.

        Whoever calls has looked whether the version computes what it should: from here on it is what it is.

        Raises:
            ModelNotFound: The store holds no such version.
            ModelRefused: A file is missing, damaged, unreadable or foreign.
        """
        with self._locked(name) as folder:
            stored = self.read(name, version)
            targets = self._targets(name)
            target = Target(version, stored.digest)
            proof.write(folder / "versions" / str(version), stored.manifest_bytes)
            proven = {alias: target if each.version == version else each for alias, each in targets.items()}
            alias_file.write(folder, targets, proven)
        return replace(stored, proven=True)

    def _proven_manifest(self, folder: Path, version: int) -> tuple[bytes, bool]:
        """Reads a manifest.json, and tells whether anything proves it.

        Raises:
            ModelRefused: It is not what its digest, or an alias that points at it, says.
        """
        raw = disk.read_file(folder / MANIFEST_JSON, _MAX_MANIFEST_BYTES)
        held = {MANIFEST_SHA256: noted} if (noted := proof.read(folder)) else {}
        with suppress(ModelRefused):  # unreadable aliases are no fault of a version
            targets = self._targets(folder.parents[1].name)
            held |= {
                f"the alias {a}": t.digest for a, t in targets.items() if t.version == version and t.digest
            }
        got = proof.digest(raw)
        for source, digest in held.items():
            if digest != got:
                raise _refusal(MANIFEST_JSON, f"{digest} as {source} has it", got)
        return raw, bool(held)

    def _may_hold(self, name: str) -> bool:
        try:
            return bool(self.versions(name))
        except OSError:
            return True

    def _version_folder(self, name: str, version: int) -> Path:
        held = self.versions(name)
        if version not in held:
            raise self._not_found(f"{name}@{version}", name, held)
        return self.root / name / "versions" / str(version)

    def _not_found(self, reference: str, name: str, held: list[int]) -> ModelNotFound:
        known = [str(version) for version in held[:10]] + sorted(self.aliases(name)) if held else []
        names = ", ".join([f"{name}@{one}" for one in known] or self.names()[:10])
        message = f"{reference[:80]}: expected a model of the store, which holds {names or 'none'}"
        return ModelNotFound(message, model=reference, available=names)

    def _next_version(self, name: str) -> int:
        """Counts on from the highest number known to have been given; older stores noted none.

        Raises:
            ModelRefused: A folder, or what was noted, is above the last number there is, or at it.
        """
        folder = self.root / name
        given = [_read_last_version(folder), *self.versions(name), *self.aliases(name).values()]
        foreign = [one for one in os.listdir(folder / "versions") if is_number(one) and not is_version(one)]
        if foreign or max(given) == LAST_VERSION:
            raise ModelRefused(
                f"{name}/versions: expected versions from 1 to {LAST_VERSION} and room for another, "
                f"got {min(foreign, default=str(max(given)))}; give the folder another name, or the model"
            )
        return max(given) + 1

    @contextmanager
    def _locked(self, name: str) -> Iterator[Path]:
        """Holds the model's lock for writing; the lock of a killed process is free again."""
        folder = self.root / name
        (folder / "versions").mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            for left_over in (folder / "versions").glob(f"{_UNFINISHED}*"):
                shutil.rmtree(left_over)
            yield folder


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _refusal(what: str, expected: str, got: str) -> ModelRefused:
    return ModelRefused(f"{what}: expected {expected}, got {got}; restore the files or publish again")


def _read_files(folder: Path, entries: Mapping[str, FileEntry]) -> dict[str, bytes]:
    """Reads the files of a version that are there, and of none more than the manifest says it holds."""
    files = {}
    for name, entry in entries.items():
        with suppress(FileNotFoundError):  # what is missing is refused with the digests
            files[name] = disk.read_file(folder / name, entry.size_bytes)
    return files


def _verify(name: str, entry: FileEntry, content: bytes | None) -> None:
    if content is None:
        raise _refusal(name, "the file that the manifest names", "none")
    size, digest = len(content), _sha256(content)
    if (size, digest) != (entry.size_bytes, entry.sha256):
        expected = f"{entry.size_bytes} bytes with SHA-256 {entry.sha256}"
        raise _refusal(name, expected, f"{size} bytes with {digest}")


def _read_last_version(folder: Path) -> int:
    try:
        content = disk.read_file(folder / _LAST_VERSION, _MAX_LAST_VERSION_BYTES)
        text = content.decode("ascii", "replace").strip()
    except FileNotFoundError:
        return 0
    except disk.Unfit as error:
        text = str(error)
    if not is_version(text):
        raise ModelRefused(
            f"{folder.name}/{_LAST_VERSION}: expected the highest version number ever given, "
            f"got {text[:80]!r}; write it into the file, or delete the file if no version was ever removed"
        )
    return int(text)


def _assemble(manifest: Manifest, files: Mapping[str, bytes]) -> StoredVersion:
    """Fills in the digests; raises ModelRefused for what could not be read again."""
    entries = {
        name: FileEntry(sha256=_sha256(content), size_bytes=len(content))
        for name, content in sorted(files.items())
    }
    stored = StoredVersion.verified(replace(manifest, files=entries).dump(), files)
    if (size := len(stored.manifest_bytes)) > _MAX_MANIFEST_BYTES:
        raise _refusal(MANIFEST_JSON, f"at most {_MAX_MANIFEST_BYTES} bytes", f"{size}")
    return stored


def _refuse_other(manifest: Manifest, name: str, version: int) -> None:
    named = f"{manifest.name}@{manifest.version}"
    if named != f"{name}@{version}":
        raise _refusal(f"{name}@{version}", "its own manifest", f"that of {named}")


def _write_version(folder: Path, version: int, stored: StoredVersion) -> None:
    """Writes all files beside the published versions, notes the number, then gives it to the folder."""
    versions = folder / "versions"
    temporary = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=versions))
    temporary.chmod(0o755)  # mkdtemp makes it private; the server may run as another user
    proof.write(temporary, stored.manifest_bytes)
    for name, content in {**stored.files, MANIFEST_JSON: stored.manifest_bytes}.items():
        disk.write_file(temporary / name, content)
    disk.sync(temporary)
    # Before the folder shows: a process killed in between loses a number, and none is given twice.
    disk.replace_file(folder / _LAST_VERSION, f"{version}\n".encode())
    temporary.rename(versions / str(version))
    disk.sync(versions)
