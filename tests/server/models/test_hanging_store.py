"""A store whose disk hangs: what is loaded answers, whoever changes models hears of it, and it heals."""

import asyncio

import pytest
from tests.harness.waiting import until
from tests.server.harness.errors import failure
from tests.server.harness.outages import hanging_store
from tests.server.harness.running import Publish, Running, Serve

from staunch.v1 import model_service_pb2 as mpb
from staunch.v1 import prediction_service_pb2 as pb
from staunch_server.models.stored.loading import DiskThreads


async def answering(live: Running) -> int:
    answer = await live.prediction.Predict(pb.PredictRequest(customer_id=8))
    return int(answer.model.version)


@pytest.mark.parametrize("patience_s", [0.2, 60.0])
async def test_while_the_store_hangs_whoever_changes_models_gets_a_status_and_then_all_goes_on(
    publish: Publish, serve: Serve, monkeypatch: pytest.MonkeyPatch, patience_s: float
) -> None:
    publish()
    publish(base=1.0, alias=None)
    live = await serve(store_poll_s=0.05)
    live.server.registry.disk._patience_s = patience_s
    with monkeypatch.context() as patched:
        back = hanging_store(patched)
        await asyncio.sleep(0.15)  # a look at the store hangs as well, and may hold what they need
        try:
            calls = [
                live.models.SetAlias(
                    mpb.SetAliasRequest(name="churn", alias="champion", version=2), timeout=1.0
                ),
                live.models.ReloadModels(mpb.ReloadModelsRequest(), timeout=1.0),
                live.models.SetAlias(mpb.SetAliasRequest(name="churn", alias="next", version=2), timeout=1.0),
                live.models.GetModel(mpb.GetModelRequest(model="churn@2"), timeout=1.0),
                live.models.ListModels(mpb.ListModelsRequest(), timeout=1.0),
            ]
            ended = await asyncio.gather(*map(failure, calls))
            assert {one.code.name for one in ended} <= {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
            if patience_s < 1:
                (info,) = ended[0].infos
                assert (info.reason, info.metadata) == ("STORE_UNAVAILABLE", {"limit_s": f"{patience_s:g}"})
            assert await answering(live) == 1
        finally:
            back.set()
    await live.models.SetAlias(mpb.SetAliasRequest(name="churn", alias="champion", version=2), timeout=20)
    assert await answering(live) == 2


async def test_a_store_that_hangs_as_a_server_starts_is_read_once_it_answers(
    publish: Publish, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    monkeypatch.setattr(DiskThreads.__init__, "__defaults__", (8, 0.1))
    with monkeypatch.context() as patched:
        back = hanging_store(patched)
        try:
            live = await serve(store_poll_s=0.05)
            assert "does not answer" in live.server.why_not_serving()
            error = await failure(live.prediction.Predict(pb.PredictRequest(customer_id=8)))
            assert error.code.name == "UNAVAILABLE"
        finally:
            back.set()
    await until(lambda: live.server.why_not_serving() == "")
    assert await answering(live) == 1
