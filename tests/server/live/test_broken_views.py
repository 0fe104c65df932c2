"""Many views on one server, of which one breaks: at the start, or when its tables change under the server."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from grpc import aio
from tests.server.small_models import TABLE, filled, view_text

from staunch.v1 import model_service_pb2 as mpb
from staunch.v1 import prediction_service_pb2 as pb
from staunch_features.database import connect
from staunch_server import registry

Serve = Callable[..., Awaitable[Any]]

WITHOUT_B = view_text().replace("people.b,", "people.a AS b,")
BREAK, MEND = "ALTER TABLE public.people RENAME b TO c", "ALTER TABLE public.people RENAME c TO b"


@pytest.fixture
def changing(database_factory: Callable[..., Any]) -> Any:
    """A database of people whose tables the test may change: `await changing(sql)`, `changing.url`."""
    made = filled(database_factory(), TABLE)

    async def execute(sql: str) -> None:
        connection = await connect(made.owner_url)
        await connection.execute(sql)
        await connection.close()

    execute.url = made.reader_url  # type: ignore[attr-defined]
    return execute


@pytest.fixture
async def live(publish: Any, serve: Serve, changing: Any) -> Any:
    """A server of two models, of which `churn` needs the column b and `spend` does not."""
    publish("churn")
    publish("spend", text=WITHOUT_B)
    return await serve(database_reader_url=changing.url, store_poll_s=0.05)


async def state(live: Any, model: str) -> tuple[int, str, str]:
    found = (await live.models.GetModel(mpb.GetModelRequest(model=model))).model
    return found.state, found.state_reason, found.state_message


async def predict(live: Any, model: str) -> pb.PredictResponse:
    return await live.prediction.Predict(pb.PredictRequest(model=model, customer_id=8))


async def reason(live: Any, read_error: Any, model: str) -> str:
    with pytest.raises(aio.AioRpcError) as caught:
        await predict(live, model)
    return str(read_error(caught.value).reason)


async def chunk(live: Any, model: str) -> pb.BatchPredictResponse:
    request = pb.BatchPredictRequest(model=model, customer_ids=[1, 2, 3])
    (answer,) = [one async for one in live.prediction.BatchPredict(iter([request]))]
    return answer


def shown(live: Any, model: str) -> set[str]:
    """The states that the metric tells of a model."""
    samples = live.server.metrics.model_info.collect()[0].samples
    return {s.labels["state"] for s in samples if s.labels["model"] == model and s.value == 1}


async def assert_broken_beside_a_sound_one(live: Any, read_error: Any) -> None:
    assert await reason(live, read_error, "churn") == "MODEL_REFUSED"
    refused, why, message = await state(live, "churn@1")
    assert (refused, why) == (mpb.MODEL_STATE_REFUSED, "MODEL_REFUSED")
    assert "churn@1/features.sql" in message
    assert "column people.b does not exist" in message
    assert shown(live, "churn") == {"REFUSED"}
    assert (await predict(live, "spend")).model.name == "spend"
    assert not (await chunk(live, "spend")).errors
    assert (await state(live, "spend@1"))[0] == mpb.MODEL_STATE_READY
    assert shown(live, "spend") == {"READY"}


async def test_a_view_that_is_broken_at_the_start_leaves_the_others_serving_and_shows(
    publish: Any, serve: Serve, changing: Any, read_error: Any
) -> None:
    publish("churn")
    publish("spend", text=WITHOUT_B)
    await changing(BREAK)
    await assert_broken_beside_a_sound_one(await serve(database_reader_url=changing.url), read_error)


async def test_a_view_that_breaks_under_the_server_leaves_the_others_serving_and_shows(
    live: Any, changing: Any, read_error: Any
) -> None:
    await predict(live, "churn")
    assert shown(live, "churn") == {"READY"}
    await changing(BREAK)
    await assert_broken_beside_a_sound_one(live, read_error)


async def test_a_stream_finds_a_broken_view_out_too(live: Any, changing: Any) -> None:
    await changing(BREAK)
    (error,) = (await chunk(live, "churn")).errors
    assert error.reason == "MODEL_REFUSED"
    assert (await state(live, "churn@1"))[0] == mpb.MODEL_STATE_REFUSED


async def test_a_broken_view_is_found_out_without_a_call(
    live: Any, changing: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_LOOK_S", 0.1)
    await changing(BREAK)
    await until(lambda: shown(live, "churn") == {"REFUSED"})
    assert shown(live, "spend") == {"READY"}


async def test_a_right_that_is_taken_away_breaks_a_view_too(
    live: Any, changing: Any, read_error: Any
) -> None:
    await changing("REVOKE SELECT ON public.people FROM PUBLIC")
    assert await reason(live, read_error, "churn") == "MODEL_REFUSED"
    assert "permission denied" in (await state(live, "churn@1"))[2]


async def test_a_view_whose_tables_are_mended_answers_again_by_itself(
    live: Any, changing: Any, read_error: Any, until: Any
) -> None:
    await changing(BREAK)
    assert await reason(live, read_error, "churn") == "MODEL_REFUSED"
    await changing(MEND)
    await until(lambda: shown(live, "churn") == {"READY"})
    assert (await predict(live, "churn")).model.name == "churn"
    assert await state(live, "churn@1") == (mpb.MODEL_STATE_READY, "", "")


async def test_no_alias_moves_to_a_version_whose_view_broke(
    live: Any, changing: Any, publish: Any, read_error: Any, store: Any
) -> None:
    await changing(BREAK)
    await reason(live, read_error, "churn")
    request = mpb.SetAliasRequest(name="churn", alias="challenger", version=1)
    with pytest.raises(aio.AioRpcError) as caught:
        await live.models.SetAlias(request)
    assert read_error(caught.value).reason == "MODEL_REFUSED"
    assert store.aliases("churn") == {"champion": 1}


async def test_a_version_that_never_fitted_says_so_once_a_request_has_named_it(
    live: Any, publish: Any, read_error: Any
) -> None:
    publish(text=view_text().replace("people.b,", "people.b AS c,"), alias=None)
    assert await reason(live, read_error, "churn@2") == "MODEL_REFUSED"
    assert (await state(live, "churn@2"))[0] == mpb.MODEL_STATE_REFUSED
    assert (await state(live, "churn@1"))[0] == mpb.MODEL_STATE_READY
