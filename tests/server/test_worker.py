"""What the whole server promises, with a real database and a real model."""

from typing import Any

import grpc
import pytest

from staunch.v1 import prediction_service_pb2 as pb


@pytest.mark.parametrize("transport", ["aio", "native"])
async def test_a_customer_is_scored_from_the_rows_of_the_database(serve: Any, transport: str) -> None:
    running = await serve(transport=transport)
    answer = await running.predictions.Predict(pb.PredictRequest(customer_id=3, include_features=True))
    assert 0 < answer.probability < 1
    assert (answer.model.name, answer.model.version) == ("churn", 1)
    assert answer.features["a"].number == 3 * 1.5 - 20
