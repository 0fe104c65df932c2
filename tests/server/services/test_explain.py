"""Explain over a real server: exact, ordered, cut where asked, and reproducible."""

import math
from datetime import UTC, datetime
from itertools import combinations

import numpy as np
import pytest
from google.protobuf.struct_pb2 import NULL_VALUE, Value
from google.protobuf.timestamp_pb2 import Timestamp
from tests.server.harness.errors import failure
from tests.server.harness.running import Publish, Serve
from tests.server.small_models import PEOPLE_COLUMNS, expected_margin, person, small_trees

from staunch.v1 import prediction_service_pb2 as pb
from staunch_features.views.signature import features_digest

NOON = Timestamp(seconds=int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()))


def path_dependent(values: tuple[float, ...], known: tuple[int, ...]) -> float:
    """What the small trees give when only some features are known: the rest goes both ways, by the covers."""
    trees = small_trees(0.0)

    def below(node: int) -> float:
        left, right = int(trees.left[node]), int(trees.right[node])
        if left < 0:
            return float(trees.value[node])
        feature = int(trees.feature[node])
        if feature in known:
            value = values[feature]
            goes_left = trees.missing_left[node] if math.isnan(value) else value <= trees.threshold[node]
            return below(left if goes_left else right)
        return float(
            (trees.cover[left] * below(left) + trees.cover[right] * below(right)) / trees.cover[node]
        )

    return sum(below(int(root)) for root in trees.roots)


def shapley(values: tuple[float, ...]) -> list[float]:
    """Shapley values by their definition, over all subsets."""
    n, parts = len(values), []
    for feature in range(n):
        others = [other for other in range(n) if other != feature]
        part = 0.0
        for size in range(n):
            weight = math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)
            for subset in combinations(others, size):
                gain = path_dependent(values, (*subset, feature)) - path_dependent(values, subset)
                part += weight * gain
        parts.append(part)
    return parts


@pytest.mark.parametrize("customer_id", [3, 7, 8, 9])
async def test_contributions_are_the_shapley_values_and_add_up_to_the_output(
    publish: Publish, serve: Serve, customer_id: int
) -> None:
    publish()
    live = await serve()
    request = pb.ExplainRequest(customer_id=customer_id, as_of_time=NOON)
    explained = (await live.prediction.Explain(request)).explanation
    values = person(customer_id, (NOON.seconds - 1767225600) / 3600 - customer_id)
    got = {c.feature: c.contribution for c in explained.contributions}
    assert got == pytest.approx(dict(zip(("a", "b", "hours"), shapley(values), strict=True)), abs=1e-9)
    assert explained.output_value == pytest.approx(expected_margin(values), abs=1e-12)
    total = explained.base_value + sum(got.values()) + explained.remainder
    assert abs(total - explained.output_value) <= 1e-9
    assert explained.additivity_error <= 1e-9
    assert (explained.remainder, explained.remainder_count) == (0, 0)
    assert explained.output_space == pb.OUTPUT_SPACE_LOG_ODDS
    assert explained.method == pb.EXPLANATION_METHOD_TREE_PATH_DEPENDENT


async def test_the_score_is_the_one_that_predict_gives(
    publish: Publish, serve: Serve, transport_name: str
) -> None:
    publish()
    live = await serve(transport=transport_name)
    asked = {"customer_id": 8, "as_of_time": NOON, "include_features": True}
    explained = await live.prediction.Explain(pb.ExplainRequest(**asked))
    predicted = await live.prediction.Predict(pb.PredictRequest(**asked))
    assert explained.prediction == predicted


async def test_packed_features_are_explained_as_the_same_ones_by_name(
    publish: Publish, serve: Serve, transport_name: str
) -> None:
    publish()
    live = await serve(transport=transport_name, database_reader_url="postgresql://nobody@127.0.0.1:1/none")
    named = {"a": Value(number_value=6), "b": Value(null_value=NULL_VALUE), "hours": Value(number_value=10)}
    digest = features_digest(PEOPLE_COLUMNS)
    by_name, packed = [
        await live.prediction.Explain(pb.ExplainRequest(include_features=True, **subject))
        for subject in (
            {"features": pb.FeatureValues(values=named)},
            {"packed_features": pb.PackedFeatures(values=[6, math.nan, 10], features_digest=digest)},
        )
    ]
    assert packed == by_name
    assert {one.feature: one.overridden for one in packed.explanation.contributions} == dict.fromkeys(
        named, False
    )


