"""What the aliases of the store point at, read so that trouble with the disk changes nothing."""

import hashlib
from collections.abc import Collection, Mapping
from typing import NamedTuple

from staunch_features.errors import log_text
from staunch_model_store.errors import ModelRefused, ModelStoreError
from staunch_model_store.store import ModelStore
from staunch_server.models.stored.problems import Problems
from staunch_server.types import Alias, Version


class Target(NamedTuple):
    """What an alias points at: a version's number, and the digest of its manifest ("" if it has none)."""

    number: int
    digest: str


Targets = Mapping[Alias, Target]
"""Every alias and its target."""


def read_targets(store: ModelStore, last: Targets, problems: Problems) -> Targets:
    """Reads what every alias points at; touches the disk.

    A model whose aliases cannot be read, or are gone altogether, keeps what it had in `last`: a disk that is
    away is no order to stop answering.
    """
    targets = dict(last)
    try:
        names = store.names()
    except OSError as error:
        problems.report("store", f"cannot be read, so nothing changes: {error}")
        return targets
    _report_gone({alias.name for alias in last}, names, store, problems)
    for name in names:
        read = _read_aliases(store, name, problems)
        if read is not None:
            targets = {alias: target for alias, target in targets.items() if alias.name != name} | read
    return targets


def digest(store: ModelStore, version: Version) -> str:
    """Returns the digest of a version's manifest as it lies on the disk: "sha256:" and lower-case hex.

    Raises:
        ModelNotFound: The store holds no such version.
        ModelRefused: The manifest is not readable.
    """
    return f"sha256:{hashlib.sha256(store.manifest_bytes(*version)).hexdigest()}"


def _report_gone(
    before: Collection[str], now: Collection[str], store: ModelStore, problems: Problems
) -> None:
    """Says which models are no longer there, as when a disk is not mounted."""
    if before and not store.root.is_dir():
        problems.report("store", f"cannot be read, so nothing changes: {store.root} is no folder any more")
        return
    problems.solved("store")
    for name in sorted(before):
        if name in now:
            problems.solved(name)
        else:
            problems.report(name, "is gone from the store, and answers on as it was read last")


def _read_aliases(store: ModelStore, name: str, problems: Problems) -> dict[Alias, Target] | None:
    """Reads what the aliases of a model point at; None if that cannot be read, or is gone altogether."""
    try:
        aliases = store.aliases(name)
        if not aliases and not store.has_aliases(name):
            return None
        found = {
            Alias(name, alias): Target(number, _digest(store, Version(name, number)))
            for alias, number in aliases.items()
        }
    except (ModelRefused, OSError) as error:
        problems.report(f"{name}/aliases.json", f"cannot be read, so nothing changes: {error}")
        return None
    except (
        Exception
    ) as error:  # A mistake of ours: it must not end the worker, which starts to meet it again.
        problems.report(f"{name}/aliases.json", f"cannot be read, so nothing changes: {log_text(error)}")
        return None
    problems.solved(f"{name}/aliases.json")
    return found


def _digest(store: ModelStore, version: Version) -> str:
    try:
        return digest(store, version)
    except ModelStoreError:  # Loading the version says what is wrong with it.
        return ""
