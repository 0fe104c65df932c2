"""Reads a version and proves it, in whichever thread it is called."""

import logging

from staunch_model_store.model import LoadedModel
from staunch_model_store.store import ModelStore, StoredVersion
from staunch_server.types import Version

_LOG = logging.getLogger("staunch.models")


def read_and_prove(store: ModelStore, version: Version) -> tuple[StoredVersion, LoadedModel]:
    """Reads all of a version and runs its golden rows; touches the disk, and computes.

    What an older release published is accepted with a warning: no digest proves its manifest.

    Raises:
        ModelNotFound: The store holds no such version.
        ModelRefused: It is damaged, foreign, or computes wrong answers.
    """
    stored = store.read(*version)
    model = LoadedModel.load(stored)
    if not stored.proven:
        _LOG.warning(
            "%s: accepted, though nothing holds the digest of its manifest, as of an older release; "
            "`staunch models verify --write` writes it",
            version,
        )
    return stored, model
