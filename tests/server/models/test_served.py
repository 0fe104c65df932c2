"""What a served version does with rows: bands, slices, the view's own error."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.server.harness.running import Publish, Serve
from tests.server.harness.served import MakeServed

from staunch.v1 import prediction_service_pb2 as pb
from staunch_model_store.errors import ModelRefused
from staunch_model_store.manifest import FEATURES_SQL, Thresholds
from staunch_model_store.store import ModelStore
from staunch_server.models.served import view_of
from staunch_server.types import RiskBand

MEDIUM, HIGH = 0.1, 0.45


@pytest.mark.parametrize(
    ("probability", "band"),
    [
        (0.0, RiskBand.LOW),
        (math.nextafter(MEDIUM, 0), RiskBand.LOW),
        (MEDIUM, RiskBand.MEDIUM),
        (math.nextafter(HIGH, 0), RiskBand.MEDIUM),
        (HIGH, RiskBand.HIGH),
        (1.0, RiskBand.HIGH),
        (math.nan, RiskBand.UNSPECIFIED),
    ],
)
def test_a_probability_at_a_threshold_belongs_to_the_band_above(
    make: MakeServed, probability: float, band: RiskBand
) -> None:
    served = make(thresholds=Thresholds(medium=MEDIUM, high=HIGH, costs={}))
    assert served.band(probability) is band


@pytest.mark.parametrize("thresholds", [Thresholds(medium=MEDIUM, high=HIGH, costs={}), None])
def test_many_probabilities_have_the_bands_that_each_has(
    make: MakeServed, thresholds: Thresholds | None
) -> None:
    served = make(thresholds=thresholds)
    edges = [MEDIUM, HIGH]
    around = [math.nextafter(edge, end) for edge in edges for end in (0, 1)]
    probabilities = [0.0, *edges, *around, 1.0, math.nan]
    assert served.bands(np.array(probabilities)).tolist() == [served.band(each) for each in probabilities]
    assert served.bands(np.array([])).tolist() == []


def test_without_thresholds_there_is_no_band(make: MakeServed) -> None:
    assert make(thresholds=None).band(0.99) is RiskBand.UNSPECIFIED


@pytest.mark.parametrize("rows", [1, 64, 65, 1024, 1025, 3000])
async def test_rows_have_the_same_scores_however_they_are_sliced(make: MakeServed, rows: int) -> None:
    served = make()
    values = np.random.default_rng(1).uniform(-20, 80, (rows, len(served.columns)))
    scores = await served.score(values)
    alone = [(await served.score(values[[row]])).probabilities[0] for row in (0, rows // 2, rows - 1)]
    assert scores.probabilities.shape == scores.margins.shape == (rows,)
    assert [scores.probabilities[row] for row in (0, rows // 2, rows - 1)] == alone
    served._tally.settle()
    assert sum(bucket.get() for bucket in served._metrics.scores._buckets) == rows + 3  # each is counted once


def test_the_error_of_a_view_names_the_text_that_the_version_carries(make: MakeServed) -> None:
    error = make().view_error("for 7, feature a is null")
    assert error.file == f"churn@1/{FEATURES_SQL}"
    assert "for 7, feature a is null" in str(error)


def test_a_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    stored = Publish(ModelStore(tmp_path))()
    broken = replace(stored, files={**stored.files, FEATURES_SQL: b"\xff"})
    with pytest.raises(ModelRefused, match=r"churn@1: expected UTF-8 in features\.sql"):
        view_of(broken)


async def test_chunks_and_explanations_are_counted_and_timed(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    stream = live.prediction.BatchPredict(iter([pb.BatchPredictRequest(customer_ids=[7, 8, 999_999])]))
    assert len([answer async for answer in stream]) == 1
    await live.prediction.Explain(pb.ExplainRequest(customer_id=8))

    def value(name: str, **labels: str) -> float:
        return live.server.metrics.registry.get_sample_value(name, {"model": "churn@1", **labels}) or 0.0

    assert value("staunch_batch_rows_sum", kind="batch") == 3
    assert value("staunch_sql_seconds_count", kind="batch") == 1
    assert value("staunch_rows_total", outcome="scored") == 2 + 1  # the chunk's and the one explained
    assert value("staunch_rows_total", outcome="failed") == 1
    assert value("staunch_onnx_seconds_count", step="explain") == 1
    assert 0 < value("staunch_onnx_seconds_sum", step="explain") < 0.9
