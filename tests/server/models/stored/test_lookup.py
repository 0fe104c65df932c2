"""What a request's `model` means in a real store: each way to name a version, and each refusal."""

import pytest
from tests.server.harness.running import Publish

from staunch_features.errors import ViewError
from staunch_model_store.errors import ModelRefused, ModelStoreError
from staunch_model_store.store import ModelStore
from staunch_server.errors import Reason, Refusal, Resource
from staunch_server.models.stored.lookup import about, find, resource
from staunch_server.types import Version


def refused(store: ModelStore, model: str, default_model: str = "churn") -> Refusal:
    with pytest.raises(Refusal) as caught:
        find(store, default_model, model)
    return caught.value


@pytest.fixture
def two(publish: Publish) -> None:
    """Two versions; the champion is the second, the first is called safe."""
    publish(alias="safe")
    publish(base=1.0)


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("model", "number"),
    [("", 2), ("churn", 2), ("churn@champion", 2), ("churn@safe", 1), ("churn@1", 1), ("churn@2", 2)],
)
def test_a_version_is_found_by_each_name_it_has(store: ModelStore, model: str, number: int) -> None:
    assert find(store, "churn", model) == Version("churn", number)


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    "model", ["Churn", "churn@", "churn@0", "churn@01", "churn@-1", "churn@1@2", "../churn"]
)
def test_what_no_model_can_be_called_is_a_wrong_field(store: ModelStore, model: str) -> None:
    refusal = refused(store, model)
    assert refusal.reason is Reason.FIELD_INVALID
    assert [violation.field for violation in refusal.violations] == ["model"]
    assert refusal.message.startswith("model: ")
    assert model in refusal.message


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("model", ["churn@3", "churn@nobody", "other", "other@1"])
def test_what_the_store_does_not_hold_is_not_found(store: ModelStore, model: str) -> None:
    refusal = refused(store, model)
    assert (refusal.reason, refusal.resource) == (Reason.MODEL_NOT_FOUND, Resource("model", model))


@pytest.mark.parametrize("model", ["", "churn"])
def test_before_the_first_version_the_default_model_is_yet_to_come(store: ModelStore, model: str) -> None:
    refusal = refused(store, model)
    assert (refusal.reason, refusal.resource) == (Reason.MODEL_NOT_READY, Resource("model", "churn"))
    assert "staunch train" in refusal.message


@pytest.mark.parametrize("model", ["other", "churn@1"])
def test_another_name_is_not_found_in_an_empty_store_either(store: ModelStore, model: str) -> None:
    assert refused(store, model).reason is Reason.MODEL_NOT_FOUND


@pytest.mark.usefixtures("two")
def test_a_default_model_that_is_not_held_says_what_is(store: ModelStore, publish: Publish) -> None:
    publish("loyal")
    refusal = refused(store, "", default_model="gym")
    assert (refusal.reason, refusal.resource) == (Reason.MODEL_NOT_FOUND, Resource("model", "gym"))
    assert "the store holds churn, loyal." in refusal.message
    assert "STAUNCH_DEFAULT_MODEL" in refusal.message
    assert "STAUNCH_DEFAULT_MODEL" not in refused(store, "gym", default_model="gym").message


@pytest.mark.usefixtures("two")
def test_aliases_that_cannot_be_read_refuse_the_model_and_not_its_versions(store: ModelStore) -> None:
    (store.root / "churn" / "aliases.json").write_text("{")
    refusal = refused(store, "")
    assert (refusal.reason, refusal.resource) == (Reason.MODEL_REFUSED, Resource("model", "churn"))
    assert isinstance(refusal.__cause__, ModelRefused)
    assert find(store, "churn", "churn@1") == Version("churn", 1)


@pytest.mark.parametrize("error", [ModelRefused("damaged"), ViewError("v.sql", 1, "no column", "add it")])
def test_errors_of_a_version_name_it(error: Exception) -> None:
    version = Version("churn", 3)
    with pytest.raises(Refusal) as caught, about(version):
        raise error
    assert (caught.value.reason, caught.value.resource) == (Reason.MODEL_REFUSED, resource(version))
    assert resource(version) == Resource("model", "churn@3")


@pytest.mark.parametrize("error", [ModelStoreError("nobody foresaw it"), KeyError("a"), TimeoutError()])
def test_what_is_no_error_of_a_version_passes_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, about(Version("churn", 3)):
        raise error
    assert caught.value is error
