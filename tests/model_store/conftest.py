"""What the tests of this room share: an empty store."""

from pathlib import Path

import pytest

from staunch_model_store.store import ModelStore


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")
