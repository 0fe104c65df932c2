"""ModelService and the registry over a real server: what is served, what is refused, and how that changes."""

import asyncio
import os
import shutil
import threading
import time
from typing import Any

import pytest
from grpc_health.v1 import health_pb2
from tests.harness.waiting import until
from tests.server.harness.errors import failure
from tests.server.harness.outages import hanging_store
from tests.server.harness.running import Locked, Publish, Running, Serve
from tests.server.small_models import EPOCH, view_text

from staunch.v1 import model_service_pb2 as mpb
from staunch.v1 import prediction_service_pb2 as pb
from staunch.v1.feature_pb2 import FEATURE_TYPE_NUMBER
from staunch_model_store.manifest import EXPLAINER_ONNX
from staunch_model_store.model import LoadedModel
from staunch_model_store.store import ModelStore


async def get(live: Running, model: str) -> mpb.Model:
    return (await live.models.GetModel(mpb.GetModelRequest(model=model))).model


async def answering(live: Running, model: str = "", **options: Any) -> int:
    """The version that answers a Predict."""
    answer = await live.prediction.Predict(pb.PredictRequest(model=model, customer_id=8), **options)
    return int(answer.model.version)


def point(alias: str, version: int, **fields: Any) -> mpb.SetAliasRequest:
    return mpb.SetAliasRequest(name="churn", alias=alias, version=version, **fields)


def damage(store: ModelStore, version: int, file: str = "model.onnx") -> None:
    path = store.root / "churn" / "versions" / str(version) / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


async def test_a_version_says_who_is_eligible_loaded_or_not(publish: Publish, serve: Serve) -> None:
    """In the words of the text that it carries, in each language; nothing of a view that asks for nothing."""
    words = 'eligible = "has an account"\n"eligible.fr" = "a un compte"\n\n[features]'
    texts = {
        view_text().replace("\n[features]", words, 1): ("has an account", {"fr": "a un compte"}),
        view_text(): ("is eligible", {}),
        view_text().replace(", people.active AS _eligible", ""): ("", {}),
    }
    for number, text in enumerate(texts, 1):
        publish(text=text, alias="champion" if number == 1 else None)
    live = await serve()
    for number, (words, others) in enumerate(texts.values(), 1):
        model = await get(live, f"churn@{number}")
        assert model.state == (mpb.MODEL_STATE_READY if number == 1 else mpb.MODEL_STATE_STORED)
        assert (model.eligible, dict(model.eligible_translations)) == (words, others)
    (listed, *_) = (await live.models.ListModels(mpb.ListModelsRequest())).models
    assert listed.eligible == ""


async def test_a_version_is_described_in_full(publish: Publish, serve: Serve) -> None:
    stored = publish()
    live = await serve()
    model = await get(live, "churn")
    assert (model.name, model.version, model.digest) == ("churn", 1, stored.digest)
    assert (list(model.aliases), model.state, model.state_reason) == (["champion"], mpb.MODEL_STATE_READY, "")
    assert model.create_time.ToDatetime(EPOCH.tzinfo) == EPOCH
    assert (model.view, model.id_type, model.horizon_days) == ("people", mpb.ID_TYPE_INT64, 90)
    assert model.view_digest == "sha256:" + stored.manifest.view_sha256
    assert model.features_digest == stored.manifest.features_digest
    assert model.output_space == pb.OUTPUT_SPACE_LOG_ODDS
    assert (model.medium_threshold, model.high_threshold) == (0.3, 0.7)
    assert [(f.name, f.nullable, f.unit) for f in model.features] == [
        ("a", False, "CAD"),
        ("b", True, ""),
        ("hours", False, "hours"),
    ]
    assert all(f.type == FEATURE_TYPE_NUMBER and f.description for f in model.features)
    assert [(m.name, m.value, m.HasField("lower")) for m in model.metrics] == [
        ("auc", 0.8, True),
        ("log_loss", 0.3, False),
    ]
    assert model.manifest_json == stored.manifest_bytes


