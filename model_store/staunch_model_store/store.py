"""The store: a folder of model versions, each proving itself, and the aliases that point at them.

<root>/NAME/versions/7/   manifest.json and the files whose digests it holds
<root>/NAME/aliases.json  {"format": 1, "aliases": {"champion": {"version": 7}}}
<root>/NAME/last_version  the highest number ever given, so that none is given twice
<root>/NAME/.lock         taken by whoever writes

Versions are never changed, and the number of one that was removed is never given to another: what was
scored with "churn@7" means one model for good. Everything written is on the disk before it can be seen: a
process killed at any moment leaves either the old state or the new one.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from staunch_model_store.errors import AliasMoved, ModelNotFound, ModelRefused, NameInvalid
from staunch_model_store.manifest import FORMAT, NAME, FileEntry, Manifest

CHAMPION = "champion"
"""The alias that a model's bare name means."""

LAST_VERSION = 2**31 - 1
"""The highest number of a version: an int32 of the contract, which is a number in every language and JSON."""

_MANIFEST = "manifest.json"
_LAST_VERSION = "last_version"
_UNFINISHED = ".unfinished-"


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed "name", "name@3" or "name@alias"; exactly one of `version` and `alias` is set."""

    name: str
    version: int | None
    alias: str | None


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version as read from the disk once: every file is held and agrees with its digest.

    Attributes:
        manifest: What manifest.json says.
        manifest_bytes: The manifest.json, byte for byte.
        digest: "sha256:" and the hex digest of manifest_bytes.
        files: Name to content, all those of the manifest.
    """

    manifest: Manifest
    manifest_bytes: bytes
    digest: str
    files: Mapping[str, bytes]

    @classmethod
    def verified(cls, manifest_bytes: bytes, files: Mapping[str, bytes]) -> "StoredVersion":
        """Parses the manifest and compares every file with it.

        Raises:
            ModelRefused: The manifest is not readable, or a file is missing or not what was published.
        """
        manifest = Manifest.parse(manifest_bytes)
        for name, entry in manifest.files.items():
            _verify(name, entry, files.get(name))
        return cls(manifest, manifest_bytes, f"sha256:{_sha256(manifest_bytes)}", files)


def parse_reference(text: str) -> Reference:
    """Reads "name" (its champion), "name@3" or "name@alias".

    Raises:
        NameInvalid: No model can be called that.
    """
    name, at, rest = text.partition("@")
    rest = rest if at else CHAMPION
    if NAME.fullmatch(name) and NAME.fullmatch(rest):
        return Reference(name, None, rest)
    if NAME.fullmatch(name) and _is_version(rest):
        return Reference(name, int(rest), None)
    expected, got = '"name", "name@version" or "name@alias"', text[:80]
    hint = f"; versions are numbers from 1 to {LAST_VERSION}" if _is_number(rest) else ""
    message = f"expected a model as {expected}, got {got!r}{hint}"
    raise NameInvalid(message, field="model", expected=expected, got=got)


class ModelStore:
    """The models below one folder; safe for any number of reading and writing processes on one machine.

    All methods touch the disk and may block; nothing is cached.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """Lists the models that have a version, sorted; none if the folder does not exist."""
        if not self.root.is_dir():
            return []
        return sorted(entry.name for entry in self.root.iterdir() if self.versions(entry.name))

    def versions(self, name: str) -> list[int]:
        """Lists the published versions, newest first; none if there is no such model."""
        folder = self.root / name / "versions"
        if not NAME.fullmatch(name) or not folder.is_dir():
            return []
        return sorted(map(int, filter(_is_version, os.listdir(folder))), reverse=True)

    def aliases(self, name: str) -> dict[str, int]:
        """Gives each alias of the model and the version it points at; none if there is no such model.

        Raises:
            ModelRefused: Aliases.json is not readable.
        """
        file = self.root / name / "aliases.json"
        if not NAME.fullmatch(name) or not file.is_file():
            return {}
        try:
            return _parse_aliases(json.loads(file.read_bytes()))
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise ModelRefused(
                f"{name}/aliases.json: expected format {FORMAT} with a version for each alias, got {error}; "
                "delete the file and set the aliases again"
            ) from error

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
            ModelRefused: The file is not readable.
        """
        try:
            return (self._version_folder(name, version) / _MANIFEST).read_bytes()
        except OSError as error:
            raise _refusal(f"{name}@{version}", "a readable manifest.json", _system_reason(error)) from error

    def read(self, name: str, version: int) -> StoredVersion:
        """Reads all files of a version once and verifies them against the manifest.

        Raises:
            ModelNotFound: The store holds no such version.
            ModelRefused: A file is missing, damaged, unreadable or foreign.
        """
        folder = self._version_folder(name, version)
        try:
            manifest_bytes = (folder / _MANIFEST).read_bytes()
            names = Manifest.parse(manifest_bytes).files
            files = {file: (folder / file).read_bytes() for file in names if (folder / file).is_file()}
        except OSError as error:
            raise _refusal(f"{name}@{version}", "readable files", _system_reason(error)) from error
        stored = StoredVersion.verified(manifest_bytes, files)
        named = f"{stored.manifest.name}@{stored.manifest.version}"
        if named != f"{name}@{version}":
            raise _refusal(f"{name}@{version}", "its own manifest", f"that of {named}")
        return stored

    def set_alias(self, name: str, alias: str, version: int, expected: int | None = None) -> int:
        """Points an alias at a published version, atomically; gives the one it pointed at before, 0 for none.

        Args:
            name: The model.
            alias: Matches `[a-z][a-z0-9_-]{0,62}`.
            version: A version that the store holds.
            expected: The version the alias must point at now, 0 for none; None skips the check.

        Raises:
            NameInvalid: Of the alias.
            ModelNotFound: The store holds no such version.
            AliasMoved: The alias does not point at `expected`.
        """
        _refuse_name("alias", alias)
        self._version_folder(name, version)
        with self._locked(name) as folder:
            aliases = self.aliases(name)
            previous = aliases.get(alias, 0)
            if expected is not None and expected != previous:
                raise AliasMoved(
                    f"{name}@{alias}: expected version {expected}, got {previous}; look again, then repeat",
                    alias=f"{name}@{alias}",
                    expected_version=str(expected),
                    current_version=str(previous),
                )
            _write_aliases(folder, aliases | {alias: version})
        return previous

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
        _refuse_name("model", name)
        with self._locked(name) as folder:
            version = self._next_version(name)
            stored = _assemble(*build(version))
            if verify is not None:
                verify(stored)
            _write_version(folder, version, stored)
        return stored

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
        foreign = [one for one in os.listdir(folder / "versions") if _is_number(one) and not _is_version(one)]
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


