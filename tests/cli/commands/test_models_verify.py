"""`staunch models verify`: what is sound, what nothing proves yet, and what is refused."""

import json

import pytest
from tests.model_store.test_store import as_of_an_older_release
from tests.server.harness.running import Publish

from staunch_model_store.store import ModelStore


@pytest.fixture
def store(tmp_path):
    store = ModelStore(tmp_path / "models")
    for _ in range(2):
        Publish(store)()
    Publish(store)("spend")
    return store


@pytest.fixture
def verify(staunch, store):
    return lambda *words: staunch("models", "verify", *words, "--store", store.root)


def lines(result):
    return [line.split()[:2] for line in result.out.splitlines()[1:]]


def test_it_proves_every_version_without_a_server(verify):
    result = verify()
    assert result.code == 0
    assert lines(result) == [["churn@2", "proven"], ["churn@1", "proven"], ["spend@1", "proven"]]
    assert lines(verify("spend")) == [["spend@1", "proven"]]


def test_what_is_refused_is_named_with_its_problem_and_ends_in_1(verify, store):
    file = store.root / "churn/versions/1/manifest.json"
    file.write_bytes(file.read_bytes() + b" ")
    result = verify("--json")
    assert result.code == 1
    found = {one["model"]: one for one in json.loads(result.out)["versions"]}
    assert [one["state"] for one in found.values()] == ["proven", "refused", "proven"]
    assert "as manifest.sha256 has it" in found["churn@1"]["problem"]
    assert found["churn@2"]["model_digest"] == store.read("churn", 2).digest


def test_what_an_older_release_wrote_is_unproven_until_it_is_written(verify, store):
    as_of_an_older_release(store)
    assert lines(verify()) == [["churn@2", "unproven"], ["churn@1", "unproven"], ["spend@1", "unproven"]]
    assert "--write" in verify().out
    damaged = store.root / "churn/versions/1/model.onnx"
    damaged.write_bytes(b"damaged")
    result = verify("--write")
    assert result.code == 1
    assert lines(result) == [["churn@2", "proven"], ["churn@1", "refused"], ["spend@1", "proven"]]
    assert not (damaged.parent / "manifest.sha256").exists()
    assert lines(verify())[0] == ["churn@2", "proven"]


def test_a_name_that_the_store_has_not_is_refused_with_what_it_has(verify, store):
    result = verify("chrun")
    assert result.code == 1
    assert f"{store.root}, which holds churn, spend, got 'chrun'" in result.err


def test_an_empty_store_says_how_to_fill_it_and_one_that_is_not_there_is_refused(staunch, tmp_path):
    (tmp_path / "empty").mkdir()
    result = staunch("models", "verify", "--store", tmp_path / "empty")
    assert (result.code, result.out) == (0, "no models; publish one with `staunch train`\n")
    result = staunch("models", "verify", "--store", tmp_path / "none")
    assert result.code == 1
    assert f"expected {tmp_path / 'none'} to be the folder of models, got none" in result.err
