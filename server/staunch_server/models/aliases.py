"""What the aliases of the store point at, read so that trouble with the disk changes nothing."""

import hashlib
import logging
from collections.abc import Mapping

from staunch_model_store.errors import ModelRefused, ModelStoreError
from staunch_model_store.store import ModelStore

_LOG = logging.getLogger("staunch.models")

Version = tuple[str, int]
"""A model's name and a version number."""

Alias = tuple[str, str]
"""A model's name and an alias."""

Target = tuple[int, str]
"""A version number and the digest of its manifest, "" if there is none to be read."""

Pointing = Mapping[Alias, Target]
"""Every alias and its target."""


class Complaints:
    """Logs each trouble once, not at every look at the store."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def log(self, what: str, text: str) -> None:
        """Logs a trouble with something, unless that was the last one logged about it."""
        if self._last.get(what) != text:
            self._last[what] = text
            _LOG.warning("%s: %s", what, text)

    def over(self, what: str) -> None:
        """Logs that something is well again, if there was trouble with it."""
        if self._last.pop(what, None) is not None:
            _LOG.info("%s: well again", what)


def read_pointing(store: ModelStore, last: Pointing, complaints: Complaints) -> Pointing:
    """Reads what every alias points at; touches the disk.

    A model whose aliases cannot be read, or are gone altogether, keeps what it had in `last`: a disk that is
    away is no order to stop answering.
    """
    pointing = dict(last)
    try:
        names = store.names()
    except OSError as error:
        complaints.log("store", f"cannot be read, so nothing changes: {error}")
        return pointing
    for name in names:
        if aliases := _read_aliases(store, name, complaints):
            pointing = {alias: to for alias, to in pointing.items() if alias[0] != name} | aliases
    return pointing


def digest(store: ModelStore, version: Version) -> str:
    """The digest of a version's manifest as it lies on the disk: "sha256:" and lower-case hex.

    Raises:
        ModelNotFound: The store holds no such version.
        ModelRefused: The manifest is not readable.
    """
    return f"sha256:{hashlib.sha256(store.manifest_bytes(*version)).hexdigest()}"


def _read_aliases(store: ModelStore, name: str, complaints: Complaints) -> dict[Alias, Target]:
    try:
        aliases = store.aliases(name)
    except (ModelRefused, OSError) as error:
        complaints.log(f"{name}/aliases.json", f"cannot be read, so nothing changes: {error}")
        return {}
    return {(name, alias): (number, _digest(store, (name, number))) for alias, number in aliases.items()}


def _digest(store: ModelStore, version: Version) -> str:
    try:
        return digest(store, version)
    except ModelStoreError:  # Loading the version says what is wrong with it.
        return ""
