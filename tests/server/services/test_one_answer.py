"""However a customer is asked for, in a batch of single calls, in a stream or offline, the answer is one."""

import asyncio
from datetime import UTC, datetime

import numpy as np
import pytest
from tests.harness.databases import TestDatabase
from tests.server.harness.running import Publish, Running, Serve

from staunch.v1 import prediction_service_pb2 as pb
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.source import FeatureSource
from staunch_model_store.model import LoadedModel, Scores
from staunch_model_store.store import StoredVersion
from staunch_server.models.served import view_of
from staunch_server.types import Floats

SAME = 1e-15
"""By how much probabilities may differ between batches: onnxruntime's Sigmoid differs in its last bit."""


async def offline(stored: StoredVersion, url: str, ids: list[int], moment: datetime) -> tuple[Floats, Scores]:
    """Reads and scores as `staunch score` and the training do: no server in it."""
    database = Database(url, size=1)
    source = FeatureSource(database, view_of(stored))
    batch = await source.fetch(ids, moment, deadline=Deadline.after(10))
    await database.close()
    return batch.values, LoadedModel.load(stored).predict(batch.values)


async def stream(live: Running, ids: list[int]) -> pb.BatchPredictResponse:
    calls = live.prediction.BatchPredict()
    await calls.write(pb.BatchPredictRequest(customer_ids=ids))
    answer: pb.BatchPredictResponse = await calls.read()
    await calls.done_writing()
    return answer


@pytest.mark.parametrize("rows", [1, 7, 32])
async def test_single_calls_a_stream_and_the_offline_path_agree(
    publish: Publish, serve: Serve, people: TestDatabase, transport_name: str, rows: int
) -> None:
    stored = publish()
    live = await serve(transport=transport_name, max_batch_rows=rows)
    ids = [i for i in range(1, 121) if i % 11]
    chunk = await stream(live, ids)
    moment = chunk.as_of_time
    values, scores = await offline(stored, people.reader_url, ids, moment.ToDatetime(UTC))
    single = await asyncio.gather(
        *(
            live.prediction.Predict(
                pb.PredictRequest(customer_id=i, as_of_time=moment, include_features=True)
            )
            for i in ids
        )
    )
    explained = await asyncio.gather(
        *(live.prediction.Explain(pb.ExplainRequest(customer_id=i, as_of_time=moment)) for i in ids)
    )
    for place, answer in enumerate(single):
        assert (answer.model, answer.as_of_time) == (chunk.model, moment)
        assert answer.risk_band == chunk.risk_bands[place]
        told = [answer.features[name] for name in ("a", "b", "hours")]
        row = [one.number_value if one.HasField("number_value") else np.nan for one in told]
        assert np.array(row).tobytes() == values[place].tobytes()
    probabilities = np.array([answer.probability for answer in single])
    assert np.abs(probabilities - scores.probabilities).max() <= SAME
    assert np.abs(probabilities - np.array(chunk.probabilities)).max() <= SAME
    margins = np.array([answer.explanation.output_value for answer in explained])
    assert margins.tobytes() == scores.margins.tobytes()