async def test_what_a_version_lacks_is_absent(publish: Publish, serve: Serve) -> None:
    publish(explainer=False, thresholds=None, id_type="uuid")
    live = await serve()
    model = await get(live, "")
    assert model.output_space == pb.OUTPUT_SPACE_UNSPECIFIED
    assert not model.HasField("medium_threshold")
    assert model.id_type == mpb.ID_TYPE_UUID


async def test_versions_are_listed_by_name_newest_first_in_pages(publish: Publish, serve: Serve) -> None:
    for name in ("churn", "spend"):
        for _ in range(3):
            publish(name)
    live = await serve()
    seen: list[str] = []
    request = mpb.ListModelsRequest(page_size=2)
    while True:
        page = await live.models.ListModels(request)
        assert len(page.models) <= 2
        assert not any(model.features or model.metrics or model.manifest_json for model in page.models)
        seen += [f"{model.name}@{model.version}" for model in page.models]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == ["churn@3", "churn@2", "churn@1", "spend@3", "spend@2", "spend@1"]
    only = await live.models.ListModels(mpb.ListModelsRequest(name="spend"))
    assert [model.version for model in only.models] == [3, 2, 1]
    assert [model.state for model in only.models] == [mpb.MODEL_STATE_READY] + [mpb.MODEL_STATE_STORED] * 2
    error = await failure(live.models.ListModels(mpb.ListModelsRequest(name="../..")))
    assert (error.reason, [field for field, _ in error.violations]) == ("FIELD_INVALID", ["name"])
    assert "got '../..'" in error.message


async def test_a_list_of_a_model_that_is_not_there_says_which_are(publish: Publish, serve: Serve) -> None:
    live = await serve()
    request = mpb.ListModelsRequest(name="nope")
    error = await failure(live.models.ListModels(request))
    assert (error.code.name, error.reason) == ("NOT_FOUND", "MODEL_NOT_FOUND")
    assert error.message == "nope: expected a model of the store, which holds none."
    assert not (await live.models.ListModels(mpb.ListModelsRequest())).models  # nothing is asked for by name
    publish("churn")
    publish("spend")
    error = await failure(live.models.ListModels(request))
    assert error.message == "nope: expected a model of the store, which holds churn, spend."
    assert error.resource == ("model", "nope")


async def test_an_empty_store_lists_nothing_and_is_not_ready(serve: Serve) -> None:
    live = await serve()
    assert not (await live.models.ListModels(mpb.ListModelsRequest())).models
    for model in ("", "churn"):
        error = await failure(live.prediction.Predict(pb.PredictRequest(model=model, customer_id=8)))
        assert (error.code.name, error.reason) == ("UNAVAILABLE", "MODEL_NOT_READY")
        assert error.retry_s
    error = await failure(live.prediction.Predict(pb.PredictRequest(model="other", customer_id=8)))
    assert error.reason == "MODEL_NOT_FOUND"


@pytest.mark.parametrize(
    "request_",
    [
        mpb.ListModelsRequest(page_size=-1),
        mpb.ListModelsRequest(page_token="what?"),
        mpb.ListModelsRequest(page_token="AAAA"),
        mpb.SetAliasRequest(alias="champion", version=1),
        mpb.SetAliasRequest(name="../churn", alias="champion", version=1),
        mpb.GetModelRequest(model="churn@"),
        point("Champion", 1),
        point("", 1),
        point("3", 1),
        point("champion", 0),
        point("champion", 1, expected_version=-1),
    ],
)
async def test_fields_outside_what_they_allow_are_refused(
    publish: Publish, serve: Serve, request_: Any
) -> None:
    publish()
    live = await serve()
    method = getattr(live.models, type(request_).__name__.removesuffix("Request"))
    error = await failure(method(request_))
    assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert error.violations


