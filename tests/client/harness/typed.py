"""What type checkers see of the client: run by mypy in `make check`, and never by Python."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from datetime import datetime
from typing import assert_type

import grpc

from staunch import (
    AliasMove,
    AsyncClient,
    Client,
    Contribution,
    Explanation,
    Model,
    ModelReference,
    Prediction,
    RiskBand,
    RowError,
    RowExplanation,
    Score,
    StaunchError,
    __version__,
)
from staunch.testing import Failure, FakeServer


class Frame:
    """Stands for a frame of any library."""


def client(client: Client, frame: Frame) -> None:
    """What the synchronous client gives."""
    assert_type(client.predict(42), Prediction)
    assert_type(client.predict("007", model=client.predict(42).model), Prediction)
    assert_type(client.predict(features={"age": 41, "income": None}).probability, float)
    assert_type(client.predict(42).risk_band, RiskBand)
    assert_type(client.predict(42).model, ModelReference)
    assert_type(client.predict(42).as_of, datetime | None)
    assert_type(client.predict(42).features, dict[str, float | None] | None)
    assert_type(client.predict(42).request_id, str)
    assert_type(client.explain(42), Explanation)
    assert_type(client.explain(42).request_id, str)
    assert_type(client.batch_predict([1, 2]), Generator[Score | RowError, None, None])
    for row in client.batch_predict([1, 2], top_contributions=3, language="fr"):
        if isinstance(row, Score):
            assert_type(row.explanation, RowExplanation | None)
            assert_type(row.reasons, tuple[Contribution, ...])
    assert_type(client.batch_predict_frame(frame), Frame)
    assert_type(client.batch_predict_frames([frame], "id", chunk_size=10), Generator[Frame, None, None])
    assert_type(client.list_models(), list[Model])
    assert_type(client.get_model(client.list_models()[0]), Model)
    assert_type(client.set_alias("churn", "champion", 3), AliasMove)
    assert_type(client.delete_alias("churn", "next"), int | None)
    assert_type(client.reload_models(), list[Model])
    assert_type(client.is_ready(), bool)
    with client as entered:
        assert_type(entered, Client)


async def async_client(client: AsyncClient, frame: Frame) -> None:
    """What the asynchronous client gives."""
    assert_type(await client.predict(42), Prediction)
    assert_type(await client.explain(42), Explanation)
    assert_type(client.batch_predict([1, 2]), AsyncGenerator[Score | RowError, None])
    assert_type(await client.batch_predict_frame(frame), Frame)
    assert_type(client.batch_predict_frames([frame]), AsyncGenerator[Frame, None])
    assert_type(await client.list_models(), list[Model])
    assert_type(await client.get_model(), Model)
    assert_type(await client.set_alias("churn", "champion", 3), AliasMove)
    assert_type(await client.delete_alias("churn", "next"), int | None)
    assert_type(await client.reload_models(), list[Model])
    assert_type(await client.is_ready(), bool)
    async with client as entered:
        assert_type(entered, AsyncClient)


async def async_token() -> str:
    """Gives a token."""
    await asyncio.sleep(0)
    return "t"


def arguments(error: StaunchError) -> None:
    """What may be passed, and what may not: an unused `type: ignore` is an error too."""
    Client(token="t", compression="gzip", metadata={"a": "b", "c-bin": b"d"})
    Client(token=lambda: "t", compression=grpc.Compression.Gzip)
    AsyncClient(token=async_token)
    Client(token=async_token)  # type: ignore[arg-type]
    Client(compression="zip")  # type: ignore[arg-type]
    Client(timeout_s="5")  # type: ignore[arg-type]
    Client().predict(1.5)  # type: ignore[arg-type]
    Client().predict(42, as_of="2026-01-01")  # type: ignore[arg-type]
    Client().predict(42, model=3)  # type: ignore[arg-type]
    Client().batch_predict_frame(1, chunk="5")  # type: ignore[call-arg]
    assert_type(error.code, grpc.StatusCode)
    assert_type(error.details.retry_after_s, float | None)
    assert_type(__version__, str)


def fake(server: FakeServer) -> None:
    """What the fake takes and gives."""
    server.scores[42] = 0.91
    server.scores["007"] = Failure("CUSTOMER_NOT_FOUND")
    server.scores[42] = "high"  # type: ignore[assignment]
    assert_type(server.target, str)
    with server as entered:
        assert_type(entered, FakeServer)
