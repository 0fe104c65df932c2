"""The file aliases.json: which version each alias of a model points at, and that one's digest."""

import json
import re
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from staunch_model_store import disk
from staunch_model_store.errors import AliasLimit, AliasMoved, ModelRefused
from staunch_model_store.manifest import FORMAT, NAME
from staunch_model_store.reference import LAST_VERSION

FILE = "aliases.json"

MAX_BYTES = 1 << 20
"""The most that an aliases.json may hold; ours have some sixty bytes an alias."""

MAX_ALIASES = 100
"""The most aliases that are given to a model: the version of each is held in memory."""

_DIGEST = re.compile("sha256:[0-9a-f]{64}")


class Target(NamedTuple):
    """What an alias points at: a version, and the digest of its manifest ("" of an older release's alias)."""

    version: int
    digest: str = ""


def read(folder: Path) -> dict[str, Target]:
    """Reads the file in the folder of a model; no aliases if there is none.

    Raises:
        ModelRefused: It is not readable.
    """
    try:
        return parse(disk.read_file(folder / FILE, MAX_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ModelRefused(
            f"{folder.name}/{FILE}: expected a file that can be read, got {disk.reason(error)}; "
            "let the user that serves read it"
        ) from error
    except ValueError as error:
        raise ModelRefused(
            f"{folder.name}/{FILE}: expected format {FORMAT} with a version for each alias, got {error}; "
            "delete the file and set the aliases again"
        ) from error


def write(folder: Path, before: Mapping[str, Target], after: Mapping[str, Target]) -> None:
    """Replaces the file in the folder of a model at one moment, if anything changes."""
    if after != before:
        disk.replace_file(folder / FILE, dump(after))


def point(folder: Path, alias: str, target: Target, expected: int | None) -> int:
    """Points an alias at a target, in the folder of a model that is locked; as `ModelStore.set_alias`."""
    targets = read(folder)
    previous = targets[alias].version if alias in targets else 0
    if previous != target.version:
        _refuse_moved(f"{folder.name}@{alias}", previous, expected)
    if alias not in targets and len(targets) >= MAX_ALIASES:
        raise AliasLimit(
            f"{folder.name}@{alias}: expected at most {MAX_ALIASES} aliases of a model, got one more; "
            "delete one that nobody asks for",
            alias=f"{folder.name}@{alias}",
            limit=str(MAX_ALIASES),
        )
    write(folder, targets, targets | {alias: target})
    return previous


def remove(folder: Path, alias: str, expected: int | None) -> int:
    """Takes an alias away, in the folder of a model that is locked; as `ModelStore.delete_alias`."""
    targets = read(folder)
    previous = targets[alias].version if alias in targets else 0
    if previous:
        _refuse_moved(f"{folder.name}@{alias}", previous, expected)
    write(folder, targets, {name: target for name, target in targets.items() if name != alias})
    return previous


def parse(raw: bytes) -> dict[str, Target]:
    """Reads each alias and what it points at.

    Raises:
        ValueError: It is anything but what `dump` writes; the text says what was found, in few words.
    """
    try:
        content = json.loads(raw, parse_constant=_no_constant, object_pairs_hook=_distinct)
    except RecursionError as error:
        raise ValueError("lists in lists without end") from error
    if not isinstance(content, dict):
        raise ValueError(f"no object but {reprlib.repr(content)}")  # noqa: TRY004 - one error for bad bytes
    # True equals 1, and so does 1.0.
    if type(content.get("format")) is not int or content["format"] != FORMAT:
        raise ValueError(f"format {reprlib.repr(content.get('format'))}")
    targets = content.get("aliases")
    if not isinstance(targets, dict):
        raise ValueError(f"aliases {reprlib.repr(targets)}")  # noqa: TRY004 - as above
    return {_alias(alias): Target(_version(target), _digest(target)) for alias, target in targets.items()}


def dump(targets: Mapping[str, Target]) -> bytes:
    """Writes what `parse` reads."""
    aliases: dict[str, dict[str, int | str]] = {}
    for name, target in sorted(targets.items()):
        aliases[name] = {"version": target.version} | ({"digest": target.digest} if target.digest else {})
    content = {"format": FORMAT, "aliases": aliases}
    return json.dumps(content, indent=1).encode() + b"\n"


def _refuse_moved(alias: str, previous: int, expected: int | None) -> None:
    if expected is not None and expected != previous:
        raise AliasMoved(
            f"{alias}: expected version {expected}, got {previous}; look again, then repeat",
            alias=alias,
            expected_version=str(expected),
            current_version=str(previous),
        )


def _alias(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError(f"the alias {reprlib.repr(name)}, which does not match {NAME.pattern}")
    return name


def _version(target: Any) -> int:
    """Reads a target; a version is a whole number written as one: neither "1", 1.9, 1e999 nor true."""
    version = target.get("version") if isinstance(target, dict) else target
    if not isinstance(target, dict) or type(version) is not int:
        raise ValueError(f"version {reprlib.repr(version)}, which is no whole number")
    if not 1 <= version <= LAST_VERSION:
        raise ValueError(f"version {reprlib.repr(version)}, which is not from 1 to {LAST_VERSION}")
    return version


def _digest(target: Mapping[str, Any]) -> str:
    digest = target.get("digest", "")
    if "digest" in target and not (isinstance(digest, str) and _DIGEST.fullmatch(digest)):
        raise ValueError(f"digest {reprlib.repr(digest)}, which does not match {_DIGEST.pattern}")
    return str(digest)


def _no_constant(text: str) -> float:
    raise ValueError(f"{text}, which is no JSON")


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses an object that says two things of one name: which of them is meant is anybody's guess."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"two values of {reprlib.repr(next(n for n in names if names.count(n) > 1))}")
    return found