async def test_contributions_come_largest_first_and_ties_by_name(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    for customer_id in (3, 8, 9):
        request = pb.ExplainRequest(customer_id=customer_id)
        listed = (await live.prediction.Explain(request)).explanation.contributions
        order = [(-abs(c.contribution), c.feature) for c in listed]
        assert order == sorted(order)


@pytest.mark.parametrize("most", [1, 2, 3, 50])
async def test_what_is_not_listed_is_summed_in_the_remainder(
    publish: Publish, serve: Serve, most: int
) -> None:
    publish()
    live = await serve()
    full = (await live.prediction.Explain(pb.ExplainRequest(customer_id=8, as_of_time=NOON))).explanation
    request = pb.ExplainRequest(customer_id=8, as_of_time=NOON, max_contributions=most)
    cut = (await live.prediction.Explain(request)).explanation
    assert list(cut.contributions) == list(full.contributions)[:most]
    rest = [c.contribution for c in full.contributions][most:]
    assert cut.remainder == pytest.approx(sum(rest), abs=1e-15)
    assert cut.remainder_count == len(rest)
    assert cut.additivity_error <= 1e-9


async def test_values_used_and_overridden_ones_are_told(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    request = pb.ExplainRequest(customer_id=7, overrides={"a": Value(number_value=2)})
    listed = (await live.prediction.Explain(request)).explanation.contributions
    told = {c.feature: (c.overridden, c.value.WhichOneof("kind")) for c in listed}
    assert told == {"a": (True, "number_value"), "b": (False, "null_value"), "hours": (False, "number_value")}
    assert next(c.value.number_value for c in listed if c.feature == "a") == 2


async def test_given_features_are_explained_too(publish: Publish, serve: Serve) -> None:
    publish(base=0.25)
    live = await serve()
    values = {"a": 6.0, "b": 1.0, "hours": 5.0}
    features = pb.FeatureValues(values={name: Value(number_value=v) for name, v in values.items()})
    answer = await live.prediction.Explain(pb.ExplainRequest(features=features))
    assert answer.explanation.output_value == pytest.approx(2.0)
    assert not answer.prediction.HasField("as_of_time")


async def test_a_version_without_an_explainer_says_so(publish: Publish, serve: Serve) -> None:
    publish(explainer=False)
    live = await serve()
    assert (await live.prediction.Predict(pb.PredictRequest(customer_id=8))).probability > 0
    error = await failure(live.prediction.Explain(pb.ExplainRequest(customer_id=8)))
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "EXPLAINER_MISSING")


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (pb.ExplainRequest(), "SUBJECT_MISSING"),
        (pb.ExplainRequest(customer_id=8, max_contributions=-1), "FIELD_INVALID"),
        (pb.ExplainRequest(customer_id=999_999), "CUSTOMER_NOT_FOUND"),
        (pb.ExplainRequest(customer_id=11), "CUSTOMER_NOT_ELIGIBLE"),
        (pb.ExplainRequest(features=pb.FeatureValues()), "FEATURE_MISSING"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
async def test_what_predict_refuses_explain_refuses(
    publish: Publish, serve: Serve, request_: pb.ExplainRequest, reason: str
) -> None:
    publish()
    live = await serve()
    assert (await failure(live.prediction.Explain(request_))).reason == reason


async def test_an_explanation_can_be_computed_again_from_what_it_tells(
    publish: Publish, serve: Serve, transport_name: str
) -> None:
    publish()
    live = await serve(transport=transport_name)
    asked = pb.ExplainRequest(customer_id=13, as_of_time=NOON, include_features=True)
    first = await live.prediction.Explain(asked)
    again = await live.prediction.Explain(
        pb.ExplainRequest(features=pb.FeatureValues(values=first.prediction.features))
    )
    assert again.explanation == first.explanation
    assert np.isclose(again.prediction.probability, first.prediction.probability, rtol=0, atol=1e-15)


async def test_each_call_is_counted_under_the_version_that_answered_it(
    publish: Publish, serve: Serve
) -> None:
    publish()
    live = await serve()
    await live.prediction.Predict(pb.PredictRequest(customer_id=3))
    await live.prediction.Explain(pb.ExplainRequest(customer_id=3))
    chunk = pb.BatchPredictRequest(customer_ids=[3])
    assert len([answer async for answer in live.prediction.BatchPredict(iter([chunk]))]) == 1
    for method in ("Predict", "Explain", "BatchPredict"):
        labels = {"method": f"/staunch.v1.PredictionService/{method}", "model": "churn@1", "code": "OK"}
        counted = live.server.metrics.registry.get_sample_value(
            "staunch_calls_total", labels | {"reason": ""}
        )
        assert counted == 1, method
