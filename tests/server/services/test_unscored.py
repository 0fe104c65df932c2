"""What callers read of customers who have no score: why, since when, and whether they are known by now."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import grpc
import pytest
from tests.harness.databases import DatabaseFactory, TestDatabase, execute
from tests.server.harness.errors import RichError, failure, read_all
from tests.server.harness.running import Publish, Running, Serve
from tests.server.small_models import EPOCH, TABLE, stamp, view_text

from staunch.v1 import prediction_service_pb2 as pb
from staunch_server.models import why_not

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEYS = {"int64": 11, "text": "key-11", "uuid": "00000000-0000-4000-8000-000000000011"}


def told(text: str, why: str = "", words: str = "has an active account") -> str:
    """A view of people with a sentence on who is eligible, and perhaps why somebody is not."""
    text = text.replace("\n[features]", f'eligible = "{words}"\n\n[features]', 1)
    return text.replace(" AS _eligible", f" AS _eligible, {why} AS _why") if why else text


LEFT = "CASE WHEN NOT people.active THEN 'closed on ' || to_char(people.since, 'YYYY-MM-DD') END"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """On a busy machine a second look may take longer than a caller is made to wait for it."""
    monkeypatch.setattr(why_not, "REST", 0)
    original = why_not.WhyNot.__init__
    monkeypatch.setattr(why_not.WhyNot, "__init__", lambda self, pool: original(self, pool, time_s=20))
    return iter([None])


def facts(error: RichError) -> dict[str, str]:
    (info,) = error.infos
    return dict(info.metadata)


async def ask(live: Running, id_type: str = "int64", **fields: object) -> list[RichError]:
    """Asks both methods for the customer who left."""
    key = KEYS[id_type]
    whom = {"customer_id": key} if isinstance(key, int) else {"customer_key": key}
    return [
        await failure(live.prediction.Predict(pb.PredictRequest(**whom, **fields))),  # type: ignore[arg-type]
        await failure(live.prediction.Explain(pb.ExplainRequest(**whom, **fields))),  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize("id_type", KEYS)
async def test_who_is_not_eligible_is_told_what_that_means_and_why(
    publish: Publish, serve: Serve, id_type: str, dated: bool
) -> None:
    publish(id_type=id_type, uses_as_of=dated, text=told(view_text(id_type, uses_as_of=dated), LEFT))
    for error in await ask(await serve(), id_type):
        assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CUSTOMER_NOT_ELIGIBLE")
        when = facts(error).get("as_of_time", "now")
        assert facts(error) == {
            "customer": str(KEYS[id_type]),
            "view": "people",
            "eligible": "has an active account",
            "why": "closed on 2026-01-01",
        } | ({"as_of_time": when} if dated else {})
        at = f"at {when}" if dated else "now"
        then = "ask for an as_of_time at which that was so, or " if dated else ""
        assert error.message == (
            f"Expected a customer who has an active account {at}, got {KEYS[id_type]}: closed on 2026-01-01; "
            f"{then}leave them out."
        )


async def test_a_view_that_says_no_why_or_a_null_gives_none(publish: Publish, serve: Serve) -> None:
    for text in (told(view_text()), told(view_text(), "NULL::text")):
        publish(text=text)
        live = await serve()
        for error in await ask(live):
            assert "got 11; ask for an as_of_time at which that was so" in error.message
            assert "why" not in facts(error)
        await live.stop()


async def test_the_why_is_read_as_of_the_moment_that_was_asked_for(publish: Publish, serve: Serve) -> None:
    publish(text=told(view_text(), "to_char($2::timestamptz, 'YYYY-MM-DD HH24:MI:SS.US')"))
    for error in await ask(await serve(), as_of_time=stamp(NOON)):
        assert facts(error)["why"] == "2026-03-01 12:00:00.000000"
        assert facts(error)["as_of_time"] == "2026-03-01T12:00:00+00:00"


async def test_a_why_that_fails_leaves_the_refusal_and_the_model_as_they_were(
    publish: Publish, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    publish(text=told(view_text(), "(1 / (people.id - 11))::text"))
    live = await serve()
    for error in await ask(live):
        assert error.reason == "CUSTOMER_NOT_ELIGIBLE"
        assert "got 11; ask for" in error.message
    assert (await live.prediction.Predict(pb.PredictRequest(customer_id=8))).probability
    assert [record for record in caplog.records if "without a why" in record.message]


async def test_a_moment_that_came_before_the_customer_is_told_from_a_customer_that_is_none(
    publish: Publish, serve: Serve
) -> None:
    publish()
    live = await serve()
    early = await failure(live.prediction.Predict(pb.PredictRequest(customer_id=8, as_of_time=stamp(EPOCH))))
    assert (early.code, early.reason) == (grpc.StatusCode.NOT_FOUND, "CUSTOMER_NOT_FOUND")
    assert facts(early) == {
        "customer": "8",
        "view": "people",
        "as_of_time": EPOCH.isoformat(),
        "known_now": "true",
    }
    assert "got 8, who is known now: that as_of_time is too early; give a later one" in early.message
    nobody = await failure(
        live.prediction.Explain(pb.ExplainRequest(customer_id=999, as_of_time=stamp(NOON)))
    )
    assert facts(nobody)["known_now"] == "false"
    assert nobody.message.endswith("got 999, who is not known now either; look the id up.")
    unasked = await failure(live.prediction.Predict(pb.PredictRequest(customer_id=999)))
    assert "known_now" not in facts(unasked)
    assert unasked.message.endswith("got 999; look the id up.")


async def test_everybody_belongs_to_a_view_without_eligible_and_moments_are_still_told(
    publish: Publish, serve: Serve
) -> None:
    publish(text=view_text("text").replace(", people.active AS _eligible", ""), id_type="text")
    live = await serve()
    assert (await live.prediction.Predict(pb.PredictRequest(customer_key="key-11"))).probability
    early = pb.PredictRequest(customer_key="key-11", as_of_time=stamp(EPOCH))
    assert facts(await failure(live.prediction.Predict(early)))["known_now"] == "true"


async def test_rows_that_security_hides_are_known_to_nobody(
    publish: Publish, serve: Serve, database_factory: DatabaseFactory
) -> None:
    made: TestDatabase = database_factory(template="template1")
    execute(made.owner_url, TABLE)
    execute(
        made.owner_url,
        "ALTER TABLE public.people ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY most ON public.people FOR SELECT TO PUBLIC USING (id <> 8)",
    )
    publish(text=told(view_text(), LEFT))
    live = await serve(database_reader_url=made.reader_url)
    hidden = pb.PredictRequest(customer_id=8, as_of_time=stamp(EPOCH))
    assert facts(await failure(live.prediction.Predict(hidden)))["known_now"] == "false"
    assert facts((await ask(live))[0])["why"] == "closed on 2026-01-01"


async def test_a_why_that_takes_long_lets_the_plain_refusal_go_out(
    publish: Publish, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    endless = "(SELECT sum(i * j) FROM generate_series(1, 99999) i, generate_series(1, 99999) j WHERE i <> a)"
    publish(text=told(view_text(), f"{endless}::text"))
    live = await serve()
    refused = asyncio.create_task(ask(live))
    scored = [await live.prediction.Predict(pb.PredictRequest(customer_id=8)) for _ in range(20)]
    assert len({answer.probability for answer in scored}) == 1
    for error in await refused:
        assert "got 11; ask for" in error.message
        assert "why" not in facts(error)


async def test_a_batch_is_never_asked_why(
    publish: Publish, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    publish(text=told(view_text(), "(1 / (people.id - 11))::text"))
    live = await serve()
    asked = pb.BatchPredictRequest(customer_ids=[8, 11, 999], as_of_time=stamp(NOON))
    answers = await read_all(live.prediction.BatchPredict(iter([asked])))
    assert [error.reason for error in answers[0].row_errors] == [
        "CUSTOMER_NOT_ELIGIBLE",
        "CUSTOMER_NOT_FOUND",
    ]
    assert not [record for record in caplog.records if "without a why" in record.message]