def _refuse_name(field: str, name: str) -> None:
    if not NAME.fullmatch(name):
        expected, got = NAME.pattern, name[:80]
        message = f"{field}: expected {expected}, got {got!r}"
        raise NameInvalid(message, field=field, expected=expected, got=got)


def _is_version(text: str) -> bool:
    return _is_number(text) and text[0] != "0" and len(text) <= 10 and int(text) <= LAST_VERSION


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _refusal(what: str, expected: str, got: str) -> ModelRefused:
    return ModelRefused(f"{what}: expected {expected}, got {got}; restore the files or publish again")


def _system_reason(error: OSError) -> str:
    """What the system says of which file, without its folder: callers of the server read this too."""
    return f"{Path(str(error.filename)).name}: {error.strerror or type(error).__name__}"


def _verify(name: str, entry: FileEntry, content: bytes | None) -> None:
    if content is None:
        raise _refusal(name, "the file that the manifest names", "none")
    size, digest = len(content), _sha256(content)
    if (size, digest) != (entry.size_bytes, entry.sha256):
        expected = f"{entry.size_bytes} bytes with SHA-256 {entry.sha256}"
        raise _refusal(name, expected, f"{size} bytes with {digest}")


def _parse_aliases(content: dict[str, Any]) -> dict[str, int]:
    if content["format"] != FORMAT:
        raise ValueError(f"format {content['format']!r}")
    versions = {alias: int(target["version"]) for alias, target in content["aliases"].items()}
    if wrong := [version for version in versions.values() if not 1 <= version <= LAST_VERSION]:
        raise ValueError(f"version {wrong[0]}, which is not from 1 to {LAST_VERSION}")
    return versions


def _write_aliases(folder: Path, aliases: Mapping[str, int]) -> None:
    content = {"format": FORMAT, "aliases": {name: {"version": aliases[name]} for name in sorted(aliases)}}
    _replace_file(folder / "aliases.json", json.dumps(content, indent=1).encode() + b"\n")


def _read_last_version(folder: Path) -> int:
    try:
        text = (folder / _LAST_VERSION).read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return 0
    if not _is_version(text):
        raise ModelRefused(
            f"{folder.name}/{_LAST_VERSION}: expected the highest version number ever given, "
            f"got {text[:80]!r}; write it into the file, or delete the file if no version was ever removed"
        )
    return int(text)


def _assemble(manifest: Manifest, files: Mapping[str, bytes]) -> StoredVersion:
    entries = {
        name: FileEntry(sha256=_sha256(content), size_bytes=len(content))
        for name, content in sorted(files.items())
    }
    return StoredVersion.verified(replace(manifest, files=entries).dump(), files)


def _write_version(folder: Path, version: int, stored: StoredVersion) -> None:
    """Writes all files beside the published versions, notes the number, then gives it to the folder."""
    versions = folder / "versions"
    temporary = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=versions))
    temporary.chmod(0o755)  # mkdtemp makes it private; the server may run as another user
    for name, content in {**stored.files, _MANIFEST: stored.manifest_bytes}.items():
        _write_file(temporary / name, content)
    _sync(temporary)
    # Before the folder shows: a process killed in between loses a number, and none is given twice.
    _replace_file(folder / _LAST_VERSION, f"{version}\n".encode())
    temporary.rename(versions / str(version))
    _sync(versions)


def _replace_file(path: Path, content: bytes) -> None:
    """Replaces a file at one moment: readers see the old content or the new one."""
    temporary = path.with_name(f".{path.name}")
    _write_file(temporary, content)
    temporary.replace(path)
    _sync(path.parent)


def _write_file(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Makes the names in a folder durable: fsync of a file alone does not."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
