"""How a version that is refused is told: in the error, in GetModel, in what SetAlias and a reload say."""

import asyncio
import contextlib
import re
import shutil
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.harness.databases import TestDatabase
from tests.harness.waiting import until
from tests.server.harness.errors import failure
from tests.server.harness.running import Publish, Running, Serve
from tests.server.small_models import view_text

from staunch.v1 import model_service_pb2 as mpb
from staunch.v1 import prediction_service_pb2 as pb
from staunch_model_store.model import LoadedModel
from staunch_model_store.store import ModelStore, StoredVersion
from staunch_server.deadlines import Deadline
from staunch_server.events import Events
from staunch_server.models.registry import Registry
from staunch_server.models.served import Served
from staunch_server.process.present import MODEL_INFO, Present
from staunch_server.types import Version

MISFIT = view_text().replace("people.b,", "people.b AS c,")


async def get(live: Running, model: str) -> mpb.Model:
    return (await live.models.GetModel(mpb.GetModelRequest(model=model))).model


async def predict(live: Running, model: str) -> pb.PredictResponse:
    answer: pb.PredictResponse = await live.prediction.Predict(pb.PredictRequest(model=model, customer_id=8))
    return answer


def damage(store: ModelStore, version: int) -> None:
    (store.root / "churn" / "versions" / str(version) / "model.onnx").write_bytes(b"damaged")


async def reload(live: Running) -> dict[int, int]:
    """The versions whose state a reload changed, and their states."""
    answer = await live.models.ReloadModels(mpb.ReloadModelsRequest())
    return {model.version: model.state for model in answer.models}


@pytest.mark.parametrize("fault", ["files", "header", "view"])
async def test_every_refusal_names_the_version_the_first_like_the_others(
    publish: Publish, serve: Serve, store: ModelStore, fault: str
) -> None:
    publish()
    publish(alias=None, text={"files": None, "header": "SELECT 1", "view": MISFIT}[fault])
    if fault == "files":
        damage(store, 2)
    live = await serve()
    asked = {"customer_id": 8, "model": "churn@2"}
    for _ in range(3):
        for call in (
            live.prediction.Predict(pb.PredictRequest(**asked)),
            live.prediction.Explain(pb.ExplainRequest(**asked)),
            live.models.SetAlias(mpb.SetAliasRequest(name="churn", alias="next", version=2)),
        ):
            error = await failure(call)
            assert (error.reason, error.resource) == ("MODEL_REFUSED", ("model", "churn@2"))


async def test_aliases_that_cannot_be_read_are_a_refusal_of_the_model_that_was_asked_for(
    publish: Publish, serve: Serve, store: ModelStore
) -> None:
    publish()
    live = await serve()
    (store.root / "churn" / "aliases.json").write_text("damaged")
    error = await failure(predict(live, "churn@next"))
    assert (error.reason, error.resource) == ("MODEL_REFUSED", ("model", "churn@next"))
    assert (await predict(live, "churn")).model.version == 1


def spoil(store: ModelStore, publish: Publish, fault: str) -> None:
    """Leaves a store without a version that could answer."""
    store.root.mkdir(exist_ok=True)
    if fault != "empty":
        publish(alias=None if fault == "no alias" else "champion")
    if fault == "files":
        damage(store, 1)
    if fault == "alias to none":
        shutil.rmtree(store.root / "churn" / "versions" / "1")
    if fault == "aliases":
        (store.root / "churn" / "aliases.json").write_text("damaged")


@pytest.mark.parametrize("fault", ["empty", "files", "alias to none", "no alias", "aliases"])
async def test_while_no_version_is_sound_a_models_name_is_not_ready_and_becomes_so_by_itself(
    publish: Publish, serve: Serve, store: ModelStore, fault: str
) -> None:
    spoil(store, publish, fault)
    live = await serve(store_poll_s=0.05)
    cause = live.server.why_not_serving()
    assert cause
    for model in ("", "churn", "churn@champion"):
        error = await failure(predict(live, model))
        assert (error.code.name, error.reason) == ("UNAVAILABLE", "MODEL_NOT_READY"), model
        assert error.retry_s
    if fault == "aliases":
        (store.root / "churn" / "aliases.json").unlink()
    number = publish().manifest.version

    async def answers() -> bool:
        with contextlib.suppress(grpc.RpcError):
            return bool((await predict(live, "churn")).model.version == number)
        return False

    await until(answers)
    assert live.server.why_not_serving() == ""