async def test_every_wrong_field_of_an_alias_is_told_by_name_at_once(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    wrong = mpb.SetAliasRequest(name="Churn", alias="7", version=0, expected_version=-1)
    error = await failure(live.models.SetAlias(wrong))
    fields = [field for field, _ in error.violations]
    assert fields == ["name", "alias", "version", "expected_version"]
    assert error.message == "; ".join(f"{field}: {what}" for field, what in error.violations) + "."
    assert dict(error.violations)["version"] == "expected 1 or more, got 0"


async def test_without_the_default_model_a_call_that_names_none_is_told_what_the_store_holds(
    publish: Publish, serve: Serve
) -> None:
    publish("spend")
    live = await serve()
    error = await failure(live.prediction.Predict(pb.PredictRequest(customer_id=8)))
    assert (error.code.name, error.reason) == ("NOT_FOUND", "MODEL_NOT_FOUND")
    assert "default model churn" in error.message
    assert "holds spend" in error.message
    assert "STAUNCH_DEFAULT_MODEL" in error.message
    error = await failure(live.prediction.Predict(pb.PredictRequest(model="churn", customer_id=8)))
    assert (error.code.name, error.reason) == ("NOT_FOUND", "MODEL_NOT_FOUND")


async def test_unknown_models_are_not_found(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    for call in (
        live.models.GetModel(mpb.GetModelRequest(model="churn@9")),
        live.models.SetAlias(point("champion", 9)),
        live.models.SetAlias(mpb.SetAliasRequest(name="other", alias="champion", version=1)),
    ):
        error = await failure(call)
        assert (error.code.name, error.reason) == ("NOT_FOUND", "MODEL_NOT_FOUND")
        assert error.resource[0] == "model"


async def test_an_alias_moves_once_its_version_is_verified(
    publish: Publish, serve: Serve, transport_name: str, store: ModelStore
) -> None:
    publish()
    publish(base=2.0, alias=None)
    live = await serve(transport=transport_name)
    assert await answering(live) == 1
    moved = await live.models.SetAlias(point("champion", 2, expected_version=1))
    assert (moved.previous_version, moved.model.version, list(moved.model.aliases)) == (1, 2, ["champion"])
    assert moved.model.state == mpb.MODEL_STATE_READY
    assert await answering(live) == 2
    assert store.aliases("churn") == {"champion": 2}
    assert live.server.registry.ready() == ["churn@2"]


async def test_a_new_alias_answers_beside_the_old(publish: Publish, serve: Serve) -> None:
    publish()
    publish(alias=None)
    live = await serve()
    moved = await live.models.SetAlias(point("challenger", 2, expected_version=0))
    assert moved.previous_version == 0
    assert [await answering(live, model) for model in ("churn", "churn@challenger")] == [1, 2]


async def test_an_alias_that_others_moved_is_left_alone(
    publish: Publish, serve: Serve, store: ModelStore
) -> None:
    publish()
    publish(alias=None)
    live = await serve()
    error = await failure(live.models.SetAlias(point("champion", 2, expected_version=0)))
    assert (error.code.name, error.reason) == ("ABORTED", "ALIAS_MOVED")
    assert error.resource == ("alias", "churn@champion")
    assert error.infos[0].metadata["current_version"] == "1"
    assert (store.aliases("churn"), await answering(live)) == ({"champion": 1}, 1)
    assert live.server.registry.ready() == ["churn@1"]


@pytest.mark.parametrize("file", ["model.onnx", EXPLAINER_ONNX, "features.sql", "golden.npz"])
async def test_an_alias_never_moves_to_a_damaged_version(
    publish: Publish, serve: Serve, store: ModelStore, file: str
) -> None:
    publish()
    publish(alias=None)
    live = await serve()
    damage(store, 2, file)
    error = await failure(live.models.SetAlias(point("champion", 2)))
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "MODEL_REFUSED")
    assert file in error.message
    assert (store.aliases("churn"), await answering(live)) == ({"champion": 1}, 1)
    refused = await get(live, "churn@2")
    assert (refused.state, refused.state_reason) == (mpb.MODEL_STATE_REFUSED, "MODEL_REFUSED")
    assert file in refused.state_message
    error = await failure(answering(live, "churn@2"))
    assert error.reason == "MODEL_REFUSED"


async def test_a_version_whose_answers_are_not_those_of_training_is_refused(
    publish: Publish, serve: Serve
) -> None:
    """The golden rows of one model beside the graph of another: every digest fits, the answers do not."""
    publish(base_value=5.0)
    live = await serve()
    error = await failure(answering(live, "churn@1"))
    assert error.reason == "MODEL_REFUSED"
    error = await failure(answering(live))  # no version is ready, which the next one published ends
    assert (error.code.name, error.reason) == ("UNAVAILABLE", "MODEL_NOT_READY")


async def test_a_version_trained_on_another_view_is_refused(publish: Publish, serve: Serve) -> None:
    publish()
    publish(text=view_text().replace("people.b,", "people.b AS c,"))
    publish(text=view_text("text"))
    publish(text="SELECT 1")
    live = await serve()
    for version in (2, 3, 4):
        error = await failure(answering(live, f"churn@{version}"))
        assert (version, error.reason) == (version, "MODEL_REFUSED")


async def test_the_old_version_serves_on_when_the_alias_on_disk_points_at_a_bad_one(
    publish: Publish, serve: Serve, store: ModelStore
) -> None:
    publish()
    live = await serve()
    publish(text=view_text().replace("people.b,", "people.b AS c,"))
    changed = (await live.models.ReloadModels(mpb.ReloadModelsRequest())).models
    assert [(model.version, model.state) for model in changed] == [(2, mpb.MODEL_STATE_REFUSED)]
    assert await answering(live) == 1
    assert (await get(live, "churn@1")).state == mpb.MODEL_STATE_READY


async def test_reloading_takes_up_what_changed_and_says_it(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve(store_poll_s=3600)
    assert not (await live.models.ReloadModels(mpb.ReloadModelsRequest())).models
    publish()
    assert await answering(live) == 1
    changed = (await live.models.ReloadModels(mpb.ReloadModelsRequest())).models
    states = {model.version: model.state for model in changed}
    assert states == {1: mpb.MODEL_STATE_STORED, 2: mpb.MODEL_STATE_READY}
    assert await answering(live) == 2


async def test_an_alias_moved_by_another_process_is_followed(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve(store_poll_s=0.05)
    publish()
    await until(lambda: live.server.registry.ready() == ["churn@2"])
    assert await answering(live) == 2


async def test_a_store_that_vanishes_stops_nothing(publish: Publish, serve: Serve, store: ModelStore) -> None:
    publish()
    live = await serve(store_poll_s=0.02)
    shutil.rmtree(store.root)
    await asyncio.sleep(0.1)
    await live.models.ReloadModels(mpb.ReloadModelsRequest())
    assert await answering(live) == 1
    assert await answering(live, "churn@1") == 1


async def test_a_version_published_anew_under_its_number_is_taken_up(
    publish: Publish, serve: Serve, store: ModelStore
) -> None:
    publish()
    live = await serve(store_poll_s=0.02)
    shutil.rmtree(store.root / "churn")
    again = publish(base=1.0)

    async def answers() -> bool:
        answer = await live.prediction.Predict(pb.PredictRequest(customer_id=8))
        return bool(answer.model.digest == again.digest)

    await until(answers)


async def test_a_stored_version_is_loaded_when_a_request_names_it(publish: Publish, serve: Serve) -> None:
    publish()
    publish()
    live = await serve()
    assert (await get(live, "churn@1")).state == mpb.MODEL_STATE_STORED
    assert await answering(live, "churn@1") == 1
    assert (await get(live, "churn@1")).state == mpb.MODEL_STATE_READY
    assert await answering(live) == 2


async def test_no_more_versions_are_loaded_by_requests_than_allowed(publish: Publish, serve: Serve) -> None:
    for _ in range(3):
        publish()
    live = await serve(named_versions=1)
    assert await answering(live, "churn@1") == 1
    error = await failure(answering(live, "churn@2"))
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "MODEL_NOT_LOADED")
    assert await answering(live, "churn@3") == 3
    await live.models.ReloadModels(mpb.ReloadModelsRequest())
    assert await answering(live, "churn@2") == 2


async def test_calls_go_on_while_a_version_loads_and_its_own_are_told_to_come_again(
    publish: Publish, serve: Serve, transport_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    publish(alias=None)
    live = await serve(transport=transport_name)
    gate, load = threading.Event(), LoadedModel.load

    def slowly(stored: Any) -> LoadedModel:
        gate.wait(10)
        return load(stored)

    monkeypatch.setattr(LoadedModel, "load", staticmethod(slowly))
    moving = asyncio.ensure_future(live.models.SetAlias(point("champion", 2)))
    try:
        error = await failure(answering(live, "churn@2", timeout=0.5))
        assert (error.code.name, error.reason) == ("UNAVAILABLE", "MODEL_NOT_READY")
        assert (await get(live, "churn@2")).state == mpb.MODEL_STATE_LOADING
        began = time.monotonic()
        assert await answering(live) == 1
        assert time.monotonic() - began < 1
    finally:
        gate.set()
    await moving
    assert await answering(live) == 2


async def test_each_alias_of_each_model_answers_at_start(publish: Publish, serve: Serve) -> None:
    publish()
    publish(alias="challenger")
    publish("spend", id_type="text")
    live = await serve()
    assert live.server.registry.ready() == ["churn@1", "churn@2", "spend@1"]


async def test_one_bad_model_leaves_the_others_serving(
    publish: Publish, serve: Serve, store: ModelStore
) -> None:
    publish()
    publish("spend")
    damage(store, 1)
    live = await serve()
    assert live.server.registry.ready() == ["spend@1"]
    assert (await get(live, "churn@1")).state == mpb.MODEL_STATE_REFUSED
    assert await answering(live, "spend") == 1


async def test_the_metrics_tell_the_state_of_each_version(
    publish: Publish, serve: Serve, store: ModelStore
) -> None:
    stored = publish()
    publish("spend")
    damage(store, 1)
    live = await serve()
    value = live.server.metrics.registry.get_sample_value
    labels = {"model": "churn", "version": "1", "digest": "", "state": "REFUSED"}
    assert value("staunch_model_info", labels) == 1
    assert value("staunch_model_loads_total", {"model": "spend", "version": "1", "outcome": "ready"}) == 1
    refused = {"model": "churn", "version": "1", "outcome": "MODEL_REFUSED"}
    assert value("staunch_model_loads_total", refused) == 1
    assert stored.manifest.version == 1


CALLS = {
    "ListModels": mpb.ListModelsRequest(),
    "GetModel": mpb.GetModelRequest(model="churn"),
    "SetAlias": mpb.SetAliasRequest(name="churn", alias="next", version=1),
    "DeleteAlias": mpb.DeleteAliasRequest(name="churn", alias="next"),
    "ReloadModels": mpb.ReloadModelsRequest(),
}


@pytest.mark.parametrize("transport", ["aio", "native"])
@pytest.mark.parametrize(
    ("offered", "count"), [("off", 0), ("read", 2), ("all", 5)], ids=["off", "read", "all"]
)
async def test_what_is_not_offered_of_the_service_is_unimplemented_and_the_rest_is_as_ever(
    publish: Publish, serve: Serve, store: ModelStore, offered: str, count: int, transport: str
) -> None:
    publish()
    live = await serve(model_service=offered, transport=transport)
    for place, (method, request) in enumerate(CALLS.items()):
        call = getattr(live.models, method)(request)
        assert (await call.code()).name == ("OK" if place < count else "UNIMPLEMENTED"), method
    assert await answering(live) == 1
    assert store.aliases("churn") == {"champion": 1}
    check = live.channel.unary_unary("/grpc.health.v1.Health/Check")
    asked = health_pb2.HealthCheckRequest(service="staunch.v1.ModelService").SerializeToString()
    if offered == "off":
        assert (await check(asked).code()).name == "NOT_FOUND"
    else:
        assert health_pb2.HealthCheckResponse.FromString(await check(asked)).status == 1


async def test_fields_of_a_deletion_that_cannot_be_are_named(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    wrong = mpb.DeleteAliasRequest(name="Churn", alias="7", expected_version=0)
    error = await failure(live.models.DeleteAlias(wrong))
    assert error.reason == "FIELD_INVALID"
    assert [field for field, _ in error.violations] == ["name", "alias", "expected_version"]


async def test_calls_of_a_deleted_alias_are_refused_and_those_in_progress_end_as_they_began(
    publish: Publish, serve: Serve, locked: Locked
) -> None:
    publish()
    publish(base=1.0, alias="next")
    live = await serve()
    async with locked() as lock:
        begun = asyncio.ensure_future(answering(live, "churn@next"))
        await until(lambda: lock.waiting(1))
        deleted = await live.models.DeleteAlias(mpb.DeleteAliasRequest(name="churn", alias="next"))
        assert deleted.previous_version == 2
    assert await begun == 2
    error = await failure(live.prediction.Predict(pb.PredictRequest(model="churn@next", customer_id=8)))
    assert error.reason == "MODEL_NOT_FOUND"
    assert (await get(live, "churn@2")).state == mpb.MODEL_STATE_STORED
    assert list((await get(live, "churn")).aliases) == ["champion"]


@pytest.mark.parametrize("supervised", ["0", "1"])
async def test_no_call_signals_another_process_which_may_be_pid_1(
    publish: Publish, serve: Serve, monkeypatch: pytest.MonkeyPatch, supervised: str
) -> None:
    publish()
    live = await serve()
    monkeypatch.setattr(os, "kill", lambda *sent: pytest.fail(f"sent {sent}"))
    monkeypatch.setenv("STAUNCH_SUPERVISED", supervised)
    await live.models.SetAlias(point("next", 1))
    await live.models.DeleteAlias(mpb.DeleteAliasRequest(name="churn", alias="next"))
    await live.models.ReloadModels(mpb.ReloadModelsRequest())


async def test_one_models_broken_aliases_are_no_concern_of_another(
    publish: Publish, serve: Serve, store: ModelStore
) -> None:
    """From the start on, which must not end; what cannot be read is neither listed nor in the way."""
    publish()
    publish("spend")
    (store.root / "spend" / "aliases.json").write_text(
        '{"format": 1, "aliases": {"champion": {"version": 1e999}}}'
    )
    (store.root / "loop").mkdir()
    (store.root / "loop" / "versions").symlink_to("versions")  # as unreadable to root as to others
    live = await serve()
    assert await answering(live) == 1
    listed = (await live.models.ListModels(mpb.ListModelsRequest())).models
    assert [(model.name, bool(model.state_message)) for model in listed] == [
        ("churn", False),
        ("spend", True),
    ]
    error = await failure(live.prediction.Predict(pb.PredictRequest(model="spend", customer_id=8)))
    assert error.reason == "MODEL_REFUSED"
    assert "spend/aliases.json: expected format 1" in error.message
    assert await answering(live, "spend@1") == 1


async def test_while_the_store_hangs_what_is_loaded_answers_every_call_and_is_described(
    publish: Publish, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    live = await serve()
    back = hanging_store(monkeypatch)
    try:
        lost = [live.models.GetModel(mpb.GetModelRequest(model="churn@9"), timeout=0.3) for _ in range(40)]
        lost += [live.models.ListModels(mpb.ListModelsRequest(), timeout=0.3) for _ in range(40)]
        ended = await asyncio.gather(*lost, return_exceptions=True)
        assert {one.code().name for one in ended} == {"DEADLINE_EXCEEDED"}
        for model in ("", "churn", "churn@1", "churn@champion"):
            found = await live.models.GetModel(mpb.GetModelRequest(model=model), timeout=5)
            assert (found.model.version, list(found.model.aliases)) == (1, ["champion"])
            assert found.model.manifest_json
        assert await answering(live) == 1
        await live.prediction.Explain(pb.ExplainRequest(customer_id=8), timeout=5)
        rows = pb.BatchPredictRequest(customer_ids=range(1, 300))
        chunks = [chunk async for chunk in live.prediction.BatchPredict(iter([rows]), timeout=5)]
        assert len(chunks) == 1
    finally:
        back.set()
