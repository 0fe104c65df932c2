"""Reasons of each row of a stream: those of Explain, in their places, adding up, and small enough to come."""

import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.server.harness.errors import failure
from tests.server.harness.running import Publish, Running, Serve
from tests.server.services.test_batch_predict import NOON, ask, errors, ids_of
from tests.server.services.test_features import SPOKEN
from tests.server.small_models import small_files, small_manifest, small_trees, stamp, view_text

from staunch.v1 import prediction_service_pb2 as pb
from staunch.v1.feature_pb2 import Feature, FeatureLabel
from staunch_features.views.feature_doc import MOST_TITLE_LETTERS
from staunch_model_store.manifest import EXPLAINER_ONNX, Manifest
from staunch_model_store.model import Largest
from staunch_server.models.reasons import SLICE_ROWS, Reasons
from staunch_server.services.chunks import MAX_CHUNK_ROWS, ROW_MESSAGE_BYTES
from staunch_server.services.row_explanations import MOST_CONTRIBUTIONS, ScoredRows, write

CLIENTS_RECEIVE_BYTES = 4 << 20


async def explained(live: Running, *ids: int, top: int, **fields: Any) -> pb.BatchPredictResponse:
    (answer,) = await ask(live, ids_of(*ids, top_contributions=top, **fields))
    return answer


