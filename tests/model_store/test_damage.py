"""Damage is always refused by digest; with digests forged to fit, it never makes a wrong answer."""

from contextlib import suppress
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.model_store.model_examples import LEARNERS, a_manifest, on_the_edges, some_files

from staunch_model_store.errors import ModelRefused
from staunch_model_store.model import Explanation, LoadedModel
from staunch_model_store.store import StoredVersion, _assemble

FILES = ("features.sql", "golden.npz", "model.onnx", "explainer.onnx")


@cache
def whole(learner: str) -> StoredVersion:
    """A version whose golden rows stand at every split."""
    return _assemble(a_manifest(LEARNERS[learner]()), some_files(LEARNERS[learner](), rows=1024))


@cache
def expected(learner: str) -> Explanation:
    return LoadedModel.load(whole(learner)).explain(hard_rows(learner))


def hard_rows(learner: str) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return on_the_edges(LEARNERS[learner]().trees, 300, seed=11)


@st.composite
def damages(draw: st.DrawFn, content: bytes) -> bytes:
    """The content with a bit flipped, some bytes overwritten, cut out, doubled, or the end missing."""
    at = draw(st.integers(0, len(content) - 1))
    some = draw(st.binary(min_size=1, max_size=9))
    return draw(
        st.sampled_from(
            [
                content[:at] + bytes([content[at] ^ 1 << draw(st.integers(0, 7))]) + content[at + 1 :],
                content[:at] + some + content[at + len(some) :],
                content[:at] + content[at + len(some) :],
                content[:at] + content[at : at + 50] + content[at:],
                content[:at],
            ]
        ).filter(lambda damaged: damaged != content)
    )


@given(st.data(), st.sampled_from(FILES), st.sampled_from(["forest", "booster"]))
def test_a_damaged_file_is_refused_by_its_digest(data: st.DataObject, name: str, learner: str) -> None:
    stored = whole(learner)
    damaged = data.draw(damages(stored.files[name]))
    with pytest.raises(ModelRefused, match=f"{name}: expected .* bytes with SHA-256"):
        StoredVersion.verified(stored.manifest_bytes, {**stored.files, name: damaged})


@pytest.mark.parametrize("name", FILES[1:])
@pytest.mark.parametrize("learner", ["forest", "booster"])
@given(data=st.data())
def test_damage_with_a_forged_digest_is_refused_or_harmless(
    data: st.DataObject, name: str, learner: str
) -> None:
    damaged = data.draw(damages(whole(learner).files[name]))
    forged = _assemble(whole(learner).manifest, {**whole(learner).files, name: damaged})
    right, precision = expected(learner), LEARNERS[learner]().precision
    with suppress(ModelRefused):
        answer = LoadedModel.load(forged).explain(hard_rows(learner))
        assert np.abs(answer.outputs - right.outputs).max() <= precision
        assert np.abs(answer.contributions - right.contributions).max() <= max(precision, 1e-9)
