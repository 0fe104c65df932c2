"""What a call was scored with can be read again: the same moment asked later gives the same bits.

That holds for what was committed when the call read. A row that says it was recorded before the moment and is
committed after the call is the gap, which docs/database.md names.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from grpc import StatusCode, aio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.features.churn.histories import FAILED_PAYMENT, FOREVER, History, copy, histories, write
from tests.server.harness.running import Running
from tests.server.small_models import small_manifest, stamp

import staunch_sql
from staunch.v1 import prediction_service_pb2 as pb
from staunch_features.postgres.connection import Connection, connect
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.file import load_view
from staunch_features.views.source import FeatureSource
from staunch_model_store import manifest as stored
from staunch_model_store.store import ModelStore
from staunch_training import golden
from staunch_training.onnx import model as onnx_model
from staunch_training.trees import TreeEnsemble

NOW = datetime.now(UTC)
SOME = settings(max_examples=8)


@dataclass
class Serving:
    """A server of a model over the shipped churn view, the database's owner and the view's source."""

    live: Running
    owner: Connection
    source: FeatureSource
    names: list[str]

    async def predict(self, customer: int, **fields: Any) -> tuple[datetime, bytes] | None:
        """The moment and the features that a call was scored with, as bytes; None for who is not eligible."""
        request = pb.PredictRequest(customer_id=customer, include_features=True, **fields)
        try:
            answer = await self.live.prediction.Predict(request)
        except aio.AioRpcError as error:
            if error.code() in (StatusCode.FAILED_PRECONDITION, StatusCode.NOT_FOUND):
                return None
            raise
        assert sorted(answer.features) == sorted(self.names)
        values = [answer.features[name] for name in self.names]
        row = np.array([value.number_value if value.HasField("number_value") else np.nan for value in values])
        return answer.as_of_time.ToDatetime(UTC), row.tobytes()

    async def later(self, customer: int, moment: datetime) -> bytes:
        """The features of that moment, asked of the source now."""
        return (await self.source.fetch([customer], moment, deadline=Deadline.after(10))).values.tobytes()


def publish(store: ModelStore, signature: Any, text: str) -> None:
    """Publishes a model of one split over all features of a view."""
    width = len(signature.features)
    trees = TreeEnsemble(
        features=width,
        feature=np.array([0, -1, -1]),
        threshold=np.array([1.0, 0, 0]),
        left=np.array([1, -1, -1]),
        right=np.array([2, -1, -1]),
        missing_left=np.array([True, False, False]),
        value=np.array([0, -1.0, 1.0]),
        cover=np.array([2.0, 1, 1]),
        roots=np.array([0]),
        base=0.0,
    )
    values = np.linspace(-1, 3, 4 * width).reshape(4, width)
    margins = trees.margin(values)
    files = {
        stored.FEATURES_SQL: text.encode(),
        stored.MODEL_ONNX: onnx_model.export(trees, "LOG_ODDS"),
        stored.GOLDEN_NPZ: golden.dump(values, margins, 1 / (1 + np.exp(-margins)), np.zeros((0, width))),
    }
    fields = {"columns": signature.features, "view": "churn", "base_value": trees.base_value()}
    made = store.publish(
        "churn", lambda version: (small_manifest("churn", version, "int64", uses_as_of=True, **fields), files)
    )
    store.set_alias("churn", "champion", made.manifest.version)


@pytest.fixture
async def serving(
    database_factory: Callable[..., Any], store: ModelStore, serve: Callable[..., Awaitable[Any]]
) -> AsyncIterator[Serving]:
    """The churn view, served over a database without customers."""
    made = database_factory()
    view = load_view("churn", [staunch_sql.FEATURES_FOLDER])
    database, owner = Database(made.reader_url, size=2), await connect(made.owner_url)
    source = FeatureSource(database, view)
    signature = await source.signature(Deadline.after(10))
    publish(store, signature, view.text)
    live = await serve(database_reader_url=made.reader_url)
    yield Serving(live, owner, source, [column.name for column in signature.features])
    await database.close()
    await owner.close()


def failed_payment(customer: int, recorded: datetime) -> dict[str, Any]:
    """A row that changes features: a payment of yesterday that failed."""
    return {
        **FAILED_PAYMENT,
        "customer_id": customer,
        "transaction_id": 990,
        "occurred_at": recorded - timedelta(days=1),
        "recorded_at": recorded,
    }


@given(st.lists(histories(NOW), min_size=10, max_size=20))
@SOME
async def test_the_features_that_a_call_tells_are_those_of_its_moment_asked_later_bit_for_bit(
    serving: Serving, lives: list[History]
) -> None:
    lives = [*lives, regular(10_000_000 + lives[0].customer_id)]
    await write(serving.owner, *lives)
    ids = [history.customer_id for history in lives]
    served = await asyncio.gather(*map(serving.predict, ids))
    assert served[-1] is not None
    recorded = datetime.now(UTC)
    await copy(serving.owner, "transactions", [failed_payment(customer, recorded) for customer in ids])
    for customer, told in zip(ids, served, strict=True):
        if told is not None:
            moment, features = told
            assert await serving.later(customer, moment) == features
            assert await serving.predict(customer, as_of_time=stamp(moment)) == told


def regular(customer: int) -> History:
    """A customer of two years with a subscription, who is eligible."""
    history, since = History(customer), NOW - timedelta(days=700)
    known = {"recorded_at": since}
    history.add(
        "customers",
        **{"given_name": "Ann", "family_name": "Roy", "email": "ann@example.org", "gender": "female"},
        **{"birth_date": (NOW - timedelta(days=9_000)).date(), "language": "fr", "joined_at": since, **known},
    )
    history.add(
        "subscriptions",
        **{"subscription_id": 1, "service": "tv", "started_at": since, "started_recorded_at": since},
        superseded_at=FOREVER,
    )
    return history


async def test_a_row_committed_after_the_call_that_says_it_was_recorded_before_is_the_gap(
    serving: Serving,
) -> None:
    customer = 10_000_000
    await write(serving.owner, regular(customer))
    async with serving.owner.transaction():
        late = failed_payment(customer, datetime.now(UTC))
        await copy(serving.owner, "transactions", [late])
        told = await serving.predict(customer)
    assert told is not None
    moment, features = told
    assert late["recorded_at"] < moment
    assert await serving.later(customer, moment) != features
    again = await serving.predict(customer)
    assert again is not None
    assert await serving.later(customer, again[0]) == again[1]
