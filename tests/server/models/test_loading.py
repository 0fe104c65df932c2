"""A version is read and proven, and what nothing proves yet is accepted with a warning."""

import pytest
from tests.model_store.test_store import as_of_an_older_release
from tests.server.harness.running import Publish

from staunch_model_store.errors import ModelRefused
from staunch_model_store.store import ModelStore
from staunch_server.models.loading import read_and_prove
from staunch_server.types import Version


def test_a_version_is_given_as_it_was_published(
    publish: Publish, store: ModelStore, caplog: pytest.LogCaptureFixture
) -> None:
    published = publish()
    stored, model = read_and_prove(store, Version("churn", 1))
    assert (stored, model.digest) == (published, published.digest)
    assert caplog.messages == []


def test_what_an_older_release_published_is_accepted_with_a_warning(
    publish: Publish, store: ModelStore, caplog: pytest.LogCaptureFixture
) -> None:
    publish()
    as_of_an_older_release(store)
    read_and_prove(store, Version("churn", 1))
    (message,) = caplog.messages
    assert message.startswith("churn@1: accepted, though nothing holds the digest of its manifest")
    caplog.clear()
    store.prove("churn", 1)
    read_and_prove(store, Version("churn", 1))
    assert caplog.messages == []


def test_what_is_damaged_is_refused(publish: Publish, store: ModelStore) -> None:
    publish()
    manifest = store.root / "churn" / "versions" / "1" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"medium": 0.3', b'"medium": 0.0'))
    with pytest.raises(ModelRefused, match="manifest"):
        read_and_prove(store, Version("churn", 1))
