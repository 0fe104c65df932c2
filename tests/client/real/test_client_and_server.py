"""The clients against the real server."""

import asyncio
import math
import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas
import pytest
from grpc import StatusCode
from tests.server.services.test_features import SPOKEN
from tests.server.small_models import hours_known, view_text

from staunch import (
    Conflict,
    FeatureSchema,
    InvalidRequest,
    ModelState,
    NotFound,
    PreconditionFailed,
    RetryPolicy,
    RowError,
    Score,
    Unavailable,
)

API_PAGE = Path(__file__).parents[3] / "docs" / "api.md"
STEADY = RetryPolicy(patience_s=20)


async def test_a_prediction_can_be_reproduced_from_what_it_returned(either):
    first = await either.call("predict", 5, include_features=True)
    again = await either.call("predict", 5, as_of=first.as_of, model=str(first.model))
    given = await either.call("predict", features=first.features)
    assert first.features == {"a": 5.0, "b": 1.0, "hours": pytest.approx(hours_known(5, first.as_of))}
    assert first.probability == again.probability
    assert given.probability == pytest.approx(first.probability, abs=1e-15)
    assert given.as_of is None


async def test_packed_features_score_as_named_ones_alone_explained_and_in_a_batch(either):
    """The client computes the digest of the names alone; the server has it of the view."""
    model = await either.call("get_model")
    schema = FeatureSchema.of(model)
    assert schema == FeatureSchema(("a", "b", "hours"))
    assert schema.digest == model.features_digest
    values = (await either.call("predict", 7, include_features=True)).features
    assert values["b"] is None
    named = await either.call("predict", features=values, include_features=True)
    packed = await either.call("predict", features=schema.pack(values), include_features=True)
    assert packed == named
    why = await either.call("explain", features=schema.pack(values))
    assert why.contributions == (await either.call("explain", features=values)).contributions
    rows = await either.rows(schema.pack_rows([values, [1, 2, math.inf], values], customers=["x", "y", "z"]))
    assert [row.customer for row in rows] == ["x", "y", "z"]
    assert [getattr(row, "probability", row.__class__) for row in rows] == [
        pytest.approx(named.probability, abs=1e-15),
        RowError,
        pytest.approx(named.probability, abs=1e-15),
    ]
    assert rows[1].reason == "FEATURE_NOT_FINITE"
    assert (rows[0].as_of, rows[0].model) == (None, named.model)


async def test_a_large_frame_of_features_travels_in_as_many_messages_as_it_needs(either):
    schema = FeatureSchema.of(await either.call("get_model"))
    frame = pandas.DataFrame({"a": range(60_000), "b": 1, "hours": 2.5})
    rows = await either.rows(
        schema.pack_rows(frame), chunk_size=10_000, chunks_held=2, top_contributions=0, model="churn"
    )
    assert [row.customer for row in rows] == [*range(60_000)]
    assert len({row.probability for row in rows}) == 2  # below and above 5


async def test_what_was_packed_for_other_features_is_refused_at_once_and_names_the_reason(either):
    other = FeatureSchema(("b", "a", "hours"))
    for asked in (
        either.call("predict", features=other.pack([1, 2, 3])),
        either.call("explain", features=other.pack([1, 2, 3])),
        either.rows(other.pack_rows([[1, 2, 3]])),
    ):
        with pytest.raises(InvalidRequest) as caught:
            await asked
        assert caught.value.reason == "FEATURES_MISMATCH"
        assert caught.value.details.metadata["got"] == other.digest


