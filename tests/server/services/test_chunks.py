"""Chunks of packed rows over a real server: scored as each row alone, refused in their place."""

import math
from typing import Any

import numpy as np
import pytest
from tests.server.harness.errors import failure
from tests.server.harness.running import Publish, Running, Serve
from tests.server.services.test_batch_predict import NOON, ask, errors, ids_of
from tests.server.services.test_features import learned_features
from tests.server.small_models import PEOPLE_COLUMNS, expected_margin, sigmoid, stamp

from staunch.v1 import prediction_service_pb2 as pb
from staunch_features.views.signature import features_digest
from staunch_features.views.types import FeatureColumn
from staunch_server.services.chunks import MAX_CHUNK_ROWS, ROW_MESSAGE_BYTES
from staunch_server.transport.seam import MAX_MESSAGE_BYTES, MAX_RECEIVED_BYTES

DIGEST = features_digest(PEOPLE_COLUMNS)
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
Row = tuple[float, float, float]


def rows_of(*rows: Row, digest: str = DIGEST, **fields: Any) -> pb.BatchPredictRequest:
    values = [value for row in rows for value in row]
    return pb.BatchPredictRequest(
        packed_features=pb.PackedFeatures(values=values, features_digest=digest), **fields
    )


async def alone(live: Running, row: Row) -> pb.PredictResponse:
    features = pb.PackedFeatures(values=row, features_digest=DIGEST)
    return await live.prediction.Predict(pb.PredictRequest(packed_features=features))


async def test_packed_rows_are_scored_in_their_order_without_a_database(
    publish: Publish, serve: Serve, transport_name: str
) -> None:
    publish(features=learned_features())
    live = await serve(transport=transport_name, database_reader_url=NOWHERE)
    rows: list[Row] = [(i % 10, math.nan if i % 3 else 1.0, i * 7.0) for i in range(1500)]
    first, second = await ask(live, rows_of(*rows), rows_of((6, 1, 1)))
    assert list(first.probabilities) == pytest.approx(
        [sigmoid(expected_margin(row)) for row in rows], abs=1e-15
    )
    assert (len(first.risk_bands), errors(first), first.model.version) == (1500, [], 1)
    assert not first.HasField("as_of_time")
    for place in (0, 1, 3, 1499):
        single = await alone(live, rows[place])
        assert first.risk_bands[place] == single.risk_band
        assert (place in first.flagged_rows) == bool(single.warnings)
    assert [len(second.probabilities), second.chunk_index] == [1, 1]