@pytest.mark.parametrize("top", [1, 10])
async def test_each_row_has_the_reasons_that_explain_gives_for_it(
    publish: Publish, serve: Serve, transport_name: str, top: int
) -> None:
    """The same version, moment and row: the same bits, in whichever chunk and at whichever place."""
    publish(text=SPOKEN)
    live = await serve(transport=transport_name)
    ids = [i for i in range(1, SLICE_ROWS + 9) if i % 11] * 2
    answer = await explained(live, *ids, top=top, as_of_time=stamp(NOON), language_code="fr")
    shared = answer.explanation
    assert len(answer.explanations) == len(ids)
    for i, row in list(zip(ids, answer.explanations, strict=True))[:: len(ids) // 12]:
        alone = pb.ExplainRequest(
            customer_id=i, as_of_time=stamp(NOON), max_contributions=top, language_code="fr"
        )
        want = (await live.prediction.Explain(alone)).explanation
        assert [shared.features[at].name for at in row.features] == [c.feature for c in want.contributions]
        assert [shared.features[at].title for at in row.features] == [c.title for c in want.contributions]
        assert [shared.features[at].unit for at in row.features] == [c.unit for c in want.contributions]
        assert list(row.contributions) == [c.contribution for c in want.contributions]
        assert [None if np.isnan(value) else value for value in row.values] == [
            c.value.number_value if c.value.HasField("number_value") else None for c in want.contributions
        ]
        assert (row.remainder, row.output_value) == (want.remainder, want.output_value)
        assert (shared.base_value, shared.output_space) == (want.base_value, want.output_space)
        assert (shared.method, shared.language_code) == (want.method, want.language_code)


async def test_the_reasons_of_every_row_add_up(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    answer = await explained(live, *range(1, 201), top=2)
    failed = {error.index for error in answer.row_errors}
    for place, row in enumerate(answer.explanations):
        if place in failed:
            assert row == pb.RowExplanation()
        else:
            total = answer.explanation.base_value + sum(row.contributions) + row.remainder
            assert abs(total - row.output_value) <= 1e-9
            probability = 1 / (1 + np.exp(-row.output_value))
            assert answer.probabilities[place] == pytest.approx(probability, abs=1e-12)


async def test_rows_without_a_score_keep_their_place_and_have_no_reasons(
    publish: Publish, serve: Serve
) -> None:
    publish()
    live = await serve()
    answer = await explained(live, 8, 999_999, 9, 0, 11, 10, top=1)
    assert [index for index, *_ in errors(answer)] == [1, 3, 4]
    assert [len(row.features) for row in answer.explanations] == [1, 0, 1, 0, 0, 1]
    nobody = await explained(live, 0, -1, top=1)
    assert list(nobody.explanations) == [pb.RowExplanation()] * 2


async def test_what_rows_share_is_said_once_a_stream_and_nothing_to_who_asks_for_none(
    publish: Publish, serve: Serve
) -> None:
    publish(text=SPOKEN)
    live = await serve()
    answers = await ask(live, ids_of(8, top_contributions=2), ids_of(9), ids_of(10, top_contributions=2))
    assert [answer.HasField("explanation") for answer in answers] == [True, False, False]
    assert [len(answer.explanations[0].features) for answer in answers] == [2, 2, 2]
    (a, *_) = answers[0].explanation.features
    labels = [FeatureLabel(value=2, label="two"), FeatureLabel(value=3, label="three")]
    assert a == Feature(name="a", title="Amount", unit="CAD", labels=labels)
    (plain,) = await ask(live, ids_of(8))
    assert not plain.explanations
    assert not plain.HasField("explanation")


async def test_a_version_that_is_rolled_forward_leaves_a_stream_the_reasons_of_the_one_it_began_with(
    publish: Publish, serve: Serve
) -> None:
    """Its indices point into the features that its own first answer named."""
    publish()
    live = await serve()

    async def chunks() -> AsyncIterator[pb.BatchPredictRequest]:
        yield ids_of(8, model="churn", as_of_time=stamp(NOON), top_contributions=3)
        publish(text=SPOKEN, base=1.0)
        live.server.registry.store.set_alias("churn", "champion", 2)
        await live.server.registry.reload()
        yield ids_of(8)

    old = [answer async for answer in live.prediction.BatchPredict(chunks())]
    (new,) = await ask(live, ids_of(8, as_of_time=stamp(NOON), top_contributions=3))
    assert [answer.model.version for answer in (*old, new)] == [1, 1, 2]
    assert old[0].explanations == old[1].explanations
    assert [answer.HasField("explanation") for answer in (*old, new)] == [True, False, True]
    assert new.explanation.base_value == pytest.approx(old[0].explanation.base_value + 1)
    assert [old[0].explanation.features[0].title, new.explanation.features[0].title] == ["A", "Amount"]
    for answer, said in ((old[0], old[0]), (old[1], old[0]), (new, new)):
        (row,) = answer.explanations
        total = said.explanation.base_value + sum(row.contributions) + row.remainder
        assert abs(total - row.output_value) <= 1e-9


async def test_what_rows_share_is_said_also_if_the_first_chunk_fails(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    answers = await ask(live, pb.BatchPredictRequest(top_contributions=1), ids_of(8))
    assert [reason for *_, reason in errors(answers[0])] == ["CHUNK_EMPTY"]
    assert not answers[0].explanations
    assert [feature.name for feature in answers[0].explanation.features] == ["a", "b", "hours"]
    assert len(answers[1].explanations[0].features) == 1


@pytest.mark.parametrize("top", [-1, 11, 2**31 - 1])
async def test_more_than_ten_reasons_or_less_than_none_are_refused(
    publish: Publish, serve: Serve, transport_name: str, top: int
) -> None:
    publish()
    live = await serve(transport=transport_name)
    error = await failure(explained(live, 8, top=top))
    assert (error.reason, [field for field, _ in error.violations]) == (
        "FIELD_INVALID",
        ["top_contributions"],
    )
    assert f"of 0 (none) to 10, got {top}" in error.message


async def test_a_version_without_an_explainer_scores_and_says_that_it_gives_no_reasons(
    publish: Publish, serve: Serve
) -> None:
    publish(explainer=False)
    live = await serve()
    assert (await explained(live, 8, top=0)).probabilities
    error = await failure(explained(live, 8, top=1))
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "EXPLAINER_MISSING")
    assert error.resource == ("model", "churn@1")


async def test_what_is_no_language_is_refused(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    error = await failure(explained(live, 8, top=1, language_code="fr CA"))
    assert (error.reason, [field for field, _ in error.violations]) == ("FIELD_INVALID", ["language_code"])


async def test_a_stream_has_one_number_of_reasons_and_one_language(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    answers = await ask(
        live,
        ids_of(8, top_contributions=2, language_code="en"),
        ids_of(8, top_contributions=3),
        ids_of(8, top_contributions=11),
        ids_of(8, language_code="fr"),
        ids_of(8, top_contributions=2, language_code="en"),
    )
    assert [len(answer.explanations) for answer in answers] == [1, 0, 0, 0, 1]
    assert [errors(answer) for answer in answers[1:4]] == [[(None, 3, "MODEL_CHANGED_IN_STREAM")]] * 3
    assert answers[1].chunk_error.message == (
        "Expected top_contributions 2 or none, got 3; begin a new stream for it."
    )
    later = await ask(live, ids_of(8), ids_of(8, top_contributions=1))
    assert [reason for *_, reason in errors(later[1])] == ["MODEL_CHANGED_IN_STREAM"]


def damaged_explainer(content: bytes) -> bytes:
    """Adds half a point to what feature a does for rows of more than 100 hours, which no golden row has."""
    model = onnx.load_from_string(content)
    graph = model.graph
    graph.node[-1].output[0] = "right"
    constants = {
        "hours": np.array([2], np.int64),
        "long": np.array([[100.0]]),
        "half": np.array([[0.5, 0.0, 0.0]]),
    }
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    graph.node.extend(
        [
            helper.make_node("Gather", ["features", "hours"], ["known"], axis=1),
            helper.make_node("Greater", ["known", "long"], ["is_long"]),
            helper.make_node("Cast", ["is_long"], ["as_number"], to=TensorProto.DOUBLE),
            helper.make_node("Mul", ["as_number", "half"], ["off"]),
            helper.make_node("Add", ["right", "off"], ["contributions"]),
        ]
    )
    return model.SerializeToString()


async def test_a_row_that_does_not_add_up_fails_alone(
    publish: Publish, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    trees = small_trees(0.0)
    files = small_files(trees, view_text())
    files[EXPLAINER_ONNX] = damaged_explainer(files[EXPLAINER_ONNX])

    def build(version: int) -> tuple[Manifest, dict[str, bytes]]:
        made = small_manifest("churn", version, "int64", uses_as_of=True, base_value=trees.base_value())
        return made, files

    publish.store.publish("churn", build)
    publish.store.set_alias("churn", "champion", 1)
    live = await serve()
    # At hour 150 those who became known before hour 50 are the ones of more than 100 hours.
    at = stamp(NOON.replace(month=1, day=7, hour=6))
    ids = [i for i in (*range(46, 55), *range(120, 125)) if i % 11]
    answer = await explained(live, *ids, top=3, as_of_time=at)
    wrong = [place for place, i in enumerate(ids) if i < 50]
    assert errors(answer) == [(place, 9, "MODEL_REFUSED") for place in wrong]
    assert "right sums of contributions within 1e-09, got 0.5 off" in answer.row_errors[0].message
    for place, row in enumerate(answer.explanations):
        assert bool(row.features) is (place not in wrong)
        assert np.isnan(answer.probabilities[place]) == (place in wrong)
        assert (answer.risk_bands[place] == pb.RISK_BAND_UNSPECIFIED) is (place in wrong)
    assert any(
        f"churn@1: {len(wrong)} rows of a chunk are not explained" in r.message for r in caplog.records
    )
    assert errors(await explained(live, *ids, top=0, as_of_time=at)) == []  # the scores are right
    same = await failure(live.prediction.Explain(pb.ExplainRequest(customer_id=ids[0], as_of_time=at)))
    assert (same.code.value[0], same.reason) == (9, "MODEL_REFUSED")


async def test_a_chunk_whose_time_ends_while_it_is_explained_says_so_and_has_no_half_of_them(
    publish: Publish, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    live = await serve()
    served = live.server.registry.held(("churn", 1))
    usual = type(served).largest

    def slow(*arguments: Any) -> Largest:
        time.sleep(0.1)
        return usual(*arguments)

    monkeypatch.setattr(type(served), "largest", slow)
    ids = [8] * (40 * SLICE_ROWS)
    error = await failure(ask_within(live, 0.6, ids_of(*ids, top_contributions=1)))
    assert error.code.name == "DEADLINE_EXCEEDED"
    # The thread goes on with the others' rows as soon as the slice in hand has ended.
    monkeypatch.setattr(type(served), "largest", usual)
    started = time.monotonic()
    assert len((await explained(live, 8, top=1)).explanations[0].features) == 1
    assert time.monotonic() - started < 1


async def ask_within(live: Running, seconds: float, chunk: pb.BatchPredictRequest) -> list[Any]:
    return [answer async for answer in live.prediction.BatchPredict(iter([chunk]), timeout=seconds)]


async def test_the_largest_answer_stays_below_what_clients_receive() -> None:
    """4 MiB: the longest keys, ten reasons a row out of as many columns as PostgreSQL has, or else a message.

    A row has either reasons or an error, so that the dearer of the two is the worst of both.
    """
    count, columns = MAX_CHUNK_ROWS, 1600
    far = np.full((count, MOST_CONTRIBUTIONS), columns - 1)
    ones = np.ones((count, MOST_CONTRIBUTIONS))
    largest = Largest(far, ones, np.ones(count), np.zeros(count))
    rows = ScoredRows(np.arange(count), np.ones((count, columns)), np.ones(count))

    async def slices() -> AsyncIterator[Reasons]:
        yield Reasons(0, largest)

    scored = pb.BatchPredictResponse(
        customer_keys=["x" * 64] * count, probabilities=[0.5] * count, risk_bands=[3] * count
    )
    failed = pb.BatchPredictResponse()
    failed.CopyFrom(scored)
    scored.explanations.extend([pb.RowExplanation()] * count)
    failed.explanations.extend([pb.RowExplanation()] * count)
    assert await write(scored.explanations, slices(), rows) == {}
    message, reason = "é" * (ROW_MESSAGE_BYTES // 2), "CUSTOMER_NOT_ELIGIBLE"
    for place in range(count):
        failed.row_errors.add(index=place, code=9, reason=reason, message=message)
    feature = Feature(name="x" * 63, title="é" * MOST_TITLE_LETTERS, unit="é" * MOST_TITLE_LETTERS)
    feature.labels.extend([FeatureLabel(value=8, label="é" * 10)] * 3)
    shared = pb.BatchExplanation(features=[feature] * columns)
    scored.flagged_rows.extend(range(count))
    for answer in (scored, failed):
        answer.model.name = "x" * 63
        answer.explanation.CopyFrom(shared)
        assert answer.ByteSize() < CLIENTS_RECEIVE_BYTES - (64 << 10)