async def test_the_example_of_packed_features_in_the_page_of_the_contract_runs(running, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", API_PAGE.read_text(), re.DOTALL)
    await asyncio.to_thread(exec, example.replace("127.0.0.1:50051", running.target), {})
    alone, chunk = capsys.readouterr().out.splitlines()
    assert chunk == f"[{alone}, {alone}, {alone}]"


async def test_overrides_answer_what_if(either):
    live = await either.call("predict", 5)
    assert (await either.call("predict", 5, overrides={"a": 70})).probability > live.probability


async def test_an_explanation_adds_up(either):
    why = await either.call("explain", 7, overrides={"a": 30})
    total = why.base_value + math.fsum(part.contribution for part in why.contributions) + why.remainder
    assert total == pytest.approx(why.output_value, abs=1e-9)
    assert {part.feature: (part.value, part.overridden) for part in why.contributions} == {
        "a": (30.0, True),
        "b": (None, False),
        "hours": (pytest.approx(hours_known(7, why.prediction.as_of)), False),
    }


async def test_the_reasons_of_each_row_add_up_in_rows_and_in_frames(either):
    """Within 1e-9, over several streams' worth of chunks, and as `explain` says of the same row."""
    ids = [*range(1, 61), 999]
    rows = await either.rows(ids, chunk_size=7, top_contributions=2)
    scored = {row.customer: row for row in rows if isinstance(row, Score)}
    assert len(scored) == 55
    for row in scored.values():
        why = row.explanation
        total = why.base_value + math.fsum(part.contribution for part in row.reasons) + why.remainder
        assert abs(total - why.output_value) <= 1e-9
        assert row.probability == pytest.approx(1 / (1 + math.exp(-why.output_value)), abs=1e-12)
    alone = await either.call("explain", 5, as_of=scored[5].as_of, max_contributions=2)
    assert (scored[5].reasons, scored[5].explanation.remainder) == (alone.contributions, alone.remainder)
    asked = pandas.DataFrame({"customer_id": ids})
    frame = await either.call(
        "batch_predict_frame", asked, as_of=scored[5].as_of, chunk_size=7, top_contributions=2
    )
    parts = frame[["base_value", "reason_1_contribution", "reason_2_contribution", "remainder"]].sum(axis=1)
    missed = (parts - frame["output_value"])[frame["error"].isna()]
    assert len(missed) == 55
    assert missed.abs().max() <= 1e-9


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        ({"customer": 999}, NotFound, "CUSTOMER_NOT_FOUND"),
        ({"customer": 11}, PreconditionFailed, "CUSTOMER_NOT_ELIGIBLE"),
        ({"customer": 0}, InvalidRequest, "CUSTOMER_ID_INVALID"),
        ({"customer": "k"}, InvalidRequest, "ID_TYPE_MISMATCH"),
        ({}, InvalidRequest, "SUBJECT_MISSING"),
        ({"customer": 1, "model": "none"}, NotFound, "MODEL_NOT_FOUND"),
        ({"customer": 1, "overrides": {"c": 1}}, InvalidRequest, "FEATURE_UNKNOWN"),
        ({"features": {"a": 1}}, InvalidRequest, "FEATURE_MISSING"),
        ({"features": {"a": math.nan, "b": 1, "hours": 1}}, InvalidRequest, "FEATURE_MISSING"),
        ({"features": {"a": math.inf, "b": 1, "hours": 1}}, InvalidRequest, "FEATURE_NOT_FINITE"),
        ({"features": {"a": 1e39, "b": 1, "hours": 1}}, InvalidRequest, "FEATURE_NOT_FINITE"),
    ],
)
async def test_what_the_server_refuses_has_its_class_and_reason(either, arguments, error, reason):
    with pytest.raises(error) as caught:
        await either.call("predict", **arguments)
    assert caught.value.reason == reason
    assert caught.value.details.request_id
    assert caught.value.message


async def test_the_future_is_refused(either):
    with pytest.raises(InvalidRequest) as caught:
        await either.call("predict", 5, as_of=datetime.now(UTC) + timedelta(hours=1))
    assert caught.value.reason == "AS_OF_IN_FUTURE"
    assert caught.value.details.violations[0].field == "as_of_time"


async def test_a_request_id_comes_back_with_the_error(either):
    with pytest.raises(NotFound) as caught:
        await either.call("predict", 999, metadata={"x-request-id": "mine-1"})
    assert caught.value.details.request_id == "mine-1"


async def test_a_batch_gives_what_single_calls_give(either):
    rows = await either.rows([*range(1, 61), 999, 0, 2**70, 5], chunk_size=7)
    by_reason = {row.reason: row.code for row in rows if isinstance(row, RowError)}
    assert by_reason == {
        "CUSTOMER_NOT_ELIGIBLE": StatusCode.FAILED_PRECONDITION,
        "CUSTOMER_NOT_FOUND": StatusCode.NOT_FOUND,
        "CUSTOMER_ID_INVALID": StatusCode.INVALID_ARGUMENT,
    }
    assert [row.customer for row in rows if isinstance(row, RowError)] == [*range(11, 61, 11), 999, 0, 2**70]
    single = await either.call("predict", 5, as_of=rows[4].as_of)
    assert rows[4].probability == rows[-1].probability == pytest.approx(single.probability, abs=1e-15)
    assert len({row.as_of for row in rows if isinstance(row, Score)}) == 1