async def test_a_bad_row_fails_alone_and_as_predict_refuses_it(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve(database_reader_url=NOWHERE)
    bad: list[Row] = [(math.inf, 1, 1), (1, 1, math.nan), (1, -1e39, 1)]
    (answer,) = await ask(live, rows_of((6, 1, 1), *bad, (2, 1, 1)))
    assert [math.isnan(one) for one in answer.probabilities] == [False, True, True, True, False]
    for row, error in zip(bad, answer.row_errors, strict=True):
        status = await failure(alone(live, row))
        assert (error.code, error.reason) == (status.code.value[0], status.reason)
        assert error.message == status.message
    assert [error.index for error in answer.row_errors] == [1, 2, 3]
    assert answer.risk_bands[1] == pb.RISK_BAND_UNSPECIFIED
    count = live.server.metrics.registry.get_sample_value
    rows = {outcome: {"model": "churn@1", "outcome": outcome} for outcome in ("scored", "failed")}
    assert [count("staunch_rows_total", labels) for labels in rows.values()] == [2, 3]


async def test_reasons_of_packed_rows_are_those_of_explain(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve(database_reader_url=NOWHERE)
    row = (6.0, math.nan, 10.0)
    (answer,) = await ask(live, rows_of((1, math.inf, 1), row, top_contributions=2))
    features = pb.PackedFeatures(values=row, features_digest=DIGEST)
    explained = await live.prediction.Explain(
        pb.ExplainRequest(packed_features=features, max_contributions=2)
    )
    why = answer.explanations[1]
    names = [answer.explanation.features[i].name for i in why.features]
    listed = explained.explanation.contributions
    assert names == [one.feature for one in listed]
    assert list(why.contributions) == [one.contribution for one in listed]
    assert not answer.explanations[0].features


async def test_ids_and_rows_may_take_turns_in_a_stream(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    answers = await ask(live, ids_of(8, as_of_time=stamp(NOON)), rows_of((6, 1, 1)), ids_of(8))
    assert [one.HasField("as_of_time") for one in answers] == [True, False, True]
    assert [len(one.probabilities) for one in answers] == [1, 1, 1]


@pytest.mark.parametrize("beside", [{"customer_ids": [7, -7]}, {"customer_keys": ["x" * 70, ""]}])
async def test_ids_or_keys_beside_rows_are_sent_back_and_looked_up_nowhere(
    publish: Publish, serve: Serve, beside: dict[str, Any]
) -> None:
    publish()
    live = await serve(database_reader_url=NOWHERE)
    (answer,) = await ask(live, rows_of((6, 1, 1), (2, 1, 1), **beside))
    assert [*answer.customer_ids, *answer.customer_keys] == next(iter(beside.values()))
    assert (len(answer.probabilities), errors(answer)) == (2, [])


ONE: Row = (1, 1, 1)
CHUNK_ERRORS = {
    "the digest of others": (rows_of(ONE, digest="sha256:0"), "FEATURES_MISMATCH", "pack the values again."),
    "half a row": (
        pb.BatchPredictRequest(
            packed_features=pb.PackedFeatures(values=[1, 2, 3, 4], features_digest=DIGEST)
        ),
        "FEATURES_MISMATCH",
        "values, 3 for each row, of churn@1, got 4 values",
    ),
    "no row": (rows_of(), "CHUNK_EMPTY", "Expected 1 to 10000 rows of packed_features, got none."),
    "too many rows": (
        rows_of(*[ONE] * (MAX_CHUNK_ROWS + 1)),
        "CHUNK_TOO_LARGE",
        "Expected 1 to 10000 rows of packed_features, got 10001; send several chunks.",
    ),
    "too few ids": (
        rows_of(ONE, ONE, customer_ids=[1]),
        "FIELD_INVALID",
        "Expected 2 ids or 2 keys beside as many rows, or neither, got 1 customer_ids.",
    ),
    "ids and keys": (
        rows_of(ONE, customer_ids=[1], customer_keys=["k"]),
        "FIELD_INVALID",
        "got 1 customer_ids and 1 customer_keys.",
    ),
    "another model": (rows_of(ONE, model="other"), "MODEL_CHANGED_IN_STREAM", ""),
}


async def test_a_wrong_chunk_of_rows_gets_its_error_and_the_stream_goes_on(
    publish: Publish, serve: Serve, transport_name: str
) -> None:
    publish()
    live = await serve(transport=transport_name, database_reader_url=NOWHERE)
    answers = await ask(live, rows_of(ONE), *(chunk for chunk, *_ in CHUNK_ERRORS.values()), rows_of(ONE))
    for answer, (case, (_, reason, words)) in zip(answers[1:-1], CHUNK_ERRORS.items(), strict=True):
        assert (case, errors(answer)) == (case, [(None, 3, reason)])
        assert words in answer.chunk_error.message
    assert len(answers[-1].probabilities) == 1


async def test_a_moment_beside_rows_is_refused_and_ends_the_stream_that_it_opens(
    publish: Publish, serve: Serve
) -> None:
    publish()
    live = await serve()
    dated = rows_of(ONE, as_of_time=stamp(NOON))
    assert (await failure(ask(live, dated))).reason == "AS_OF_NOT_ALLOWED"
    _, answer = await ask(live, ids_of(8, as_of_time=stamp(NOON)), dated)
    assert errors(answer) == [(None, 3, "AS_OF_NOT_ALLOWED")]


def wide(width: int) -> tuple[FeatureColumn, ...]:
    one = PEOPLE_COLUMNS[0]
    return tuple(
        FeatureColumn(f"f{i}", one.type, one.nullable, one.unit, one.description) for i in range(width)
    )


async def test_a_message_that_is_too_large_is_told_how_many_rows_fit_and_those_do(
    publish: Publish, serve: Serve, transport_name: str
) -> None:
    """By rows with keys beside them, so that a few features are enough to fill a message."""
    publish()
    live = await serve(transport=transport_name, database_reader_url=NOWHERE)
    key = "k" * 200

    def chunk(count: int) -> pb.BatchPredictRequest:
        return rows_of(*[ONE] * count, customer_keys=[key] * count)

    large = chunk(9000)
    assert MAX_MESSAGE_BYTES < large.ByteSize() < MAX_RECEIVED_BYTES
    _, answer = await ask(live, rows_of(ONE), large)
    assert errors(answer) == [(None, 3, "CHUNK_TOO_LARGE")]
    assert not answer.customer_keys
    error = answer.chunk_error
    fit = int(error.metadata["limit"])
    assert (
        f"Expected 1 to {fit} rows of packed_features, got 9000 in {large.ByteSize()} bytes" in error.message
    )
    assert MAX_MESSAGE_BYTES - 2000 < chunk(fit).ByteSize() <= MAX_MESSAGE_BYTES
    _, answer = await ask(live, rows_of(ONE), chunk(fit))
    assert (len(answer.probabilities), errors(answer)) == (fit, [])


async def test_a_chunk_whose_rows_are_all_bad_stays_below_what_clients_receive(
    publish: Publish, serve: Serve
) -> None:
    publish()
    live = await serve(database_reader_url=NOWHERE)
    (answer,) = await ask(live, rows_of(*[(math.nan, math.inf, math.nan)] * 10_000))
    assert len(answer.row_errors) == 10_000
    assert answer.ByteSize() + 10_000 * (ROW_MESSAGE_BYTES - len(answer.row_errors[0].message)) < 4 << 20


async def test_the_same_rows_have_the_same_bits_in_a_chunk_and_alone(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve(database_reader_url=NOWHERE)
    rng = np.random.default_rng(5)
    rows = [tuple(row) for row in rng.uniform((0, 0, 0), (10, 2, 300), (64, 3)).tolist()]
    (answer,) = await ask(live, rows_of(*rows))
    singles = [(await alone(live, row)).probability for row in rows]
    assert list(answer.probabilities) == singles