async def test_a_name_that_the_store_has_not_is_not_found_also_while_nothing_is_ready(
    publish: Publish, serve: Serve, store: ModelStore
) -> None:
    publish()
    damage(store, 1)
    live = await serve()
    assert (await failure(predict(live, "chrun"))).reason == "MODEL_NOT_FOUND"
    assert (await failure(predict(live, "churn@7"))).reason == "MODEL_NOT_FOUND"
    assert (await failure(predict(live, "churn@1"))).reason == "MODEL_REFUSED"


@pytest.mark.parametrize("fault", ["files", "view"])
async def test_a_version_that_set_alias_refused_is_shown_so_until_a_reload_finds_it_well(
    publish: Publish, serve: Serve, store: ModelStore, people: TestDatabase, fault: str
) -> None:
    publish()
    stored = publish(alias=None, text=MISFIT if fault == "view" else None)
    if fault == "files":
        damage(store, 2)
    live = await serve(store_poll_s=3600)
    await failure(live.models.SetAlias(mpb.SetAliasRequest(name="churn", alias="champion", version=2)))
    told = await get(live, "churn@2")
    assert (told.state, told.state_reason) == (mpb.MODEL_STATE_REFUSED, "MODEL_REFUSED")
    assert ("model.onnx" if fault == "files" else "not described: c") in told.state_message
    assert await reload(live) == {}
    assert await get(live, "churn@2") == told
    if fault == "files":
        mended = store.root / "churn" / "versions" / "2" / "model.onnx"
        mended.write_bytes(stored.files["model.onnx"])
        assert await reload(live) == {2: mpb.MODEL_STATE_STORED}
        assert (await get(live, "churn@2")).state_message == ""


async def test_a_reload_of_one_alias_moved_shows_what_was_refused_before_with_its_reason(
    publish: Publish, serve: Serve, store: ModelStore
) -> None:
    publish()
    live = await serve(store_poll_s=3600)
    publish()
    damage(store, 2)
    assert await reload(live) == {2: mpb.MODEL_STATE_REFUSED}
    moved = await live.models.SetAlias(mpb.SetAliasRequest(name="churn", alias="champion", version=1))
    assert moved.model.state == mpb.MODEL_STATE_READY
    await live.server.registry.reload()  # What SetAlias asks of every worker.
    told = await get(live, "churn@2")
    assert (told.state, told.state_reason) == (mpb.MODEL_STATE_REFUSED, "MODEL_REFUSED")
    assert "model.onnx" in told.state_message


@pytest.mark.parametrize("fault", ["files", "view"])
async def test_a_refused_version_that_was_rolled_away_is_no_metric_any_more(
    publish: Publish, serve: Serve, store: ModelStore, fault: str
) -> None:
    publish()
    live = await serve(store_poll_s=3600)
    publish(text={"files": None, "view": MISFIT}[fault])
    if fault == "files":
        damage(store, 2)

    def shown() -> dict[str, str]:
        families = Present(live.server.metrics.registry).collect()
        infos = [sample.labels for each in families for sample in each.samples if each.name == MODEL_INFO]
        return {labels["version"]: labels["state"] for labels in infos}

    for _ in range(2):  # it stays so while the alias points at it
        await reload(live)
        assert shown() == {"1": "READY", "2": "REFUSED"}
    store.set_alias("churn", "champion", 1)
    await reload(live)
    assert shown() == {"1": "READY"}
    assert (await get(live, "churn@2")).state == mpb.MODEL_STATE_REFUSED


async def test_a_refused_version_that_left_the_store_is_forgotten(
    publish: Publish, serve: Serve, store: ModelStore
) -> None:
    publish()
    publish(alias=None)
    damage(store, 2)
    live = await serve()
    await failure(predict(live, "churn@2"))
    (store.root / "churn" / "versions" / "2").rename(store.root / "gone")
    assert await reload(live) == {}
    assert live.server.registry.status(Version("churn", 2)).state == "STORED"
    assert (await failure(predict(live, "churn@2"))).reason == "MODEL_NOT_FOUND"