@pytest.mark.parametrize(
    ("id_type", "good", "bad"),
    [
        ("text", "key-5", ["nobody", "", "k" * 65, "\ud800"]),
        ("uuid", uuid.UUID("00000000-0000-4000-8000-000000000005"), ["no uuid", "", "k" * 65]),
    ],
)
async def test_keys_work_end_to_end(serve, publish, either_of, id_type, good, bad):
    publish(id_type=id_type)
    client = either_of(await serve())
    rows = await client.rows([good, *bad])
    assert [isinstance(row, RowError) for row in rows] == [False, *[True] * len(bad)]
    assert rows[0].probability == pytest.approx((await client.call("predict", good)).probability, abs=1e-15)


async def test_ids_where_the_view_wants_keys_end_the_batch(serve, publish, either_of):
    publish(id_type="text")
    with pytest.raises(InvalidRequest) as caught:
        await either_of(await serve()).rows([1, 2, 3])
    assert caught.value.reason == "ID_TYPE_MISMATCH"


async def test_a_batch_outlives_a_server_and_a_moved_alias(serve, publish, either_of):
    publish()
    first = await serve()
    client = either_of(first, retry=STEADY)

    async def ids():
        for customer in range(1, 61):
            if customer == 31:
                publish(base=1.0, text=SPOKEN)  # moves champion to churn@2, whose features have titles
                await first.stop()
                await serve(port=first.server.port)
            yield customer

    answered = await client.rows(ids(), chunk_size=5, chunks_held=2, top_contributions=3)
    explained = [row for row in answered if isinstance(row, Score)]
    assert {part.title for row in explained for part in row.reasons} == {"A", "B", "Hours"}
    assert len({row.explanation.base_value for row in explained}) == 1
    assert [row.customer for row in answered] == list(range(1, 61))
    assert {str(row.model) for row in answered if isinstance(row, Score)} == {"churn@1"}
    assert len({row.as_of for row in answered if isinstance(row, Score)}) == 1


async def test_models_are_listed_described_and_moved(either, running, publish):
    publish(base=1.0, alias=None)
    await either.call("reload_models")
    assert [str(m.reference) for m in await either.call("list_models")] == ["churn@2", "churn@1"]
    moved = await either.call("set_alias", "churn", "champion", 2, expected_version=1)
    assert (moved.model.reference.version, moved.previous_version) == (2, 1)
    found = await either.call("get_model")
    assert (str(found.reference), found.state, found.id_type) == ("churn@2", ModelState.READY, "int64")
    assert [(f.name, f.unit, f.nullable) for f in found.features] == [
        ("a", "CAD", False),
        ("b", "", True),
        ("hours", "hours", False),
    ]
    assert found.manifest_json.startswith(b"{")
    with pytest.raises(Conflict, match="ALIAS_MOVED"):
        await either.call("set_alias", "churn", "champion", 1, expected_version=1)
    again = await either.call("set_alias", "churn", "champion", 2, expected_version=1)
    assert again.previous_version == 2  # it is there already, as after a lost answer
    await either.call("set_alias", "churn", "next", 1)
    with pytest.raises(Conflict, match="ALIAS_MOVED"):
        await either.call("delete_alias", "churn", "next", expected_version=2)
    assert await either.call("delete_alias", "churn", "next", expected_version=1) == 1
    assert await either.call("delete_alias", "churn", "next") is None
    with pytest.raises(NotFound):
        await either.call("predict", 8, model="churn@next")
    with pytest.raises(NotFound, match="nobody: expected a model of the store"):
        await either.call("delete_alias", "nobody", "champion")


async def test_no_database_is_unavailable_within_the_timeout(serve, publish, either_of):
    publish()
    client = either_of(await serve(database_reader_url="postgresql://nobody@127.0.0.1:1/none"))
    started = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable) as caught:
        await client.call("predict", 5, timeout_s=1.5)
    assert asyncio.get_running_loop().time() - started < 4
    assert caught.value.details.retry_after_s is not None


async def test_a_view_without_dates_outlives_a_broken_stream_too(serve, publish, either_of):
    publish(
        uses_as_of=False,
        text=view_text(uses_as_of=False).replace(", people.active AS _eligible", ""),
    )
    running = await serve()
    client = either_of(running, retry=STEADY)

    async def ids():
        for customer in range(1, 31):
            if customer == 16:
                await running.stop()
                await serve(port=running.server.port)
            yield customer

    rows = await client.rows(ids(), chunk_size=5, chunks_held=1)
    assert [row.customer for row in rows] == list(range(1, 31))
    assert {row.as_of for row in rows} == {None}
