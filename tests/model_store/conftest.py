"""What the tests of this room share: each kind of learner in turn, and an empty store."""

import sys
from pathlib import Path

import pytest

# The examples are a module beside the tests.
sys.path.insert(0, str(Path(__file__).parent))

from model_examples import LEARNERS, Fitted

from staunch_model_store.store import ModelStore


@pytest.fixture(params=LEARNERS)
def fitted(request: pytest.FixtureRequest) -> Fitted:
    """Each learner in turn, shallow and deep."""
    return LEARNERS[request.param]()


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")