async def test_a_load_that_fails_as_nobody_foresaw_is_told_apart_and_the_others_are_served(
    publish: Publish, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    publish()
    publish("spend")
    load, ill = LoadedModel.load, True

    def sometimes(stored: Any) -> LoadedModel:
        if ill and stored.manifest.name == "churn":
            raise OSError("Too many open files: /secret/path")
        return load(stored)

    monkeypatch.setattr(LoadedModel, "load", staticmethod(sometimes))
    live = await serve(store_poll_s=0.05)
    assert (await predict(live, "spend")).model.name == "spend"
    error = await failure(predict(live, "churn"))
    assert error.reason == "INTERNAL"
    assert "secret" not in error.message
    loads = live.server.metrics.registry.get_sample_value
    labels = {"model": "churn", "version": "1"}
    assert loads("staunch_model_loads_total", labels | {"outcome": "INTERNAL"}) >= 1
    assert loads("staunch_model_loads_total", labels | {"outcome": "MODEL_REFUSED"}) is None
    said = [record for record in caplog.records if re.search("could not be loaded yet", record.getMessage())]
    assert len(said) == 1
    ill = False
    await until(lambda: "churn@1" in live.server.registry.ready())
    assert (await predict(live, "churn")).model.name == "churn"


async def test_a_view_that_gives_other_columns_is_refused_by_their_names(
    publish: Publish, serve: Serve
) -> None:
    publish(text=MISFIT.replace("\nb = ", "\nc = "))
    error = await failure(predict(await serve(), "churn"))
    assert "expected the view to give [('b', 'number')], got [('c', 'number')]" in error.message


async def test_a_refused_version_is_not_loaded_again_for_each_call(
    publish: Publish, serve: Serve, store: ModelStore
) -> None:
    publish()
    publish(alias=None)
    damage(store, 2)
    live = await serve()
    for _ in range(3):
        error = await failure(predict(live, "churn@2"))
        assert error.reason == "MODEL_REFUSED"
    labels = {"model": "churn", "version": "2", "outcome": "MODEL_REFUSED"}
    assert live.server.metrics.registry.get_sample_value("staunch_model_loads_total", labels) == 1


async def test_the_aliases_that_a_version_answers_for_are_told(publish: Publish, serve: Serve) -> None:
    publish()
    publish(alias="next")
    registry = (await serve()).server.registry
    assert (registry.answers_for("churn@1"), registry.answers_for("churn@2")) == (["champion"], ["next"])
    assert registry.answers_for("churn@3") == []


class SlowStore(ModelStore):
    """A store that names a version when it is let, and is as late with the first aliases it has read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked, self.let = threading.Event(), threading.Event()

    def aliases(self, name: str) -> dict[str, int]:
        read = super().aliases(name)
        if not self.asked.is_set():
            self.asked.set()
            self.let.wait(10)
        return read

    def resolve(self, reference: str) -> tuple[str, int]:
        self.let.wait(10)
        return super().resolve(reference)


async def test_a_slow_disk_costs_a_caller_no_more_than_the_deadline(store: ModelStore) -> None:
    slow = SlowStore(store.root)

    def never(model: LoadedModel, stored: StoredVersion) -> Served:
        raise AssertionError("nothing is loaded here")

    registry = Registry(
        slow, never, Events(), default_model="churn", named_versions=1, check_s=1.0, look_s=10.0
    )
    try:
        with pytest.raises(TimeoutError):
            await registry.resolve("churn", Deadline.after(0.05))
        assert not slow.let.is_set()
    finally:
        slow.let.set()


async def test_a_look_at_the_store_that_was_under_way_does_not_undo_a_moved_alias(
    publish: Publish, serve: Serve
) -> None:
    publish("churn")
    publish("churn", base=1.0, alias=None)
    live = await serve(store_poll_s=0.02)
    slow = SlowStore(live.server.registry.store.root)
    live.server.registry.store = slow
    await until(slow.asked.is_set)  # The look has read the old target, and is not back with it.
    await live.models.SetAlias(mpb.SetAliasRequest(name="churn", alias="champion", version=2))
    slow.let.set()
    for _ in range(20):
        answer = await live.prediction.Predict(pb.PredictRequest(customer_id=3))
        assert answer.model.version == 2
        await asyncio.sleep(0.02)
